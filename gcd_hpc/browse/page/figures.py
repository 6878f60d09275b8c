"""Figures of the page as SVG."""

import io
import threading
from pathlib import Path

import matplotlib

from gcd_hpc.browse.plots import What, draw

FIGURES: dict[What, str] = {
    "progress": "Lowest energy of each [n] against core-seconds",
    "timeline": "What ran when",
    "egb-n": "Energy against [n]",
}
"""Figures shown on the page, with their titles."""
_drawing = threading.Lock()
"""Lock for drawing, as matplotlib's settings are global to the process."""


def figure_svg(run: Path, what: What, selection: str = "") -> bytes:
    """Figure as SVG; the bytes are reproducible for unchanged data.

    Raises:
        GcdError: if there is nothing to draw.
    """
    buffer = io.BytesIO()
    with _drawing, matplotlib.rc_context({"svg.hashsalt": "gcd-hpc", "svg.fonttype": "path"}):
        draw(run, what, selection).savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
