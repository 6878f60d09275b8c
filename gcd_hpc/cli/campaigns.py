"""Commands that run a campaign, check its file or simulate it.

Modules that load torch, Parsl or HDF5 are imported inside the commands, so that ``gcd-hpc --help``
starts fast.
"""

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gcd_hpc.cli.materials import say_material, show_material_plan
from gcd_hpc.cli.options import CampaignFile, Json, Overrides, RunDir, SiteFile
from gcd_hpc.cli.output import console, note_how_to_go_on, print_json, resume_hint, say
from gcd_hpc.errors import ConfigError, GcdError

if TYPE_CHECKING:
    from gcd_hpc.campaign.session import Outcome
    from gcd_hpc.campaign.state import State
    from gcd_hpc.config.campaign import CampaignConfig
    from gcd_hpc.config.loader import AnyCampaign
    from gcd_hpc.config.set import SetConfig


def campaign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    run_dir: RunDir = None,
    overrides: Overrides = None,
    site: SiteFile = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="PHASE",
            help="End after this phase: search, train-01, ...; of a material quench, label, ...",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Show what would be run and what it would cost, and run nothing."
        ),
    ] = False,
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes",
            metavar="N",
            min=1,
            max=100_000,
            help="With --plan: nodes of an allocation that does not exist yet.",
        ),
    ] = None,
) -> None:
    """Run a campaign, or resume it.

    A campaign begins with a random search and, if the file names a model to start from, with
    samples of it. Each round then selects a training set, trains a model, samples it and relaxes
    its candidates.

    The campaign of a material (key material) begins with quenches and spectra of their atoms. Each
    round then gathers a training set, trains two networks, samples with and without guidance by the
    measured spectrum, relaxes the samples and verifies their spectra. Its phases follow each other
    on every site.

    The same command resumes a campaign after an interruption. Only budget.* may change in between.
    Ctrl-C, SIGTERM and SIGUSR1 pause it: running tasks are finished or write a checkpoint. A second
    Ctrl-C stops at once.

    \b
    Examples:
      gcd-hpc campaign campaigns/w_sigma5.yaml
      gcd-hpc campaign campaigns/w_sigma5.yaml --plan --site slurm_allocation --nodes 4
      gcd-hpc campaign campaigns/w_sigma5.yaml --run-dir runs/seed-1 --set seed=1
      gcd-hpc campaign campaigns/w_sigma5.yaml --set budget.rounds=4
    """
    from gcd_hpc.config.material import MaterialConfig
    from gcd_hpc.config.set import SetConfig
    from gcd_hpc.structures.boundary_sets import read_campaign_or_set

    config = read_campaign_or_set(file, overrides or [])
    run_dir = run_dir or Path("runs") / config.name
    if plan:
        if isinstance(config, MaterialConfig):
            show_material_plan(config, run_dir, file, site, until, nodes)
        else:
            _show_plan(config, run_dir, file, site, until, nodes)
    elif isinstance(config, SetConfig):
        _carry_out_set(config, run_dir, file, site, until)
    else:
        _carry_out(config, run_dir, file, site, until)


def search(
    campaign: CampaignFile,
    run_dir: RunDir = None,
    num: Annotated[
        int | None, typer.Option("--num", help="Number of tries instead of the campaign's.")
    ] = None,
    overrides: Overrides = None,
    site: SiteFile = None,
) -> None:
    """Run the random search of a campaign alone.

    The run directory is runs/NAME-search when no --run-dir is given.

    \b
    Example:
      gcd-hpc search --campaign campaigns/w_sigma5.yaml --num 200
    """
    changes = [*(overrides or []), *([f"search.num_tries={num}"] if num is not None else [])]
    from gcd_hpc.structures.slab_files import read_campaign

    config = read_campaign(campaign, changes)
    _carry_out(
        config,
        run_dir or Path("runs") / f"{config.name}-search",
        campaign,
        site,
        until="search",
    )


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    overrides: Overrides = None,
    site: SiteFile = None,
) -> None:
    """Check a campaign file, and show which boundaries or material it describes.

    Builds the bicrystal, finds the potential, compares slabs, box, voxels and cutoff, and reads the
    site file. This takes less than a second and suits login nodes: no other process is started,
    except lmp -h for a pair style that the LAMMPS library does not seem to have. What needs LAMMPS
    is listed as not checked.

    \b
    Example:
      gcd-hpc check campaigns/w_sigma5.yaml --site campaigns/sites/slurm_login.yaml
    """
    from gcd_hpc.config.material import MaterialConfig
    from gcd_hpc.config.set import SetConfig
    from gcd_hpc.structures.boundary_sets import read_campaign_or_set

    config = read_campaign_or_set(file, overrides or [])
    # Late, so that a file is refused without the wait for them.
    from gcd_hpc.workers.allocation import site_here

    chosen = site_here(site)
    warnings: Sequence[str] = ()
    idle = ""
    if isinstance(config, MaterialConfig):
        unchecked = say_material(config, file)
    elif isinstance(config, SetConfig):
        unchecked, warnings = _say_set(config, file)
    else:
        unchecked, warnings = _say_campaign(config, file)
    for line in unchecked:
        say(f"  not checked: {line}")
    say(f"site {chosen.name}: sound: mode {chosen.mode}, scheduler {chosen.scheduler}")
    one = config.first if isinstance(config, SetConfig) else config
    if not isinstance(one, MaterialConfig) and one.budget.rounds:
        from gcd_hpc.workers.fitting import idle_note_from_afar

        idle = idle_note_from_afar(chosen, one.training.batch_size)
    for line in [*warnings, *filter(None, [idle])]:
        say(f"warning: {line}", to_stderr=True)


