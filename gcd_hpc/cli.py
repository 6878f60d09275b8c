"""The ``gcd-hpc`` command: each subcommand reads its options, calls one function and shows what it returned.

Modules that load torch, Parsl or HDF5 are imported inside the commands, so that ``gcd-hpc --help`` answers at once.
"""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from gcd_hpc.campaign.driver import Outcome
    from gcd_hpc.campaign.ledger import State
    from gcd_hpc.config.campaign import CampaignConfig

# Plain help: rich would read "[n]" as markup.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CampaignFile = Annotated[Path, typer.Option("--campaign", "-c", metavar="FILE", help="Campaign file of the boundary.")]
RunDir = Annotated[Path | None, typer.Option("--run-dir", metavar="DIR", help="Where everything is kept; runs/NAME when not given.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the file; may be repeated.")]
SiteFile = Annotated[Path | None, typer.Option("--site", metavar="FILE", help="Site file or name; detected when not given.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a campaign.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_debug = False


@app.callback()
def settings(debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False) -> None:
    """Find the low-energy structures of a grain boundary.

    \b
    Examples:
      gcd-hpc campaign campaigns/smoke.yaml
      gcd-hpc top runs/smoke --per-n
      gcd-hpc export runs/smoke --format extxyz --out smoke.extxyz
    """
    global _debug
    _debug = debug


@app.command()
def campaign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    run_dir: RunDir = None,
    overrides: Overrides = None,
    site: SiteFile = None,
    until: Annotated[str | None, typer.Option("--until", metavar="PHASE", help="End after search, select-01, train-01, ...")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be run and what it would cost, and run nothing.")] = False,
) -> None:
    """Run a campaign, or the rest of it.

    Random search first; then each round selects, trains a model, samples it and relaxes its candidates.

    The same command resumes after an interruption, and says so when there is nothing left to do. Only budget.* may change in between.
    Ctrl-C, SIGTERM and SIGUSR1 pause: what runs is finished or written to a checkpoint; a second Ctrl-C stops at once.

    \b
    Examples:
      gcd-hpc campaign campaigns/w_sigma5.yaml
      gcd-hpc campaign campaigns/w_sigma5.yaml --plan --site slurm_allocation
      gcd-hpc campaign campaigns/w_sigma5.yaml --run-dir runs/seed-1 --set seed=1
      gcd-hpc campaign campaigns/w_sigma5.yaml --set budget.rounds=4
    """
    from gcd_hpc.config.loader import load_campaign

    config = load_campaign(file, overrides or [])
    run_dir = run_dir or Path("runs") / config.name
    if plan:
        _show_plan(config, run_dir, file.parent, site, until)
    else:
        _carry_out(config, run_dir, file.parent, site, until)


@app.command()
def search(
    campaign: CampaignFile,
    run_dir: RunDir = None,
    num: Annotated[int | None, typer.Option("--num", help="Number of tries; the campaign's when not given.")] = None,
    overrides: Overrides = None,
    site: SiteFile = None,
) -> None:
    """Run the random search of a campaign alone, in runs/NAME-search when no --run-dir is given.

    \b
    Example:
      gcd-hpc search --campaign campaigns/w_sigma5.yaml --num 200
    """
    from gcd_hpc.config.loader import load_campaign

    changes = [*(overrides or []), *([f"search.num_tries={num}"] if num is not None else [])]
    config = load_campaign(campaign, changes)
    _carry_out(config, run_dir or Path("runs") / f"{config.name}-search", campaign.parent, site, until="search")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    overrides: Overrides = None,
    site: SiteFile = None,
) -> None:
    """See whether a campaign file and a site file are sound, in an instant: for login nodes.

    \b
    Example:
      gcd-hpc check campaigns/w_sigma5.yaml --site campaigns/sites/slurm_login.yaml
    """
    from gcd_hpc.config.loader import load_campaign, load_site

    config, chosen = load_campaign(file, overrides or []), load_site(site)
    work = f"{config.search.num_tries} tries, {config.budget.rounds} rounds of {config.sampling.num_candidates} candidates"
    print(f"{file}: sound: {config.boundary.element} ({config.boundary.lattice}), {work}")
    print(f"site {chosen.name}: sound: mode {chosen.mode}, scheduler {chosen.scheduler}")


@app.command()
def status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Where a campaign stands, also while it is at work.

    \b
    Examples:
      gcd-hpc status runs/w_sigma5
      gcd-hpc status runs/w_sigma5 --watch
    """
    from gcd_hpc.browse.status import status_record, status_view

    if json:
        _print_json(status_record(run))
    elif watch:
        _watch(lambda: status_view(status_record(run)))
    else:
        _console().print(status_view(status_record(run)))


@app.command()
def failures(
    run: Run,
    every: Annotated[bool, typer.Option("--all", help="List all, also candidates that were refused before relaxation.")] = False,
    json: Json = False,
) -> None:
    """What went wrong in a campaign, by class and reason: candidates, lost workers, work that was set aside.

    \b
    Example:
      gcd-hpc failures runs/w_sigma5
    """
    from gcd_hpc.browse.failures import failure_rows, failures_json, failures_table

    rows = failure_rows(run)
    if json:
        print(failures_json(rows, every))
    else:
        _console().print(failures_table(rows, every))


@app.command()
def report(run: Run, json: Json = False) -> None:
    """How well a campaign used its machines: occupancy, overhead, delays, waste, and what a core-hour found.

    \b
    Example:
      gcd-hpc report runs/w_sigma5
    """
    from gcd_hpc.browse.status import read_state
    from gcd_hpc.browse.usage import report_record, report_table, unique_low_energy
    from gcd_hpc.campaign.directory import CONFIG_NAME
    from gcd_hpc.campaign.report import report_of
    from gcd_hpc.config.loader import load_campaign

    _, events = read_state(run)
    window = load_campaign(run / CONFIG_NAME).selection.energy_window_j_m2
    record = report_record(report_of(events), unique_low_energy(run, window))
    if json:
        _print_json(record)
    else:
        _console().print(report_table(record))


@app.command("rehearse")
def rehearsal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    overrides: Overrides = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Relaxation workers.")] = 1000,
    sampling_workers: Annotated[int, typer.Option("--sampling-workers", min=1, help="Sampling workers.")] = 8,
    relax_s: Annotated[float, typer.Option("--relax-s", help="Seconds of one relaxation.")] = 60.0,
    sample_s: Annotated[float, typer.Option("--sample-s", help="Seconds of one sample.")] = 0.1,
    train_s: Annotated[float, typer.Option("--train-s", help="Seconds of one training.")] = 900.0,
    json: Json = False,
) -> None:
    """Simulate a campaign in asynchronous mode on a machine that you do not have yet, with failures and stragglers.

    \b
    Example:
      gcd-hpc rehearse campaigns/w_sigma5.yaml --workers 1000 --set sampling.num_candidates=20000 --set budget.rounds=5
    """
    from gcd_hpc.browse.usage import report_record, report_table
    from gcd_hpc.campaign.rehearsal import Pace, rehearse
    from gcd_hpc.config.loader import load_campaign

    pace = Pace(search_s=relax_s, relax_s=relax_s, sample_s=sample_s, train_s=train_s)
    record = report_record(rehearse(load_campaign(file, overrides or []), workers, sampling_workers, pace))
    if json:
        _print_json(record)
    else:
        _console().print(report_table(record))


@app.command()
def relax(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="LAMMPS dump or data, extxyz, POSCAR; z is the boundary normal.")],
    campaign: CampaignFile,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Energies of your own structures of the boundary.

    \b
    Example:
      gcd-hpc relax found/*.dump --campaign campaigns/w_sigma5.yaml --json
    """
    from gcd_hpc.config.loader import load_campaign

    config = load_campaign(campaign, overrides or [])
    from gcd_hpc.stages.evaluate import evaluate_files

    records = evaluate_files(config, files, campaign.parent)
    if json:
        _print_json(records)
        return
    from gcd_hpc.browse.tables import energies_table

    _console().print(energies_table(records))


@app.command()
def top(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory or HDF5 file of results.")],
    per_n: Annotated[bool, typer.Option("--per-n", help="The best structure at each [n].")] = False,
    num: Annotated[int, typer.Option("--num", min=1, help="How many of the lowest energies, without --per-n.")] = 10,
    json: Json = False,
) -> None:
    """The lowest energies of a run, also while it is at work.

    \b
    Examples:
      gcd-hpc top runs/w_sigma5 --per-n
      gcd-hpc top runs/w_sigma5 --num 20 --json
    """
    from gcd_hpc.browse.tables import json_text, top_rows, top_table
    from gcd_hpc.store.index import RunStore

    rows = top_rows(RunStore(run), per_n, num)
    if json:
        print(json_text(rows))
    else:
        _console().print(top_table(rows))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory or HDF5 file of results.")],
    form: Annotated[Literal["extxyz", "lammps-data", "poscar", "csv"], typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option("--out", metavar="F", help="File to write, or folder for one file a structure.")],
) -> None:
    """Write a run's results for other programs.

    extxyz and csv make one file; csv has one row a candidate, failed ones too. lammps-data and poscar make a folder with one file a
    structure.

    \b
    Examples:
      gcd-hpc export runs/w_sigma5 --format csv --out w_sigma5.csv
      gcd-hpc export runs/w_sigma5 --format poscar --out structures
    """
    from gcd_hpc.store.export import export as write
    from gcd_hpc.store.index import RunStore

    num = write(RunStore(run), form, out)
    print(f"{out}: {num} {'rows' if form == 'csv' else 'structures'}")


