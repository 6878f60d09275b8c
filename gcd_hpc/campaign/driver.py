"""Driver of a campaign: repeating the same call resumes it where it stopped."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gcd_hpc.campaign.actions import Stop
from gcd_hpc.campaign.directory import (
    check_config,
    check_kind,
    has_results,
    opened_run_directory,
    write_config,
    write_model,
)
from gcd_hpc.campaign.display import Progress
from gcd_hpc.campaign.estimate import expected_s, expected_s_of
from gcd_hpc.campaign.events import Lost, Opened, Reported
from gcd_hpc.campaign.inputs import inputs_of, settle_inputs
from gcd_hpc.campaign.ledger import Ledger, read_state
from gcd_hpc.campaign.material_estimate import material_estimate
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.session import Outcome, run_session, software
from gcd_hpc.campaign.state import State
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import AnyCampaign
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.config.starting import ENERGY_KEY, KEY, energy_file, starting_file
from gcd_hpc.engines.bulk import BulkRecord
from gcd_hpc.engines.layout import lay_out
from gcd_hpc.errors import CheckpointError, ConfigError, RunDirectoryError
from gcd_hpc.files import cannot_write
from gcd_hpc.learning.context import num_computed_of
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.record import damage, discard
from gcd_hpc.stages.table import MODULES, Stage
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.backend import is_disk_error
from gcd_hpc.workers.fitting import NUM_NETWORKS, check_run_dir, fit_site, idle_note, in_turns
from gcd_hpc.workers.reaper import clear_up

Report = Callable[[Path, State], None]
Prepare = Callable[[Path, Any, Path], str]


def prepare_run(run_dir: Path, config: AnyCampaign, folder: Path) -> str:
    """Prepare a run directory before its first task, and return the hash of the potential."""
    # Late imports: a campaign that is already complete must not wait for LAMMPS and torch.
    if isinstance(config, MaterialConfig):
        from gcd_hpc.learning.material import prepare as prepare_material

        return prepare_material(run_dir, config, folder).potential.sha256
    from gcd_hpc.learning.boundary import prepare
    from gcd_hpc.learning.tiles import keep_tiles

    if config.model is not None:
        from gcd_hpc.learning.model_file import load_model

        try:
            load_model(starting_file(config, folder, config.name))
        except CheckpointError as error:
            raise ConfigError(config.name, KEY, str(error)) from error
    system = prepare(run_dir, config, folder)
    if config.energy_model is not None:
        from gcd_hpc.learning.energy_network import EnergyModel

        file = energy_file(config, folder, config.name)
        try:
            EnergyModel.load(file).check(file, system)
        except CheckpointError as error:
            raise ConfigError(config.name, ENERGY_KEY, str(error)) from error
    keep_tiles(system, RunDirectory(run_dir), folder)
    return system.potential.sha256


def finished_before(
    config: AnyCampaign, site: SiteConfig, run_dir: Path, until: str | None = None
) -> Outcome | None:
    """Outcome of a campaign that is already complete, from its ledger alone; else None.

    Raises:
        RunDirectoryError: if the run directory holds another campaign.
    """
    run = RunDirectory(run_dir)
    if not run.config.exists() or not has_results(run):
        return None
    check_config(run, config)
    state = read_state(run_dir)
    if state is None or not state.reported:
        return None
    again = Opened(plan=first_plan(config, site, until), token="", pid=0, created=0.0)
    state.apply(again)
    actions = step(state, again)
    stop = actions[0] if len(actions) == 1 else None
    if not isinstance(stop, Stop):
        return None
    return Outcome("complete", stop.reason, state, did_nothing=True)


def run_campaign(
    config: AnyCampaign,
    site: SiteConfig,
    run_dir: Path,
    campaign_folder: Path,
    progress: Progress | None = None,
    report: Report | None = None,
    until: str | None = None,
    prepare: Prepare = prepare_run,
    modules: Mapping[Stage, str] = MODULES,
) -> Outcome:
    """Run a campaign to its end, or continue one that was interrupted.

    Args:
        config: with the network of the model that it starts from (``with_model``).
        campaign_folder: directory searched first for the files of the potential and the model.
        report: writes the summary of a complete run from its directory and final state.
        until: phase to end after, e.g. ``search`` or ``train-01``.
        prepare: checks the inputs before the first task, and returns the hash of the potential.
        modules: module name of each stage, imported by the process that runs it.

    Raises:
        GcdError: for problems that the user can fix; the same call then resumes.
    """
    run_dir = run_dir.absolute()
    before = finished_before(config, site, run_dir, until)
    if before is not None:
        return before
    called = time.monotonic()
    site, idle = fitted_site(config, site, until)
    check_run_dir(site, run_dir)
    plan = Plan.of(config, site, until)
    try:
        run = RunDirectory(run_dir)
        with opened_run_directory(run), Ledger(run_dir) as ledger:
            if ledger.state is not None:
                clear_up(ledger.state.drivers)
            with progress or Progress() as display:
                if idle:
                    display.note(idle)
                make_ready(run, config, ledger, plan, campaign_folder, prepare)
                expected = _expected_s(config, site, run, plan)
                if ledger.state is not None:
                    look_at_the_past(run_dir, ledger, ledger.state, display)
                outcome = run_session(
                    config, site, run_dir, plan, modules, ledger, display, called, expected
                )
                if outcome.status == "complete":
                    if report is not None:
                        report(run_dir, outcome.state)
                    ledger.append(
                        Reported(elapsed_s=outcome.state.elapsed_s, time=round(time.time(), 3))
                    )
                return outcome
    except OSError as error:
        if not is_disk_error(error):
            raise
        raise cannot_write(error.filename or run_dir, error) from error


def fitted_site(config: AnyCampaign, site: SiteConfig, until: str | None) -> tuple[SiteConfig, str]:
    """The site resolved for a campaign, and a sentence about what training leaves idle, or "".

    Raises:
        GcdError: as ``fit_site``; also if ``until`` names no phase.
    """
    plan = first_plan(config, site, until)
    if isinstance(config, MaterialConfig):
        fit = fit_site(in_turns(site), NUM_NETWORKS, plan.needs_launchers, plan.needs_mpi)
        return fit, ""
    batch_size = config.training.batch_size
    idle = idle_note(site, batch_size) if plan.needs_launchers else ""
    return fit_site(site, batch_size, plan.needs_launchers), idle


def first_plan(config: AnyCampaign, site: SiteConfig, until: str | None) -> Plan:
    """Plan of a campaign before its site is fitted to this machine.

    Raises:
        GcdError: if the pools do not fit into the allocation, or ``until`` names no phase.
    """
    given = in_turns(site) if isinstance(config, MaterialConfig) else site
    return Plan.of(config, resolve(given), until)


def make_ready(
    run: RunDirectory,
    config: AnyCampaign,
    ledger: Ledger,
    plan: Plan,
    campaign_folder: Path,
    prepare: Prepare,
) -> None:
    """Check that an open run directory is that of a campaign, and prepare it for the first task.

    Raises:
        GcdError: if it belongs to another campaign, or the campaign cannot run.
    """
    check_kind(run, is_set=False)
    if has_results(run):
        if ledger.state is not None:
            check_mode(run.path, ledger.state.plan, plan)
        check_config(run, config)
    else:
        # Nothing was computed yet: a corrected campaign replaces the previous one.
        ledger.clear()
        run.inputs.unlink(missing_ok=True)
    run.remove_leftovers()
    run.pause.unlink(missing_ok=True)
    potential_sha256 = prepare(run.path, config, campaign_folder)
    settle_inputs(run.path, inputs_of(run.path, config, potential_sha256, campaign_folder))
    if isinstance(config, CampaignConfig):
        write_model(run, config, campaign_folder)
    write_config(run, config)


def _expected_s(
    config: AnyCampaign, site: SiteConfig, run: RunDirectory, plan: Plan
) -> dict[Stage, float]:
    """Expected wall time of each stage on this site, s; empty if it is unknown."""
    if isinstance(config, MaterialConfig):
        return expected_s_of(material_estimate(config, plan), site)
    record = BulkRecord.read(run.bulk)
    if record is None:
        return {}
    layout = lay_out(config, record.bulk.a0, config.name, record.bulk.reach, c0=record.bulk.c0)
    num_voxels = num_computed_of(layout.grid, layout.num_known, config)
    return expected_s(config, site, plan, layout.num_atoms, num_voxels)


def look_at_the_past(run_dir: Path, ledger: Ledger, state: State, display: Progress) -> None:
    """Report a changed software version, and discard damaged products to be made again."""
    before, now = state.account.sessions[-1].package, software()
    if before not in ("", now):
        display.note(f"{now} goes on with what {before} began")
    num_chunks = state.plan.num_sample_chunks
    for task, done in list(state.finished.items()):
        reason = damage(run_dir, task, num_chunks, done.num_bytes)
        if reason:
            display.note(f"{task.name} is run again: {reason}")
            discard(run_dir, task, num_chunks)
            now_s = round(time.time(), 3)
            ledger.append(Lost(elapsed_s=state.elapsed_s, time=now_s, task=task, reason=reason))


def check_mode(run_dir: Path, before: Plan, plan: Plan) -> None:
    """Refuse to resume in the other mode, because the modes divide stages into tasks differently.

    Raises:
        RunDirectoryError: if the site has the other mode.
    """
    if before.mode != plan.mode:
        cure = "choose a site of the old mode or another --run-dir"
        raise RunDirectoryError(
            f"{run_dir} cannot be resumed on a site with mode: {plan.mode}, because it was started"
            f" in {before.mode} mode; {cure}"
        )
