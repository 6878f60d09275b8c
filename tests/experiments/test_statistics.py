"""Intervals that hold the true value as often as they say."""

from math import inf, isnan

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats.contingency import relative_risk

from gcd_hpc.accounts.rates import Estimate, wilson
from gcd_hpc.experiments.statistics import blocked_rate, ratio


@pytest.mark.parametrize(
    ("hits", "tries"), [(0, 1), (0, 500), (3, 100), (50, 100), (99, 100), (100, 100)]
)
def test_wilson_agrees_with_scipy(hits, tries):
    interval = binomtest(hits, tries).proportion_ci(method="wilson")
    assert wilson(hits, tries).value == hits / tries
    assert (wilson(hits, tries).low, wilson(hits, tries).high) == pytest.approx(
        (interval.low, interval.high), abs=1e-12
    )


def test_no_hit_excludes_rates_above_four_in_so_many_tries():
    assert (wilson(0, 500).value, wilson(0, 500).low) == (0.0, 0.0)
    assert 3 / 500 < wilson(0, 500).high < 4 / 500


@pytest.mark.parametrize(("hits", "tries"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(hits, tries):
    with pytest.raises(ValueError, match=f"got {hits} of {tries}"):
        wilson(hits, tries)


@pytest.mark.parametrize(("hits", "tries"), [([3], [10]), ([1, 2], [10, 0]), ([1, 2], [10])])
def test_a_spread_needs_two_blocks_with_tries(hits, tries):
    with pytest.raises(ValueError, match="expected at least two blocks with tries"):
        blocked_rate(hits, tries)


@pytest.mark.parametrize("hits", [[0, 0, 0], [50, 50, 50]])
def test_blocks_that_say_nothing_of_their_spread_count_as_one(hits):
    assert blocked_rate(hits, [50, 50, 50]) == wilson(sum(hits), 150)


def test_blocks_that_differ_widen_the_interval_and_blocks_that_agree_do_not_narrow_it():
    pooled, equal, apart = (
        wilson(50, 500),
        blocked_rate([5] * 10, [50] * 10),
        blocked_rate([50] + [0] * 9, [50] * 10),
    )
    assert pooled.value == equal.value == apart.value
    assert apart.low < equal.low <= pooled.low
    assert pooled.high <= equal.high < apart.high


def test_one_lucky_seed_in_ten_tells_little_about_the_rate():
    assert blocked_rate([50] + [0] * 9, [50] * 10).high > 0.4


@pytest.mark.parametrize(
    ("num_blocks", "rate", "spread"),
    [(10, 0.1, 0.0), (10, 0.1, 0.05), (10, 0.3, 0.15), (5, 0.1, 0.05)],
)
def test_intervals_of_blocks_hold_the_true_rate_95_times_in_a_hundred(num_blocks, rate, spread):
    """Rates of blocks are drawn from a beta distribution."""
    generator = np.random.default_rng(0)
    held, num_trials, tries = 0, 1000, np.full(num_blocks, 100)
    for _ in range(num_trials):
        weight = rate * (1 - rate) / spread**2 - 1 if spread else inf
        rates = (
            generator.beta(rate * weight, (1 - rate) * weight, num_blocks)
            if spread
            else np.full(num_blocks, rate)
        )
        found = blocked_rate(generator.binomial(tries, rates), tries)
        held += found.low <= rate <= found.high
    assert held / num_trials > 0.93


def test_ratios_of_many_hits_agree_with_scipy():
    found, known = ratio(wilson(400, 2000), wilson(300, 2500)), relative_risk(400, 2000, 300, 2500)
    interval = known.confidence_interval()
    assert found.value == pytest.approx(known.relative_risk)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=0.005)


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.3, 0.05)])
def test_intervals_of_ratios_hold_the_true_value(rates):
    generator = np.random.default_rng(1)
    held, num_trials = 0, 1000
    for one, other in generator.binomial((200, 300), rates, (num_trials, 2)):
        interval = ratio(wilson(one, 200), wilson(other, 300))
        held += interval.low <= rates[0] / rates[1] <= interval.high
    assert held / num_trials > 0.93


def test_a_ratio_without_hits_on_one_side_says_what_it_can():
    some, none = wilson(10, 100), wilson(0, 100)
    assert ratio(some, none) == Estimate(inf, some.low / none.high, inf)
    assert ratio(none, some) == Estimate(0.0, 0.0, none.high / some.low)
    assert isnan(ratio(none, none).value)
    assert (ratio(none, none).low, ratio(none, none).high) == (0.0, inf)