def main() -> None:
    """Run a command; a mistake that the user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except GcdError as error:
        if _debug:
            traceback.print_exc()
        print(f"gcd-hpc: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _carry_out(config: "CampaignConfig", run_dir: Path, folder: Path, site_file: Path | None, until: str | None) -> None:
    _pause_on_signals(run_dir)
    from gcd_hpc.campaign.driver import finished_before, run_campaign
    from gcd_hpc.config.loader import load_site

    site = load_site(site_file)
    outcome = finished_before(config, site, run_dir, until)
    if outcome is None:
        from gcd_hpc.campaign.progress import open_progress

        progress = open_progress(_console())
        outcome = run_campaign(config, site, run_dir, folder, progress, report=_write_report, until=until)
    _print_outcome(outcome, run_dir)


def _pause_on_signals(run_dir: Path) -> None:
    """A batch job may be told to stop while this process still imports, or already writes its report."""

    def pause(number: int, _: Any) -> None:
        print(f"{run_dir}: paused by {signal.Signals(number).name}; the same command goes on")
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, pause)


def _show_plan(config: "CampaignConfig", run_dir: Path, folder: Path, site_file: Path | None, until: str | None) -> None:
    from gcd_hpc.browse.plan import plan_table
    from gcd_hpc.campaign.estimate import estimate
    from gcd_hpc.campaign.fitting import launch_lines, planned
    from gcd_hpc.campaign.tasks import Plan
    from gcd_hpc.config.loader import load_site
    from gcd_hpc.stages.setting import Setting

    site = planned(load_site(site_file), config.training.batch_size)
    num_atoms = len(Setting.build(config, folder).frame.join((0.0, 0.0, 0.0)))
    stages = estimate(config, Plan.of(config, site, until), num_atoms)
    _console().print(plan_table(stages, launch_lines(site, run_dir), site))


def _watch(view: Callable[[], "RenderableType"]) -> None:
    import time

    from rich.live import Live

    try:
        with Live(view(), console=_console()) as live:
            while True:
                time.sleep(2.0)
                live.update(view())
    except KeyboardInterrupt:
        pass


def _write_report(run_dir: Path, state: "State") -> None:
    # matplotlib and HDF5 only at the end.
    from gcd_hpc.browse.ending import write_report

    write_report(run_dir, state)


def _print_outcome(outcome: "Outcome", run_dir: Path) -> None:
    console = _console()
    if outcome.status == "paused":
        text = f"{run_dir}: paused by {outcome.reason}; the same command goes on"
    elif outcome.did_nothing:
        text = f"{run_dir}: the campaign is complete (ended by: {outcome.reason})"
    else:
        from gcd_hpc.browse.ending import ending

        console.print(ending(run_dir, outcome.state))
        text = f"{run_dir}: complete (ended by: {outcome.reason})"
    console.print(text, markup=False, soft_wrap=True)


def _print_json(records: Any) -> None:
    from gcd_hpc.browse.tables import json_text

    print(json_text(records))


def _console() -> "Console":
    from rich.console import Console

    return Console()


if __name__ == "__main__":
    main()
