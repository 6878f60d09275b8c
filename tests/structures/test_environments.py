"""Environments of atoms against crystals whose neighbours are known."""

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Icosahedron

from gcd_hpc.structures.environments import KINDS, environments


def slab(name, lattice, repeat=(3, 3, 8), **more):
    """Positions (N, 3) and edges of a crystal, and which atoms are far from its open ends."""
    cubic = {} if lattice == "hcp" else {"cubic": True}
    atoms = bulk(name, lattice, **({"orthorhombic": True} if lattice == "hcp" else cubic), **more)
    atoms = atoms.repeat(repeat)
    heights = atoms.positions[:, 2]
    inner = (heights > heights.min() + 6) & (heights < heights.max() - 6)
    return atoms.positions, atoms.cell.lengths()[:2], inner


@pytest.mark.parametrize(
    ("name", "lattice", "num", "kind"),
    [("W", "bcc", 8, "bcc"), ("Cu", "fcc", 12, "fcc"), ("Ti", "hcp", 12, "hcp")],
)
def test_a_crystal_has_its_kind_and_number_of_neighbours_also_when_it_shakes(
    name, lattice, num, kind
):
    positions, edges, inner = slab(name, lattice)
    # By less than half of the gap between the first two shells of bcc, 0.42 Å.
    shaken = positions + np.random.default_rng(0).uniform(-0.05, 0.05, positions.shape)
    for places in (positions, shaken):
        found = environments(places, edges, lattice)
        assert (found.coordination[inner] == num).all()
        assert (found.kinds[inner] == KINDS.index(kind)).all()
    assert found.kinds[np.argmin(positions[:, 2])] == KINDS.index("other")


@pytest.mark.parametrize("repeat", [(1, 1, 8), (2, 3, 8)])
def test_environments_do_not_depend_on_how_often_the_cell_is_repeated(repeat):
    positions, edges, inner = slab("W", "bcc", repeat)
    assert (environments(positions, edges, "bcc").coordination[inner] == 8).all()


def test_the_middle_of_an_icosahedron_is_found():
    cluster = Icosahedron("Cu", noshells=3)
    found = environments(cluster.positions, [60.0, 60.0], "fcc")
    middle = np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1).argmin()
    assert found.kinds[middle] == KINDS.index("icosahedral")


def test_centro_symmetry_is_zero_in_a_crystal_and_known_beside_a_vacancy():
    positions, edges, inner = slab("Cu", "fcc", (4, 4, 8))
    found = environments(positions, edges, "fcc")
    np.testing.assert_allclose(found.centro_symmetry[inner], 0, atol=1e-9)  # rounding
    middle = np.linalg.norm(positions - positions.mean(axis=0), axis=1).argmin()
    removed = positions[middle]
    kept = np.delete(positions, middle, axis=0)
    near = np.linalg.norm(kept - removed, axis=1).argmin()
    # Five of eleven neighbours have an opposite one; the smallest other sum is that of two
    # neighbours at 120 degrees, as long as a neighbour distance.
    value = environments(kept, edges, "fcc").centro_symmetry[near]
    assert value == pytest.approx(3.61**2 / 2)


def test_atoms_of_another_kind_in_the_middle_are_the_boundary_between_two_grains():
    positions, edges, _ = slab("W", "bcc", (3, 3, 12))
    middle = positions[:, 2].min() + np.ptp(positions[:, 2]) / 2
    near = np.abs(positions[:, 2] - middle) < 2
    rng = np.random.default_rng(1)
    positions[near] += rng.normal(0, 0.6, (near.sum(), 3))
    found = environments(positions, edges, "bcc")
    assert found.grains[positions[:, 2].argmin()] == 0
    assert found.grains[positions[:, 2].argmax()] == 2
    assert (found.grains[near] == 1).mean() > 0.8  # some stay near their sites
    assert set(found.grains[~near & (np.abs(positions[:, 2] - middle) > 6)]) == {0, 2}
