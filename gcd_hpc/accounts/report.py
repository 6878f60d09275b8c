"""How well a campaign used its machines, from its ledger alone: also while it runs, and of a
simulated one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from gcd_hpc.campaign.ledger import Event
from gcd_hpc.stages.table import POOLS, SEARCH, STAGES, WHOLE, Pool, pool_of
from gcd_hpc.stages.tasks import Plan, Task

HOUR_S = 3600.0
LONG_S = 1.0
Interval = tuple[float, float]


@dataclass(frozen=True)
class Occupancy:
    """Share of a pool's worker time that was spent on tasks."""

    num_workers: int
    whole: float
    """From the pool's first task to its last."""
    best_hour: float
    """In the busiest hour, or in the whole where that is shorter."""
    num_tasks: int
    busy_s: float
    """Worker-seconds."""


@dataclass(frozen=True)
class Report:
    """Figures of a whole campaign; durations in seconds."""

    elapsed_s: float
    pools: Mapping[Pool, Occupancy]
    overhead_s: Sequence[float]
    """Time of a relaxation worker between two tasks of the same stage."""
    decision_s: Sequence[float]
    """Between the end of a task and the driver's answer to it."""
    first_sample_s: Sequence[float]
    """Between the promotion of a model and its first finished sample."""
    resume_s: Sequence[float]
    """Between the start of a driver and its first decision, for every session but the first."""
    wasted_s: float
    """Worker-seconds of attempts that came to nothing, and of samples that were dropped."""
    num_dropped: int
    num_failed: int
    num_quarantined: int
    num_tried: int
    queue: Sequence[int] = field(default_factory=tuple)
    """Relaxation tasks that waited, after each event of the asynchronous mode."""
    lag: Mapping[int, int] = field(default_factory=dict)
    """Number of relaxation tasks by how many versions newer the model of the moment was."""
    core_s: Mapping[str, float] = field(default_factory=dict)
    """Core-seconds of ``search`` and ``model`` (selection, training, sampling and relaxation of
    what the models made).
    """


def report_of(events: Iterable[Event]) -> Report:
    """Account for a campaign.

    Raises:
        ValueError: if it was never opened.
    """
    account = _Account()
    for event in events:
        account.take(event)
    if account.plan is None:
        raise ValueError("a campaign that was never opened")
    return account.report()


