from dataclasses import replace

import pytest

from gcd_hpc.campaign.actions import Action, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import (
    Event,
    Failed,
    FailureClass,
    Finished,
    Lost,
    Opened,
    Quarantined,
    Stopped,
)
from gcd_hpc.campaign.policy import MAX_RETRIES, step
from gcd_hpc.campaign.state import LEAST_PROGRESS, State
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task
from tests.campaign import histories
from tests.campaign.histories import lost, opened, submitted
from tests.campaign.histories import state_after as replay

PLAN = Plan(num_search_chunks=3, num_sample_chunks=2, rounds=2)


def start(plan: Plan = PLAN, elapsed_s: float = 0.0) -> Opened:
    return opened(plan, elapsed_s)


def finish(task: Task, elapsed_s: float = 1.0, best: dict[int, float] | None = None) -> Finished:
    return histories.finished(task.name, elapsed_s, best=best)


def fail(task: Task, failure: FailureClass = "infrastructure") -> Failed:
    return histories.failed(task.name, failure)


def carry_out(
    plan: Plan, energies: dict[int, float] | None = None, task_s: float = 1.0
) -> tuple[list[Task], Stop]:
    """A simulated campaign: each task takes one time step and finds its version's energy."""
    state, events, order, clock = State(plan), [start(plan)], [], 0.0
    while True:
        event = events.pop(0)
        state.apply(event)
        for action in step(state, event):
            if isinstance(action, Stop):
                return order, action
            clock += task_s
            order.append(action.task)
            events.append(
                finish(action.task, clock, {2: energies[action.task.round]} if energies else None)
            )


def test_a_new_campaign_begins_with_all_chunks_of_the_search():
    assert step(replay([start()]), start()) == [
        Submit(Task("search", 0, chunk)) for chunk in range(3)
    ]


def test_stages_follow_each_other_in_every_round():
    order, stop = carry_out(PLAN)
    one_round = ["select", "train", "promote", "sample", "relax", "relax"]
    assert [task.stage for task in order] == ["search"] * 3 + one_round * 2
    assert [task.round for task in order] == [0] * 3 + [1] * 6 + [2] * 6
    assert stop == Stop("rounds")


def test_a_stage_waits_for_all_chunks_of_the_one_before():
    events = [start(), finish(Task("search", 0, 0)), finish(Task("search", 0, 2))]
    assert step(replay(events), events[-1]) == []
    events.append(finish(Task("search", 0, 1)))
    assert step(replay(events), events[-1]) == [Submit(Task("select", 1))]


def test_a_search_alone_has_no_rounds():
    order, stop = carry_out(replace(PLAN, rounds=0))
    assert len(order) == 3
    assert not stop.failed


def test_a_reopened_campaign_submits_only_what_is_missing():
    events = [start(), finish(Task("search", 0, 1)), start()]
    assert step(replay(events), events[-1]) == [
        Submit(Task("search", 0, 0)),
        Submit(Task("search", 0, 2)),
    ]


def test_a_complete_campaign_does_nothing_but_a_larger_budget_continues_it():
    order, _ = carry_out(PLAN)
    events = [start(), *map(finish, order), Stopped(elapsed_s=9.0, reason="rounds")]
    again, larger = start(), start(replace(PLAN, rounds=3))
    assert step(replay([*events, again]), again) == [Stop("rounds")]
    assert step(replay([*events, larger]), larger) == [Submit(Task("select", 3))]


def test_the_same_task_finished_twice_counts_once():
    task = Task("search", 0, 0)
    state = replay([start(), finish(task), finish(task)])
    assert state.num_done == {("search", 0): 1}


