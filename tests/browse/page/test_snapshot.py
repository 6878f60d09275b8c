"""Selections of the page: the same candidates as those of the run."""

import numpy as np
import pytest

from gcd_hpc.browse.page.snapshot import Snapshot
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import ROW_FIELDS


@pytest.fixture
def rows(run):
    return Snapshot(open_run(run, in_memory=True))


def test_columns_in_memory_are_those_of_the_files(run, rows):
    names = [field.name for field in ROW_FIELDS]
    for name, values in open_run(run).columns(names).items():
        np.testing.assert_array_equal(rows.run.columns([name])[name], values)


@pytest.mark.parametrize(
    "selection", ["", "source=model n=0.2", "status!=ok", "energy<2.8 round=1,2"]
)
@pytest.mark.parametrize("descending", [False, True])
def test_a_selection_in_order_is_that_of_the_run(run, rows, selection, descending):
    expected = open_run(run).select(selection).sorted("energy", descending)
    for _ in range(2):
        found = rows.chosen(selection, "energy", descending)
        np.testing.assert_array_equal(found.numbers, expected.numbers)


def test_the_lowest_are_all_relaxed_rows_by_energy_if_they_fit(rows):
    lowest, total = rows.lowest("", 1000)
    energies = lowest.columns(["gb_energy_j_m2"])["gb_energy_j_m2"]
    assert total == len(lowest) == len(rows.run.select("status=ok"))
    assert (np.diff(energies) >= 0).all()


def test_each_fraction_gets_as_many_of_the_lowest_as_the_others(rows):
    lowest, total = rows.lowest("", 18)
    columns = lowest.columns(["n_fraction", "gb_energy_j_m2"])
    every = rows.relaxed.columns(["n_fraction", "gb_energy_j_m2"])
    fractions, counts = np.unique(columns["n_fraction"], return_counts=True)
    assert (counts == 2).all() and len(fractions) == 9 and total == 54
    for fraction in fractions:
        here = columns["gb_energy_j_m2"][columns["n_fraction"] == fraction]
        assert here.tolist() == sorted(every["gb_energy_j_m2"][every["n_fraction"] == fraction])[:2]
