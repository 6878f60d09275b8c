"""Cost of a campaign, from its ledger alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gcd_hpc.campaign.state import Done, State
from gcd_hpc.stages.table import STAGES, Stage


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage over all rounds."""

    num_tasks: int
    wall_s: float
    """Time during which at least one of its tasks was at work."""
    core_s: float
    num_items: int
    """Candidates, structures or training steps, as far as the stage counts them."""


@dataclass(frozen=True)
class Cost:
    """Cost of a campaign, by stage."""

    stages: Mapping[Stage, StageCost]
    elapsed_s: float
    overhead_s: float
    """Wall time during which no stage was at work: driver, Parsl, start of workers and of launched
    processes.
    """

    @property
    def core_s(self) -> float:
        """Core-seconds of all stages."""
        return sum(cost.core_s for cost in self.stages.values())

    @property
    def overhead_share(self) -> float:
        """Overhead as a share of the wall time."""
        return self.overhead_s / self.elapsed_s if self.elapsed_s else 0.0


def cost_of(state: State) -> Cost:
    """Account for the wall time of all sessions."""
    stages: dict[Stage, StageCost] = {}
    for stage in STAGES:
        tasks = [done for task, done in state.finished.items() if task.stage == stage]
        core_s = sum(done.core_s for done in tasks)
        stages[stage] = StageCost(
            len(tasks), covered_s(map(at_work, tasks)), core_s, sum(done.num for done in tasks)
        )
    covered = covered_s(map(at_work, state.finished.values()))
    # The time of tasks that a killed driver did not see finish was counted by nobody: their cover
    # may exceed the elapsed time.
    return Cost(stages, state.elapsed_s, max(0.0, state.elapsed_s - covered))


def at_work(done: Done) -> tuple[float, float]:
    """Begin and end of a task's own work, seconds since the epoch; importing modules and
    starting processes comes before.
    """
    return done.ended - min(done.work_s, done.seconds), done.ended


def covered_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reach = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return total
