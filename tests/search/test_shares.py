"""The budget follows credit per cost, with a floor for every source."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gcd_hpc.search.shares import Outcome, credits, shares

LEAST, DISCOUNT = 0.05, 0.8
SOURCES = ["insert", "model", "remove", "shake"]

outcomes = some.builds(
    Outcome,
    credit=some.floats(0.0, 5.0),
    cost=some.integers(1, 10**9).map(float),
    num_tries=some.integers(1, 100),
)
histories = some.lists(
    some.dictionaries(some.sampled_from(SOURCES), outcomes, max_size=4), max_size=5
)


def least(*sources: str) -> dict[str, float]:
    """The same floor for each source."""
    return dict.fromkeys(sources, LEAST)


def costs_of(found: dict[str, float], cost_of_a_try: dict[str, float]) -> dict[str, float]:
    """Share of each source in the cost, if tries go on to cost what they did."""
    costs = {source: found[source] * cost_of_a_try[source] for source in found}
    return {source: cost / sum(costs.values()) for source, cost in costs.items()}


def steady(num: int = 1000, **credit_and_cost: tuple[float, float]) -> dict[str, Outcome]:
    """So many tries of each source, with the credit and the cost of one."""
    return {
        source: Outcome(credit * num, cost * num, num)
        for source, (credit, cost) in credit_and_cost.items()
    }


def test_without_history_all_sources_are_equal():
    assert shares([], least(*SOURCES), DISCOUNT) == dict.fromkeys(SOURCES, 0.25)


def test_without_success_all_sources_get_the_same_cost():
    found = shares(
        [steady(insert=(0.0, 10.0), shake=(0.0, 40.0))], least("insert", "shake"), DISCOUNT
    )
    # Ten of a thousand tries are taken for average ones.
    assert found["insert"] / found["shake"] == pytest.approx(4.0, rel=0.02)


@given(history=histories)
def test_probabilities_sum_to_one_and_none_is_zero(history):
    found = shares(history, least(*SOURCES), DISCOUNT)
    assert list(found) == SOURCES
    assert sum(found.values()) == pytest.approx(1.0)
    assert min(found.values()) > 0


@given(history=histories)
def test_the_order_in_which_rows_were_read_does_not_change_a_bit(history):
    backwards = [dict(reversed(generation.items())) for generation in history]
    assert shares(backwards, least(*SOURCES[::-1]), DISCOUNT) == shares(
        history, least(*SOURCES), DISCOUNT
    )


def test_cost_is_divided_in_proportion_to_credit_per_cost():
    """Three times the success at the same cost: three times the cost, beyond the floor."""
    history = [steady(100_000, insert=(0.03, 10.0), remove=(0.01, 10.0))]
    found = shares(history, least("insert", "remove"), DISCOUNT)
    rest = 1 - 2 * LEAST
    assert found == pytest.approx(
        {"insert": LEAST + 0.75 * rest, "remove": LEAST + 0.25 * rest}, abs=1e-3
    )


def test_a_source_that_costs_twice_as_much_is_drawn_half_as_often_for_the_same_share():
    """The same credit per cost, so the same share of the cost."""
    history = [steady(100_000, insert=(0.01, 10.0), model=(0.02, 20.0))]
    found = shares(history, least("insert", "model"), DISCOUNT)
    assert found["insert"] / found["model"] == pytest.approx(2.0, rel=1e-3)
    spent = costs_of(found, {"insert": 10.0, "model": 20.0})
    assert spent["insert"] == pytest.approx(0.5, abs=1e-3)


def test_a_source_without_success_keeps_its_floor():
    history = [steady(100_000, insert=(0.03, 10.0), model=(0.0, 80.0))]
    found = shares(history, least("insert", "model"), DISCOUNT)
    spent = costs_of(found, {"insert": 10.0, "model": 80.0})
    assert spent["model"] == pytest.approx(LEAST, abs=1e-3)


def test_a_source_may_have_a_floor_of_its_own():
    history = [steady(100_000, anneal=(0.0, 80.0), insert=(0.03, 10.0), shake=(0.0, 10.0))]
    found = shares(history, {"anneal": 0.4, "insert": LEAST, "shake": LEAST}, DISCOUNT)
    spent = costs_of(found, {"anneal": 80.0, "insert": 10.0, "shake": 10.0})
    expected = {"anneal": 0.4, "insert": 0.55, "shake": LEAST}
    assert spent == pytest.approx(expected, abs=1e-3)


def test_a_floor_that_does_not_fit_gives_equal_shares():
    history = [steady(insert=(0.03, 10.0), shake=(0.0, 10.0))]
    found = shares(history, {"insert": 0.9, "shake": 0.9}, DISCOUNT)
    assert found == pytest.approx({"insert": 0.5, "shake": 0.5})


def test_a_source_without_tries_begins_as_an_average_one():
    history = [steady(insert=(0.03, 10.0), shake=(0.01, 10.0))]
    found = shares(history, least("insert", "model", "shake"), DISCOUNT)
    assert found["shake"] < found["model"] < found["insert"]


def test_older_generations_count_less_the_older_they_are():
    good, poor = (
        steady(insert=(0.1, 10.0), shake=(0.0, 10.0)),
        steady(insert=(0.0, 10.0), shake=(0.1, 10.0)),
    )
    long_ago = shares([good, poor, poor, poor], least("insert", "shake"), DISCOUNT)
    lately = shares([poor, poor, poor, good], least("insert", "shake"), DISCOUNT)
    # 0.512 of 2.952 generations of success, and 1 of 2.952.
    rest = 1 - 2 * LEAST
    assert long_ago["insert"] == pytest.approx(LEAST + rest * 0.512 / 2.952, abs=0.01)
    assert lately["insert"] == pytest.approx(LEAST + rest * 1 / 2.952, abs=0.01)


def test_one_lucky_try_does_not_take_the_budget():
    history = [steady(500, insert=(0.02, 10.0)) | {"shake": Outcome(1.0, 10.0, 1)}]
    found = shares(history, least("insert", "shake"), DISCOUNT)
    assert found["shake"] < 0.9


def test_sources_that_cannot_be_drawn_now_get_nothing():
    history = [steady(insert=(0.03, 10.0), model=(0.3, 10.0))]
    assert list(shares(history, least("insert"), DISCOUNT)) == ["insert"]
    assert shares(history, least(), DISCOUNT) == {}


def test_a_structure_is_worth_the_more_the_lower_its_rank():
    members = {0: ["a", "b", "c"], 1: ["d", "e"]}
    sources = {"a": "insert", "c": "insert", "d": "remove", "e": "insert", "x": "shake"}
    assert credits(members, {"a", "b", "c", "e"}, sources) == {
        "insert": 1 + 1 / 3 + 1 / 2,
        "remove": 0.0,
        "shake": 0.0,
    }


@given(some.permutations([(n, f"{n}-{rank}") for n in range(5) for rank in range(4)]))
def test_credits_do_not_depend_on_the_order_of_the_archive(members):
    together: dict[int, list[str]] = {}
    for n, _ in members:
        together[n] = [f"{n}-{rank}" for rank in range(4)]
    sources = {row: "insert" if row.endswith(("1", "3")) else "shake" for _, row in members}
    found = credits(together, {row for _, row in members}, sources)
    in_order = {n: together[n] for n in sorted(together)}
    assert found == credits(in_order, set(sources), dict(sorted(sources.items())))
