"""Driver of a set of boundaries: one session, one pool of workers, one run directory a boundary.

Repeating the same call resumes the set. Each member is a whole campaign with its own ledger, on
which the unchanged policy decides; the set only chooses which member's tasks come next.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from gcd_hpc.campaign.directory import (
    check_kind,
    opened_run_directory,
    write_model,
    write_set,
)
from gcd_hpc.campaign.display import Progress
from gcd_hpc.campaign.driver import (
    Prepare,
    Report,
    finished_before,
    fitted_site,
    look_at_the_past,
    make_ready,
    prepare_run,
)
from gcd_hpc.campaign.events import Opened, Paused, Reported, Stopped
from gcd_hpc.campaign.ledger import Ledger, read_state
from gcd_hpc.campaign.member import Member, first_line
from gcd_hpc.campaign.session import Outcome, Session, opened_session
from gcd_hpc.campaign.set_policy import Standing, order
from gcd_hpc.campaign.set_progress import SetProgress
from gcd_hpc.campaign.shared_model import SharedModel
from gcd_hpc.campaign.signals import Clock
from gcd_hpc.campaign.soundness import check_shared_model
from gcd_hpc.campaign.state import State
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import GcdError, RunDirectoryError
from gcd_hpc.files import cannot_write, link_or_copy
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import MODULES, SHARED, Stage
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.backend import is_disk_error
from gcd_hpc.workers.fitting import check_run_dir
from gcd_hpc.workers.reaper import clear_up

MAX_REASONS = 3
"""Members that were left out whose reasons an error repeats."""


@dataclass(frozen=True)
class SetOutcome:
    """Result of a call of ``run_set``."""

    status: Literal["complete", "paused"]
    reason: str
    states: Mapping[str, State] = field(repr=False)
    """State of each member that was begun, by its name."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """What went wrong with each member that was left out."""
    did_nothing: bool = False
    """True if all members were complete before this call."""


def run_set(
    config: SetConfig,
    site: SiteConfig,
    run_dir: Path,
    campaign_folder: Path,
    progress: Progress | None = None,
    report: Report | None = None,
    until: str | None = None,
    prepare: Prepare = prepare_run,
    modules: Mapping[Stage, str] = MODULES,
) -> SetOutcome:
    """Run all boundaries of a set, or continue where an earlier call stopped.

    A member that cannot run is left out, and the others go on.

    Args:
        campaign_folder: directory searched first for the potential file.
        report: writes the summary of a complete member from its directory and final state.
        until: phase to end each member after, e.g. ``search``.
        prepare: checks the inputs of a member, and returns the hash of the potential.
        modules: module name of each stage, imported by the process that runs it.

    Raises:
        GcdError: for problems of the whole set that the user can fix; the same call then resumes.
    """
    check_shared_model(config, config.name)
    called = time.monotonic()
    run = RunDirectory(run_dir.absolute())
    before = _complete_members(config, site, run, until)
    complete = {name: outcome.state for name, outcome in before.items()}
    if len(complete) == len(config.members()):
        reasons = dict.fromkeys(outcome.reason for outcome in before.values())
        return SetOutcome("complete", ", ".join(reasons), complete, did_nothing=True)
    site, idle = fitted_site(config.first, site, until)
    check_run_dir(site, run.path)
    plan = Plan.of(config.first, site, until)
    try:
        with opened_run_directory(run), Ledger(run.path) as ledger, progress or Progress() as shown:
            check_kind(run, is_set=True)
            if idle:
                shown.note(idle)
            states = [*([] if ledger.state is None else [ledger.state]), *_states(config, run)]
            clear_up({token: one for state in states for token, one in state.drivers.items()})
            run.remove_leftovers()
            run.pause.unlink(missing_ok=True)
            if ledger.state is not None:
                look_at_the_past(run.path, ledger, ledger.state, shown)
            clock = Clock(max((state.elapsed_s for state in states), default=0.0), called)
            driver = _SetDriver(config, run, plan, campaign_folder, prepare, report, complete)
            return driver.run(site, modules, ledger, shown, clock)
    except OSError as error:
        if not is_disk_error(error):
            raise
        raise cannot_write(error.filename or run.path, error) from error


def _complete_members(
    config: SetConfig, site: SiteConfig, run: RunDirectory, until: str | None
) -> dict[str, Outcome]:
    """Members that are complete already. What is wrong with another is found when it is opened."""
    found: dict[str, Outcome] = {}
    for name, member in config.members().items():
        with suppress(RunDirectoryError):
            before = finished_before(member, site, run.member(name).path, until)
            if before is not None:
                found[name] = before
    return found


def _states(config: SetConfig, run: RunDirectory) -> Iterator[State]:
    """States of the members that were begun and whose ledgers can be read."""
    for name in config.members():
        with suppress(RunDirectoryError):
            state = read_state(run.member(name).path)
            if state is not None:
                yield state


class _SetDriver:
    """Opens the members of a set one by one, and collects how they ended."""

    def __init__(
        self,
        config: SetConfig,
        run: RunDirectory,
        plan: Plan,
        folder: Path,
        prepare: Prepare,
        report: Report | None,
        complete: Mapping[str, State],
    ) -> None:
        self._config, self._run = config, run
        self._plan, self._folder = plan, folder
        self._prepare, self._report = prepare, report
        self._complete = dict(complete)
        self._members: dict[str, Member] = {}
        self._shared: SharedModel | None = None
        self._ledgers: dict[str, Ledger] = {}
        self._failures: dict[str, str] = {}
        self._pending = [name for name in config.members() if name not in complete]
        self._standings: dict[Path, tuple[int, Standing]] = {}
        self._stack = ExitStack()

    def run(
        self,
        site: SiteConfig,
        modules: Mapping[Stage, str],
        ledger: Ledger,
        display: Progress,
        clock: Clock,
    ) -> SetOutcome:
        """Run a session of all members that are not complete."""
        with (
            self._stack,
            opened_session(
                site, self._run.path, self._plan, modules, display, clock, self._choose
            ) as session,
        ):
            progress = SetProgress(self._config, self._plan, len(self._complete), clock)
            try:
                session.run(
                    lambda: progress.snapshot(self._members, len(self._failures), self._shared),
                    lambda: self._open_next(session, ledger, display, clock),
                    lambda member: self._end(member, display),
                )
            except BaseException as error:
                self._close(ledger, session, Stopped(reason=first_line(error), failed=True))
                raise
            if self._failures and not (self._members or self._complete):
                raise GcdError(failures_line(self._run.path, self._config, self._failures))
            outcome = self._outcome(session)
            stopped = Stopped(reason=outcome.reason, failed=bool(self._failures))
            self._close(ledger, session, Paused() if outcome.status == "paused" else stopped)
            if outcome.status == "complete":
                self._write_reports()
        return outcome

    def _open_next(
        self, session: Session, ledger: Ledger, display: Progress, clock: Clock
    ) -> Member | None:
        """Open the next member that can run; None if there is none left, or no time."""
        limit_s = self._plan.wall_time_s
        while self._pending and (limit_s is None or clock.elapsed_s() < limit_s):
            name = self._pending.pop(0)
            try:
                return self._open(name, session, ledger, display)
            except GcdError as error:
                self._fail(name, error, display)
        if self._shared is not None:
            self._shared.has_all = True
        return None

    def _open(self, name: str, session: Session, set_ledger: Ledger, display: Progress) -> Member:
        config, run = self._config.members()[name], self._run.member(name)
        with ExitStack() as stack:
            stack.enter_context(opened_run_directory(run))
            ledger = stack.enter_context(Ledger(run.path))
            self._share(run)
            make_ready(run, config, ledger, self._plan, self._folder, self._prepare)
            if ledger.state is not None:
                look_at_the_past(run.path, ledger, ledger.state, display)
            opened = session.opened(self._plan, {})
            if self._shared is None:
                self._shared = self._open_shared(session, set_ledger, opened)
            held = partial(Member, elsewhere=SHARED)
            member = session.add(held, config, run.path, ledger, opened, name)
            self._stack.push(stack.pop_all().__exit__)
        self._members[name], self._ledgers[name] = member, ledger
        return member

    def _open_shared(self, session: Session, ledger: Ledger, opened: Opened) -> SharedModel:
        """Begin the set's own part: its file, the model that it starts from, and its ledger."""
        write_set(self._run, self._config)
        if self._plan.rounds:
            write_model(self._run, self._config.first, self._folder)
        make = partial(SharedModel, self._members)
        return session.add(make, self._config.first, self._run.path, ledger, opened)

    def _share(self, run: RunDirectory) -> None:
        """Give a new member the measured crystal and the potential of one that was prepared."""
        first = next((one.run_dir for one in self._members.values()), None)
        if first is None:
            first = next((self._run.member(name).path for name in self._complete), None)
        if first is None or run.bulk.exists():
            return
        other = RunDirectory(first)
        for file in (other.bulk, *other.potential.glob("*")):
            target = run.path / file.relative_to(other.path)
            if file.is_file() and not target.exists():
                link_or_copy(file, target)

    def _choose(self, waiting: Sequence[Path]) -> Path:
        """The run whose task comes next."""
        if len(waiting) == 1:
            return waiting[0]
        standings: dict[str, Standing] = {}
        for name, member in self._members.items():
            state = member.state
            num, standing = self._standings.get(member.run_dir, (-1, Standing(False)))
            if num != len(state.finished):
                standing = Standing.of(state)
                self._standings[member.run_dir] = len(state.finished), standing
            if member.stop is None:
                standings[name] = standing
        folders = {name: self._members[name].run_dir for name in order(standings)}
        return next(folder for folder in folders.values() if folder in set(waiting))

    def _end(self, member: Member, display: Progress) -> None:
        """Record that a member has ended; the others go on, unless it is the shared model."""
        if member is self._shared:
            if member.error is not None:
                raise member.error
            return
        member.end()
        if member.error is not None:
            self._fail(member.name, member.error, display)

    def _fail(self, name: str, error: BaseException, display: Progress) -> None:
        self._failures[name] = str(error)
        display.note(f"{name} is left out: {error}")

    def _close(self, ledger: Ledger, session: Session, event: Paused | Stopped) -> None:
        """Record the end of the session in the ledgers of the set and of members that go on."""
        with suppress(Exception):  # an error that ended the session already names a full disk
            for member in self._members.values():
                if member.stop is None:
                    member.end()
            if ledger.state is not None:
                ledger.append(session.now(event))

    def _outcome(self, session: Session) -> SetOutcome:
        states = self._complete | {name: one.state for name, one in self._members.items()}
        stops = [one.stop for one in self._members.values()]
        if session.signals.number is not None and (self._pending or None in stops):
            return SetOutcome("paused", session.signals.name, states, self._failures)
        reasons = [one.reason for one in stops if one is not None and not one.failed]
        # Members are only left over when the time is up.
        reasons += ["wall time"] if self._pending else []
        return SetOutcome("complete", ", ".join(dict.fromkeys(reasons)), states, self._failures)

    def _write_reports(self) -> None:
        """Write the results of the members that this session completed."""
        for name, member in self._members.items():
            if name in self._failures:
                continue
            if self._report is not None:
                self._report(member.run_dir, member.state)
            member.record(Reported())


def failures_line(run_dir: Path, config: SetConfig, failures: Mapping[str, str]) -> str:
    """Sentence about the members that were left out."""
    reasons = [f"{name}: {reason}" for name, reason in failures.items()]
    more = len(reasons) - MAX_REASONS
    shown = reasons[:MAX_REASONS] + ([f"and {more} more"] if more > 0 else [])
    return (
        f"{run_dir}: {len(failures)} of {len(config.members())} boundaries could not be finished"
        f" ({'; '.join(shown)}); mend this, and the same command goes on with them"
    )
