import numpy as np
import pytest

from gcd_hpc.structures.fingerprint import distance, energy_weights, fingerprint
from gcd_hpc.structures.frame import Frame
from tests.reference import ATOM_ENERGY, GROUND_STATE, METASTABLE, phase
from tests.structures.boundaries import W_TWIST

FRAME = Frame.build(W_TWIST, (27.0, 27.0), 60.0)
RNG = np.random.default_rng(0)


def mark(positions, centre=FRAME.centre, cell=FRAME.cell):
    return fingerprint(
        positions,
        cell,
        # falling smoothly to zero from 6 to 7 Å
        0.5 + 0.5 * np.cos(np.pi * np.clip(np.abs(positions[:, 2] - centre) - 6, 0, 1)),
        W_TWIST.nearest_neighbor,
    )


@pytest.fixture(scope="module")
def positions():
    """A rattled boundary between slabs of crystal."""
    points = FRAME.join((2.0, 3.0, 0.4)).positions
    near = np.abs(points[:, 2] - FRAME.centre)[:, None] < 4
    return points + near * RNG.normal(0, 0.15, points.shape)


def test_shifted_and_wrapped_structures_are_the_same(positions):
    moved = W_TWIST.wrap(positions + np.array([4.7, -8.1, 1.3]))
    assert distance(mark(positions), mark(moved, FRAME.centre + 1.3)) < 1e-9


def test_renumbered_structures_are_the_same(positions):
    assert distance(mark(positions), mark(np.random.default_rng(1).permutation(positions))) < 1e-9


def test_structures_repeated_in_the_plane_are_the_same(positions):
    double = np.concatenate([positions, positions + FRAME.cell[0]])
    cell = FRAME.cell * [2, 1, 1]
    assert distance(mark(positions), mark(double, cell=cell)) < 1e-9


def test_structures_turned_by_a_symmetry_operation_are_the_same(positions):
    atom = int(np.argmin(np.abs(positions[:, 2] - FRAME.centre)))
    for operation in W_TWIST.symmetry_operations:
        turned = FRAME.transform(positions, operation)
        centre = turned[atom, 2] + operation[2, 2] * (FRAME.centre - positions[atom, 2])
        assert distance(mark(positions), mark(turned, centre)) < 1e-9


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_structures_are_the_same(positions, axis):
    mirrored = positions * np.where(np.arange(3) == axis, -1, 1)
    assert (
        distance(mark(positions), mark(mirrored, -FRAME.centre if axis == 2 else FRAME.centre))
        < 1e-9
    )


def test_structures_turned_by_90_degrees_are_the_same_in_a_turned_cell(positions):
    """Also where the cell is not square: two copies along x become two along y."""
    double = np.concatenate([positions, positions + FRAME.cell[0]])
    turned = np.stack([-double[:, 1], double[:, 0], double[:, 2]], axis=1)
    cell = np.diag(FRAME.cell)[[1, 0, 2]] * [1, 2, 1]
    assert distance(mark(positions), mark(turned, cell=cell)) < 1e-9


def test_cells_narrower_than_the_cutoff_see_all_periodic_images():
    lengths = np.array([3.0, 3.0, 60.0])
    chain = np.array([[0.0, 0.0, 30.0], [1.5, 1.5, 31.5]])
    wide = np.concatenate([chain + np.array([x, y, 0]) for x in (0, 3, 6, 9) for y in (0, 3, 6, 9)])
    prints = [
        fingerprint(points, lengths * [copies, copies, 1], np.ones(len(points)), 2.6)
        for points, copies in ((chain, 1), (wide, 4))
    ]
    assert distance(*prints) < 1e-9


def test_the_fingerprint_is_continuous_in_the_positions(positions):
    direction = np.random.default_rng(2).normal(0, 1, positions.shape)
    small, smaller = (
        distance(mark(positions), mark(positions + step * direction)) for step in (1e-4, 1e-5)
    )
    assert 1e-9 < smaller < 0.2 * small < 1e-4


