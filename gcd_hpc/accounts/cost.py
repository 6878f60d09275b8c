"""Cost of a campaign, computed from its ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gcd_hpc.campaign.account import Done
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.table import STAGES, Stage


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage over all rounds."""

    num_tasks: int
    wall_s: float
    """Time during which at least one of its tasks was running, s."""
    core_s: float
    num_items: int
    """Number of candidates, structures or training steps, whichever the stage counts."""


@dataclass(frozen=True)
class Cost:
    """Cost of a campaign in total and by stage."""

    stages: Mapping[Stage, StageCost]
    elapsed_s: float
    overhead_s: float
    """Wall time without a running task: driver, Parsl, start of workers and processes, s."""

    @property
    def core_s(self) -> float:
        """Core-seconds of all stages."""
        return sum(cost.core_s for cost in self.stages.values())

    @property
    def overhead_share(self) -> float:
        """Overhead as a share of the wall time."""
        return self.overhead_s / self.elapsed_s if self.elapsed_s else 0.0


def cost_of(state: State) -> Cost:
    """Cost of all sessions of a campaign."""
    stages: dict[Stage, StageCost] = {}
    for stage in STAGES:
        tasks = [done for task, done in state.finished.items() if task.stage == stage]
        core_s = sum(done.core_s for done in tasks)
        stages[stage] = StageCost(
            len(tasks), covered_s(map(at_work, tasks)), core_s, sum(done.num for done in tasks)
        )
    covered = covered_s(map(at_work, state.finished.values()))
    # Tasks that finished after their driver was killed are not in elapsed_s, so the covered time
    # may exceed it.
    return Cost(stages, state.elapsed_s, max(0.0, state.elapsed_s - covered))


def at_work(done: Done) -> tuple[float, float]:
    """Begin and end of a task's own work, seconds since the epoch, without start-up time."""
    return done.ended - min(done.work_s, done.seconds), done.ended


def covered_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals (begin, end), s."""
    total, reach = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return total
