import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.energetics import n_fraction
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.lattices import conventional_cell
from gcd_hpc.structures.orientation import unit_rows
from gcd_hpc.structures.periodic import Neighbors
from tests.structures.boundaries import (
    ALL,
    ASYMMETRIC,
    PERFECT,
    SI_TWIST,
    TWIST,
    UNLIKE_PLANES,
    W_TWIST,
    bicrystal,
)


def test_the_papers_boundary_has_ten_atoms_a_plane_on_100_square_angstrom():
    assert W_TWIST.area == pytest.approx(100.163, abs=1e-3)  # docs/science.md#d3
    assert W_TWIST.plane_spacing == pytest.approx(1.58242, abs=1e-5)
    assert W_TWIST.atoms_per_plane == 10
    assert (W_TWIST.sigma, W_TWIST.misorientation_axis, W_TWIST.strain) == (
        5,
        (0, 0, 1),
        (0.0, 0.0, 0.0),
    )
    assert W_TWIST.misorientation_deg == pytest.approx(36.8699, abs=1e-4)


def test_replicas_multiply_the_cell_and_the_atoms_of_a_plane():
    double = bicrystal("W", "bcc", 3.164849, *TWIST, replicas=(2, 3))
    assert np.diag(double.cell) == pytest.approx(np.diag(W_TWIST.cell) * [2, 3])
    assert double.atoms_per_plane == 60
    assert len(double.lattice_positions("upper", (0, 0, 0), 0.0, 3 * double.plane_spacing)) == 180


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_grain_is_the_infinite_crystal_in_the_boxs_orientation(name, side):
    boundary = ALL[name]
    grain = boundary.grain(side)
    origin = np.array([0.3, 0.7, 0.1])
    positions = boundary.lattice_positions(side, origin, 0.0, 12.0)
    stretch = np.array([1 + grain.strain[0], 1 + grain.strain[1], 1.0])
    crystal = ((positions - origin) / stretch) @ unit_rows(grain.directions) / boundary.a0
    sites = conventional_cell(boundary.lattice, boundary.elements, 1.0).positions
    offsets = crystal[:, None] - sites
    assert np.abs(offsets - np.rint(offsets)).max(axis=2).min(axis=1).max() < 1e-9


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_no_pair_in_a_grain_is_closer_than_in_the_crystal(name, side):
    boundary = ALL[name]
    positions = boundary.lattice_positions(side, (0.1, 0.2, 0.3), 0.0, 15.0)
    shortest = boundary.nearest_neighbor * (1 + min(0.0, *boundary.grain(side).strain))
    assert Neighbors(positions, boundary.cell).closest() >= shortest - 1e-9


@pytest.mark.parametrize("name", ALL)
def test_every_plane_holds_the_same_number_of_atoms(name):
    boundary = ALL[name]
    for planes in (1, 2, 7):
        positions = boundary.lattice_positions(
            "lower", (0.0, 0.0, 0.0), 0.0, planes * boundary.plane_spacing
        )
        assert len(positions) == planes * boundary.lower.atoms_per_plane


@given(
    st.sampled_from(["sc", "bcc", "fcc", "diamond"]),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.floats(-10, 10),
)
@settings(max_examples=40, deadline=None)
def test_any_cut_of_a_spacings_height_holds_one_plane_of_wrapped_atoms(
    lattice, indices, origin, z_min
):
    a, b = indices
    boundary = bicrystal(
        "X", lattice, 3.0, ((a, b, 0), (-b, a, 0), (0, 0, 1)), ((a, -b, 0), (b, a, 0), (0, 0, 1))
    )
    positions = boundary.lattice_positions(
        "upper", origin, z_min, z_min + 3 * boundary.plane_spacing
    )
    assert len(positions) == 3 * boundary.atoms_per_plane
    assert np.all(positions[:, :2] >= 0)
    assert np.all(positions[:, :2] < np.diag(boundary.cell))


@pytest.mark.parametrize("depth", [0.0, 9e-7, -9e-7])
def test_planes_on_the_cut_count_as_above_it(depth):
    spacing = W_TWIST.plane_spacing
    positions = W_TWIST.lattice_positions(
        "lower", (0, 0, -depth), 0.0, 4 * spacing - min(depth, 0.0)
    )
    assert len(positions) == 40


def test_high_index_boundaries_are_built_as_well():
    boundary = bicrystal(
        "Cu",
        "fcc",
        3.6,
        ((1, -1, 0), (3, 3, -14), (7, 7, 3)),
        ((1, -1, 0), (3, 3, 14), (-7, -7, 3)),
    )
    positions = boundary.lattice_positions("lower", (0, 0, 0), 0.0, 10 * boundary.plane_spacing)
    assert len(positions) == 10 * boundary.atoms_per_plane