class _Account:
    """What has to be remembered from event to event."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.intervals: dict[Pool, list[Interval]] = defaultdict(list)
        self.by_worker: dict[tuple[str, str], list[Interval]] = defaultdict(list)
        """Tasks of a relaxation worker that follow each other without waiting for another stage."""
        self.decision_s: list[float] = []
        self.first_sample_s: list[float] = []
        self.resume_s: list[float] = []
        self.wasted_s, self.elapsed_s = 0.0, 0.0
        self.num_dropped = self.num_failed = self.num_quarantined = self.num_tried = (
            self.waiting
        ) = self.version = 0
        self.queue: list[int] = []
        self.lag: dict[int, int] = defaultdict(int)
        self.core_s = {"search": 0.0, "model": 0.0}
        self.submitted: dict[Task, float] = {}
        self.promoted: tuple[int, float] | None = None
        self.sample_s: dict[tuple[int, int], float] = {}
        self.is_starting = False
        self.seen: set[Task] = set()

    def take(self, event: Event) -> None:
        self.elapsed_s = max(self.elapsed_s, event.elapsed_s)
        match event.kind:
            case "opened":
                self._open(event)
            case "submitted":
                self._submit(event)
            case "finished":
                self._finish(Task.parse(event.data["task"]), event)
            case "failed":
                self.num_failed += 1
                self.wasted_s += event.elapsed_s - self.submitted.pop(
                    Task.parse(event.data["task"]), event.elapsed_s
                )
            case "quarantined":
                self.num_quarantined += 1
            case "dropped":
                self._drop(list(map(Task.parse, event.data["tasks"])))
        if self.version and self.plan is not None and self.plan.mode == "asynchronous":
            self.queue.append(self.waiting)

    def _open(self, event: Event) -> None:
        if self.plan is not None:
            self.is_starting = True
            # Work of the session before that nobody saw the end of, as far as the ledger can tell.
            self.wasted_s += sum(
                max(0.0, self.elapsed_s - since) for since in self.submitted.values() if since > 0
            )
        self.submitted.clear()
        self.plan = Plan(**event.data["plan"])
        self.opened_s = event.elapsed_s - event.data.get("startup_s", 0.0)

    def _submit(self, event: Event) -> None:
        assert self.plan is not None
        if self.is_starting:
            self.resume_s.append(event.elapsed_s - self.opened_s)
            self.is_starting = False
        for name in event.data["tasks"]:
            task = Task.parse(name)
            self.submitted[task] = event.elapsed_s
            if task.stage == "relax" and self.plan.mode == "asynchronous":
                self.waiting = max(0, self.waiting - 1)
                self.lag[self.version - task.version] += 1

    def _finish(self, task: Task, event: Event) -> None:
        assert self.plan is not None
        data = event.data
        self.submitted.pop(task, None)
        if task in self.seen:
            return
        self.seen.add(task)
        begin, end = data["started"], data["started"] + data["seconds"]
        self.intervals[pool_of(task.stage, self.plan.mode)].append((begin, end))
        self.core_s["search" if task.stage == SEARCH else "model"] += (
            data["seconds"] * data["cores"]
        )
        self.num_tried += data.get("num", 0) if STAGES[task.stage].is_relaxation else 0
        if "time" in data:
            self.decision_s.append(max(0.0, data["time"] - end))
        if pool_of(task.stage, self.plan.mode) == "relaxation" and "worker" in data:
            phase = (
                task.stage if self.plan.mode == "asynchronous" else f"{task.stage}-{task.version}"
            )
            self.by_worker[data["worker"], phase].append((begin, end))
        if task.stage == "promote":
            self.version = max(self.version, task.version)
            self.promoted = (task.version, data.get("time", end))
        if task.stage == "sample":
            self.waiting += len(data.get("queue", ()))
            self.sample_s[task.version, task.chunk] = data["seconds"] * data["cores"]
            if self.promoted is not None and self.promoted[0] == task.version:
                # Where one task samples all chunks, its ranks begin with the first ones at once.
                first = end if task.chunk != WHOLE else end - data["work_s"]
                self.first_sample_s.append(max(0.0, first - self.promoted[1]))
                self.promoted = None

    def _drop(self, tasks: list[Task]) -> None:
        assert self.plan is not None
        self.num_dropped += len(tasks)
        self.waiting = max(0, self.waiting - len(tasks))
        for task in tasks:
            chunk_s = self.sample_s.get((task.version, task.chunk // self.plan.num_batches), 0.0)
            self.wasted_s += chunk_s / self.plan.num_batches

    def report(self) -> Report:
        assert self.plan is not None
        workers: dict[Pool, int] = {
            "training": 1,
            "sampling": self.plan.sampling_workers if self.plan.mode == "asynchronous" else 1,
            "relaxation": self.plan.relaxation_workers,
        }
        pools = {
            pool: occupancy(self.intervals[pool], workers[pool])
            for pool in POOLS
            if self.intervals[pool]
        }
        return Report(
            self.elapsed_s,
            pools,
            [gap for intervals in self.by_worker.values() for gap in gaps(intervals)],
            self.decision_s,
            self.first_sample_s,
            self.resume_s,
            self.wasted_s,
            self.num_dropped,
            self.num_failed,
            self.num_quarantined,
            self.num_tried,
            self.queue,
            dict(sorted(self.lag.items())),
            self.core_s,
        )


def occupancy(intervals: Sequence[Interval], num_workers: int) -> Occupancy:
    """How busy a pool was between its first and its last task."""
    first, last = min(begin for begin, _ in intervals), max(end for _, end in intervals)
    busy = sum(end - begin for begin, end in intervals)
    whole = busy / (num_workers * (last - first)) if last > first else 1.0
    return Occupancy(
        num_workers, whole, max(whole, _best_hour(intervals, num_workers)), len(intervals), busy
    )


def _best_hour(intervals: Sequence[Interval], num_workers: int) -> float:
    """Largest share of an hour that begins with a task."""
    first, last = min(begin for begin, _ in intervals), max(end for _, end in intervals)
    if last - first <= HOUR_S:
        return 0.0
    # Busy time until a moment grows with the number of tasks begun and falls with the number ended.
    moments = sorted([(begin, 1) for begin, _ in intervals] + [(end, -1) for _, end in intervals])
    times, totals, total, active = [moments[0][0]], [0.0], 0.0, 0
    for moment, change in moments:
        total += active * (moment - times[-1])
        active += change
        times.append(moment)
        totals.append(total)
    return _largest_rise(times, totals) / (num_workers * HOUR_S)


def _largest_rise(times: Sequence[float], totals: Sequence[float]) -> float:
    """Largest growth of a piecewise linear function over an hour from one of its corners."""
    best, right = 0.0, 0
    for left, begin in enumerate(times):
        if begin == times[-1]:
            break
        end = min(begin + HOUR_S, times[-1])
        while times[right + 1] < end:
            right += 1
        width = times[right + 1] - times[right]
        share = (end - times[right]) / width if width else 0.0
        best = max(best, totals[right] + share * (totals[right + 1] - totals[right]) - totals[left])
    return best


def gaps(intervals: Sequence[Interval]) -> list[float]:
    """Idle times of one worker between two tasks that follow each other without waiting for
    anything else.
    """
    ordered = sorted(intervals)
    between = [max(0.0, begin - end) for (_, end), (begin, _) in pairwise(ordered)]
    # A worker that had nothing to do for so long waited for candidates, not for Parsl or the
    # driver.
    return [gap for gap in between if gap < LONG_S]


def percentile(values: Sequence[float], share: float) -> float:
    """Value below which a share of the values lies; NaN for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def middle(values: Sequence[float]) -> float:
    return median(values) if values else float("nan")
