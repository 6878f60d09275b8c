"""The ranking of rows by energy, from which those that are no boundary are struck."""

import numpy as np
import pytest

from gcd_hpc.store.ranking import Ranking


@pytest.fixture
def columns():
    """A thousand rows of 13 [n] with many equal energies, and the numbers of every second row."""
    rng = np.random.default_rng(1)
    made = {"gb_energy_j_m2": rng.integers(0, 60, 1000) / 20, "n_index": rng.integers(0, 13, 1000)}
    return made, np.arange(0, 1000, 2)


def lowest_by_hand(columns, numbers, num, struck=()):
    """The ``num`` lowest rows of each [n] and all that are as low as the last of them."""
    found = []
    for n_index in range(13):
        here = [row for row in numbers if columns["n_index"][row] == n_index and row not in struck]
        energies = sorted(columns["gb_energy_j_m2"][here])
        highest = energies[num - 1] if len(energies) >= num else np.inf
        found += [row for row in here if columns["gb_energy_j_m2"][row] <= highest]
    return sorted(found)


@pytest.mark.parametrize("num", [1, 3, 100])
def test_the_lowest_of_each_n_are_those_that_a_search_of_each_n_finds(columns, num):
    ranking = Ranking(*columns, num, per_n=True)
    assert ranking.lowest().tolist() == lowest_by_hand(*columns, num)


def test_a_struck_row_makes_room_for_the_next_of_its_n(columns):
    ranking = Ranking(*columns, 1, per_n=True)
    struck = ranking.lowest()
    ranking.strike(struck)
    assert ranking.lowest().tolist() == lowest_by_hand(*columns, 1, set(struck.tolist()))
    assert ranking.struck.tolist() == struck.tolist()


def test_kept_rows_are_in_the_order_of_their_energies_and_of_the_file_where_these_are_equal(
    columns,
):
    made, numbers = columns
    ranking = Ranking(made, numbers, 1, per_n=True)
    ranking.strike(numbers[::5])
    kept = np.setdiff1d(numbers, numbers[::5])
    expected = kept[np.argsort(made["gb_energy_j_m2"][kept], kind="stable")]
    assert ranking.kept.tolist() == expected.tolist()
