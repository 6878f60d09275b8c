"""One run of a session: its policy, its ledger, and the tasks that follow from both."""

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from gcd_hpc.campaign.actions import Action, Drop, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import (
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
from gcd_hpc.campaign.keeper import Job, PoolKeeper
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.progress import saved_share
from gcd_hpc.campaign.signals import Clock, Signals
from gcd_hpc.campaign.state import State
from gcd_hpc.config.loader import AnyCampaign
from gcd_hpc.errors import QuarantineError
from gcd_hpc.stages.record import Record, find_record, product_bytes
from gcd_hpc.stages.table import Stage, Task
from gcd_hpc.workers.backend import PausedError, failure_class

Decide = Callable[[State, Event | None], list[Action]]
"""A policy: actions from the state after an event; None means that only time has passed."""


class Member:
    """Carries out the policy's actions on one run and records their outcome in its ledger."""

    def __init__(
        self,
        config: AnyCampaign,
        run_dir: Path,
        ledger: Ledger,
        opened: Opened,
        keeper: PoolKeeper,
        clock: Clock,
        signals: Signals,
        note: Callable[[str], None],
        name: str = "",
        decide: Decide = step,
        elsewhere: Collection[Stage] = (),
    ) -> None:
        """Open a session in the run's ledger and submit what the policy wants.

        Args:
            opened: first event of the session.
            note: shows the user one line.
            name: name of the run in these lines; empty if it is the only one.
            decide: the policy.
            elsewhere: stages whose products are handed to this run, which holds their tasks until
                then.
        """
        self.config, self.run_dir = config, run_dir
        self.name = name
        self.stop: Stop | None = None
        """Why the policy has ended the run; None while it goes on."""
        self._ledger, self._keeper = ledger, keeper
        self._clock, self._signals = clock, signals
        self._note = note
        self._decide, self._elsewhere = decide, frozenset(elsewhere)
        self._held: list[Task] = []
        self._new: list[Task] = []
        """Tasks that the policy submitted; an earlier session may have finished some of them."""
        self._error: BaseException | None = None
        """Error of the last task that failed."""
        self.state: State = ledger.append(opened)
        self._act(opened)

    @property
    def error(self) -> BaseException | None:
        """Error that ended the run, or None."""
        if self.stop is None or not self.stop.failed:
            return None
        if self._error is None or self.stop.is_quarantine:
            error = QuarantineError(f"{self.run_dir}: {self.stop.reason}")
            error.__cause__ = self._error
            return error
        return self._error

    @property
    def held(self) -> Task | None:
        """Task that waits for a product from elsewhere, or None."""
        return self._held[0] if self._held else None

    def release(self) -> None:
        """Adopt the held task, whose product was handed over."""
        self._new += self._held
        self._held.clear()

    def adopt(self) -> None:
        """Adopt new tasks whose product exists already, and queue or hold the others."""
        while self._new and self.stop is None:
            new, self._new = self._new, []
            for task in new:
                record = find_record(self.run_dir, task, self.state.plan.num_sample_chunks)
                if record is not None:
                    self._finish(task, record)
                elif task.stage in self._elsewhere:
                    self._held.append(task)
                else:
                    self._keeper.add([Job(self.run_dir, task)])

    def retry(self, task: Task) -> None:
        """Queue a task again that ended with its workers."""
        self._new.append(task)

    def take(self, task: Task, future: "Future[Record]") -> None:
        """Process a task that has ended. What ends after the run itself is left on disk."""
        if self.stop is not None:
            return
        error = future.exception()
        if error is None:
            self._finish(task, future.result())
        elif not (isinstance(error, PausedError) and self._signals.number is not None):
            self._fail(task, error)

    def pass_time(self) -> None:
        """Let the policy look at the time."""
        if self.stop is None:
            self.state.advance(self._clock.elapsed_s())
            self._act(None)

    def end(self) -> None:
        """Record that the session has ended the run, or paused it."""
        if self.stop is None:
            self.record(Paused())
        else:
            self.record(Stopped(reason=self.stop.reason, failed=self.stop.failed))

    def record(self, event: Event) -> Event:
        """Append an event with the current time to the ledger, which also updates the state."""
        event = replace(
            event, elapsed_s=round(self._clock.elapsed_s(), 3), time=round(time.time(), 3)
        )
        self._ledger.append(event)
        return event

    def _finish(self, task: Task, record: Record) -> None:
        num_bytes = product_bytes(self.run_dir, task, self.state.plan.num_sample_chunks)
        if task.stage in self._elsewhere:
            # Its cost is counted where it was made.
            record = replace(record, cores=0, cpu_s=0.0)
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
        reason = first_line(error)
        self._note(f"{self._called(task)}: {reason}")
        saved = saved_share(self.run_dir, task, self.state.plan.num_sample_chunks)
        event = Failed(
            task=task,
            reason=reason,
            failure=failure_class(error),
            saved=saved,
            suspended=self._keeper.was_suspended(Job(self.run_dir, task)),
        )
        self._act(self.record(event))

    def _act(self, event: Event | None) -> None:
        """Carry out the policy's actions after an event; None means that only time has passed."""
        self._carry_out(self._decide(self.state, event))

    def _carry_out(self, actions: Iterable[Action]) -> None:
        submitted = []
        for action in actions:
            match action:
                case Submit(task):
                    submitted.append(task)
                case Drop(tasks):
                    self._act(self.record(Dropped(tasks=tasks)))
                case Quarantine(task, reason):
                    self._note(
                        f"{self._called(task)} is set aside; see gcd-hpc failures {self.run_dir}"
                    )
                    self._act(self.record(Quarantined(task=task, reason=reason)))
                case Stop():
                    self.stop = action
        if submitted and self._signals.number is None:
            self._new += submitted
            self.record(Submitted(tasks=tuple(submitted)))

    def _called(self, task: Task) -> str:
        return f"{self.name} {task.name}" if self.name else task.name


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its class."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
