"""Session of a campaign: policy, workers and ledger in a loop that a signal can pause."""

import os
import signal
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import gethostname
from typing import Any, Literal

from gcd_hpc.campaign.actions import Drop, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import (
    VERSION,
    Dropped,
    Event,
    Failed,
    Finished,
    Opened,
    Paused,
    Quarantined,
    Stopped,
    Submitted,
)
from gcd_hpc.campaign.keeper import PoolKeeper
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.progress import Pace, Progress, saved_share, snapshot
from gcd_hpc.campaign.state import State
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.engines.scratch import remove_abandoned
from gcd_hpc.errors import QuarantineError
from gcd_hpc.stages.record import Record, find_record, product_bytes
from gcd_hpc.stages.table import Stage, Task
from gcd_hpc.stages.tasks import Plan
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.workers.backend import PausedError, failure_class
from gcd_hpc.workers.reaper import descendants, end, marked, start_time

SHOW_S = 0.25
"""Least time between two updates of the progress display."""
POLL_S = 0.5
"""Longest wait for a finished task before signals, wall time and progress are checked again."""


@dataclass(frozen=True)
class Outcome:
    """Result of a call of ``run_campaign``."""

    status: Literal["complete", "paused"]
    reason: str
    state: State
    did_nothing: bool = False
    """True if the campaign was complete before this call."""


@dataclass(frozen=True)
class Clock:
    """Wall time of all sessions of a campaign."""

    before_s: float
    """Wall time of the earlier sessions."""
    called: float
    """Monotonic time at which ``run_campaign`` was called."""

    def session_s(self) -> float:
        """Wall time of this session."""
        return time.monotonic() - self.called

    def elapsed_s(self) -> float:
        """Wall time of all sessions."""
        return self.before_s + self.session_s()


class Signals:
    """Context that records the signals which pause a campaign."""

    def __init__(self) -> None:
        self.number: int | None = None
        """Number of the last signal received, or None."""
        self.is_impatient = False
        """True if Ctrl-C followed another signal."""
        self._before: dict[signal.Signals, Any] = {}

    @property
    def name(self) -> str:
        """Name of the last signal."""
        return signal.Signals(self.number or signal.SIGTERM).name

    def __enter__(self) -> "Signals":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: Any) -> None:
        self.is_impatient |= self.number is not None and number == signal.SIGINT
        self.number = number