@pytest.mark.parametrize("task", [Task("search", 0, 0), Task("train", 1)])
def test_lost_tasks_are_retried_three_times_and_then_set_aside_if_the_campaign_can_do_without(task):
    events = [start()]
    for _ in range(MAX_RETRIES):
        events.append(fail(task))
        assert step(replay(events), events[-1]) == [Submit(task)]
    events.append(fail(task))
    (last,) = step(replay(events), events[-1])
    assert (
        last == Quarantine(task, "worker lost")
        if task.stage == "search"
        else Stop("train-01 failed: worker lost", failed=True)
    )


def test_failures_after_which_more_of_the_task_is_saved_than_before_do_not_count():
    again = [Submit(Task("train", 1))]
    events: list[Event] = [start()]
    for saved in (0.0, 0.2, 0.3, 0.3, 0.3, 0.5, 0.5, 0.5, 0.5):
        events.append(histories.failed("train-01", saved=saved))
        assert step(replay(events), events[-1]) == again
    events.append(histories.failed("train-01", saved=0.5))
    assert step(replay(events), events[-1]) == [Stop("train-01 failed: worker lost", failed=True)]


def test_a_task_that_saves_next_to_nothing_each_time_is_tried_about_a_hundred_times_at_most():
    state = replay([start()])
    for number in range(1000):
        event = histories.failed("train-01", saved=min(1.0, number * LEAST_PROGRESS))
        state.apply(event)
        if isinstance(step(state, event)[0], Stop):
            break
    assert number == 1 / LEAST_PROGRESS + MAX_RETRIES + 1
    state, slow = replay([start()]), 0.1 * LEAST_PROGRESS
    events = [histories.failed("train-01", saved=(number + 1) * slow) for number in range(4)]
    for event in events:
        state.apply(event)
    assert isinstance(step(state, events[-1])[0], Stop)


def test_failures_while_the_machine_was_suspended_do_not_count():
    asleep = replace(fail(Task("search", 0, 1)), suspended=True)
    events = [start(), *[asleep] * 50]
    assert step(replay(events), events[-1]) == [Submit(Task("search", 0, 1))]


def test_retries_count_anew_when_the_campaign_is_reopened():
    task = Task("search", 0, 0)
    events = [start(), *[fail(task)] * (MAX_RETRIES + 1), start(), fail(task)]
    assert step(replay(events), events[-1]) == [Submit(task)]


def test_a_mistake_is_not_retried():
    events = [start(), fail(Task("search", 0, 1), "mistake")]
    assert step(replay(events), events[-1]) == [
        Stop("search-00001 failed: worker lost", failed=True)
    ]


def test_a_phase_ends_without_its_tasks_in_quarantine():
    events = [start(), finish(Task("search", 0, 0)), finish(Task("search", 0, 2))]
    events.append(Quarantined(task=Task.parse("search-00001"), reason="worker lost"))
    assert step(replay(events), events[-1]) == [Submit(Task("select", 1))]
    again = start()
    assert step(replay([*events, again]), again) == [Submit(Task("search", 0, 1))]


def test_a_task_at_work_is_not_submitted_again_when_a_chunk_in_quarantine_is_made_up_for():
    train = submitted("train-01")
    aside = Quarantined(task=Task.parse("search-00001"), reason="worker lost")
    events = [
        start(),
        finish(Task("search", 0, 0)),
        finish(Task("search", 0, 2)),
        aside,
        finish(Task("select", 1)),
        train,
        start(),
    ]
    assert step(replay(events), events[-1]) == [
        Submit(Task("train", 1)),
        Submit(Task("search", 0, 1)),
    ]
    events += [
        submitted("train-01", "search-00001"),
        finish(Task("search", 0, 1)),
    ]
    assert step(replay(events), events[-1]) == []


@pytest.mark.parametrize(("quarantined", "stops"), [(5, False), (6, True)])
def test_a_larger_share_in_quarantine_than_allowed_ends_the_campaign(quarantined, stops):
    event = histories.finished("search-00000", num=40, quarantined=quarantined)
    actions = step(replay([start(), event]), event)
    assert any(isinstance(action, Stop) and action.failed for action in actions) == stops


