"""Symmetries of two grains that share an in-plane cell."""

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from gcd_hpc.structures.grain import SAME, Grain, InPlane, Positions
from gcd_hpc.structures.periodic import shortest_vectors


def symmetries(lower: Grain, upper: Grain, cell: InPlane) -> tuple[Positions, ...]:
    """Rotations and mirrors, (3, 3) each, that map a bicrystal onto itself; the identity first.

    Operations that reverse z swap the grains. An operation counts if it keeps the in-plane lattice
    of the common cell and the strain, and if each cut grain lands, up to a shift, on the grain that
    takes its place. In diamond this excludes operations that would put the other half of a double
    layer lowest.
    """
    xx, yy, xy = upper.strain
    strain = np.array([[xx, xy / 2], [xy / 2, yy]])
    operations = []
    for plane in _in_plane(cell):
        if np.allclose(plane @ strain @ plane.T, strain, rtol=0, atol=1e-10):
            for sign in (1, -1):
                operation = np.zeros((3, 3))
                operation[:2, :2], operation[2, 2] = plane, sign
                if _is_symmetry(operation, lower, upper):
                    operations.append(operation)
    return tuple(sorted(operations, key=lambda one: not np.array_equal(one, np.eye(3))))


def _in_plane(cell: InPlane) -> Iterator[Positions]:
    """Rotations and mirrors (2, 2) in the plane that keep the lattice of a cell."""
    edges = np.array(cell)
    for order, signs in product(permutations(range(2)), product((1, -1), repeat=2)):
        operation = np.zeros((2, 2))
        operation[(0, 1), order] = signs
        image = edges @ operation.T @ np.linalg.inv(edges)
        if np.abs(image - np.rint(image)).max() < 1e-10:
            yield operation
    if not edges[1, 0]:
        return
    # In an oblique cell the others map the shortest vectors to their sums and differences.
    edges = shortest_vectors(cell)
    for entries in product((-1, 0, 1), repeat=4):
        image = np.array(entries, dtype=float).reshape(2, 2)
        operation = (np.linalg.inv(edges) @ image @ edges).T
        is_turn = np.allclose(operation @ operation.T, np.eye(2), rtol=0, atol=1e-10)
        if is_turn and np.abs(operation).max() < 1 - 1e-6:
            yield operation


def _is_symmetry(operation: Positions, lower: Grain, upper: Grain) -> bool:
    if operation[2, 2] > 0:
        return _maps(operation, lower, lower) and _maps(operation, upper, upper)
    unstrained = max(map(abs, upper.strain)) < 1e-10
    return unstrained and _maps(operation, lower, upper) and _maps(operation, upper, lower)


def _maps(operation: Positions, source: Grain, target: Grain) -> bool:
    """Whether a rotation or mirror maps a cut grain onto another, up to a lattice shift."""
    # The operation must turn each primitive vector of the source into a vector of the target.
    exact = source.primitive @ operation.T @ np.linalg.inv(target.primitive)
    turn = np.rint(exact).astype(int)
    if np.abs(exact - turn).max() > SAME:
        return False
    basis, whole = np.array(source.crystal.basis), source.crystal.denominator
    targets, kinds = np.array(target.crystal.basis), np.array(target.crystal.numbers)
    # The lowest layer after the operation must be a layer of lattice points, as in a freshly cut
    # grain.
    heights = np.array(source.phases)
    lowest = basis[np.argmin(heights if operation[2, 2] > 0 else -heights)]
    images = (basis - lowest) @ turn
    for shift, phase in zip(targets, target.phases, strict=True):
        gaps = ((images + shift)[:, None] - targets) / whole  # (num_source, num_target, 3)
        equal = np.abs(gaps - np.rint(gaps)).max(axis=2) <= SAME
        equal &= np.array(source.crystal.numbers)[:, None] == kinds
        if equal.any(axis=1).all() and phase < SAME:
            return True
    return False
