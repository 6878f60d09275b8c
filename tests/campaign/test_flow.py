"""The asynchronous mode of the policy, on simulated campaigns."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.campaign.actions import Drop, Submit
from gcd_hpc.campaign.events import Dropped, Failed, Finished, Submitted
from gcd_hpc.campaign.flow import LONGEST_QUEUE
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task
from tests.campaign.histories import state_after as replay

PLAN = Plan(
    num_search_chunks=20,
    num_sample_chunks=30,
    rounds=3,
    mode="asynchronous",
    num_batches=5,
    relaxation_workers=10,
    sampling_workers=2,
    retrain_after=20,
    chunk_sizes={"search": 4, "sample": 20, "relax": 4},
)
PACE = Pace(
    search_s=10,
    sample_s=0.2,
    relax_s=10,
    train_s=200,
    promote_s=5,
    select_s=2,
    lost=0.0,
    stragglers=0.0,
)


def rehearse(plan: Plan = PLAN, pace: Pace = PACE, watch=lambda state: None) -> Rehearsal:
    return Rehearsal(plan, pace, seed=1).run(watch)


@pytest.fixture(scope="module")
def undisturbed() -> Rehearsal:
    return rehearse()


def test_every_sampled_candidate_is_relaxed_once_or_dropped(undisturbed):
    relaxed = Counter(
        event.task
        for event in undisturbed.events
        if isinstance(event, Finished) and event.task.stage == "relax"
    )
    dropped = Counter(
        task for event in undisturbed.events if isinstance(event, Dropped) for task in event.tasks
    )
    sampled = [task for task in undisturbed.state.finished if task.stage == "sample"]
    batches = range(PLAN.num_batches)
    expected = {
        Task("relax", task.round, task.chunk * len(batches) + batch)
        for task in sampled
        for batch in batches
    }
    assert set((relaxed + dropped).values()) == {1}
    assert set(relaxed + dropped) == expected


def test_the_budget_of_candidates_is_used_up_and_no_more(undisturbed):
    assert undisturbed.stop is not None
    assert undisturbed.stop.reason == "rounds"
    assert (
        sum(task.stage == "sample" for task in undisturbed.state.finished)
        == PLAN.rounds * PLAN.num_sample_chunks
    )
    assert max(undisturbed.state.models) == PLAN.rounds


def test_training_overlaps_with_sampling_and_relaxation(undisturbed):
    at = {
        event.task.name: (event.started, event.elapsed_s)
        for event in undisturbed.events
        if isinstance(event, Finished)
    }
    begin, end = at["train-02"]
    during = [name for name, (started, _) in at.items() if begin < started < end]
    assert sum(name.startswith("relax-01") for name in during) > 20
    assert any(name.startswith("sample-01") for name in during)


def test_the_queue_stays_within_its_bounds():
    lengths = []

    def watch(state: State) -> None:
        left = state.round * PLAN.num_sample_chunks - sum(
            n for (stage, _), n in state.next_chunk.items() if stage == "sample"
        )
        if state.round and left > 0 and state.in_flight["relax"] > PLAN.relaxation_workers:
            lengths.append(len(state.waiting))

    rehearse(watch=watch)
    steady = lengths[len(lengths) // 10 :]
    assert max(steady) <= LONGEST_QUEUE * PLAN.relaxation_workers
    assert sorted(steady)[len(steady) // 20] >= 2 * PLAN.relaxation_workers


def test_relaxation_workers_are_never_idle_while_candidates_wait():
    def watch(state: State) -> None:
        if state.is_flowing and len(state.waiting):
            assert state.in_flight["relax"] >= PLAN.relaxation_workers

    rehearse(watch=watch)


def test_candidates_of_models_too_far_behind_are_dropped():
    plan = replace(PLAN, max_model_lag=0)
    simulated = rehearse(plan)
    dropped = [
        task for event in simulated.events if isinstance(event, Dropped) for task in event.tasks
    ]
    assert dropped
    promoted = {
        event.task.name: event.elapsed_s
        for event in simulated.events
        if isinstance(event, Finished)
    }
    begun = {
        task.name: event.elapsed_s
        for event in simulated.events
        if isinstance(event, Submitted)
        for task in event.tasks
    }
    assert all(task.name not in begun for task in dropped)
    old = [
        name
        for name in begun
        if name.startswith("relax-01") and begun[name] > promoted["promote-02"]
    ]
    assert old == []


def test_enough_new_low_energies_start_the_next_training_before_all_candidates_are_used():
    early, late = (
        rehearse(replace(PLAN, retrain_after=20)),
        rehearse(replace(PLAN, retrain_after=10**6)),
    )

    def tried_before_the_second_model(simulated: Rehearsal) -> int:
        names = [event.task.name for event in simulated.events if isinstance(event, Finished)]
        return sum(name.startswith("relax") for name in names[: names.index("select-02")])

    share = tried_before_the_second_model(early) / (PLAN.num_sample_chunks * PLAN.num_batches)
    assert share < 0.2
    assert tried_before_the_second_model(late) / (
        PLAN.num_sample_chunks * PLAN.num_batches
    ) == pytest.approx(0.5, abs=0.05)


def test_a_straggler_of_the_search_does_not_hold_up_the_first_model():
    events = rehearse().events
    done = [event.task.name for event in events if isinstance(event, Finished)]
    before = sum(name.startswith("search") for name in done[: done.index("select-01")])
    assert before == 19
    assert sum(name.startswith("search") for name in done) == 20


def test_lost_workers_cost_attempts_but_no_candidates():
    simulated = rehearse(pace=replace(PACE, lost=0.05))
    assert simulated.stop is not None
    assert simulated.stop.reason == "rounds"
    assert any(isinstance(event, Failed) for event in simulated.events)
    num_relaxed = sum(task.stage == "relax" for task in simulated.state.finished)
    num_set_aside = sum(task.stage == "relax" for task in simulated.state.quarantined)
    num_dropped = simulated.state.account.num_dropped
    num_sampled = sum(task.stage == "sample" for task in simulated.state.finished)
    assert num_relaxed + num_set_aside + num_dropped == PLAN.num_batches * num_sampled


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.9])
def test_a_driver_that_was_killed_begins_with_what_was_at_work(undisturbed, share):
    events = undisturbed.events[: int(share * len(undisturbed.events))]
    before = replay(events)
    again = undisturbed.events[0]
    actions = step(replay([*events, again]), again)
    assert [action.task for action in actions if isinstance(action, Submit)][
        : len(before.submitted)
    ] == list(before.submitted)
    assert len(actions) == len(set(actions))


def test_steps_are_pure(undisturbed):
    state = replay(undisturbed.events[:400])
    event = next(e for e in reversed(undisturbed.events[:400]) if isinstance(e, Finished))
    first = step(state, event)
    assert step(state, event) == first
    assert state == replay(undisturbed.events[:400])


def test_a_model_that_is_not_promoted_does_not_end_the_campaign():
    (promoted,) = (
        event
        for event in rehearse().events
        if isinstance(event, Finished) and event.task == Task("promote", 2)
    )
    event = replace(promoted, result=replace(promoted.result, model=1, promoted=False))
    state = replay([e for e in rehearse().events if e.elapsed_s < event.elapsed_s] + [event])
    assert state.round == 2
    assert state.models[2] == 1


def test_the_target_energy_ends_the_campaign_at_once():
    simulated = rehearse(replace(PLAN, target_energy_j_m2=2.61))
    assert simulated.stop is not None
    assert simulated.stop.reason == "target energy"
    assert simulated.state.round < PLAN.rounds


def test_dropping_is_an_action_of_its_own():
    plan = replace(PLAN, max_model_lag=0)
    simulated = Rehearsal(plan, PACE, seed=1)
    simulated.run()
    index = next(i for i, event in enumerate(simulated.events) if isinstance(event, Dropped))
    state = replay(simulated.events[:index])
    (drop,) = step(state, simulated.events[index - 1])
    assert isinstance(drop, Drop)
    assert {task.round for task in drop.tasks} == {1}


def test_exploration_and_relaxation_share_the_workers_until_all_moves_are_made():
    plan = replace(
        PLAN, num_explore_chunks=10, generations=4, chunk_sizes={**PLAN.chunk_sizes, "explore": 4}
    )
    places = plan.relaxation_workers + 2
    shares = []

    def watch(state: State) -> None:
        if (
            state.is_flowing
            and len(state.waiting)
            and state.next_chunk["explore", state.round] < 40
        ):
            shares.append(state.in_flight["explore"] / places)
            assert state.in_flight["explore"] + state.in_flight["relax"] <= places

    done = rehearse(plan, watch=watch).state
    assert 0.4 < np.median(shares) <= 0.5
    explored = Counter(task.round for task in done.finished if task.stage == "explore")
    assert explored[0] == explored[plan.rounds] == 40


@pytest.mark.parametrize("num_search_chunks", [0, 20])
def test_stages_overlap_from_the_search_on_where_there_is_a_model_to_start_from(num_search_chunks):
    """The samples of round 0 wait for the whole search, because their targets follow from it."""
    plan = replace(PLAN, has_model=True, num_search_chunks=num_search_chunks, rounds=1)
    plan = replace(plan, num_explore_chunks=10, generations=2)
    simulated = rehearse(replace(plan, chunk_sizes={**PLAN.chunk_sizes, "explore": 4}))
    assert simulated.stop is not None
    assert simulated.stop.reason == "rounds"
    done = Counter((task.stage, task.round) for task in simulated.state.finished)
    assert done["search", 0] == num_search_chunks
    sampled = done["sample", 0] + done["sample", 1]
    assert (sampled, done["explore", 0]) == (2 * PLAN.num_sample_chunks, 20)
    begun = [task for one in simulated.events if isinstance(one, Submitted) for task in one.tasks]
    first = begun.index(Task("sample", 0, 0))
    assert first == num_search_chunks + sum(task.stage == "explore" for task in begun[:first])
    ended = [one.task.stage for one in simulated.events if isinstance(one, Finished)]
    assert set(ended[:num_search_chunks]) <= {"search"}


def test_a_model_that_is_never_trained_is_sampled_until_its_candidates_are_used_up():
    simulated = rehearse(replace(PLAN, has_model=True, rounds=0))
    assert simulated.stop is not None
    assert simulated.stop.reason == "rounds"
    done = Counter(task.stage for task in simulated.state.finished)
    assert done["relax"] == PLAN.num_sample_chunks * PLAN.num_batches
    assert done["train"] == 0
