"""Colours of the experiments' figures, which the colour-blind can tell apart.

Source: Okabe and Ito, Color universal design (2008); ``RED`` is their vermilion.
"""

BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
RED = "#D55E00"
PURPLE = "#CC79A7"
YELLOW = "#F0E442"
GREY = "#999999"
