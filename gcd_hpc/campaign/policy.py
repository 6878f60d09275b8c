"""What to do next. Pure: no clock, no files, no randomness; the same state and event give the same actions.

The stages share the cores and take turns (barrier mode): search; then select, train, sample and relax for each model version.
"""

from dataclasses import dataclass

from gcd_hpc.campaign.ledger import Event, State
from gcd_hpc.campaign.tasks import Task

MAX_RETRIES = 3
"""New attempts at a task whose worker or process was lost."""
PLATEAU_J_M2 = 1e-4
"""A lower energy than before is lower by more than this: the relaxation is not exact beyond."""


@dataclass(frozen=True)
class Submit:
    """Run a task, or adopt it if it has been run."""

    task: Task


@dataclass(frozen=True)
class Stop:
    """End the campaign."""

    reason: str
    failed: bool = False


Action = Submit | Stop


def step(state: State, event: Event) -> list[Action]:
    """Actions that follow from an event.

    Args:
        state: the state after the event was applied.
    """
    if event.kind == "opened":
        return _next(state)
    if event.kind == "failed":
        return _again(state, event)
    if event.kind == "finished":
        task = Task.parse(event.data["task"])
        if state.is_complete(task.stage, task.version):
            return _next(state)
    if event.kind in ("finished", "tick") and _out_of_time(state):
        return [Stop("wall time")]
    return []


def _next(state: State) -> list[Action]:
    """The unfinished tasks of the first phase that has any, unless a limit was reached before it."""
    assert state.plan is not None
    for stage, version in state.plan.phases():
        if not state.is_complete(stage, version):
            if _out_of_time(state):
                return [Stop("wall time")]
            return [Submit(task) for task in state.plan.tasks(stage, version) if task not in state.finished]
        if stage in ("search", "relax") and (reason := _limit(state, version)):
            return [Stop(reason)]
    return [Stop("rounds")]


def _again(state: State, event: Event) -> list[Action]:
    task = Task.parse(event.data["task"])
    if event.data["retry"] and state.attempts[task] <= MAX_RETRIES:
        return [Stop("wall time")] if _out_of_time(state) else [Submit(task)]
    return [Stop(f"{task.name} failed: {event.data['reason']}", failed=True)]


def _out_of_time(state: State) -> bool:
    assert state.plan is not None
    return state.plan.wall_time_s is not None and state.elapsed_s >= state.plan.wall_time_s


def _limit(state: State, version: int) -> str | None:
    """Why to stop after a round, judged by what was known when it ended."""
    assert state.plan is not None
    target, patience = state.plan.target_energy_j_m2, state.plan.plateau_rounds
    if target is not None and any(energy <= target for known in range(version + 1) for energy in state.best.get(known, {}).values()):
        return "target energy"
    if patience and version >= patience and not any(_improved(state, recent) for recent in range(version - patience + 1, version + 1)):
        return "plateau"
    return None


def _improved(state: State, version: int) -> bool:
    """Whether a model version found a lower energy at any [n] than the search and all versions before it."""
    before: dict[str, float] = {}
    for earlier in range(version):
        for n_fraction, energy in state.best.get(earlier, {}).items():
            before[n_fraction] = min(energy, before.get(n_fraction, energy))
    return any(energy < before.get(n_fraction, float("inf")) - PLATEAU_J_M2 for n_fraction, energy in state.best.get(version, {}).items())
