"""Boundaries in their smallest cells, which may be oblique."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import images

NAMES = [
    (lattice, sigma) for lattice in ("fcc", "bcc", "diamond") for sigma in (3, 7, 13)
]  # twists about <111>


def twist(lattice, sigma, cell, axis=(1, 1, 1)):
    config = BoundaryConfig(
        element="Cu", lattice=lattice, sigma=sigma, axis=axis, twist=True, cell=cell
    )
    return Bicrystal.build(config, 3.6)


@pytest.mark.parametrize(("lattice", "sigma"), NAMES)
def test_the_smallest_cell_of_a_111_twist_is_half_the_rectangle_and_holds_half_the_atoms(
    lattice, sigma
):
    small, rectangle = (twist(lattice, sigma, cell) for cell in ("smallest", "rectangle"))
    (ax, _), (bx, by) = small.cell
    assert (bx, by) == pytest.approx((ax / 2, ax * np.sqrt(3) / 2))
    assert rectangle.area == pytest.approx(2 * small.area)
    assert rectangle.atoms_per_plane == 2 * small.atoms_per_plane
    assert small.plane_spacing == pytest.approx(rectangle.plane_spacing)
    assert small.misorientation == rectangle.misorientation


@pytest.mark.parametrize(("lattice", "sigma"), NAMES)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_the_crystal_in_the_smallest_cell_is_the_one_in_the_rectangle(lattice, sigma, side):
    small, rectangle = (twist(lattice, sigma, cell) for cell in ("smallest", "rectangle"))
    origin = (0.3, 0.2, 0.1)
    inside = small.lattice_positions(side, origin, 0.0, 12.0)
    whole = rectangle.lattice_positions(side, origin, 0.0, 12.0)
    assert 2 * len(inside) == len(whole)
    # The grains of both may be turned against each other in the plane by a symmetry of the crystal
    # or by the edge that lies along x, but pairs of atoms are equally far apart.
    for distance in (2.6, 4.0, 5.2):
        around, _ = images(inside, small.cell, 6.0)
        counts = [
            cKDTree(cloud).count_neighbors(cKDTree(points), distance) / len(points)
            for cloud, points in (
                (around, inside),
                (images(whole, rectangle.cell, 6.0)[0], whole),
            )
        ]
        assert counts[0] == pytest.approx(counts[1])


@pytest.mark.parametrize(("lattice", "sigma"), NAMES)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_grain_continues_across_the_edges_of_the_smallest_cell(lattice, sigma, side):
    small = twist(lattice, sigma, "smallest")
    positions = small.lattice_positions(side, (0.3, 0.2, 0.1), 0.0, 12.0)
    edges = np.zeros((3, 3))
    edges[:2, :2] = small.cell
    cloud = np.concatenate([positions + i * edges[0] + j * edges[1] for i, j in ((0, 0), (1, 1))])
    grain = small.grain(side)
    primitive = np.linalg.solve(np.array(grain.vectors), np.array(grain.cell))
    counts = (cloud - np.array([0.3, 0.2, 0.1])) @ np.linalg.inv(primitive)
    basis = np.array(grain.crystal.basis) / grain.crystal.denominator
    gaps = counts[:, None] - basis
    assert np.abs(gaps - np.rint(gaps)).max(axis=2).min(axis=1).max() < 1e-9


def test_replicas_multiply_an_oblique_cell_and_its_atoms():
    small = twist("fcc", 7, "smallest")
    large = small.replicated(2, 3)
    assert large.area == pytest.approx(6 * small.area)
    assert large.atoms_per_plane == 6 * small.atoms_per_plane
    (ax, _), (bx, _) = large.cell
    assert abs(bx) <= ax / 2 + 1e-9
    positions = large.lattice_positions("upper", (0, 0, 0), 0.0, 3 * large.plane_spacing)
    assert len(positions) == 3 * large.atoms_per_plane


def test_a_boundary_whose_smallest_cell_is_a_rectangle_is_the_same_by_both_words():
    small, rectangle = (twist("fcc", 5, cell, (0, 0, 1)) for cell in ("smallest", "rectangle"))
    assert small == rectangle


@pytest.mark.parametrize(("sigma", "number"), [(3, 12), (7, 6)])
def test_symmetries_of_a_hexagonal_cell_form_the_group_of_the_twist_boundary(sigma, number):
    operations = twist("fcc", sigma, "smallest").symmetry_operations
    assert len(operations) == number
    assert np.array_equal(operations[0], np.eye(3))
    for one in operations:
        for other in operations:
            assert min(np.abs(one @ other - third).max() for third in operations) < 1e-9


@pytest.mark.parametrize("lattice", ["fcc", "diamond"])
def test_a_structure_turned_by_a_symmetry_keeps_its_lower_grain_in_an_oblique_cell(lattice):
    boundary = twist(lattice, 7, "smallest")
    frame = Frame.build(boundary, (12.0, 12.0), 40.0)
    atoms = frame.join((0.4, 0.3, 0.2))
    lower = frame.lower(frame.bottom + 4.0)
    for operation in boundary.symmetry_operations:
        turned = frame.transform(atoms.positions, operation)
        around, _ = images(turned, boundary.cell, 1.0)
        assert cKDTree(around).query(lower)[0].max() < 1e-6
