"""The figures of a run as SVG."""

import io
import threading
from pathlib import Path

import matplotlib

from gcd_hpc.browse.plots import What, draw

FIGURES: dict[What, str] = {
    "progress": "Best energies against work",
    "timeline": "What ran when",
    "egb-n": "Energy against [n]",
}
"""Those of the page and what they are called there."""
_drawing = threading.Lock()
"""Settings of matplotlib are those of the process."""


def figure_svg(run: Path, what: What, selection: str = "") -> bytes:
    """A figure, the same bytes each time that nothing has changed.

    Raises:
        GcdError: if there is nothing to draw.
    """
    buffer = io.BytesIO()
    with _drawing, matplotlib.rc_context({"svg.hashsalt": "gcd-hpc", "svg.fonttype": "path"}):
        draw(run, what, selection).savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