def test_the_target_energy_ends_the_campaign_after_the_round_that_reached_it():
    order, stop = carry_out(
        replace(PLAN, rounds=5, target_energy_j_m2=2.3), {0: 2.5, 1: 2.4, 2: 2.297, 3: 2.2}
    )
    assert stop == Stop("target energy")
    assert max(task.round for task in order) == 2


@pytest.mark.parametrize(("plateau_rounds", "last"), [(1, 2), (2, 4), (0, 6)])
def test_rounds_without_a_lower_energy_end_the_campaign(plateau_rounds, last):
    energies = {
        0: 2.5,
        1: 2.4,
        2: 2.4,
        3: 2.45 if plateau_rounds != 2 else 2.4,
        4: 2.4,
        5: 2.4,
        6: 2.4,
    }
    if plateau_rounds == 2:
        energies |= {2: 2.3, 3: 2.3, 4: 2.3}
    order, stop = carry_out(replace(PLAN, rounds=6, plateau_rounds=plateau_rounds), energies)
    assert max(task.round for task in order) == last
    assert stop == Stop("plateau" if plateau_rounds else "rounds")


def test_energies_that_differ_by_rounding_are_a_plateau():
    _, stop = carry_out(replace(PLAN, plateau_rounds=1), {0: 2.5, 1: 2.5 - 1e-6, 2: 2.0})
    assert stop == Stop("plateau")


def test_the_wall_time_ends_the_campaign_in_the_middle_of_a_stage():
    plan = replace(PLAN, wall_time_s=10.0)
    state = replay([start(plan)])
    state.advance(9.5)
    assert step(state, None) == []
    state.advance(10.5)
    assert step(state, None) == [Stop("wall time")]


def test_the_wall_time_counts_all_sessions():
    plan = replace(PLAN, wall_time_s=10.0)
    again = start(plan, elapsed_s=11.0)
    assert step(replay([start(plan), again]), again) == [Stop("wall time")]


@pytest.mark.parametrize("mode", ["barrier", "asynchronous"])
def test_lost_results_are_made_again_phase_by_phase_and_then_the_campaign_goes_on(mode):
    plan = replace(PLAN, mode=mode, num_batches=1)
    search, model = (
        [Task("search", 0, chunk) for chunk in range(3)],
        [Task(stage, 1) for stage in ("select", "train", "promote")],
    )
    events = [start(plan), *map(finish, [*search, *model])]
    expected = step(replay([*events, start(plan)]), start(plan))
    assert expected and not {action.task for action in expected} & {*search, *model}
    events += [*lost(model[1], search[2], search[0]), start(plan)]
    again = step(replay(events), events[-1])
    assert sorted(action.task for action in again) == [search[0], search[2]]
    for task, actions in [(search[0], []), (search[2], [Submit(model[1])]), (model[1], expected)]:
        names = [action.task.name for action in step(replay(events), events[-1])]
        events += [submitted(*names), finish(task)]
        assert step(replay(events), events[-1]) == actions


def test_results_that_were_lost_and_made_again_count_once():
    task = Task("search", 0, 0)
    once = replay([start(), finish(task)])
    again = replay([start(), finish(task), *lost(task), start(), finish(task)])
    assert (again.num_tried, again.num_done, again.lost) == (once.num_tried, once.num_done, {})
    assert again.finished.keys() == once.finished.keys()


def test_steps_change_neither_state_nor_event():
    events = [start(), finish(Task("search", 0, 0), best={2: 2.5})]
    state, untouched = replay(events), replay(events)
    first: list[Action] = step(state, events[-1])
    assert step(state, events[-1]) == first
    assert state == untouched


def test_each_of_ten_thousand_chunks_is_counted_once():
    plan = replace(PLAN, num_search_chunks=10_000)
    state = replay([start(plan)])
    for chunk in range(10_000):
        event = finish(Task("search", 0, chunk))
        state.apply(event)
        step(state, event)
    assert state.num_done == {("search", 0): 10_000}


