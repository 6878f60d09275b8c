"""Invariants tell the distances and angles around atoms, and nothing of how a structure lies."""

import numpy as np
import pytest
from numpy.polynomial.legendre import Legendre
from scipy.spatial.transform import Rotation

from gcd_hpc.structures.invariants import (
    _CENTRES,
    _WIDTH,
    CUTOFF,
    DEGREE,
    NUM_RADIAL,
    invariants,
    num_invariants,
)

WIDE = [100.0, 100.0, 100.0]
NEAREST = 2.5
EXACT = {"rel": 1e-4, "abs": 1e-4}
"""Sums of float32 in another order."""


def cluster(num=12, seed=0):
    """Points at least 1.5 Å apart in the middle of the wide box, (num, 3)."""
    rng = np.random.default_rng(seed)
    points = [np.zeros(3)]
    while len(points) < num:
        one = rng.uniform(-4.0, 4.0, 3)
        if min(np.linalg.norm(one - other) for other in points) > 1.5:
            points.append(one)
    return np.array(points) + 50.0


def test_they_are_the_sums_over_neighbours_and_over_their_pairs():
    points = cluster()
    vectors = (points[1:] - points[0]) / NEAREST
    distances = np.linalg.norm(vectors, axis=1)
    fade = np.where(distances < CUTOFF, 0.5 + 0.5 * np.cos(np.pi * distances / CUTOFF), 0.0)
    radial = fade[:, None] * np.exp(-0.5 * ((distances[:, None] - _CENTRES) / _WIDTH) ** 2)
    directions = vectors / distances[:, None]
    cosines = directions @ directions.T
    expected = [radial.sum(axis=0)]
    for degree in range(DEGREE + 1):
        powers = Legendre.basis(degree)(cosines)
        expected.append((radial.T @ powers @ radial)[np.triu_indices(NUM_RADIAL)])
    (found,) = invariants(points, WIDE, np.array([0]), NEAREST)
    assert len(found) == num_invariants(1)
    assert found == pytest.approx(np.concatenate(expected), **EXACT)


@pytest.mark.parametrize("num_kinds", [1, 2])
def test_turning_reflecting_and_renumbering_change_nothing(num_kinds):
    points, kinds = cluster(), np.arange(12) % num_kinds
    first = invariants(points, WIDE, np.arange(12), NEAREST, kinds, num_kinds)
    assert first.shape == (12, num_invariants(num_kinds))
    turn = Rotation.random(random_state=1).as_matrix() @ np.diag([1.0, 1.0, -1.0])
    order = np.random.default_rng(2).permutation(12)
    moved = ((points - 50.0) @ turn.T + 50.0)[order]
    second = invariants(moved, WIDE, np.arange(12), NEAREST, kinds[order], num_kinds)
    assert second == pytest.approx(first[order], **EXACT)


def test_a_cell_and_its_copies_side_by_side_have_the_same_although_it_is_shorter_than_the_cutoff():
    edges, points = np.array([3.0, 4.0, 100.0]), cluster(3)
    first = invariants(points, edges, np.arange(3), NEAREST)
    copies = np.concatenate([points, points + [3.0, 0.0, 0.0]])  # noqa: RUF005 (arrays)
    second = invariants(copies, edges * [2.0, 1.0, 1.0], np.arange(6), NEAREST)
    assert second == pytest.approx(np.tile(first, (2, 1)), **EXACT)


def test_an_atom_tells_its_own_element_and_those_of_its_neighbours():
    points, kinds = cluster(2), np.array([0, 1])
    first = invariants(points, WIDE, np.array([0]), NEAREST, kinds, 2)
    assert not np.allclose(first, invariants(points, WIDE, np.array([0]), NEAREST, kinds[::-1], 2))
    assert not np.allclose(first, invariants(points, WIDE, np.array([0]), NEAREST, 0 * kinds, 2))


def test_a_lonely_atom_and_no_atom_have_invariants_too():
    lonely = invariants(np.full((1, 3), 50.0), WIDE, np.array([0]), NEAREST)
    assert not lonely.any()
    none = invariants(cluster(), WIDE, np.array([], dtype=int), NEAREST)
    assert none.shape == (0, num_invariants(1))
