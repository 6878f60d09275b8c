"""Python interface for notebooks and scripts: run a campaign, follow it, draw its figures."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from gcd_hpc.browse.ending import write_report
from gcd_hpc.browse.figure_kinds import What
from gcd_hpc.browse.plots import draw_run
from gcd_hpc.browse.set_status import SetStatusReader
from gcd_hpc.browse.status import StatusReader
from gcd_hpc.campaign.display import open_progress
from gcd_hpc.campaign.driver import run_campaign as drive
from gcd_hpc.campaign.session import Outcome
from gcd_hpc.campaign.set_driver import SetOutcome, run_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_set import RunSet
from gcd_hpc.structures.boundary_sets import read_campaign_or_set
from gcd_hpc.workers.allocation import site_here


def run_campaign(
    file: str | Path,
    run_dir: str | Path | None = None,
    overrides: tuple[str, ...] = (),
    site: str | Path | None = None,
    until: str | None = None,
    progress: bool = True,
) -> Outcome | SetOutcome:
    """Run or resume a campaign or a set of them, as ``gcd-hpc campaign FILE`` does.

    Interrupting the kernel, or Ctrl-C, pauses it; the same call resumes it.

    Args:
        file: campaign file, of one boundary, of a set or of a material.
        run_dir: ``runs/NAME`` when not given.
        overrides: changes of keys, such as ``("seed=1", "budget.rounds=4")``.
        site: site file or name; by default the built-in site that fits this machine.
        until: phase to end after, such as ``"search"`` or ``"train-01"``.
        progress: show it: as a panel below the cell of a notebook or in a terminal, else as lines.

    Returns:
        Outcome of the session; its ``status`` is "complete" or "paused". That of a set has the
            members that were left out as ``failures``.

    Raises:
        GcdError: for problems that the user can fix; the same call then resumes.
    """
    config, path = read_campaign_or_set(Path(file), overrides), Path(file)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / config.name
    shown = open_progress(Console()) if progress else None
    if isinstance(config, SetConfig):
        return run_set(
            config, site_here(site), folder, path.parent, shown, write_report, until=until
        )
    return drive(config, site_here(site), folder, path.parent, shown, write_report, until=until)


def status(run_dir: str | Path) -> dict[str, Any]:
    """How far a campaign or a set is, also while it runs: what ``gcd-hpc status --json`` prints.

    Raises:
        GcdError: if no campaign was started there, or its ledger is damaged.
    """
    if RunSet.is_set(run_dir):
        return SetStatusReader(RunSet.open(run_dir)).record()
    return StatusReader(Path(run_dir)).record()


def plot(run: Run | str | Path, what: What = "egb-n") -> Figure:
    """Figure of a run, or of the candidates selected from it, as ``gcd-hpc plot`` draws it.

    A notebook shows the figure; ``savefig`` writes it.

    Args:
        run: what ``open_run`` or ``Run.select`` return, or the path of a run.
        what: "egb-n", "progress", "timeline", "registry" or "rdf".

    Raises:
        GcdError: if there is nothing to draw.
    """
    return draw_run(run if isinstance(run, Run) else open_run(run), what)
