"""Which atoms are labelled: different surroundings first, the same ones once."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene
from scipy.spatial.transform import Rotation

from gcd_hpc.errors import StructureError
from gcd_hpc.spectra.choose import choose_atoms, describe

RNG = np.random.default_rng(0)


def random_structure(num=20):
    return Atoms(f"C{num}", RNG.uniform(0, 7, (num, 3)), cell=[7, 7, 7], pbc=True)


def test_the_description_does_not_change_with_rotation_translation_and_the_order_of_atoms():
    atoms = random_structure()
    order = RNG.permutation(len(atoms))
    turn = Rotation.random(random_state=1).as_matrix()
    moved = atoms[order]
    moved.set_cell(atoms.cell @ turn)
    moved.positions = (atoms.positions[order] + [1.0, -2, 9]) @ turn
    np.testing.assert_allclose(describe(moved, ["C"]), describe(atoms, ["C"])[order], atol=1e-9)


def test_the_description_is_continuous_where_an_atom_crosses_the_cutoff():
    atoms = Atoms("C3", [[0, 0, 0], [1.4, 0, 0], [0, 4.05 - 1e-7, 0]])
    inside = describe(atoms, ["C"])[0]
    atoms.positions[2, 1] += 2e-7
    np.testing.assert_allclose(describe(atoms, ["C"])[0], inside, atol=1e-9)


def test_a_repeated_crystal_has_one_surrounding_and_is_labelled_once():
    for atoms in (bulk("C", cubic=True).repeat(2), graphene(vacuum=5).repeat((3, 3, 1))):
        assert len(choose_atoms([atoms, atoms.repeat((1, 1, 1))], "C", 10)) == 1


def test_each_of_two_crystals_is_labelled_before_a_displaced_copy():
    diamond, layer = bulk("C", cubic=True), graphene(vacuum=5)
    copy = diamond.copy()
    copy.rattle(0.01, seed=0)
    chosen = choose_atoms([diamond, copy, layer], "C", 2, seed=3)
    assert {number for number, _ in chosen} in ({0, 2}, {1, 2})


def test_the_frame_that_repeats_another_adds_no_atom():
    atoms = random_structure()
    order = RNG.permutation(len(atoms))
    repeated = atoms[order]
    repeated.positions += [3.0, 1, 2]
    assert len(choose_atoms([atoms, repeated], "C", 40)) == len(choose_atoms([atoms], "C", 40))


def test_a_smaller_budget_chooses_the_first_atoms_of_a_larger_one():
    structures = [random_structure() for _ in range(3)]
    assert choose_atoms(structures, "C", 30)[:7] == choose_atoms(structures, "C", 7)


def test_the_seed_draws_the_first_atom_and_nothing_else_is_random():
    structures = [random_structure() for _ in range(3)]
    assert choose_atoms(structures, "C", 9, seed=1) == choose_atoms(structures, "C", 9, seed=1)
    assert len({choose_atoms(structures, "C", 1, seed=seed)[0] for seed in range(5)}) > 1


def test_known_atoms_are_not_chosen_and_neither_are_surroundings_like_theirs():
    diamond, layer = bulk("C", cubic=True), graphene(vacuum=5)
    assert {number for number, _ in choose_atoms([diamond, layer], "C", 9, known=[(0, 3)])} == {1}


def test_only_atoms_of_the_absorbing_element_are_chosen():
    atoms = bulk("SiC", "zincblende", a=4.36)
    assert choose_atoms([atoms], "C", 5) == [(0, 1)]
    with pytest.raises(StructureError, match=r"no atom of N, only of C, Si; .*--element"):
        choose_atoms([atoms], "N", 5)
