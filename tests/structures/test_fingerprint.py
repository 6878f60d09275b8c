import numpy as np
import pytest

from gcd_hpc.structures.fingerprint import distance, fingerprint
from gcd_hpc.structures.frame import Frame
from tests.structures.boundaries import PERFECT, W_TWIST

FRAME = Frame.build(W_TWIST, (27.0, 27.0), 60.0)


@pytest.fixture(scope="module")
def positions():
    """A rattled boundary between slabs of crystal."""
    points = FRAME.join((2.0, 3.0, 0.4)).positions
    near = np.abs(points[:, 2] - FRAME.centre)[:, None] < 4
    return points + near * np.random.default_rng(0).normal(0, 0.15, points.shape)


def test_the_crystal_has_no_fingerprint():
    frame = Frame.build(PERFECT, (27.0, 27.0), 60.0)
    assert np.abs(fingerprint(frame.join((0, 0, 0)).positions, frame.lengths)).max() < 1e-9


def test_shifted_and_wrapped_structures_are_the_same(positions):
    moved = W_TWIST.wrap(positions + np.array([4.7, -8.1, 1.3]))
    assert distance(fingerprint(positions, FRAME.lengths), fingerprint(moved, FRAME.lengths)) < 1e-9


def test_renumbered_structures_are_the_same(positions):
    shuffled = np.random.default_rng(1).permutation(positions)
    assert distance(fingerprint(positions, FRAME.lengths), fingerprint(shuffled, FRAME.lengths)) < 1e-9


def test_structures_repeated_in_the_plane_are_the_same(positions):
    double = np.concatenate([positions, positions + np.array([W_TWIST.lengths[0], 0, 0])])
    cell = np.diag([2 * W_TWIST.lengths[0], W_TWIST.lengths[1], FRAME.height])
    assert distance(fingerprint(positions, FRAME.lengths), fingerprint(double, cell)) < 1e-9


def test_structures_turned_by_a_symmetry_operation_are_the_same(positions):
    reference = fingerprint(positions, FRAME.lengths)
    for operation in W_TWIST.symmetry_operations():
        assert distance(reference, fingerprint(FRAME.transform(positions, operation), FRAME.lengths)) < 1e-9


def test_the_fingerprint_is_continuous_in_the_positions(positions):
    reference, direction = fingerprint(positions, FRAME.lengths), np.random.default_rng(2).normal(0, 1, positions.shape)
    small, smaller = (distance(reference, fingerprint(positions + step * direction, FRAME.lengths)) for step in (1e-4, 1e-5))
    assert 1e-9 < smaller < 0.2 * small < 1e-4


def test_taking_an_atom_out_of_the_boundary_changes_the_fingerprint(positions):
    core = int(np.argmin(np.abs(positions[:, 2] - FRAME.centre)))
    missing = np.delete(positions, core, axis=0)
    assert distance(fingerprint(positions, FRAME.lengths), fingerprint(missing, FRAME.lengths)) > 0.03


def test_a_slab_too_thin_to_hold_crystal_has_no_fingerprint():
    assert not fingerprint(np.zeros((3, 3)), (5.0, 5.0, 5.0)).any()
