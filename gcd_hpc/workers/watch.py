"""Whether Parsl still works.

It does not notice the end of its own interchange, nor a worker that dies with the lock of its task
queue.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.executor import PromptExecutor

LOOK_S = 1.0


@dataclass(frozen=True)
class Patience:
    """How long is too long, in seconds."""

    first_begin_s: float = 60.0
    """Until the first task of a pool begins: workers start and import."""
    begin_s: float = 20.0
    """Later, until a task that has a free worker begins."""
    silent_s: float = 30.0
    """Without a sign of life of a task at work."""


LOCAL = Patience()
CLUSTER = Patience(first_begin_s=300.0, begin_s=90.0, silent_s=180.0)
"""Parallel file systems are slow to import from, and show to one node what another has done when it
pleases them.
"""


@dataclass
class _Handed:
    """A task that Parsl has."""

    task: str
    task_id: str
    label: str
    since: float
    sign: int | None = None
    """What its files said at the last look: time of the mark, 0 for a finished record, None before
    it begins.
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
        self._executors, self._num_workers, self._run_dir, self._patience = (
            executors,
            num_workers,
            run_dir,
            patience,
        )
        self._handed: dict[str, _Handed] = {}
        self._awake: set[str] = set()
        """Pools in which a task began."""
        self._loaded = self._looked = time.monotonic()

    def hand(self, task: str, task_id: str, label: str) -> None:
        """Take note of a task, just before Parsl gets it."""
        # A worker that was killed leaves its heartbeat file behind.
        RunDirectory(self._run_dir).begun(task_id).unlink(missing_ok=True)
        self._handed[task] = _Handed(task, task_id, label, time.monotonic())

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
        return next(
            filter(None, (self._ailment_of(label, tasks, now) for label in self._num_workers)), None
        )

    def dead_interchange(self) -> str | None:
        """Which pool has lost the process between Parsl and its workers."""
        for executor in self._executors:
            if executor.is_cut_off:
                return f"Parsl's interchange of the pool {executor.label} has ended"
        return None

    def _look_at(self, handed: _Handed, now: float) -> None:
        sign = self._sign(handed.task_id)
        if sign != handed.sign:
            handed.sign, handed.since = sign, now
            self._awake.add(handed.label)

    def _sign(self, task_id: str) -> int | None:
        if RunDirectory(self._run_dir).record(task_id).exists():
            return 0
        try:
            return RunDirectory(self._run_dir).begun(task_id).stat().st_mtime_ns
        except OSError:
            return None

    def _ailment_of(self, label: str, tasks: Sequence[_Handed], now: float) -> str | None:
        here = [handed for handed in tasks if handed.label == label]
        begun = [handed for handed in here if handed.sign is not None]
        for handed in begun:
            if now - handed.since > self._patience.silent_s:
                return f"{handed.task} gave no sign of life for {self._patience.silent_s:g} s"
        is_awake = label in self._awake or now - self._loaded > self._patience.first_begin_s
        limit = self._patience.begin_s if is_awake else self._patience.first_begin_s
        if len(begun) < self._num_workers[label] and any(
            now - handed.since > limit for handed in here if handed.sign is None
        ):
            return f"a task has waited {limit:g} s for a free worker of the pool {label}"
        return None
