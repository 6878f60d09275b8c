"""Health check of Parsl.

Parsl does not notice if its interchange ends, or if a worker dies with the lock of its queue.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from gcd_hpc.processor import RunningClock
from gcd_hpc.stages.tasks import TaskRequest
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.parsl_pools import PromptExecutor

LOOK_S = 1.0


@dataclass(frozen=True)
class Patience:
    """Time limits of the health check, in seconds."""

    register_s: float = 600.0
    """Limit until the first workers of a pool have started and registered."""
    first_begin_s: float = 120.0
    """Limit from then until the first task of the pool begins."""
    begin_s: float = 30.0
    """Limit until a later task with a free worker begins."""
    silent_s: float = 30.0
    """Limit without a heartbeat of a running task."""

    def times(self, factor: float) -> "Patience":
        """The same limits multiplied by a factor."""
        return Patience(*(factor * seconds for seconds in astuple(self)))


PATIENCE = Patience()
CLUSTER_FACTOR = 4.0
"""Factor for clusters, whose file systems are slow to import from and delay heartbeat files."""
REGISTER_LOOK_S = 5.0
"""Interval between two queries to an interchange for its workers."""


@dataclass
class _Handed:
    """A task submitted to Parsl."""

    request: TaskRequest
    label: str
    since: float
    sign: int | None = None
    """Time of its heartbeat file at the last check; None before it begins, 0 after its removal."""


class Watch:
    """Health check of the tasks submitted to Parsl and of their pools."""

    def __init__(
        self,
        executors: Sequence[PromptExecutor],
        num_workers: Mapping[str, int],
        patience: Patience,
    ) -> None:
        """Follow the executors; ``num_workers`` counts permanent workers by executor label."""
        self._executors = {executor.label: executor for executor in executors}
        self._num_workers = num_workers
        self._patience = patience
        self._handed: dict[TaskRequest, _Handed] = {}
        self._awake: set[str] = set()
        """Pools in which a task has begun."""
        self._registered: dict[str, float] = {}
        """Time at which the first workers of a pool were seen."""
        self._clock = RunningClock()
        self._loaded = self._looked = self._asked = self._clock.read()

    def hand(self, request: TaskRequest, label: str) -> None:
        """Record a task just before it is submitted to Parsl."""
        # A killed worker leaves its heartbeat file behind.
        _heartbeat(request).unlink(missing_ok=True)
        self._handed[request] = _Handed(request, label, self._clock.read())

    def check_health(self, running: Iterable[TaskRequest]) -> str | None:
        """Reason to restart the pools, or None."""
        now = self._clock.read()
        if now - self._looked < LOOK_S:
            return None
        self._looked = now
        if reason := self.dead_interchange():
            return reason
        handed = (self._handed[request] for request in running)
        tasks = [one for one in handed if one.label in self._num_workers]
        for one in tasks:
            self._look_at(one, now)
        self._look_for_workers(now)
        reasons = (self._reason_of(label, tasks, now) for label in self._num_workers)
        return next(filter(None, reasons), None)

    def dead_interchange(self) -> str | None:
        """Name of a pool whose interchange has ended or does not answer, or None."""
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
            return _heartbeat(handed.request).stat().st_mtime_ns
        except OSError:
            return None if handed.sign is None else 0

    def _look_for_workers(self, now: float) -> None:
        missing = self._num_workers.keys() - self._registered.keys()
        if not missing or now - self._asked < REGISTER_LOOK_S:
            return
        self._asked = now
        for label in missing:
            with suppress(Exception):  # a dead interchange is detected separately
                if self._executors[label].connected_managers():
                    self._registered[label] = now

    def _reason_of(self, label: str, tasks: Sequence[_Handed], now: float) -> str | None:
        """Reason to restart the pools because of the tasks of one pool, or None."""
        patience, here = self._patience, [handed for handed in tasks if handed.label == label]
        begun = [handed for handed in here if handed.sign is not None]
        for handed in begun:
            if (silent_s := now - handed.since) > patience.silent_s:
                return f"{handed.request.task} gave no sign of life for {silent_s:.0f} s"
        if len(begun) >= self._num_workers[label]:
            return None
        for handed in here:
            if handed.sign is None and (reason := self._reason_of_waiting(handed, now)):
                return reason
        return None

    def _reason_of_waiting(self, handed: _Handed, now: float) -> str | None:
        """Reason to restart the pools because a task waits although a worker is free, or None."""
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


def _heartbeat(request: TaskRequest) -> Path:
    return RunDirectory(request.run_dir).begun(request.task)
