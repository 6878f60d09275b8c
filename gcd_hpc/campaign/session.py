"""Session of a campaign or of a set: policy, workers and ledgers in a loop that a signal pauses."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import gethostname
from typing import Literal, TypeVar

from gcd_hpc.campaign.display import Progress
from gcd_hpc.campaign.events import VERSION, Event, Opened, Stopped
from gcd_hpc.campaign.keeper import PoolKeeper
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.campaign.member import Member, first_line
from gcd_hpc.campaign.progress import Pace, Snapshot, snapshot
from gcd_hpc.campaign.signals import Clock, Signals
from gcd_hpc.campaign.state import State
from gcd_hpc.config.loader import AnyCampaign
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.engines.scratch import remove_abandoned
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import SEARCH, Stage
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.workers.reaper import descendants, end, marked, start_time

SHOW_S = 0.25
"""Least time between two updates of the progress display."""
POLL_S = 0.5
"""Longest wait for a finished task before signals, wall time and progress are checked again."""


def _nothing_more() -> None:
    return None


def _nothing(member: Member) -> None:
    pass


AnyMember = TypeVar("AnyMember", bound=Member)


@dataclass(frozen=True)
class Outcome:
    """Result of a call of ``run_campaign``."""

    status: Literal["complete", "paused"]
    reason: str
    state: State = field(repr=False)
    did_nothing: bool = False
    """True if the campaign was complete before this call."""


def run_session(
    config: AnyCampaign,
    site: SiteConfig,
    run_dir: Path,
    plan: Plan,
    modules: Mapping[Stage, str],
    ledger: Ledger,
    display: Progress,
    called: float,
    expected_s: dict[Stage, float],
) -> Outcome:
    """Run a session of one campaign until its policy stops it or a signal pauses it.

    Args:
        site: resolved by ``fit_site``.
        modules: module name of each stage.
        called: monotonic time at which ``run_campaign`` was called.
        expected_s: expected wall time of each stage; empty if unknown.

    Raises:
        GcdError: if a task failed for good; the ledger records it first.
    """
    clock = Clock(ledger.state.elapsed_s if ledger.state is not None else 0.0, called)
    with opened_session(site, run_dir, plan, modules, display, clock) as session:
        opened = session.opened(plan, expected_s)
        member = session.add(Member, config, run_dir, ledger, opened)
        pace = Pace()
        try:
            session.run(lambda: snapshot(config, member.state, run_dir, clock.elapsed_s(), pace))
            member.end()
            if member.error is not None:
                raise member.error
        except BaseException as error:
            if member.state.stopped is None:
                with suppress(Exception):  # the error itself already names a full disk
                    member.record(Stopped(reason=first_line(error), failed=True))
            raise
    if member.stop is None:
        return Outcome("paused", session.signals.name, member.state)
    return Outcome("complete", member.stop.reason, member.state)


@contextmanager
def opened_session(
    site: SiteConfig,
    run_dir: Path,
    plan: Plan,
    modules: Mapping[Stage, str],
    display: Progress,
    clock: Clock,
    choose: Callable[[Sequence[Path]], Path] | None = None,
) -> "Iterator[Session]":
    """Context of a session, whose processes carry its token and end with it.

    Args:
        site: resolved by ``fit_site``.
        run_dir: run directory of the workers' own files.
        plan: numbers of the tasks of every run of the session.
        choose: the run whose tasks come next; see ``PoolKeeper``.
    """
    token = uuid.uuid4().hex
    # Tag all child processes with the token, so that a later driver can end any that survive.
    with marked(token, site.scheduler == "none"), Signals() as signals:
        keeper = PoolKeeper(site, run_dir, plan, modules, display.note, choose)
        try:
            yield Session(token, keeper, display, clock, signals, site.drain_s)
        finally:
            try:
                keeper.close()
            finally:
                # The token also finds processes of launch lines, which the backend does not know.
                end(descendants([token]))
                remove_abandoned()  # directories of LAMMPS processes that have ended


def software() -> str:
    """Versions of the software that determine the results, for the ledger."""
    try:
        engine = f", lammps {version('lammps')}"
    except PackageNotFoundError:
        engine = ""
    package = package_provenance()
    return f"gcd-hpc {package['package_version']} ({package['git_commit']}){engine}"


class Session:
    """Runs one or several campaigns on the same workers."""

    def __init__(
        self,
        token: str,
        keeper: PoolKeeper,
        display: Progress,
        clock: Clock,
        signals: Signals,
        drain_s: float,
    ) -> None:
        """A session without runs.

        Args:
            drain_s: time limit for running tasks after a signal.
        """
        self.signals = signals
        self.members: dict[Path, Member] = {}
        """Runs of the session by their directories, those that have ended included."""
        self._token, self._keeper = token, keeper
        self._drain_s = drain_s
        self._display, self._clock = display, clock
        self._ended: set[Path] = set()
        self._shown = self._looked = float("-inf")

    def opened(self, plan: Plan, expected_s: dict[Stage, float]) -> Opened:
        """First event of this session in a ledger."""
        return Opened(
            elapsed_s=self._clock.elapsed_s(),
            time=round(time.time(), 3),
            plan=plan,
            token=self._token,
            pid=os.getpid(),
            created=start_time(os.getpid()),
            host=gethostname(),
            startup_s=round(self._clock.session_s(), 3),
            package=software(),
            ledger=VERSION,
            expected_s=expected_s,
        )

    def now(self, event: Event) -> Event:
        """An event with the current time."""
        elapsed_s = round(self._clock.elapsed_s(), 3)
        return replace(event, elapsed_s=elapsed_s, time=round(time.time(), 3))

    def add(
        self,
        make: Callable[..., AnyMember],
        config: AnyCampaign,
        run_dir: Path,
        ledger: Ledger,
        opened: Opened,
        name: str = "",
    ) -> AnyMember:
        """Add a run to the session; its tasks are queued when the session runs.

        Args:
            make: makes it from the arguments of ``Member``.
            name: name of the run in messages; empty if it is the only one.
        """
        shared = (self._keeper, self._clock, self.signals, self._display.note)
        member = make(config, run_dir, ledger, opened, *shared, name)
        self.members[run_dir] = member
        return member

    def run(
        self,
        show: Callable[[], Snapshot],
        open_next: Callable[[], Member | None] = _nothing_more,
        on_end: Callable[[Member], None] = _nothing,
    ) -> None:
        """Run until the policies have stopped all runs or a signal pauses them.

        Args:
            show: the progress now.
            open_next: adds a run that was not yet begun, and returns None if there is none left;
                called while workers are free and no search waits for them.
            on_end: called once with each run that its policy has stopped.
        """
        has_more = True
        # 1. Adopt finished tasks, submit the others, and collect what has ended.
        while self.signals.number is None:
            wants_more = has_more and (self._keeper.has_room(SEARCH) or not self._going())
            if wants_more:
                has_more = open_next() is not None
            for member in self._going():
                member.adopt()
            self._settle(on_end)
            if not has_more and not self._going():
                break
            self._keeper.feed()
            self._show(show)
            self._collect(0.0 if wants_more else POLL_S)
            # 2. Restart lost workers; their unfinished tasks go back into the queue.
            if self._going() and self._keeper.must_restart():
                for job in self._keeper.restart():
                    self.members[job.run_dir].retry(job.task)
                end(descendants([self._token]))
        # 3. After a signal, let running tasks finish within the drain time.
        if self._going():
            self._drain(show)
        self._settle(on_end)
        self._keeper.close()

    def _settle(self, on_end: Callable[[Member], None]) -> None:
        """Remove the tasks of runs that have ended since the last call."""
        for run_dir, member in self.members.items():
            if member.stop is not None and run_dir not in self._ended:
                self._ended.add(run_dir)
                self._keeper.forget(run_dir)
                on_end(member)

    def _going(self) -> list[Member]:
        """Runs that have not ended."""
        return [member for member in self.members.values() if member.stop is None]

    def _drain(self, show: Callable[[], Snapshot]) -> None:
        """Finish running tasks after a signal, within drain_s; training writes a checkpoint."""
        if not self._keeper.is_busy:
            return
        deadline = time.monotonic() + self._drain_s
        self._display.note(
            f"{self.signals.name}: finishing what runs, {self._drain_s:g} s at most; Ctrl-C stops"
            " at once"
        )
        self._keeper.drain()
        while (
            self._keeper.is_busy
            and time.monotonic() < deadline
            and self._going()
            and not self.signals.is_impatient
        ):
            self._show(show)
            self._collect(POLL_S)

    def _collect(self, timeout_s: float) -> None:
        """Process the next task that has ended; return after the timeout if none has."""
        if not self._going() or not self._keeper.is_busy:
            return
        ended = self._keeper.next_ended(timeout_s)
        if ended is not None:
            job, future = ended
            self.members[job.run_dir].take(job.task, future)
        # A run whose tasks all wait hears of the time only here.
        if ended is None or time.monotonic() - self._looked > POLL_S:
            self._looked = time.monotonic()
            for member in self._going():
                member.pass_time()

    def _show(self, show: Callable[[], Snapshot]) -> None:
        # A snapshot reads files, which is too slow after each of a hundred tasks a second.
        if time.monotonic() - self._shown < SHOW_S:
            return
        self._shown = time.monotonic()
        self._display.show(show())
