"""Estimates of what a search has not seen."""

import numpy as np
import pytest

from gcd_hpc.accounts.unseen import pace_at_end, unseen


def test_the_estimates_are_those_of_the_counts():
    # Three phases once, two twice, one seven times in 20 tries, six of which found nothing low.
    found = unseen([1, 1, 1, 2, 2, 7], 20)
    assert (found.num_seen, found.num_once, found.num_twice) == (6, 3, 2)
    assert found.share == 3 / 20
    assert found.least_unseen == 3 * 2 / (2 * 3)
    assert found.share_error == pytest.approx(np.sqrt(3 * 17 + 2 * 20 * 2) / 20**1.5)


def test_without_tries_nothing_is_claimed():
    assert np.isnan(unseen([], 0).share) and np.isnan(unseen([], 0).share_error)
    assert unseen([], 0).least_unseen == 0


def test_the_share_is_right_on_average_and_chaos_number_a_lower_bound():
    """Draws from 60 phases of unequal rates, whose unseen ones are known here."""
    rates = 1 / np.arange(1, 61)
    rates /= rates.sum()
    rng = np.random.default_rng(0)
    shares, truth, errors, least, num = [], [], [], [], []
    for _ in range(400):
        counts = np.bincount(rng.choice(60, 200, p=rates), minlength=60)
        found = unseen(counts[counts > 0].tolist(), 200)
        shares.append(found.share)
        errors.append(found.share_error)
        truth.append(rates[counts == 0].sum())
        least.append(found.least_unseen)
        num.append(int((counts == 0).sum()))
    # The mean of 400 estimates has a twentieth of the error of one.
    assert np.mean(shares) == pytest.approx(np.mean(truth), abs=3 * np.mean(errors) / 20)
    assert np.mean(least) < np.mean(num)
    # The stated error covers the truth about as often as twice the deviation of a normal one.
    covered = np.abs(np.subtract(shares, truth)) <= 2 * np.array(errors)
    assert 0.9 < covered.mean() <= 1.0


def test_the_pace_at_the_end_counts_first_finds_of_the_last_part():
    assert pace_at_end(np.array([1.0, 50.0, 80.0, 99.0]), 100.0, 0.25) == 2 / 25
    assert np.isnan(pace_at_end(np.array([]), 0.0, 0.25))
