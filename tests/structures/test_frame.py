import numpy as np
import pytest

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.energetics import closest_pair, n_fraction
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import Neighbors, minimum_image
from tests.structures.boundaries import ALL, ASYMMETRIC, PERFECT, W_TWIST

FRAMES = {name: Frame.build(boundary, (24.0, 24.0), 62.0) for name, boundary in ALL.items()}


def test_the_papers_box_holds_two_slabs_of_17_planes():
    frame = Frame.build(W_TWIST, (27.0, 27.0), 72 * W_TWIST.cell[0][0] / 12)
    assert frame.height == pytest.approx(60.05, abs=0.01)  # docs/science.md#d5
    assert (frame.num_lower_planes, frame.num_upper_planes) == (17, 17)
    assert frame.bottom == pytest.approx(frame.height - frame.top - W_TWIST.plane_spacing)
    assert len(frame.join((0, 0, 0))) == 340


@pytest.mark.parametrize("name", FRAMES)
def test_a_joined_bicrystal_has_whole_planes_in_any_registry(name):
    frame, boundary = FRAMES[name], ALL[name]
    rng = np.random.default_rng(0)
    for _ in range(5):
        atoms = frame.join(frame.random_registry(rng))
        assert len(atoms) == (
            frame.num_lower_planes * boundary.lower.atoms_per_plane
            + frame.num_upper_planes * boundary.upper.atoms_per_plane
        )
        assert atoms.positions[:, 2].min() == pytest.approx(frame.bottom)
        assert atoms.positions[:, 2].max() < frame.height - 2
        assert atoms.pbc.tolist() == [True, True, False]
        assert n_fraction(len(atoms), boundary.atoms_per_plane) == 0


@pytest.mark.parametrize("dz", [0.0, 0.5, 1.5])
def test_the_first_gap_is_one_spacing_and_the_registry(dz):
    frame = FRAMES["W twist"]
    heights = frame.join((1.0, 2.0, dz)).positions[:, 2]
    below, above = (
        heights[heights < frame.centre - 1e-6].max(),
        heights[heights > frame.centre - 1e-6].min(),
    )
    assert above - below == pytest.approx(W_TWIST.plane_spacing + dz)


@pytest.mark.parametrize("name", FRAMES)
def test_the_lower_grain_has_a_lattice_point_at_the_origin_and_the_upper_one_at_the_registry(name):
    frame, boundary = FRAMES[name], ALL[name]
    registry = np.array([0.3, 0.4, 0.5])
    assert np.abs(frame.lower(frame.centre) - [0, 0, frame.bottom]).sum(axis=1).min() < 1e-9
    planes = (
        frame.upper(registry, frame.centre)[:, 2] - frame.centre - registry[2]
    ) / boundary.upper.plane_spacing
    assert np.abs(planes - np.rint(planes)).min() < 1e-9
    if boundary is not ASYMMETRIC:  # grains of one spacing count their planes from the same bottom
        upper = frame.upper(registry, frame.bottom)
        assert np.abs(upper - [0.3, 0.4, frame.bottom + 0.5]).sum(axis=1).min() < 1e-9


def test_equal_grains_joined_in_the_crystals_registry_make_one_crystal():
    frame = Frame.build(PERFECT, (15.0, 15.0), 40.0)
    atoms = frame.join((0.0, 0.0, 0.0))
    crystal = PERFECT.lattice_positions("lower", (0, 0, frame.bottom), frame.bottom, frame.top)
    assert np.allclose(np.sort(atoms.positions, axis=0), np.sort(crystal, axis=0))
    assert closest_pair(atoms.positions, frame.cell) == pytest.approx(PERFECT.nearest_neighbor)


def test_random_registries_cover_the_cell_and_one_spacing():
    frame = FRAMES["W twist"]
    rng = np.random.default_rng(1)
    registries = np.array([frame.random_registry(rng) for _ in range(500)])
    limits = np.array([*np.diag(W_TWIST.cell), W_TWIST.plane_spacing])
    assert np.all(registries >= 0)
    assert np.all(registries < limits)
    assert np.all(np.ptp(registries, axis=0) > 0.97 * limits)


@pytest.mark.parametrize("name", FRAMES)
def test_transformed_structures_lie_on_the_lower_grain_again(name):
    frame, boundary = FRAMES[name], ALL[name]
    positions = frame.join((0.7, 1.1, 0.6)).positions
    perfect = frame.lower(frame.bottom + 15.0)
    for operation in boundary.symmetry_operations:
        turned = frame.transform(positions, operation)
        assert turned.shape == positions.shape
        assert Neighbors(turned, boundary.cell).nearest(perfect)[0].max() < 1e-6


@pytest.mark.parametrize("name", FRAMES)
def test_the_identity_leaves_a_structure_alone(name):
    frame = FRAMES[name]
    positions = frame.join((0.7, 1.1, 0.6)).positions
    moved = frame.transform(positions, np.eye(3, dtype=int)) - positions
    cell = frame.bicrystal.cell
    moved = minimum_image(moved, cell)
    drift = moved - moved[0]  # all atoms alike: at most a lattice vector of the lower grain
    assert np.abs(minimum_image(drift, cell)).max() < 1e-9
    assert abs(moved[0, 2]) < 1e-9


def test_operations_that_swap_the_grains_are_undone_by_themselves():
    frame = FRAMES["W twist"]
    atoms = frame.join((0.7, 1.1, 0.6)).positions
    for operation in W_TWIST.symmetry_operations:
        back = frame.transform(frame.transform(atoms, operation), operation.T)
        neighbors = Neighbors(back, W_TWIST.cell)
        lattice_shifts = W_TWIST.lattice_positions("lower", (0, 0, 0), 0.0, 0.1)
        misfits = [neighbors.nearest(atoms + shift)[0].max() for shift in lattice_shifts]
        assert min(misfits) < 1e-6


def test_a_box_grows_only_for_structures_that_reach_above_it():
    frame = FRAMES["W twist"]
    slab = frame.join((0, 0, 0)).positions
    edges = tuple(np.diag(frame.cell).tolist())
    assert frame.edges_around() == frame.edges_around(slab) == edges
    lifted = slab + np.array([0, 0, 20.0])
    expected = *edges[:2], lifted[:, 2].max() + 2
    assert frame.edges_around(slab, lifted) == expected
    assert frame.edges_around(np.empty((0, 3))) == edges


def test_slabs_that_do_not_fit_are_refused():
    with pytest.raises(
        StructureError, match=r"take 55.38 Å .* 59.38 Å in all; the box is 58.00 Å high"
    ):
        Frame.build(W_TWIST, (27.0, 27.0), 58.0)


def test_slabs_without_a_plane_are_refused():
    with pytest.raises(StructureError, match="at least one lattice plane"):
        Frame.build(W_TWIST, (0.5, 27.0), 60.0)
