"""Atom by atom comparison of two boundary structures: which atoms are missing, which are extra."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.structures.periodic import Array, images, in_plane, wrap

HALF_HEIGHT_A = 9.0
"""Atoms so far above and below the boundary are compared, Å."""
_CRYSTAL_A = 6.0
"""From this height on the atoms are on the sites of their grain, Å."""
_SHIFT_A = 2.0
"""Largest difference of the heights of two boundaries after they were aligned, Å."""
SAME_PLACE = 0.35
"""Farthest that a defect moves an atom that stays, in nearest-neighbour distances."""
_SAME_REGISTRY = 0.12
"""Farthest that crystal atoms of equal registries lie apart, in nearest-neighbour distances."""
_NUM_PROBES = 6
"""Number of crystal atoms of each grain by which alignments are told apart."""


@dataclass(frozen=True)
class Match:
    """How a structure differs from another one of the same registry.

    num_missing: atoms of the other one without a partner.
    num_extra: atoms of this structure without a partner.
    rms_a: root mean square distance of partners, Å.
    """

    num_missing: int
    num_extra: int
    rms_a: float

    @property
    def num_defects(self) -> int:
        """Number of point defects by which they differ."""
        return self.num_missing + self.num_extra


@dataclass(frozen=True)
class Structure:
    """Atoms of a boundary: positions (N, 3) and the boundary's height, Å."""

    positions: Array
    middle: float

    def within(self, low: float, high: float) -> Array:
        """Positions (M, 3) of the atoms between two heights above the boundary, Å."""
        above = self.positions[:, 2] - self.middle
        return self.positions[(above >= low) & (above <= high)]


def best_match(
    structure: Structure,
    other: Structure,
    cell: Array,
    operations: Sequence[Array],
    nearest_neighbor: float,
) -> Match | None:
    """The alignment of two structures with the fewest point defects; None if no registries agree.

    Alignments are the symmetry operations of the boundary and all shifts that put the crystal of
    the lower grain onto itself. They count if the upper grain lands on itself as well.

    Args:
        cell: of both, periodic in the plane, Å: lengths or vectors.
        operations: (3, 3) each, of the bicrystal.
    """
    box = in_plane(cell)
    near = other.within(-HALF_HEIGHT_A - _SHIFT_A, HALF_HEIGHT_A + _SHIFT_A)
    around, source = images(wrap(near, box), box, nearest_neighbor)
    targets = cKDTree(around), around, source
    best: Match | None = None
    for operation in operations:
        turned = _turned(structure, operation)
        for shift in _alignments(turned, other, targets[0], box, nearest_neighbor):
            match = _match(turned, shift, near, targets, box, nearest_neighbor)
            if best is None or (match.num_defects, match.rms_a) < (best.num_defects, best.rms_a):
                best = match
    return best


def _turned(structure: Structure, operation: Array) -> Structure:
    return Structure(structure.positions @ operation.T, structure.middle * float(operation[2, 2]))


def _alignments(
    turned: Structure, other: Structure, tree: cKDTree, box: Array, nearest_neighbor: float
) -> Iterator[Array]:
    """Shifts (3,) that put the crystal of both grains onto that of the other structure."""
    lower = turned.within(-HALF_HEIGHT_A, -_CRYSTAL_A)
    upper = turned.within(_CRYSTAL_A, HALF_HEIGHT_A)
    if not len(lower) or not len(upper):
        return
    first = lower[np.argmin(lower[:, 2])]
    targets = other.within(-HALF_HEIGHT_A - _SHIFT_A, -_CRYSTAL_A + _SHIFT_A)
    shifts = targets - first  # (K, 3)
    shifts = shifts[np.abs(turned.middle + shifts[:, 2] - other.middle) < _SHIFT_A]
    probes = np.concatenate([lower[:_NUM_PROBES], upper[:_NUM_PROBES]])
    places = wrap(probes[:, None] + shifts, box)  # (P, K, 3)
    distances, _ = tree.query(places, distance_upper_bound=_SAME_REGISTRY * nearest_neighbor)
    yield from shifts[np.isfinite(distances).all(axis=0)]


def _match(
    turned: Structure,
    shift: Array,
    near: Array,
    targets: tuple[cKDTree, Array, NDArray[np.int64]],
    box: Array,
    nearest_neighbor: float,
) -> Match:
    """Partners of an aligned structure: atoms that are each other's nearest.

    Args:
        near: atoms of the other structure, (M, 3) Å.
        targets: tree of these atoms and their images, its points, and the atom of each.
    """
    tree, around, source = targets
    own = turned.within(-HALF_HEIGHT_A, HALF_HEIGHT_A) + shift
    limit = SAME_PLACE * nearest_neighbor
    places = wrap(own, box)
    distances, point = tree.query(places, distance_upper_bound=limit)
    paired = np.flatnonzero(np.isfinite(distances))
    # Of two atoms with one partner the nearer keeps it.
    paired = paired[np.argsort(distances[paired], kind="stable")]
    partners, first = np.unique(source[point[paired]], return_index=True)
    paired = paired[first]
    # Atoms near the ends of the compared heights may have a partner beyond them.
    low, high = own[:, 2].min() + limit, own[:, 2].max() - limit
    without = np.ones(len(near), dtype=bool)
    without[partners] = False
    alone = np.ones(len(own), dtype=bool)
    alone[paired] = False
    # The alignment put one atom onto another; what both grains moved together does not count.
    moved = around[point[paired]] - places[paired]
    moved -= moved.mean(axis=0)
    return Match(
        int((without & (near[:, 2] > low) & (near[:, 2] < high)).sum()),
        int((alone & (own[:, 2] > low) & (own[:, 2] < high)).sum()),
        float(np.sqrt((moved**2).sum(axis=1).mean())),
    )
