"""The edges of the particle model against ASE's neighbour list."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from gcd_hpc.errors import StructureError
from gcd_hpc.networks.radius_graph import radius_graph
from gcd_hpc.structures.lattices import conventional_cell


def random_atoms():
    box = np.array([4.0, 5.0, 6.5])
    return Atoms(
        "W60",
        positions=np.random.default_rng(0).uniform(-3.0, 3.0, (60, 3)) * box,
        cell=box,
        pbc=True,
    )


def edges(graph):
    """(i, j) -> r_j - r_i."""
    pairs = zip(graph.center.tolist(), graph.neighbor.tolist(), strict=True)
    return dict(zip(pairs, graph.vector.numpy(), strict=True))


def batch(*structures):
    return torch.tensor(np.stack([atoms.positions for atoms in structures])), torch.tensor(
        structures[0].cell.lengths()
    )


@pytest.mark.parametrize("cutoff", [0.9, 1.3, 1.95])
@pytest.mark.parametrize("name", ["sc", "bcc", "fcc", "random"])
def test_edges_are_those_of_ase(name, cutoff):
    atoms = random_atoms() if name == "random" else conventional_cell(name, "W", 1.0).repeat(4)
    found = edges(radius_graph(*batch(atoms), cutoff))
    i, j, vectors = neighbor_list("ijD", atoms, cutoff)
    expected = dict(zip(zip(i.tolist(), j.tolist(), strict=True), vectors, strict=True))
    assert len(expected) == len(i)  # no pair meets twice
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), [expected[pair] for pair in found], atol=1e-12)


def test_structures_of_a_batch_are_not_joined():
    first, second = random_atoms(), random_atoms()
    second.rattle(0.5, seed=1)
    together = edges(radius_graph(*batch(first, second), 1.5))
    apart = edges(radius_graph(*batch(first), 1.5)) | {
        (i + 60, j + 60): vector
        for (i, j), vector in edges(radius_graph(*batch(second), 1.5)).items()
    }
    assert together.keys() == apart.keys()
    assert all(np.array_equal(together[pair], apart[pair]) for pair in apart)


def test_a_cutoff_above_half_the_box_is_refused():
    with pytest.raises(
        StructureError,
        match=re.escape("cutoff of 2.01 Å is longer than half the shortest box length, 2 Å"),
    ):
        radius_graph(*batch(random_atoms()), 2.01)