def test_grains_with_different_periods_share_a_multiple_and_the_strain_is_stated():
    lower, upper = ASYMMETRIC.lower.repeats[1], ASYMMETRIC.upper.repeats[1]
    assert (lower, upper) == (7, 5)
    assert ASYMMETRIC.strain == pytest.approx((0.0, 7 / np.sqrt(2) / 5 - 1, 0.0))
    assert ASYMMETRIC.sigma is None
    assert ASYMMETRIC.misorientation_deg == pytest.approx(45)


def test_grains_whose_periods_are_exact_multiples_need_no_strain():
    boundary = bicrystal(
        "Cu", "fcc", 3.6, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), ((1, 2, 2), (2, 1, -2), (-2, 2, -1))
    )
    assert boundary.strain == (0.0, 0.0, 0.0)
    assert (boundary.lower.repeats, boundary.upper.repeats) == ((3, 3), (1, 1))
    assert boundary.sigma == 3


def test_a_cell_that_needs_more_strain_than_allowed_is_refused_with_the_strain():
    with pytest.raises(
        OrientationError, match=r"share no cell along y within a strain of 1e-06.* need a strain of"
    ):
        bicrystal(
            "Cu", "fcc", 3.6, ((0, 0, 1), (1, -1, 0), (1, 1, 0)), ((0, 0, 1), (0, -1, 0), (1, 0, 0))
        )


def test_atoms_are_counted_modulo_what_divides_the_planes_of_both_grains():
    planes = UNLIKE_PLANES.lower.atoms_per_plane, UNLIKE_PLANES.upper.atoms_per_plane
    assert planes == (10, 2)
    assert UNLIKE_PLANES.atoms_per_plane == 2
    assert W_TWIST.atoms_per_plane == W_TWIST.upper.atoms_per_plane == 10


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("num_stripped", [0, 1, 2, 3])
def test_planes_taken_off_the_free_top_do_not_change_n(name, num_stripped):
    boundary = ALL[name]
    frame = Frame.build(boundary, (20.0, 20.0), 60.0)
    atoms = frame.join((0.1, 0.2, 0.3))
    top = frame.top + 0.3 - num_stripped * boundary.upper.plane_spacing
    left = atoms[atoms.positions[:, 2] < top - 1e-6]
    assert len(left) == len(atoms) - num_stripped * boundary.upper.atoms_per_plane
    assert n_fraction(len(left), boundary.atoms_per_plane) == 0.0


@pytest.mark.parametrize(
    ("boundary", "num_operations"), [(W_TWIST, 8), (PERFECT, 8), (ASYMMETRIC, 4), (SI_TWIST, 4)]
)
def test_number_of_symmetry_operations(boundary, num_operations):
    assert len(boundary.symmetry_operations) == num_operations


def test_the_twist_boundary_has_fourfold_turns_and_twofold_axes_that_swap_the_grains():
    operations = W_TWIST.symmetry_operations
    assert np.array_equal(operations[0], np.eye(3))
    assert all(round(np.linalg.det(operation)) == 1 for operation in operations)
    assert sum(operation[2, 2] for operation in operations) == 0


def test_fourfold_turns_are_left_out_where_the_cell_is_not_square():
    wide = bicrystal("W", "bcc", 3.164849, *TWIST, replicas=(2, 1))
    assert len(wide.symmetry_operations) == 4
    assert all(operation[0, 1] == 0 for operation in wide.symmetry_operations)


@pytest.mark.parametrize("name", ALL)
def test_symmetry_operations_form_a_group(name):
    operations = ALL[name].symmetry_operations
    known = np.stack(operations)
    # Turns by 120 degrees are rounded.
    assert all(
        np.abs(known - a @ b).max(axis=(1, 2)).min() < 1e-12 for a in operations for b in operations
    )


@pytest.mark.parametrize("name", ALL)
def test_symmetry_operations_map_the_grains_onto_each_other(name):
    boundary = ALL[name]
    for operation in boundary.symmetry_operations:
        target = "upper" if operation[2, 2] > 0 else "lower"
        cloud = boundary.lattice_positions("upper", (0, 0, 0), -15.0, 15.0) @ operation.T
        inner = cloud[np.abs(cloud[:, 2]) < 5]
        grid = boundary.wrap(boundary.lattice_positions(target, (0, 0, 0), -15.0, 15.0))
        neighbors = Neighbors(grid, boundary.cell)
        starts = grid[np.abs(grid[:, 2]) < 2.5] - inner[np.argmin(np.abs(inner[:, 2]))]
        assert min(neighbors.nearest(inner + start)[0].max() for start in starts) < 1e-6


def test_bicrystals_travel_between_processes():
    assert pickle.loads(pickle.dumps(W_TWIST)) == W_TWIST
