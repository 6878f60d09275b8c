"""Asynchronous mode: sampling, relaxation and retraining overlap from the first model on. Pure."""

from gcd_hpc.campaign.actions import Action, Drop, Stop, Submit
from gcd_hpc.campaign.events import Event, Finished
from gcd_hpc.campaign.limits import limit_of, out_of_time, target_reached
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.table import EXPLORE, Stage, Task, phase_order
from gcd_hpc.stages.tasks import PREFETCH_WORKERS

LONGEST_QUEUE = 8
"""Longest relaxation queue, in tasks per worker; sampling pauses there."""
DUE = 0.5
"""Retrain at the latest when this share of a round is relaxed."""
RETRAINING: tuple[Stage, ...] = ("select", "train", "promote")


def flow(state: State, event: Event) -> list[Action]:
    """Actions that keep all pools busy.

    Args:
        state: the state after the event was applied, with at least one model.
    """
    if out_of_time(state):
        return [Stop("wall time")]
    if state.lost:
        return _repairs(state)
    if state.interrupted:
        # Interrupted tasks come first: some may be finished and only need to be adopted.
        return [Submit(task) for task in state.interrupted]
    ended = event.task if isinstance(event, Finished) else None
    if ended is not None and ended.stage == "relax" and target_reached(state, state.plan.rounds):
        return [Stop("target energy")]
    # A newer model makes the candidates of much older ones stale.
    if (
        ended is not None
        and (ended.stage == "promote" or ended.round < state.round)
        and (stale := _stale(state))
    ):
        return [Drop(stale)]
    actions = [*_pools(state), *_retraining(state)]
    return actions if actions or state.submitted else [Stop("rounds")]


def _repairs(state: State) -> list[Action]:
    """Resubmit the lost products of the earliest phase, on which later phases depend."""
    first = min((task.phase for task in state.lost), key=phase_order)
    tasks = [task for task in state.lost if task.phase == first and task not in state.submitted]
    return [Submit(task) for task in tasks]


def _pools(state: State) -> list[Action]:
    """Submit exploration, relaxations, most promising first, and samples while few wait."""
    plan, exploring = state.plan, state.in_flight[EXPLORE]
    # Relaxation workers: one task each, and a few prefetched ones.
    places = plan.relaxation_workers + max(1, plan.relaxation_workers // PREFETCH_WORKERS)
    free = max(0, places - state.in_flight["relax"] - exploring)
    # Exploration takes half of the places, and those that no relaxation waits for.
    first = state.next_chunk[EXPLORE, state.round]
    wanted = max(places // 2 - exploring, free - len(state.waiting))
    left = 0 if state.is_out_of_patience(state.round) else plan.num_tasks(EXPLORE) - first
    num = max(0, min(free, wanted, left))
    explorations = [Task(EXPLORE, state.round, first + number) for number in range(num)]
    relaxations = state.waiting.first(free - num) if free > num else []
    # Samples: as many as the queue, the workers and the budget of candidates allow.
    waiting = len(state.waiting) - len(relaxations) + plan.num_batches * state.in_flight["sample"]
    room = (LONGEST_QUEUE * plan.relaxation_workers - waiting) // plan.num_batches
    slots = plan.sampling_workers + 1 - state.in_flight["sample"]
    begun = state.next_chunk["sample", state.round]
    num = max(0, min(room, slots, _chunks_left(state)))
    samples = [Task("sample", state.round, begun + number) for number in range(num)]
    return [Submit(task) for task in (*relaxations, *explorations, *samples)]


def _chunks_left(state: State) -> int:
    """Chunks left to sample before the next model; unused ones carry over to the next round."""
    begun = sum(num for (stage, _), num in state.next_chunk.items() if stage == "sample")
    num_rounds = state.round + state.plan.has_model
    return num_rounds * state.plan.num_sample_chunks - begun


def _stale(state: State) -> tuple[Task, ...]:
    oldest = state.round - state.plan.max_model_lag
    return tuple(task for task in state.waiting.scores if task.round < oldest)


def _retraining(state: State) -> list[Action]:
    """Submit the next stage of the next model, if it is due."""
    plan, round = state.plan, state.round + 1
    if round > plan.rounds:
        return []
    for stage in RETRAINING:
        task = Task(stage, round)
        if task in state.finished:
            continue
        if task in state.submitted:
            return []
        if stage == "select":
            if not _is_due(state):
                return []
            if reason := limit_of(state, state.round):
                return [Stop(reason)]
        return [Submit(task)]
    return []


def _is_due(state: State) -> bool:
    """True if retraining is due: enough new low-energy structures, DUE reached, or no work left."""
    plan = state.plan
    chunks = _chunks_left(state) + state.next_chunk["sample", state.round]
    is_late = state.num_done.get(("relax", state.round), 0) >= DUE * chunks * plan.num_batches
    is_exhausted = (
        _chunks_left(state) == 0 and not len(state.waiting) and not state.in_flight["sample"]
    )
    return is_late or is_exhausted or len(state.low) - state.num_low_at_select >= plan.retrain_after