def run_session(
    config: CampaignConfig,
    site: SiteConfig,
    run_dir: Path,
    plan: Plan,
    modules: Mapping[Stage, str],
    ledger: Ledger,
    display: Progress,
    called: float,
    expected_s: dict[Stage, float],
) -> Outcome:
    """Run a session until the policy stops the campaign or a signal pauses it.

    Args:
        site: resolved by ``fit_site``.
        modules: module name of each stage.
        called: monotonic time at which ``run_campaign`` was called.
        expected_s: expected wall time of each stage; empty if unknown.

    Raises:
        GcdError: if a task failed for good; the ledger records it first.
    """
    token = uuid.uuid4().hex
    clock = Clock(ledger.state.elapsed_s if ledger.state is not None else 0.0, called)
    # Tag all child processes with the token, so that a later driver can end any that survive.
    with marked(token, site.scheduler == "none"), Signals() as signals:
        opened = Opened(
            elapsed_s=clock.elapsed_s(),
            time=round(time.time(), 3),
            plan=plan,
            token=token,
            pid=os.getpid(),
            created=start_time(os.getpid()),
            host=gethostname(),
            startup_s=round(clock.session_s(), 3),
            package=software(),
            ledger=VERSION,
            expected_s=expected_s,
        )
        state = ledger.append(opened)
        keeper = PoolKeeper(site, run_dir, plan, modules, display.note)
        session = Session(config, run_dir, keeper, ledger, state, display, clock, signals)
        try:
            return session.run(opened, site.drain_s)
        except BaseException as error:
            if state.stopped is None:
                with suppress(Exception):  # the error itself already names a full disk
                    session.record(Stopped(reason=_first_line(error), failed=True))
            raise
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
    """Carries out the policy's actions and records their outcome in the ledger."""

    def __init__(
        self,
        config: CampaignConfig,
        run_dir: Path,
        keeper: PoolKeeper,
        ledger: Ledger,
        state: State,
        display: Progress,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._config, self._run_dir = config, run_dir
        self._keeper, self._signals = keeper, signals
        self._ledger, self._state = ledger, state
        self._display, self._clock = display, clock
        self._pace, self._shown = Pace(), float("-inf")
        self._new: list[Task] = []
        """Tasks that the policy submitted; an earlier session may have finished some of them."""
        self._stop: Stop | None = None
        self._error: BaseException | None = None
        """Error of the last task that failed."""

    def run(self, opened: Opened, drain_s: float) -> Outcome:
        """Run until the policy stops the campaign or a signal pauses it.

        Args:
            drain_s: time limit for running tasks after a signal.

        Raises:
            GcdError: if a task failed for good, or too many candidates were quarantined.
        """
        self._act(opened)
        # 1. Adopt finished tasks, submit the others, and collect what has ended.
        while self._stop is None and self._signals.number is None:
            self._adopt()
            if self._stop is None:
                self._keeper.feed()
            self._show()
            self._collect()
            # 2. Restart lost workers; their unfinished tasks go back into the queue.
            if self._stop is None and self._keeper.must_restart():
                self._new += self._keeper.restart()
                end(descendants([opened.token]))
        # 3. After a signal, let running tasks finish within the drain time.
        if self._stop is None:
            self._drain(drain_s)
        # 4. Record how the session ended, and raise the error of a failed campaign.
        self._keeper.close()
        if self._stop is None:
            self.record(Paused())
            return Outcome("paused", self._signals.name, self._state)
        self.record(Stopped(reason=self._stop.reason, failed=self._stop.failed))
        if self._stop.failed:
            if self._error is None or self._stop.is_quarantine:
                raise QuarantineError(f"{self._run_dir}: {self._stop.reason}") from self._error
            raise self._error
        return Outcome("complete", self._stop.reason, self._state)

    def record(self, event: Event) -> Event:
        """Append an event with the current time to the ledger, which also updates the state."""
        event = replace(
            event, elapsed_s=round(self._clock.elapsed_s(), 3), time=round(time.time(), 3)
        )
        self._ledger.append(event)
        return event

    def _drain(self, drain_s: float) -> None:
        """Finish running tasks after a signal, within drain_s; training writes a checkpoint."""
        if not self._keeper.is_busy:
            return
        deadline = time.monotonic() + drain_s
        self._display.note(
            f"{self._signals.name}: finishing what runs, {drain_s:g} s at most; Ctrl-C stops at"
            " once"
        )
        self._keeper.drain()
        while (
            self._keeper.is_busy
            and time.monotonic() < deadline
            and self._stop is None
            and not self._signals.is_impatient
        ):
            self._show()
            self._collect()

    def _adopt(self) -> None:
        """Adopt new tasks whose product exists already, and queue the others."""
        while self._new and self._stop is None:
            new, self._new = self._new, []
            for task in new:
                record = find_record(self._run_dir, task, self._state.plan.num_sample_chunks)
                if record is not None:
                    self._finish(task, record)
                else:
                    self._keeper.add([task])

    def _collect(self) -> None:
        """Process the next task that has ended; return after POLL_S if none has."""
        if self._stop is not None or not self._keeper.is_busy:
            return
        ended = self._keeper.next_ended(POLL_S)
        if ended is None:
            self._state.advance(self._clock.elapsed_s())
            self._act(None)
            return
        task, future = ended
        error = future.exception()
        if error is None:
            self._finish(task, future.result())
        elif not (isinstance(error, PausedError) and self._signals.number is not None):
            self._fail(task, error)

    def _finish(self, task: Task, record: Record) -> None:
        num_bytes = product_bytes(self._run_dir, task, self._state.plan.num_sample_chunks)
        event = Finished(
            task=task,
            result=record.result,
            started=record.started,
            seconds=record.seconds,
            cores=record.cores,
            cpu_s=record.cpu_s,
            worker=f"{record.host}:{record.pid}",
            num_bytes=num_bytes,
        )
        self._act(self.record(event))

    def _fail(self, task: Task, error: BaseException) -> None:
        self._error = error
        reason = _first_line(error)
        self._display.note(f"{task.name}: {reason}")
        saved = saved_share(self._run_dir, task, self._state.plan.num_sample_chunks)
        event = Failed(
            task=task,
            reason=reason,
            failure=failure_class(error),
            saved=saved,
            suspended=self._keeper.was_suspended(task),
        )
        self._act(self.record(event))

    def _act(self, event: Event | None) -> None:
        """Carry out the policy's actions after an event; None means that only time has passed."""
        submitted = []
        for action in step(self._state, event):
            match action:
                case Submit(task):
                    submitted.append(task)
                case Drop(tasks):
                    self._act(self.record(Dropped(tasks=tasks)))
                case Quarantine(task, reason):
                    self._display.note(
                        f"{task.name} is set aside; see gcd-hpc failures {self._run_dir}"
                    )
                    self._act(self.record(Quarantined(task=task, reason=reason)))
                case Stop():
                    self._stop = action
        if submitted and self._signals.number is None:
            self._new += submitted
            self.record(Submitted(tasks=tuple(submitted)))

    def _show(self) -> None:
        # A snapshot reads files, which is too slow after each of a hundred tasks a second.
        if time.monotonic() - self._shown < SHOW_S:
            return
        self._shown = time.monotonic()
        elapsed_s = self._clock.elapsed_s()
        self._display.show(
            snapshot(self._config, self._state, self._run_dir, elapsed_s, self._pace)
        )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
