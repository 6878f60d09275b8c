"""Result files and closing tables of a completed campaign."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.figure_kinds import OF_MATERIAL
from gcd_hpc.browse.figures import plot_egb_vs_n
from gcd_hpc.browse.material_summary import write_material_summary
from gcd_hpc.browse.plots import plot
from gcd_hpc.browse.sources import work_table
from gcd_hpc.browse.summary import cost_table, write_summary
from gcd_hpc.browse.tables import best_by_source, source_table
from gcd_hpc.campaign.display import best_table
from gcd_hpc.campaign.progress import best_so_far
from gcd_hpc.campaign.state import State
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory


def write_report(run_dir: Path, state: State) -> None:
    """Write RUN/results.h5, summary.md and, once there are candidates to show, figures.

    The figure of a boundary is egb_vs_n.png; those of a material are spectra.png and errors.png.
    """
    RunStore(run_dir).merge()
    run = open_run(run_dir)
    is_known = len(run.lowest(1)) > 0
    if state.plan.kind == "material":
        figures = [plot(run_dir, what) for what in OF_MATERIAL if is_known]
        write_material_summary(run, cost_of(state), figures)
        return
    if is_known:
        plot_egb_vs_n(run, RunDirectory(run_dir).figure)
    write_summary(run_dir, cost_of(state), sources_of(run, state))


def ending(run_dir: Path, state: State) -> RenderableType:
    """Tables of the lowest energies and the work by source, and of the costs, for the terminal."""
    if state.plan.kind == "material":
        return Group(
            best_table(best_so_far(state), state.plan.merit),
            cost_table(cost_of(state)),
            _rest(run_dir, "spectra.png, errors.png"),
        )
    run = open_run(run_dir)
    return Group(
        source_table(best_by_source(run)),
        work_table(sources_of(run, state)),
        cost_table(cost_of(state)),
        _rest(run_dir, RunDirectory(run_dir).figure.name),
    )


def _rest(run_dir: Path, figures: str) -> Text:
    summary = RunDirectory(run_dir).summary
    return Text(f"{summary}, {figures} and results.h5 hold the rest.", overflow="fold")
