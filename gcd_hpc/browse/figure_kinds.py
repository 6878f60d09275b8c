"""Names of the figures of a run, and the energies that they show.

Nothing here imports matplotlib, which the page needs only when a figure is asked for.
"""

from typing import Literal

import numpy as np

from gcd_hpc.structures.energetics import lowest_of_each

What = Literal["egb-n", "progress", "timeline", "registry", "rdf", "spectra", "errors"]
OF_MATERIAL: tuple[What, ...] = ("spectra", "errors")
"""Figures of a material; the others but the timeline are of a boundary."""


def energy_cap(n_fraction: np.ndarray, energy: np.ndarray) -> float:
    """Highest energy in a figure, J/m^2: the highest of the best per [n], plus 45 % of their span.

    The margin above the highest best energy is at least 0.25 J/m^2.
    """
    best = lowest_of_each(n_fraction, energy)[1]
    return float(best.max() + max(0.25, 0.45 * (best.max() - best.min())))
