"""What to do next. Pure: no clock, no files, no randomness; the same state and event give the same
actions.

Where pools share their cores the stages take turns (barrier mode): search; then select, train,
promote, sample and relax for each model version. Where they do not (asynchronous mode) the first
model is made by turns, and then sampling, relaxation and retraining overlap.
"""

from dataclasses import dataclass

from gcd_hpc.campaign.ledger import Event, State
from gcd_hpc.stages.table import STAGES, WHOLE, Stage, phase_order
from gcd_hpc.stages.tasks import PREFETCH_WORKERS, Task

MAX_RETRIES = 3
"""New attempts at a task whose worker or process was lost."""
PLATEAU_J_M2 = 1e-4
"""A lower energy than before is lower by more than this: the relaxation is not exact beyond."""
MIN_TRIED = 100
"""The share of candidates in quarantine is judged as if at least so many had been tried."""
LONGEST_QUEUE = 8
"""Relaxation tasks that may wait for each worker; sampling stops there."""
DUE = 0.5
"""Share of a round's candidates after which the next model is due in any case: workers shall not
have to wait for it.
"""
RETRAINING: tuple[Stage, ...] = ("select", "train", "promote")


@dataclass(frozen=True)
class Submit:
    """Run a task, or adopt it if it has been run."""

    task: Task


@dataclass(frozen=True)
class Drop:
    """Take waiting tasks out of the queue: their model is too old."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Quarantine:
    """Set a task aside and go on without it."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Stop:
    """End the campaign."""

    reason: str
    failed: bool = False
    is_quarantine: bool = False
    """Failed because too much was set aside, not because of one task."""


Action = Submit | Drop | Quarantine | Stop


def step(state: State, event: Event) -> list[Action]:
    """Actions that follow from an event.

    Args:
        state: the state after the event was applied.
    """
    if event.kind == "failed":
        return _again(state, event)
    if event.kind not in ("opened", "finished", "quarantined", "dropped", "tick"):
        return []
    assert state.plan is not None
    if reason := _too_many_quarantined(state):
        return [Stop(reason, failed=True, is_quarantine=True)]
    if state.lost:
        return _repairs(state)
    if state.is_repaired:
        event = Event("opened", event.elapsed_s)
    if state.is_flowing and event.kind != "tick":
        return _flow(state, event)
    if event.kind == "opened":
        return _once([*map(Submit, state.interrupted), *_next(state)])
    if event.kind in ("finished", "quarantined"):
        task = Task.parse(event.data["task"])
        if state.num_done[task.stage, task.version] == state.plan.num_needed(task.stage):
            return _next(state)
    return [Stop("wall time")] if _out_of_time(state) else []


def _repairs(state: State) -> list[Action]:
    """Lost results of the earliest phase: later ones are made from them."""
    first = min((task.phase for task in state.lost), key=phase_order)
    return [
        Submit(task) for task in state.lost if task.phase == first and task not in state.submitted
    ]


def _once(actions: list[Action]) -> list[Action]:
    """A stop alone, else every action once."""
    stops: list[Action] = [action for action in actions if isinstance(action, Stop)]
    return stops or list(dict.fromkeys(actions))


def _next(state: State) -> list[Action]:
    """Unfinished tasks of the first phase that has any, unless a limit was reached before it."""
    assert state.plan is not None
    for stage, version in state.plan.phases():
        if not state.is_complete(stage, version):
            if _out_of_time(state):
                return [Stop("wall time")]
            tasks = state.plan.tasks(stage, version)
            return [
                Submit(task)
                for task in tasks
                if task not in state.finished and task not in state.submitted
            ]
        if STAGES[stage].is_relaxation and (reason := _limit(state, version)):
            return [Stop(reason)]
    if state.plan.until is not None:
        return [Stop(f"--until {state.plan.until}")]
    return [Stop("rounds")]


def _flow(state: State, event: Event) -> list[Action]:
    """Asynchronous mode: what keeps all pools busy."""
    assert state.plan is not None
    if _out_of_time(state):
        return [Stop("wall time")]
    if event.kind == "opened" and state.interrupted:
        # What was at work when the last driver ended comes first: some of it may be finished and
        # only has to be adopted.
        return [Submit(task) for task in state.interrupted]
    ended = Task.parse(event.data["task"]) if event.kind == "finished" else None
    if ended is not None and ended.stage == "relax" and _target_reached(state, state.plan.rounds):
        return [Stop("target energy")]
    if (
        ended is not None
        and (ended.stage == "promote" or ended.version < state.version)
        and (stale := _stale(state))
    ):
        return [Drop(stale)]
    actions = [*_pools(state), *_retraining(state)]
    return actions if actions or state.submitted else [Stop("rounds")]


