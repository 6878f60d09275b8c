"""Every figure of a run by its name: for the terminal, the page and the report."""

from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from gcd_hpc.browse.figures import egb_vs_n
from gcd_hpc.errors import StoreError
from gcd_hpc.store.index import RunStore

What = Literal["egb-n", "progress", "timeline", "registry", "rdf"]


def draw(run: Path, what: What, selection: str = "") -> Figure:
    """A figure of a run directory or of a single HDF5 file.

    Raises:
        StoreError: if a word of the selection is wrong or there is nothing to draw.
    """
    match what:
        case "egb-n":
            return egb_vs_n(RunStore(run), selection)
        case _:
            raise StoreError(f"{what}: expected a figure that can be drawn by now, got one that comes later today")
