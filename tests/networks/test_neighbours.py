"""The edges of the particle model against ASE's neighbour list."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from gcd_hpc.errors import StructureError
from gcd_hpc.networks.neighbours import neighbours
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
    found = edges(neighbours(*batch(atoms), cutoff))
    i, j, vectors = neighbor_list("ijD", atoms, cutoff)
    expected = dict(zip(zip(i.tolist(), j.tolist(), strict=True), vectors, strict=True))
    assert len(expected) == len(i)  # no pair meets twice
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), [expected[pair] for pair in found], atol=1e-12)


def test_structures_of_a_batch_are_not_joined():
    first, second = random_atoms(), random_atoms()
    second.rattle(0.5, seed=1)
    together = edges(neighbours(*batch(first, second), 1.5))
    apart = edges(neighbours(*batch(first), 1.5)) | {
        (i + 60, j + 60): vector
        for (i, j), vector in edges(neighbours(*batch(second), 1.5)).items()
    }
    assert together.keys() == apart.keys()
    assert all(np.array_equal(together[pair], apart[pair]) for pair in apart)


def test_a_cutoff_above_half_the_box_is_refused():
    with pytest.raises(
        StructureError,
        match=re.escape("cutoff of 2.01 Å is longer than half the shortest box length, 2 Å"),
    ):
        neighbours(*batch(random_atoms()), 2.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tree_of_large_structures_gives_the_graph_of_all_pairs_bit_for_bit(monkeypatch, dtype):
    stream = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[9.0, 10.0, 11.0], [12.0, 8.0, 9.5]], dtype=dtype)
    positions = 40.0 * torch.rand(2, 300, 3, generator=stream, dtype=dtype) - 20.0
    graphs = {}
    for limit in (300, 299):
        monkeypatch.setattr("gcd_hpc.networks.neighbours.DENSE_ATOMS", limit)
        graphs[limit] = neighbours(positions, boxes, 2.5)
    dense, tree = graphs.values()
    assert len(dense.center) > 5000
    for name in ("center", "neighbor", "vector"):
        assert torch.equal(getattr(dense, name), getattr(tree, name))


@pytest.mark.parametrize("limit", [20, 19])
def test_vectors_carry_the_gradient_of_the_positions(monkeypatch, limit):
    monkeypatch.setattr("gcd_hpc.networks.neighbours.DENSE_ATOMS", limit)
    positions = torch.rand(1, 20, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    graph = neighbours(positions, torch.tensor([2.0, 2.0, 2.0]), 0.9)
    (slope,) = torch.autograd.grad(graph.vector[0].sum(), positions)
    first, second = int(graph.center[0]), int(graph.neighbor[0])
    assert slope[0, first].tolist() == [-1.0] * 3
    assert slope[0, second].tolist() == [1.0] * 3
    assert slope.abs().sum() == 6.0
