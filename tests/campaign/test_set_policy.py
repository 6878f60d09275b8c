"""Which boundary of a set comes next."""

from dataclasses import replace

import pytest

from gcd_hpc.campaign.actions import Submit
from gcd_hpc.campaign.events import Lost
from gcd_hpc.campaign.set_policy import (
    FLOOR,
    Standing,
    model_step,
    next_training,
    order,
    shares,
)
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task
from tests.campaign.histories import finished, opened, state_after, submitted

EXPLORED = Standing(True, gains_j_m2=(0.0,), costs_s=(10.0,), spent_s=10.0)


def test_boundaries_without_a_search_come_first_in_the_order_of_the_file():
    new = Standing(False, spent_s=99.0)
    standings = {"a": EXPLORED, "b": new, "c": Standing(False)}
    assert order(standings) == ["b", "c", "a"]


def test_of_boundaries_that_gain_nothing_the_one_that_spent_least_comes_next():
    standings = {"a": replace(EXPLORED, spent_s=30.0), "b": EXPLORED, "c": EXPLORED}
    assert order(standings) == ["b", "c", "a"]


def test_of_boundaries_that_spent_the_same_the_one_that_gains_most_comes_next():
    gaining = replace(EXPLORED, gains_j_m2=(0.1,))
    dearer = replace(EXPLORED, gains_j_m2=(0.1,), costs_s=(20.0,))
    assert order({"a": EXPLORED, "b": dearer, "c": gaining}) == ["c", "b", "a"]


def test_old_gains_count_less_than_new_ones():
    costs = (10.0, 10.0, 10.0)
    old = Standing(True, (0.1, 0.0, 0.0), costs, 30.0)
    new = Standing(True, (0.0, 0.0, 0.1), costs, 30.0)
    assert order({"old": old, "new": new}) == ["new", "old"]


def test_every_boundary_keeps_a_floor_however_much_another_gains():
    found = shares({"a": replace(EXPLORED, gains_j_m2=(9.9,)), "b": EXPLORED, "c": EXPLORED})
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["b"] == pytest.approx(FLOOR / 3)


def test_spending_by_this_order_follows_the_shares():
    gaining = replace(EXPLORED, gains_j_m2=(0.3,), spent_s=0.0)
    standings = {"a": gaining, "b": replace(EXPLORED, spent_s=0.0)}
    claims = shares(standings)
    for _ in range(1000):
        (first, *_) = order(standings)
        one = standings[first]
        standings[first] = replace(one, spent_s=one.spent_s + 1.0)
    for name, one in standings.items():
        assert one.spent_s / 1000 == pytest.approx(claims[name], abs=0.002)


def test_a_standing_follows_from_the_state_of_a_run():
    plan = Plan(1, 0, 0, num_explore_chunks=2, generations=3)
    events = [
        opened(plan),
        finished("search-00000", seconds=5.0, best={1: 2.5}),
        finished("explore-00-00000", seconds=2.0, best={1: 2.5}),
        finished("explore-00-00001", seconds=3.0, best={1: 2.4, 2: 2.6}),
        finished("explore-00-00002", seconds=4.0, best={1: 2.4}),
    ]
    found = Standing.of(state_after(events))
    assert found.is_begun
    # The second generation has not ended. A first energy counts as 0.001 J/m^2.
    assert list(found.gains_j_m2) == pytest.approx([0.101])
    assert found.costs_s == (5.0,)
    assert found.spent_s == 14.0


def test_a_set_without_boundaries_has_no_order():
    assert order({}) == []


MODELS = Plan(1, 1, 2)
FIRST, SECOND = Task("train", 1), Task("train", 2)
TRAINED = [opened(MODELS), submitted("train-01"), finished("train-01")]
PROMOTED = [*TRAINED, submitted("promote-01"), finished("promote-01")]


def test_training_begins_when_every_boundary_that_goes_on_waits_for_it():
    own = state_after([opened(MODELS)])
    assert next_training(own, [FIRST, FIRST]) == FIRST
    assert next_training(own, [FIRST, None]) is None
    assert next_training(own, []) is None
    assert next_training(state_after(TRAINED[:2]), [FIRST, FIRST]) is None


def test_the_next_version_is_trained_when_the_one_before_has_its_verdict():
    assert next_training(state_after(TRAINED), [SECOND, SECOND]) is None
    assert next_training(state_after(PROMOTED), [SECOND, SECOND]) == SECOND
    # A boundary that still waits for an earlier version is handed it first.
    assert next_training(state_after(PROMOTED), [SECOND, FIRST]) is None


def test_no_training_begins_when_the_time_is_up():
    own = state_after([opened(replace(MODELS, wall_time_s=5.0))])
    own.advance(6.0)
    assert next_training(own, [FIRST]) is None


def test_a_model_is_promoted_after_its_training_and_after_an_interruption():
    verdict = [Submit(Task("promote", 1))]
    assert model_step(state_after(TRAINED), TRAINED[-1]) == verdict
    again = opened(MODELS, elapsed_s=2.0)
    assert model_step(state_after([*TRAINED, submitted("promote-01"), again]), again) == verdict
    assert model_step(state_after([*PROMOTED, again]), again) == []
    # An interrupted training waits until the boundaries have come back.
    assert model_step(state_after([*TRAINED[:2], again]), again) == []


def test_what_the_set_has_lost_is_made_again_before_anything_else():
    lost = Lost(task=Task("train", 1), reason="no such file")
    again = opened(MODELS, elapsed_s=2.0)
    assert model_step(state_after([*PROMOTED, lost, again]), again) == [Submit(FIRST)]
