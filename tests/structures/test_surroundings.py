"""The atoms around one atom, against ASE's neighbour list."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from gcd_hpc.structures.surroundings import surroundings

RNG = np.random.default_rng(0)
STRUCTURES = {
    "a cell shorter than the radius": bulk("C", a=3.57),
    "a leaning hexagonal cell": bulk("Zn"),
    "a box": Atoms("C20", RNG.uniform(-30, 30, (20, 3)), cell=[6, 7, 8], pbc=True),
    "a skewed cell": Atoms(
        "C20", RNG.uniform(0, 7, (20, 3)), cell=[[5, 0, 0], [4, 5, 0], [-3, 2, 6]], pbc=True
    ),
    "a layer": Atoms("C9", RNG.uniform(0, 6, (9, 3)), cell=[6, 6, 0], pbc=(True, True, False)),
    "a molecule": molecule("C6H6"),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("radius", [2.0, 4.05, 9.0])
def test_the_surroundings_are_those_of_a_neighbour_list(name, radius):
    atoms = STRUCTURES[name]
    centre, other, vector = neighbor_list("ijD", atoms, radius)
    for atom in range(min(3, len(atoms))):
        vectors, index = surroundings(atoms, atom, radius)
        distances = np.linalg.norm(vectors, axis=1)
        assert (np.diff(distances) >= 0).all()
        expected = vector[centre == atom]
        assert sorted(index) == sorted(other[centre == atom])
        # Both sets of vectors in one order, rounded because their last bits differ.
        left, right = (np.unique(np.round(some, 6) + 0.0, axis=0) for some in (vectors, expected))
        np.testing.assert_allclose(left, right, atol=2e-6)
