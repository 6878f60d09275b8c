"""Figures of the page as SVG."""

import io
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from gcd_hpc.browse.figure_kinds import What
from gcd_hpc.browse.plots import draw

_drawing = threading.Lock()
"""Lock for drawing, as matplotlib's settings are global to the process."""


def figure_svg(run: Path, what: What, selection: str = "") -> bytes:
    """Figure of a run as SVG.

    Raises:
        GcdError: if there is nothing to draw.
    """
    return svg_of(partial(draw, run, what, selection))


def svg_of(make: Callable[[], Figure]) -> bytes:
    """A figure as SVG; the bytes are reproducible for unchanged data.

    Args:
        make: draws the figure, called while no other figure is drawn.
    """
    buffer = io.BytesIO()
    with _drawing, matplotlib.rc_context({"svg.hashsalt": "gcd-hpc", "svg.fonttype": "path"}):
        make().savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
