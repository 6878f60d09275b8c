"""Scheduling policy: a pure function from state and event to actions, without clock or files.

Barrier mode, where pools share their cores, runs one stage at a time: search and explore; then
select, train, promote, sample, relax and explore in each round. Asynchronous mode, where they do
not, does so up to the first model; then ``flow`` lets sampling, relaxation, exploration and
retraining overlap.
"""

from gcd_hpc.campaign.actions import Action, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import Dropped, Event, Failed, Finished, Opened, Quarantined
from gcd_hpc.campaign.flow import flow
from gcd_hpc.campaign.limits import (
    limit_of,
    out_of_time,
    target_reached,
    too_many_quarantined,
)
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.table import EXPLORE, STAGES, WHOLE, Stage, Task

MAX_RETRIES = 3
"""Retries in a row, without progress, of a task whose worker or process was lost."""


def step(state: State, event: Event | None) -> list[Action]:
    """Actions that follow from an event.

    Args:
        state: the state after the event was applied.
        event: None if only time has passed.
    """
    if isinstance(event, Failed):
        return again(state, event)
    if event is None:
        return [Stop("wall time")] if out_of_time(state) else []
    if not isinstance(event, Opened | Finished | Quarantined | Dropped):
        return []
    if reason := too_many_quarantined(state):
        return [Stop(reason, failed=True, is_quarantine=True)]
    if state.is_flowing:
        return flow(state, event)
    if isinstance(event, Opened):
        return _once([*_resumed(state), *_next(state)])
    # When a phase has enough finished tasks, the next one begins.
    if isinstance(event, Finished | Quarantined):
        task = event.task
        if state.plan.is_turn(task.stage, state.num_done[task.phase]):
            return _next(state)
    return [Stop("wall time")] if out_of_time(state) else []


def _resumed(state: State) -> list[Action]:
    """Resubmit interrupted tasks, except those that need a lost product."""
    order = state.plan.order
    first = min(map(order, state.lost), default=None)
    tasks = (task for task in state.interrupted if first is None or order(task) <= first)
    return [Submit(task) for task in tasks]


def _once(actions: list[Action]) -> list[Action]:
    """Remove repeated actions; a stop replaces all others."""
    stops: list[Action] = [action for action in actions if isinstance(action, Stop)]
    return stops or list(dict.fromkeys(actions))


def _next(state: State) -> list[Action]:
    """Submit the rest of the first unfinished phase, or stop at a limit reached before it."""
    for stage, round in state.plan.phases():
        if not state.is_complete(stage, round):
            if out_of_time(state):
                return [Stop("wall time")]
            if stage == EXPLORE and target_reached(state, round):
                return [Stop(state.plan.merit.target)]
            return [Submit(task) for task in _ready(state, stage, round)]
        if STAGES[stage].is_counted and (reason := limit_of(state, round)):
            return [Stop(reason)]
    if state.plan.until is not None:
        return [Stop(f"--until {state.plan.until}")]
    return [Stop("rounds")]


def _ready(state: State, stage: Stage, round: int) -> list[Task]:
    """Tasks of an unfinished phase that can begin; in exploration those of its next generation."""
    ended = state.finished.keys() | state.quarantined.keys()
    left = [task for task in state.plan.tasks(stage, round) if task not in ended]
    generation = min(map(state.plan.generation, left), default=0)
    return [
        task
        for task in left
        if state.plan.generation(task) == generation and task not in state.submitted
    ]


def again(state: State, event: Failed) -> list[Action]:
    """Try a failed task again, set it aside, or stop."""
    task, reason = event.task, event.reason
    if event.failure == "infrastructure" and state.attempts[task] <= MAX_RETRIES:
        return [Stop("wall time")] if out_of_time(state) else [Submit(task)]
    if event.failure == "mistake" or task.chunk == WHOLE:
        return [Stop(f"{task.name} failed: {reason}", failed=True)]
    return [Quarantine(task, reason)]