def _say_campaign(config: "CampaignConfig", file: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Print what a campaign file describes; return what was not checked, and warnings."""
    from gcd_hpc.campaign.soundness import inspect_campaign

    found = inspect_campaign(config, file.parent, str(file))
    crystal = found.layout.bicrystal.lower.crystal.name
    say(f"{file}: sound: {'-'.join(config.boundary.symbols)} ({crystal}), {_work_of(config)}")
    for line in found.lines():
        say(f"  {line}")
    return found.unchecked, found.layout.warnings


def _say_set(config: "SetConfig", file: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Print one line a boundary of a set; return what was not checked, and warnings."""
    from gcd_hpc.browse.set_check import set_table
    from gcd_hpc.campaign.soundness import inspect_set

    found = inspect_set(config, file.parent, str(file))
    say(f"{file}: sound: {len(found)} boundaries, each with {_work_of(config.first)}")
    console().print(set_table(config, found))
    unchecked = [line for one in found.values() for line in one.unchecked]
    warnings = [f"{name}: {line}" for name, one in found.items() for line in one.layout.warnings]
    return list(dict.fromkeys(unchecked)), warnings


def _work_of(config: "CampaignConfig") -> str:
    num_candidates = config.sampling.num_candidates
    at_first = "" if config.model is None else f"{num_candidates} candidates of its model, "
    return (
        f"{config.search.num_tries} tries, {at_first}{config.budget.rounds} rounds of"
        f" {num_candidates} candidates"
    )


def rehearsal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file.")],
    overrides: Overrides = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Relaxation workers.")] = 1000,
    sampling_workers: Annotated[
        int, typer.Option("--sampling-workers", min=1, help="Sampling workers.")
    ] = 8,
    relax_s: Annotated[float, typer.Option("--relax-s", help="Seconds of one relaxation.")] = 60.0,
    sample_s: Annotated[float, typer.Option("--sample-s", help="Seconds of one sample.")] = 0.1,
    train_s: Annotated[float, typer.Option("--train-s", help="Seconds of one training.")] = 900.0,
    json: Json = False,
) -> None:
    """Simulate a campaign on a machine of any size.

    No structure is computed. The simulated campaign runs in asynchronous mode, with failures and
    stragglers. Of a set all boundaries run side by side, in the order that a real set would choose,
    and wait for the model that they share.

    \b
    Example:
      gcd-hpc rehearse campaigns/w_sigma5.yaml --workers 1000 --set budget.rounds=5
    """
    from gcd_hpc.accounts.rehearsal import Pace, rehearse
    from gcd_hpc.accounts.set_rehearsal import rehearse_set
    from gcd_hpc.browse.usage import report_record, report_table
    from gcd_hpc.config.loader import refuse_material
    from gcd_hpc.config.material import MaterialConfig
    from gcd_hpc.config.set import SetConfig
    from gcd_hpc.structures.boundary_sets import read_campaign_or_set

    pace = Pace(search_s=relax_s, relax_s=relax_s, sample_s=sample_s, train_s=train_s)
    config = read_campaign_or_set(file, overrides or [])
    if isinstance(config, MaterialConfig):
        refuse_material(str(file))
    if isinstance(config, SetConfig):
        found = rehearse_set(config, workers, sampling_workers, pace)
        if json:
            print_json(asdict(found))
        else:
            say("\n".join(found.lines()))
        return
    record = report_record(rehearse(config, workers, sampling_workers, pace))
    if json:
        print_json(record)
    else:
        console().print(report_table(record))


def _carry_out(
    config: "AnyCampaign", run_dir: Path, file: Path, site_file: Path | None, until: str | None
) -> None:
    pause_on_signals(run_dir)
    from gcd_hpc.campaign.driver import finished_before, run_campaign
    from gcd_hpc.workers.allocation import site_here

    site = site_here(site_file)
    outcome = finished_before(config, site, run_dir, until)
    if outcome is None:
        from gcd_hpc.campaign.display import open_progress

        progress = open_progress(console())
        with _errors_of(config.name, file, run_dir):
            outcome = run_campaign(
                config, site, run_dir, file.parent, progress, report=_write_report, until=until
            )
    _print_outcome(outcome, run_dir)