def test_taking_an_atom_out_of_the_boundary_changes_the_fingerprint(positions):
    core = int(np.argmin(np.abs(positions[:, 2] - FRAME.centre)))
    assert distance(mark(positions), mark(np.delete(positions, core, axis=0))) > 0.01


def test_energy_weights_are_zero_in_the_crystal_and_one_far_from_it():
    assert energy_weights([-8.76, -8.75, -8.0, -9.5], -8.76) == pytest.approx(
        [0.0, 0.04, 1.0, 1.0], abs=1e-3
    )


def test_without_boundary_atoms_there_is_nothing_to_tell_apart():
    empty = fingerprint(np.zeros((3, 3)), (5.0, 5.0, 5.0), np.zeros(3), 2.7)
    assert not empty.any()
    assert distance(empty, empty) == 0.0


def phase_of(path, copies=1):
    """Positions, energies and cell of a reference structure; of the first of several copies along
    x with copies > 1.
    """
    atoms = phase(path)
    width = atoms.cell[0, 0] / copies
    folded = np.sort(atoms.positions[:, 0] % width)
    gap = np.argmax(np.diff(folded))  # a cut where no atom is
    first = (atoms.positions[:, 0] - folded[gap : gap + 2].mean()) % atoms.cell[0, 0] < width
    return (
        atoms.positions[first],
        atoms.arrays[ATOM_ENERGY][first],
        np.array([width, *atoms.cell.lengths()[1:]]),
    )


def mark_phase(positions, energies, lengths):
    inside = (
        np.abs(positions[:, 2] - positions[:, 2].min() - np.ptp(positions[:, 2]) / 2) < 20
    )  # without the free surfaces
    return fingerprint(
        positions, lengths, inside * energy_weights(energies, -8.759994), W_TWIST.nearest_neighbor
    )


def test_the_reference_phase_of_two_cells_is_the_same_as_one_cell_of_it():
    """As far as the minimiser left both halves alike: their atoms are at most 0.00007 Å apart."""
    double, single = (
        phase_of(METASTABLE),
        phase_of(METASTABLE, copies=2),
    )
    assert 2 * len(single[0]) == len(double[0]) == 848
    assert distance(mark_phase(*double), mark_phase(*single)) < 1e-5


@pytest.mark.parametrize("copies", [1, 2])
def test_the_reference_phases_differ_whatever_the_cell(copies):
    ground, metastable = phase_of(GROUND_STATE), phase_of(METASTABLE, copies)
    assert distance(mark_phase(*ground), mark_phase(*metastable)) > 0.1


@pytest.mark.parametrize(("path", "copies"), [(GROUND_STATE, 1), (METASTABLE, 2)])
def test_shifted_turned_and_mirrored_copies_of_a_reference_phase_are_the_same(path, copies):
    positions, energies, lengths = phase_of(path, copies)
    known = mark_phase(positions, energies, lengths)
    for symmetry in ([1, 1, 1], [-1, 1, 1], [1, 1, -1], [-1, -1, 1]):
        moved = positions * symmetry + [3.3, -7.1, 2.0]
        assert distance(known, mark_phase(moved, energies, lengths)) < 1e-9
        assert distance(known, mark_phase(moved[:, [1, 0, 2]], energies, lengths[[1, 0, 2]])) < 1e-9


def test_a_leaning_cell_has_the_fingerprint_of_the_rectangle_that_holds_two_of_it(positions):
    """To rounding: the images come in another order. The cell need not be that of a crystal."""
    x, y, height = np.diag(FRAME.cell)
    leaning = np.array([[x, 0.0, 0.0], [x / 2, y, 0.0], [0.0, 0.0, height]])
    doubled = np.concatenate([positions, positions + leaning[1]])
    expected = mark(doubled, cell=(x, 2 * y, height))
    assert np.allclose(mark(positions, cell=leaning), expected, rtol=1e-12, atol=1e-14)
