"""Figures of a run by name, for the command line, the page and the report."""

from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from gcd_hpc.browse.campaign_figures import progress
from gcd_hpc.browse.figures import check_suffix, egb_vs_n, save
from gcd_hpc.browse.structure_figures import distances, registry_map
from gcd_hpc.browse.timeline import timeline
from gcd_hpc.errors import StoreError
from gcd_hpc.store.run import open_run

What = Literal["egb-n", "progress", "timeline", "registry", "rdf"]


def plot(run: Path, what: What, selection: str = "", out: Path | None = None) -> Path:
    """Draw a figure to ``out``, by default WHAT.png in the run directory or beside the file.

    Raises:
        GcdError: as ``draw``, and if the suffix is not .png, .svg or .pdf.
    """
    path = out or (run if run.is_dir() else run.parent) / f"{what}.png"
    check_suffix(path)
    return save(draw(run, what, selection), path)


def draw(run: Path, what: What, selection: str = "") -> Figure:
    """Figure of a run directory or of a single HDF5 file.

    Raises:
        StoreError: if a condition of the selection is wrong or there is nothing to draw.
    """
    match what:
        case "egb-n":
            return egb_vs_n(open_run(run).select(selection))
        case "progress":
            return progress(open_run(run), selection)
        case "timeline":
            if selection:
                raise StoreError(
                    f"the timeline cannot be drawn of {selection}, as it shows tasks and not"
                    " candidates; leave out --select"
                )
            return timeline(run)
        case "registry":
            return registry_map(open_run(run).select(selection))
        case "rdf":
            return distances(open_run(run).select(selection))
