"""Rows in memory: the same answers as the store's own."""

import numpy as np
import pytest

from gcd_hpc.browse.page.snapshot import Snapshot
from gcd_hpc.errors import StoreError
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.schema import ROW_FIELDS
from gcd_hpc.store.selection import ordered, parse_selection, selected


@pytest.fixture
def rows(run):
    with RunStore(run).rows() as rows:
        yield Snapshot(rows)


def test_columns_are_those_of_the_store(run, rows):
    names = [field.name for field in ROW_FIELDS]
    for name, values in RunStore(run).columns(names).items():
        np.testing.assert_array_equal(rows.columns([name])[name], values)


def test_rows_are_taken_in_any_order(rows):
    ids = rows.columns(["id"])["id"]
    assert rows.take(["id"], np.array([7, 3, 3]))["id"].tolist() == [ids[7], ids[3], ids[3]]


@pytest.mark.parametrize(
    "selection", ["", "source=model n=0.2", "status!=ok", "energy<2.8 round=1,2"]
)
@pytest.mark.parametrize("descending", [False, True])
def test_a_selection_in_order_is_that_of_the_store(run, rows, selection, descending):
    with RunStore(run).rows() as plain:
        expected = ordered(plain, selected(plain, parse_selection(selection)), "energy", descending)
    np.testing.assert_array_equal(rows.chosen(selection, "energy", descending), expected)


def test_every_row_is_found_in_its_file(rows):
    for row, name in enumerate(rows.columns(["id"])["id"].tolist()):
        assert rows.row_of(name) == row
        assert rows.candidate(row).id == name


def test_an_unknown_id_is_refused(rows):
    with pytest.raises(StoreError, match="got model-99-000000"):
        rows.row_of("model-99-000000")


def test_the_lowest_are_all_relaxed_rows_by_energy_if_they_fit(rows):
    lowest, total = rows.lowest("", 1000)
    energies = rows.take(["gb_energy_j_m2"], lowest)["gb_energy_j_m2"]
    assert total == len(lowest) == int(np.sum(rows.columns(["status"])["status"] == "ok"))
    assert (np.diff(energies) >= 0).all()


def test_each_fraction_gets_as_many_of_the_lowest_as_the_others(rows):
    lowest, total = rows.lowest("", 18)
    columns = rows.take(["n_fraction", "gb_energy_j_m2"], lowest)
    every = rows.take(["n_fraction", "gb_energy_j_m2"], rows.relaxed)
    fractions, counts = np.unique(columns["n_fraction"], return_counts=True)
    assert (counts == 2).all() and len(fractions) == 9 and total == 54
    for fraction in fractions:
        here = columns["gb_energy_j_m2"][columns["n_fraction"] == fraction]
        assert here.tolist() == sorted(every["gb_energy_j_m2"][every["n_fraction"] == fraction])[:2]