def _carry_out_set(
    config: "SetConfig", run_dir: Path, file: Path, site_file: Path | None, until: str | None
) -> None:
    pause_on_signals(run_dir)
    from gcd_hpc.campaign.display import open_progress
    from gcd_hpc.campaign.set_driver import failures_line, run_set
    from gcd_hpc.workers.allocation import site_here

    progress = open_progress(console())
    with _errors_of(config.name, file, run_dir):
        outcome = run_set(
            config, site_here(site_file), run_dir, file.parent, progress, _write_report, until
        )
    if outcome.status == "paused":
        text = f"{run_dir}: paused by {outcome.reason}; {resume_hint()}"
    elif outcome.did_nothing:
        text = f"{run_dir}: all {len(outcome.states)} boundaries are complete"
    else:
        from gcd_hpc.cli.sets import conclude_set

        conclude_set(run_dir)
        num_complete = len(outcome.states.keys() - outcome.failures.keys())
        text = (
            f"{run_dir}: {num_complete} of {len(config.members())} boundaries are complete (ended"
            f" by: {outcome.reason})"
        )
    console().print(text, markup=False, soft_wrap=True)
    if outcome.failures:
        raise GcdError(failures_line(run_dir, config, outcome.failures))


@contextmanager
def _errors_of(name: str, file: Path, run_dir: Path) -> Iterator[None]:
    """Name the file of a campaign or a set in errors of its driver, which knows only its name."""
    try:
        yield
    except ConfigError as error:
        if error.source != name:
            raise
        raise ConfigError(str(file), error.key, error.problem) from error
    except GcdError as error:
        note_how_to_go_on(error, run_dir)
        raise


def pause_on_signals(run_dir: Path) -> None:
    """Exit cleanly on signals before and after the driver, which handles its own."""

    def pause(number: int, _: Any) -> None:
        say(f"{run_dir}: paused by {signal.Signals(number).name}; {resume_hint()}")
        sys.exit(0)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, pause)


def _show_plan(
    config: "CampaignConfig | SetConfig",
    run_dir: Path,
    file: Path,
    site_file: Path | None,
    until: str | None,
    num_nodes: int | None,
) -> None:
    from gcd_hpc.browse.plan import plan_table
    from gcd_hpc.campaign.estimate import estimate, total_of
    from gcd_hpc.campaign.soundness import inspect_campaign, inspect_set
    from gcd_hpc.config.set import SetConfig
    from gcd_hpc.learning.context import num_computed_of
    from gcd_hpc.stages.plan import Plan
    from gcd_hpc.workers.allocation import site_here
    from gcd_hpc.workers.fitting import idle_note, launch_lines, plan_site
    from gcd_hpc.workers.lines import submit_line

    one = config.first if isinstance(config, SetConfig) else config
    given, batch_size = site_here(site_file), one.training.batch_size
    site = plan_site(given, batch_size, num_nodes)
    plan = Plan.of(one, site, until)
    if isinstance(config, SetConfig):
        found = inspect_set(config, file.parent, str(file))
        layouts = [sound.layout for sound in found.values()]
    else:
        layouts = [inspect_campaign(config, file.parent, str(file)).layout]
    voxels = [num_computed_of(layout.grid, layout.num_known, one) for layout in layouts]
    stages = total_of(
        [
            estimate(one, plan, layout.num_atoms, num)
            for layout, num in zip(layouts, voxels, strict=True)
        ]
    )
    console().print(plan_table(stages, site))
    lines = launch_lines(site, run_dir)
    for name in dict.fromkeys(stage.stage for stage in stages):
        say(f"{name}: {lines[name]}")  # unbroken, to be copied
    if num_nodes is not None and site.scheduler == "slurm" and site.driver == "inside":
        variables = [f"RUN={run_dir}", *([f"SITE={site_file}"] if site_file else [])]
        say(f"submit: {shlex.join([*variables, *submit_line(site, num_nodes, str(file))])}")
    exploration = plan.exploration_note(one.explore) if len(layouts) == 1 else ""
    for note in filter(None, (idle_note(given, batch_size, num_nodes), exploration)):
        console().print(note)


def _write_report(run_dir: Path, state: "State") -> None:
    # matplotlib and HDF5 are only loaded at the end.
    from gcd_hpc.browse.ending import write_report

    write_report(run_dir, state)


def _print_outcome(outcome: "Outcome", run_dir: Path) -> None:
    if outcome.status == "paused":
        text = f"{run_dir}: paused by {outcome.reason}; {resume_hint()}"
    elif outcome.did_nothing:
        text = f"{run_dir}: the campaign is complete (ended by: {outcome.reason})"
    else:
        from gcd_hpc.browse.ending import ending

        console().print(ending(run_dir, outcome.state))
        text = f"{run_dir}: complete (ended by: {outcome.reason})"
    console().print(text, markup=False, soft_wrap=True)
