"""[n] of each element of a compound: columns that follow from the numbers of its atoms."""

import csv
from math import isnan

import numpy as np
import pytest
from ase.db import connect

from gcd_hpc.errors import StoreError
from gcd_hpc.store.element_fractions import basis_of, element_names
from gcd_hpc.store.export import export, export_set
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from tests.store.synthetic import CONFIG, make_candidate

COMPOUND = "boundary:\n  elements: [Ni, Al]\n  lattice: {}\n"
ROWS = (("Ni15Al15", 30), ("Ni16Al14", 30), ("Ni13Al15", 28), ("", 30))
"""Numbers of atoms of four structures; those of the last are not known."""


def compound_run(path, lattice="b2", elements=(28, 13), planes=10):
    rows = []
    for index, (formula, num) in enumerate(ROWS):
        first = int(formula[2:4] or num)
        numbers = [elements[0]] * first + [elements[1]] * (num - first)
        more = {"formula": formula, "atoms_per_plane": planes, "numbers": np.array(numbers)}
        rows.append(make_candidate(index, num_atoms=num, **more))
    write_part(path, rows, {"config": COMPOUND.format(lattice)})
    return open_run(path)


@pytest.fixture
def run(tmp_path):
    return compound_run(tmp_path / "compound.h5")


def test_columns_of_elements_are_the_atoms_modulo_half_a_plane_of_nickel_aluminide(run):
    columns = run.columns(["id", "n_Ni", "n_Al"])
    assert list(columns) == ["id", "n_Ni", "n_Al"]
    assert columns["n_Ni"].tolist()[:3] == [0.0, 1 / 5, 3 / 5]
    assert columns["n_Al"].tolist()[:3] == [0.0, 4 / 5, 0.0]
    assert isnan(columns["n_Ni"][3]) and isnan(columns["n_Al"][3])


def test_the_sublattices_of_ni3al_hold_three_quarters_and_one_quarter_of_a_plane(tmp_path):
    columns = compound_run(tmp_path / "l12.h5", "l12", planes=20).columns(["n_Ni", "n_Al"])
    assert columns["n_Ni"].tolist()[:3] == [0.0, 1 / 15, 13 / 15]
    assert columns["n_Al"].tolist()[:3] == [0.0, 4 / 5, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n_Ni=0.2", [1]),
        ("n_Ni=1/5,3/5", [1, 2]),
        ("n_Al=0 n_Ni!=0", [2]),
        ("n_Al=1", [0, 2]),
        ("n_Ni<0.5", [0, 1]),
        ("n_Ni>0.1 n=0", [1]),
    ],
)
def test_structures_are_selected_by_the_n_of_an_element(run, text, expected):
    assert [int(name[-1]) for name in run.select(text).columns(["id"])["id"]] == expected


def test_structures_are_sorted_by_the_n_of_an_element_with_unknown_ones_last(run):
    assert [one.index for one in run.sorted("n_Ni", descending=True)] == [2, 1, 0, 3]


def test_exports_state_the_n_of_each_element(run, tmp_path):
    assert run[1].to_atoms().info["n_Ni"] == 1 / 5
    assert "n_Ni" not in run[3].to_atoms().info
    export(run, "csv", tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["n_Ni"] for row in rows] == ["0.0", "0.2", "0.6", ""]
    export(run, "ase-db", tmp_path / "rows.db")
    with connect(tmp_path / "rows.db") as database:
        assert [row.candidate for row in database.select(n_Al=0.8)] == [run[1].id]
    export(run, "extxyz", tmp_path / "rows.extxyz")
    assert "n_Ni=0.2" in (tmp_path / "rows.extxyz").read_text()


def test_a_table_of_a_set_leaves_the_n_of_elements_empty_where_there_is_none(run, tmp_path):
    other = compound_run(tmp_path / "alloy.h5", "fcc")
    export_set({"alloy": other, "compound": run}, "csv", tmp_path / "set.csv")
    with (tmp_path / "set.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["n_Ni"] for row in rows] == ["", "", "", "", "0.0", "0.2", "0.6", ""]


def test_only_compounds_have_an_n_of_each_element():
    assert element_names(COMPOUND.format("b2")) == ("n_Ni", "n_Al")
    assert basis_of(COMPOUND.format("l12")) == ("Ni", "Ni", "Ni", "Al")
    assert element_names(COMPOUND.format("fcc")) == ()
    assert element_names(CONFIG) == ()
    assert element_names(None) == ()


@pytest.mark.parametrize(
    ("lattice", "text", "message"),
    [
        ("fcc", "n_Ni=0.2", "n_Ni: only compounds have an .n. of each element"),
        ("b2", "n_Cu=0.2", "n_Cu: the crystal has no Cu; expected n_Ni and n_Al; surplus counts"),
        ("b2", "n_Xx=0.2", "selection: expected one of n, energy, .*, got n_Xx"),
        ("b2", "n_Ni=some", "selection: expected a number for n_Ni, got n_Ni=some"),
    ],
)
def test_an_n_of_an_element_that_there_is_not_is_refused(tmp_path, lattice, text, message):
    with pytest.raises(StoreError, match=message):
        compound_run(tmp_path / "alloy.h5", lattice).select(text)