EXPLORING = replace(PLAN, rounds=1, num_explore_chunks=2, generations=3)


def test_exploration_follows_the_search_and_each_round():
    order, stop = carry_out(EXPLORING)
    one_round = ["select", "train", "promote", "sample", "relax", "relax"]
    exploration = ["explore"] * 6
    assert [task.stage for task in order] == (
        ["search"] * 3 + exploration + one_round + exploration
    )
    assert [task.round for task in order] == [0] * 9 + [1] * 12
    assert stop == Stop("rounds")


def test_a_generation_waits_for_all_tasks_of_the_one_before():
    searched = [finish(Task("search", 0, chunk)) for chunk in range(3)]
    events = [start(EXPLORING), *searched, finish(Task("explore", 0, 1))]
    assert step(replay(events), events[-1]) == []
    events.append(finish(Task("explore", 0, 0)))
    assert step(replay(events), events[-1]) == [
        Submit(Task("explore", 0, chunk)) for chunk in (2, 3)
    ]


def test_a_quarantined_task_does_not_hold_up_its_generation():
    searched = [finish(Task("search", 0, chunk)) for chunk in range(3)]
    ended = [
        finish(Task("explore", 0, 0)),
        Quarantined(task=Task("explore", 0, 1), reason="killed four processes"),
    ]
    events = [start(EXPLORING), *searched, *ended]
    assert step(replay(events), events[-1]) == [
        Submit(Task("explore", 0, chunk)) for chunk in (2, 3)
    ]


def test_a_lost_part_of_an_earlier_generation_is_made_again_before_later_ones():
    searched = [finish(Task("search", 0, chunk)) for chunk in range(3)]
    explored = [finish(Task("explore", 0, chunk)) for chunk in range(2)]
    later = [submitted("explore-00-00002", "explore-00-00003")]
    lost_part = [Lost(task=Task("explore", 0, 1), reason="gone")]
    events = [start(EXPLORING), *searched, *explored, *later, *lost_part, start(EXPLORING)]
    assert step(replay(events), events[-1]) == [Submit(Task("explore", 0, 1))]
    events.append(finish(Task("explore", 0, 1)))
    assert step(replay(events), events[-1]) == [
        Submit(Task("explore", 0, chunk)) for chunk in (2, 3)
    ]


def test_exploration_stops_at_the_target_after_the_generation_that_reached_it():
    plan = replace(EXPLORING, target_energy_j_m2=2.3)
    searched = [finish(Task("search", 0, chunk)) for chunk in range(3)]
    explored = [
        finish(Task("explore", 0, 0), best={1: 2.31}),
        finish(Task("explore", 0, 1), best={1: 2.29}),
    ]
    events = [start(plan), *searched, *explored]
    assert step(replay(events), events[-1]) == [Stop("target energy")]


def test_a_campaign_without_in_painted_candidates_only_trains_and_explores():
    order, _ = carry_out(replace(EXPLORING, num_sample_chunks=0))
    assert {task.stage for task in order} == {"search", "select", "train", "promote", "explore"}


PATIENT = replace(EXPLORING, rounds=0, generations=5, patience=2)
SEARCHED = [finish(Task("search", 0, chunk), best={1: 2.5}) for chunk in range(3)]


def explored(*energies: float) -> list[Event]:
    """Tasks of exploration, two a generation, each with its lowest energy at [n] = 0.1."""
    tasks = [Task("explore", 0, chunk) for chunk in range(len(energies))]
    return [finish(task, best={1: one}) for task, one in zip(tasks, energies, strict=True)]


