"""Scheduling policy: a pure function from state and event to actions, without clock or files.

Barrier mode, where pools share their cores, runs one stage at a time: search; then select, train,
promote, sample and relax in each round. Asynchronous mode, where they do not, does so up
to the first model; then ``flow`` lets sampling, relaxation and retraining overlap.
"""

from gcd_hpc.campaign.actions import Action, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import Dropped, Event, Failed, Finished, Opened, Quarantined
from gcd_hpc.campaign.flow import flow
from gcd_hpc.campaign.limits import limit_of, out_of_time, too_many_quarantined
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.table import STAGES, WHOLE, phase_order

MAX_RETRIES = 3
"""Retries in a row, without progress, of a task whose worker or process was lost."""


def step(state: State, event: Event | None) -> list[Action]:
    """Actions that follow from an event.

    Args:
        state: the state after the event was applied.
        event: None if only time has passed.
    """
    if isinstance(event, Failed):
        return _again(state, event)
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
        if state.num_done[task.phase] == state.plan.num_needed(task.stage):
            return _next(state)
    return [Stop("wall time")] if out_of_time(state) else []


def _resumed(state: State) -> list[Action]:
    """Resubmit interrupted tasks, except those of phases after the first one with lost products."""
    first = min(map(phase_order, (task.phase for task in state.lost)), default=None)
    tasks = (t for t in state.interrupted if first is None or phase_order(t.phase) <= first)
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
            return [
                Submit(task)
                for task in state.plan.tasks(stage, round)
                if task not in state.finished and task not in state.submitted
            ]
        if STAGES[stage].is_relaxation and (reason := limit_of(state, round)):
            return [Stop(reason)]
    if state.plan.until is not None:
        return [Stop(f"--until {state.plan.until}")]
    return [Stop("rounds")]


def _again(state: State, event: Failed) -> list[Action]:
    task, reason = event.task, event.reason
    if event.failure == "infrastructure" and state.attempts[task] <= MAX_RETRIES:
        return [Stop("wall time")] if out_of_time(state) else [Submit(task)]
    if event.failure == "mistake" or task.chunk == WHOLE:
        return [Stop(f"{task.name} failed: {reason}", failed=True)]
    return [Quarantine(task, reason)]
