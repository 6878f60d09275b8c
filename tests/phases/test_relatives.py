"""Phases that are the published ground state with point defects."""

import numpy as np
import pytest

from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.structures.energetics import J_PER_M2
from tests.phases.published import bicrystal, candidate, rattled, repeated, run_of
from tests.reference import ENERGIES_J_M2, GROUND_STATE, phase

DEFECT_EV = 2.0
"""Energy that the defects of these tests are given, eV each."""


@pytest.fixture(scope="module")
def ground():
    return phase(GROUND_STATE)


def with_energy(index, atoms, num_defects, num_cells):
    """A row whose energy is that of the ground state and of its defects."""
    area = num_cells * bicrystal().area
    energy = ENERGIES_J_M2[GROUND_STATE] + num_defects * DEFECT_EV / area * J_PER_M2
    return candidate(index, atoms, gb_energy_j_m2=energy)


def in_the_boundary(atoms, number):
    """Index of an atom of the boundary."""
    heights = atoms.positions[:, 2]
    return int(np.argsort(np.abs(heights - heights.mean()))[number])


@pytest.mark.parametrize("num", [1, 2])
def test_atoms_missing_from_a_larger_cell_are_vacancies_with_their_energy(tmp_path, ground, num):
    """The small cell is turned by a symmetry operation, and the atoms have moved by 0.05 Å."""
    turned = ground.copy()
    turned.positions[:] = bicrystal().wrap(ground.positions @ bicrystal().symmetry_operations[3].T)
    turned.positions[:, 2] += 5.0 - turned.positions[:, 2].min()
    large = repeated(ground, 2, 2)
    del large[[in_the_boundary(large, place) for place in range(0, 40 * num, 40)]]
    small_run = run_of(tmp_path / "a.h5", [candidate(0, turned)])
    rows = [with_energy(0, rattled(large, 0.05), num, 4)]
    found = find_phases(small_run, larger={"b": run_of(tmp_path / "b.h5", rows, (2, 2))})
    (relative,) = [one for one in found if one.relative]
    words = {1: "1 vacancy", 2: "2 vacancies"}[num]
    assert relative.relative == f"1/5-1 + {words}"
    assert relative.defect_energy_ev == pytest.approx(
        DEFECT_EV, abs=0.01
    )  # energies are published with four digits


def test_an_atom_more_is_an_interstitial(tmp_path, ground):
    more = ground.copy()
    place = ground.positions[in_the_boundary(ground, 0)] + [1.2, 1.2, 0.4]
    more.append("W")
    more.positions[-1] = place
    rows = [candidate(0, ground), with_energy(1, more, 1, 1)]
    found = {one.name: one for one in find_phases(run_of(tmp_path / "a.h5", rows))}
    assert found["3/10-1"].relative == "1/5-1 + 1 interstitial"
    assert found["1/5-1"].relative == "" and found["1/5-1"].defect_energy_ev is None


def test_a_structure_of_another_registry_is_no_relative(tmp_path, ground):
    """With the same atom missing, and the upper grain shifted by half an Å."""
    other = ground.copy()
    del other[in_the_boundary(other, 0)]
    upper = other.positions[:, 2] > other.positions[:, 2].mean()
    other.positions[upper, 0] += 0.5
    rows = [candidate(0, ground), with_energy(1, other, 1, 1)]
    assert not any(one.relative for one in find_phases(run_of(tmp_path / "a.h5", rows)))


def test_a_relative_is_named_whatever_number_of_phases_is_wanted(tmp_path, ground):
    """Here that of a phase that is not listed, because a lower one has the first rank."""
    low = ground.copy()
    low.positions[low.positions[:, 2] > low.positions[:, 2].mean(), 0] += 0.5
    vacancy = ground.copy()
    del vacancy[in_the_boundary(vacancy, 0)]
    rows = [
        candidate(0, ground),
        candidate(1, low, gb_energy_j_m2=2.2),
        with_energy(2, vacancy, 1, 1),
    ]
    run = run_of(tmp_path / "a.h5", rows)
    for num in (1, 2, 9):
        found = {one.name: one.relative for one in find_phases(run, num)}
        assert found["1/10-1"] == "1/5-2 + 1 vacancy"
        assert ("1/5-2" in found) is (num > 1)
