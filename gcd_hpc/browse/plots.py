"""Figures of a run by name, for the command line, the page and the report."""

from pathlib import Path

from matplotlib.figure import Figure

from gcd_hpc.browse.campaign_figures import progress
from gcd_hpc.browse.figure_kinds import OF_MATERIAL, What
from gcd_hpc.browse.figures import check_suffix, egb_vs_n, save
from gcd_hpc.browse.material_figures import errors_figure, spectra_figure
from gcd_hpc.browse.material_numbers import errors_by_round
from gcd_hpc.browse.material_spectra import read_spectra
from gcd_hpc.browse.structure_figures import distances, registry_map
from gcd_hpc.browse.timeline import timeline
from gcd_hpc.errors import StoreError
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory


def plot(run: Path, what: What, selection: str = "", out: Path | None = None) -> Path:
    """Draw a figure to ``out``, by default into the run directory or beside the file.

    The name there is that of the run's own figure for ``egb-n``, and WHAT.png for others; a figure
    of a selection has ``_selected`` in its name, so that it does not take the place of the whole's.

    Raises:
        GcdError: as ``draw``, and if the suffix is not .png, .svg or .pdf.
    """
    path = out or _default_path(run if run.is_dir() else run.parent, what, bool(selection))
    check_suffix(path)
    return save(draw(run, what, selection), path)


def _default_path(folder: Path, what: What, is_selection: bool) -> Path:
    path = RunDirectory(folder).figure if what == "egb-n" else folder / f"{what}.png"
    return path.with_stem(f"{path.stem}_selected") if is_selection else path


def draw(run: Path, what: What, selection: str = "") -> Figure:
    """Figure of a run directory or of a single HDF5 file.

    Raises:
        StoreError: if a condition of the selection is wrong or there is nothing to draw.
    """
    if what == "timeline":
        # A set has a timeline too, and a run that holds no candidates yet.
        return _timeline(run, selection)
    return draw_run(open_run(run).select(selection), what)


def draw_run(run: Run, what: What) -> Figure:
    """Figure of the candidates of a run, or of some that were selected.

    Raises:
        StoreError: if there is nothing to draw.
    """
    if what != "timeline" and (what in OF_MATERIAL) != run.is_material:
        kind, choices = ("boundary", "egb-n, progress, registry, rdf")
        if run.is_material:
            kind, choices = ("material", ", ".join(OF_MATERIAL))
        raise StoreError(
            f"{run.path}: {what} cannot be drawn of a {kind}; choose one of {choices}, timeline"
        )
    match what:
        case "spectra":
            return _spectra(run)
        case "errors":
            return _errors(run)
        case "egb-n":
            return egb_vs_n(run)
        case "progress":
            return progress(open_run(run.path), run.selection)
        case "timeline":
            return _timeline(run.path, run.selection)
        case "registry":
            return registry_map(run)
        case "rdf":
            return distances(run)


def _spectra(run: Run) -> Figure:
    spectra = read_spectra(open_run(run.path))
    if spectra is None:
        raise StoreError(f"{run.path}: holds no spectra yet; run the campaign on")
    return spectra_figure(spectra, run, "".join(one.id for one in run.lowest(1)))


def _errors(run: Run) -> Figure:
    rounds = errors_by_round(run)
    if not any(one.error.num for one in rounds):
        raise StoreError(f"{run.path}: no candidate was compared with the target yet")
    return errors_figure(rounds)


def _timeline(run: Path, selection: str) -> Figure:
    if selection:
        raise StoreError(
            f"the timeline cannot be drawn of {selection}, as it shows tasks and not candidates;"
            " leave out --select"
        )
    return timeline(run)