@pytest.mark.parametrize(
    ("energies", "num_generations"),
    [
        ([2.5, 2.6, 2.5, 2.5], 2),  # nothing found in two generations
        ([2.4, 2.6, 2.5, 2.5, 2.4, 2.4], 3),  # one improvement starts the count anew
        ([2.5, 2.5, 2.4, 2.5, 2.3, 2.5, 2.3, 2.3, 2.3, 2.3], 5),
        ([2.4995, 2.4995, 2.4995, 2.4995], 2),  # less than is noticeable
        ([2.5, 2.5, 2.5, 2.4, 2.3, 2.5, 2.2, 2.5, 2.1, 2.5], 5),  # all that the round has
    ],
)
def test_generations_in_a_row_without_an_improvement_end_exploration(energies, num_generations):
    events: list[Event] = [start(PATIENT), *SEARCHED]
    assert len(energies) == 2 * num_generations
    for event in explored(*energies):
        assert not any(isinstance(one, Stop) for one in step(replay(events), events[-1]))
        events.append(event)
    assert step(replay(events), events[-1]) == [Stop("rounds")]
    assert step(replay([*events, start(PATIENT)]), start(PATIENT)) == [Stop("rounds")]


def test_an_improvement_in_two_small_steps_within_a_generation_counts_in_any_order():
    # Together they lower the energy by 0.0014 J/m^2, which is noticeable; each alone is not.
    for pair in ([2.4993, 2.4986], [2.4986, 2.4993]):
        events = [start(PATIENT), *SEARCHED, *explored(2.5, 2.5, *pair)]
        assert step(replay(events), events[-1]) == [
            Submit(Task("explore", 0, chunk)) for chunk in (4, 5)
        ]


def test_the_first_energy_of_an_n_is_an_improvement():
    new = finish(Task("explore", 0, 3), best={2: 3.0})
    events = [start(PATIENT), *SEARCHED, *explored(2.5, 2.5, 2.5), new]
    assert [type(one) for one in step(replay(events), new)] == [Submit, Submit]


def test_a_lost_part_that_is_made_again_does_not_wear_out_patience():
    events = [start(PATIENT), *SEARCHED, *explored(2.5, 2.5, 2.4, 2.5, 2.4, 2.4)]
    again = [*lost(Task("explore", 0, 2)), start(PATIENT), explored(2.5, 2.5, 2.4)[-1]]
    once, twice = replay(events), replay([*events, *again])
    assert step(twice, events[-1]) == step(once, events[-1]) != [Stop("rounds")]


def test_a_round_after_patience_ran_out_goes_on_with_the_next_stage_and_explores_anew():
    plan = replace(PATIENT, rounds=1, patience=1)
    order, stop = carry_out(plan)
    # Without energies no generation improves anything.
    assert [task.round for task in order if task.stage == "explore"] == [0, 0, 1, 1]
    assert stop == Stop("rounds")


def test_a_campaign_that_starts_from_a_model_samples_it_before_the_first_training():
    plan = replace(PLAN, has_model=True, num_explore_chunks=1, generations=1, rounds=1)
    order, stop = carry_out(plan)
    names = [task.name for task in order]
    assert names[3:7] == ["sample-00", "relax-00-00000", "relax-00-00001", "explore-00-00000"]
    assert names[7:10] == ["select-01", "train-01", "promote-01"]
    assert stop == Stop("rounds")


def test_a_model_alone_needs_neither_tries_nor_training():
    plan = replace(PLAN, has_model=True, num_search_chunks=0, rounds=0)
    order, stop = carry_out(plan)
    assert [task.name for task in order] == ["sample-00", "relax-00-00000", "relax-00-00001"]
    assert stop == Stop("rounds")
    order, stop = carry_out(replace(plan, until="sample-00"))
    assert [task.name for task in order] == ["sample-00"]
    assert stop == Stop("--until sample-00")


def test_a_low_energy_of_the_model_that_it_starts_from_ends_the_campaign():
    plan = replace(PLAN, has_model=True, target_energy_j_m2=2.5)
    order, stop = carry_out(plan, {0: 2.4})
    assert [task.stage for task in order] == ["search"] * 3
    assert stop == Stop("target energy")
