"""Use of the machines by a running, finished or simulated campaign, computed from its ledger."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from gcd_hpc.campaign.state import State
from gcd_hpc.config.site import POOLS, Pool
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import phase_name, pool_of

HOUR_S = 3600.0
LONG_S = 1.0
Interval = tuple[float, float]


@dataclass(frozen=True)
class Occupancy:
    """Share of a pool's worker time that was spent on tasks."""

    num_workers: int
    whole: float
    """Share between the pool's first task and its last."""
    best_hour: float
    """Share in the busiest hour, or in the whole time if that is shorter."""
    num_tasks: int
    busy_s: float
    """Worker-seconds spent on tasks."""


@dataclass(frozen=True)
class Report:
    """Performance figures of a whole campaign; durations in seconds."""

    state: State
    """State that the ledger gives, with waste, resumptions and queue in its account."""
    pools: Mapping[Pool, Occupancy]
    overhead_s: Sequence[float]
    """Idle times of relaxation workers between two tasks of the same stage."""
    decision_s: Sequence[float]
    """Delays between the end of a task and the driver's reaction."""


def report_of(state: State) -> Report:
    """Report of a campaign from the state that its ledger gives."""
    by_worker: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for task, done in state.finished.items():
        if done.is_shared:
            continue
        if pool_of(task.stage, state.plan.mode) == "relaxation" and done.worker:
            # Only within a phase do a worker's tasks follow each other without waiting.
            is_mixed = state.plan.mode == "asynchronous"
            phase = task.stage if is_mixed else phase_name(*task.phase)
            by_worker[done.worker, phase].append((done.started, done.ended))
    return Report(
        state,
        pools_of([state]),
        [gap for worker in by_worker.values() for gap in gaps(worker)],
        [max(0.0, done.time - done.ended) for done in state.finished.values() if done.time],
    )


def pools_of(states: Sequence[State]) -> dict[Pool, Occupancy]:
    """Occupancy of the pools that the campaigns of one set, or one campaign alone, used."""
    intervals: dict[Pool, list[Interval]] = defaultdict(list)
    for state in states:
        for task, done in state.finished.items():
            if not done.is_shared:
                intervals[pool_of(task.stage, state.plan.mode)].append((done.started, done.ended))
    return {
        pool: occupancy(intervals[pool], max(_num_workers(state.plan, pool) for state in states))
        for pool in POOLS
        if intervals[pool]
    }


def _num_workers(plan: Plan, pool: Pool) -> int:
    """Number of tasks that a pool runs at the same time."""
    if pool == "relaxation":
        return plan.relaxation_workers
    return plan.sampling_workers if (pool, plan.mode) == ("sampling", "asynchronous") else 1


def occupancy(intervals: Sequence[Interval], num_workers: int) -> Occupancy:
    """Occupancy of a pool between its first and its last task."""
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
    # Cumulative busy time; its slope is the number of active tasks, which changes at each moment.
    moments = sorted([(begin, 1) for begin, _ in intervals] + [(end, -1) for _, end in intervals])
    times, totals = [moments[0][0]], [0.0]
    total, active = 0.0, 0
    for moment, change in moments:
        total += active * (moment - times[-1])
        active += change
        times.append(moment)
        totals.append(total)
    return _largest_rise(times, totals) / (num_workers * HOUR_S)


def _largest_rise(times: Sequence[float], totals: Sequence[float]) -> float:
    """Largest growth of a piecewise linear function within an hour that starts at a corner."""
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
    """Idle times of one worker between consecutive tasks, s, shorter than LONG_S."""
    ordered = sorted(intervals)
    between = [max(0.0, begin - end) for (_, end), (begin, _) in pairwise(ordered)]
    # Longer gaps are waits for candidates and no overhead of Parsl or the driver.
    return [gap for gap in between if gap < LONG_S]


def percentile(values: Sequence[float], share: float) -> float:
    """Value below which a share of the values lies; NaN if there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def middle(values: Sequence[float]) -> float:
    """Median; NaN if there are no values."""
    return median(values) if values else float("nan")
