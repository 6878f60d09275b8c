"""Whether Parsl still works.

It does not notice the end of its own interchange, nor a worker that dies with the lock of its task
queue.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.parsl_pools import PromptExecutor

LOOK_S = 1.0


@dataclass(frozen=True)
class Patience:
    """How long is too long, in seconds."""

    register_s: float = 600.0
    """Until the first workers of a pool have registered: they start and import."""
    first_begin_s: float = 120.0
    """Then, until the first task of the pool begins."""
    begin_s: float = 30.0
    """Later, until a task that has a free worker begins."""
    silent_s: float = 30.0
    """Without a sign of life of a task at work."""

    def times(self, factor: float) -> "Patience":
        """The same, so many times as long."""
        return Patience(*(factor * seconds for seconds in astuple(self)))


PATIENCE = Patience()
CLUSTER_FACTOR = 4.0
"""Parallel file systems are slow to import from, and propagate the heartbeat files of one node to
another with delay.
"""
REGISTER_LOOK_S = 5.0
"""Between questions to an interchange for its workers."""


@dataclass
class _Handed:
    """A task that Parsl has."""

    task: str
    label: str
    since: float
    sign: int | None = None
    """Time of its heartbeat file at the last look; 0 once that is gone again, None before it
    begins.
    """


class Watch:
    """Follows the tasks that were handed to Parsl."""

    def __init__(
        self,
        executors: Sequence[PromptExecutor],
        num_workers: Mapping[str, int],
        run_dir: Path,
        patience: Patience,
    ) -> None:
        """``num_workers`` by label of the executors whose workers are there all the time."""
        self._executors = {executor.label: executor for executor in executors}
        self._num_workers = num_workers
        self._run_dir = run_dir
        self._patience = patience
        self._handed: dict[str, _Handed] = {}
        self._awake: set[str] = set()
        """Pools in which a task began."""
        self._registered: dict[str, float] = {}
        """When the first workers of a pool were seen."""
        self._loaded = self._looked = self._asked = time.monotonic()

    def hand(self, task: str, label: str) -> None:
        """Take note of a task, just before Parsl gets it."""
        # A worker that was killed leaves its heartbeat file behind.
        RunDirectory(self._run_dir).begun(task).unlink(missing_ok=True)
        self._handed[task] = _Handed(task, label, time.monotonic())

    def check_health(self, running: Iterable[str]) -> str | None:
        """Reason to start the pools anew, or None."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return None
        self._looked = now
        if reason := self.dead_interchange():
            return reason
        tasks = [
            self._handed[task] for task in running if self._handed[task].label in self._num_workers
        ]
        for handed in tasks:
            self._look_at(handed, now)
        self._look_for_workers(now)
        reasons = (self._reason_of(label, tasks, now) for label in self._num_workers)
        return next(filter(None, reasons), None)

    def dead_interchange(self) -> str | None:
        """Which pool has lost the process between Parsl and its workers."""
        for executor in self._executors.values():
            if executor.is_cut_off:
                return f"Parsl's interchange of the pool {executor.label} has ended"
        return None

    def _look_at(self, handed: _Handed, now: float) -> None:
        sign = self._sign(handed)
        if sign != handed.sign:
            handed.sign, handed.since = sign, now
            self._awake.add(handed.label)

    def _sign(self, handed: _Handed) -> int | None:
        try:
            return RunDirectory(self._run_dir).begun(handed.task).stat().st_mtime_ns
        except OSError:
            return None if handed.sign is None else 0

    def _look_for_workers(self, now: float) -> None:
        missing = self._num_workers.keys() - self._registered.keys()
        if not missing or now - self._asked < REGISTER_LOOK_S:
            return
        self._asked = now
        for label in missing:
            with suppress(Exception):  # a dead interchange is noticed by itself
                if self._executors[label].connected_managers():
                    self._registered[label] = now

    def _reason_of(self, label: str, tasks: Sequence[_Handed], now: float) -> str | None:
        """Reason to start the pools anew because of one of them, or None."""
        patience, here = self._patience, [handed for handed in tasks if handed.label == label]
        begun = [handed for handed in here if handed.sign is not None]
        for handed in begun:
            if (silent_s := now - handed.since) > patience.silent_s:
                return f"{handed.task} gave no sign of life for {silent_s:.0f} s"
        if len(begun) >= self._num_workers[label]:
            return None
        for handed in here:
            if handed.sign is None and (reason := self._reason_of_waiting(handed, now)):
                return reason
        return None

    def _reason_of_waiting(self, handed: _Handed, now: float) -> str | None:
        """The same because of one task that has not begun although a worker is free."""
        label, patience = handed.label, self._patience
        if label in self._awake:
            waited_s, limit_s = now - handed.since, patience.begin_s
        elif label in self._registered:
            waited_s = now - max(handed.since, self._registered[label])
            limit_s = patience.first_begin_s
        elif (waited_s := now - self._loaded) > patience.register_s:
            return f"no worker of the pool {label} has started within {waited_s:.0f} s"
        else:
            return None
        if waited_s <= limit_s:
            return None
        return f"a task has waited {waited_s:.0f} s for a free worker of the pool {label}"