def _pools(state: State) -> list[Action]:
    """The most promising relaxations for workers that are free soon, and samples while the queue is
    short.
    """
    plan = state.plan
    assert plan is not None
    free = (
        plan.relaxation_workers
        + max(1, plan.relaxation_workers // PREFETCH_WORKERS)
        - state.in_flight["relax"]
    )
    relaxations = state.waiting.first(free) if free > 0 else []
    waiting = len(state.waiting) - len(relaxations) + plan.num_batches * state.in_flight["sample"]
    room = (LONGEST_QUEUE * plan.relaxation_workers - waiting) // plan.num_batches
    slots = plan.sampling_workers + 1 - state.in_flight["sample"]
    begun = state.next_chunk.get(state.version, 0)
    num = max(0, min(room, slots, _chunks_left(state)))
    samples = [Task("sample", state.version, begun + number) for number in range(num)]
    return [Submit(task) for task in (*relaxations, *samples)]


def _chunks_left(state: State) -> int:
    """Chunks that may still be sampled before the next model: what one version does not use is left
    to the next.
    """
    assert state.plan is not None
    return state.version * state.plan.num_sample_chunks - sum(state.next_chunk.values())


def _stale(state: State) -> tuple[Task, ...]:
    assert state.plan is not None
    oldest = state.version - state.plan.max_model_lag
    return tuple(task for task in state.waiting.scores if task.version < oldest)


def _retraining(state: State) -> list[Action]:
    """The next step towards the next model, if it is time for one."""
    plan, version = state.plan, state.version + 1
    assert plan is not None
    if version > plan.rounds:
        return []
    for stage in RETRAINING:
        task = Task(stage, version)
        if task in state.finished:
            continue
        if task in state.submitted:
            return []
        if stage == "select":
            if not _is_due(state):
                return []
            if reason := _limit(state, state.version):
                return [Stop(reason)]
        return [Submit(task)]
    return []


def _is_due(state: State) -> bool:
    """Whether enough was learnt since the last model, or as much of its round is relaxed as the
    next may wait for.
    """
    plan = state.plan
    assert plan is not None
    chunks = _chunks_left(state) + state.next_chunk.get(state.version, 0)
    is_late = state.num_done.get(("relax", state.version), 0) >= DUE * chunks * plan.num_batches
    is_exhausted = (
        _chunks_left(state) == 0 and not len(state.waiting) and not state.in_flight["sample"]
    )
    return is_late or is_exhausted or len(state.low) - state.num_low_at_select >= plan.retrain_after


def _again(state: State, event: Event) -> list[Action]:
    task, reason = Task.parse(event.data["task"]), event.data["reason"]
    if event.data["class"] == "infrastructure" and state.attempts[task] <= MAX_RETRIES:
        return [Stop("wall time")] if _out_of_time(state) else [Submit(task)]
    if event.data["class"] == "mistake" or task.chunk == WHOLE:
        return [Stop(f"{task.name} failed: {reason}", failed=True)]
    return [Quarantine(task, reason)]


def _too_many_quarantined(state: State) -> str | None:
    """Why the campaign cannot go on, when a larger share than allowed was set aside."""
    assert state.plan is not None
    sizes, most = state.plan.chunk_sizes, state.plan.max_quarantined
    num = state.num_quarantined + sum(sizes.get(task.stage, 0) for task in state.quarantined)
    if num <= most * max(state.num_tried, MIN_TRIED):
        return None
    return (
        f"{num} of {state.num_tried} candidates were set aside, more than budget.max_quarantined ="
        f" {most:g}; see gcd-hpc failures"
    )


def _out_of_time(state: State) -> bool:
    assert state.plan is not None
    return state.plan.wall_time_s is not None and state.elapsed_s >= state.plan.wall_time_s


def _limit(state: State, version: int) -> str | None:
    """Why to stop after a round, judged by what was known when it ended."""
    assert state.plan is not None
    patience = state.plan.plateau_rounds
    if _target_reached(state, version):
        return "target energy"
    if (
        patience
        and version >= patience
        and not any(
            _improved(state, recent) for recent in range(version - patience + 1, version + 1)
        )
    ):
        return "plateau"
    return None


def _target_reached(state: State, version: int) -> bool:
    assert state.plan is not None
    target = state.plan.target_energy_j_m2
    return target is not None and any(
        energy <= target
        for known in range(version + 1)
        for energy in state.best.get(known, {}).values()
    )


def _improved(state: State, version: int) -> bool:
    """Whether a model version found a lower energy at any [n] than the search and all versions
    before it.
    """
    before: dict[str, float] = {}
    for earlier in range(version):
        for n_fraction, energy in state.best.get(earlier, {}).items():
            before[n_fraction] = min(energy, before.get(n_fraction, energy))
    return any(
        energy < before.get(n_fraction, float("inf")) - PLATEAU_J_M2
        for n_fraction, energy in state.best.get(version, {}).items()
    )
