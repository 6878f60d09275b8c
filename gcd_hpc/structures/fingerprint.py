"""Fingerprints of boundary structures: smeared histograms of the distances around their atoms."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2
from gcd_hpc.structures.periodic import area, images, in_plane, tree_of, wrap

Fingerprint = NDArray[np.float64]
Array = NDArray[np.float64]
Row = TypeVar("Row")

_FIRST, _CUTOFF = 0.6, 2.2
_WIDTH = 0.04
"""Range of distances and their Gaussian smearing, in nearest-neighbour distances."""
_NUM_BINS = 64
_FINE = 8
"""Subdivisions of a bin, used for the histogram before it is smeared."""
SAME_FINGERPRINT = 0.01
"""Largest ``distance`` of the fingerprints of equal structures."""


def fingerprint(
    positions: ArrayLike,
    cell: ArrayLike,
    weights: ArrayLike,
    nearest_neighbor: float,
    kinds: NDArray[np.integer] | None = None,
    num_kinds: int = 1,
) -> Fingerprint:
    """Histogram of the distances around the boundary's atoms, per boundary area, (64,) 1/Å^2.

    It does not change when a structure is shifted, transformed by a symmetry operation, renumbered
    or repeated in the plane, and it is continuous in the positions and weights.

    Args:
        positions: (N, 3) Å, periodic in x and y.
        cell: lengths (3,) or vectors (3, 3) of the box, Å.
        weights: (N,) share of each atom in the boundary, from energy_weights.
        nearest_neighbor: nearest-neighbour distance of the crystal, Å: the unit of all distances.
        kinds: (N,) number of each atom's element, from 0 to num_kinds - 1. Each ordered pair of
            elements then has a histogram of its own, (num_kinds^2 64,).
    """
    box, weight = in_plane(cell), np.asarray(weights, dtype=float)
    points = wrap(positions, box)
    inside = np.flatnonzero(weight > 1e-6)
    if not len(inside):
        return np.zeros(num_kinds**2 * _NUM_BINS)
    cutoff = _CUTOFF * nearest_neighbor
    around, sources = images(points, box, cutoff)
    pairs = tree_of(points[inside]).sparse_distance_matrix(
        tree_of(around), cutoff, output_type="ndarray"
    )
    pairs = pairs[pairs["v"] > 1e-6]  # not an atom with itself
    ratio = pairs["v"] / nearest_neighbor
    # The cosine fades to zero at the cutoff.
    share = weight[inside][pairs["i"]] * (0.5 + 0.5 * np.cos(np.pi * ratio / _CUTOFF))
    if kinds is None or num_kinds == 1:
        return _smeared(ratio, share) / area(box)
    pair = num_kinds * kinds[inside][pairs["i"]] + kinds[sources][pairs["j"]]
    histograms = [_smeared(ratio[pair == one], share[pair == one]) for one in range(num_kinds**2)]
    return np.concatenate(histograms) / area(box)


def slab_fingerprint(
    positions: ArrayLike,
    cell: ArrayLike,
    energies_ev: ArrayLike,
    bulk_ev_per_atom: float,
    nearest_neighbor: float,
    outer_thickness: float,
    kinds: NDArray[np.integer] | None = None,
    num_kinds: int = 1,
) -> Fingerprint:
    """Fingerprint of a relaxed slab, its atoms weighted by their excess energy, (64,) 1/Å^2.

    Args:
        positions: (N, 3) Å.
        energies_ev: (N,) of the atoms, eV.
        outer_thickness: atoms this near to the lowest or highest one belong to the free surfaces
            and are left out, Å.
        kinds, num_kinds: as for fingerprint.
    """
    weights = slab_weights(positions, energies_ev, bulk_ev_per_atom, outer_thickness)
    return fingerprint(positions, cell, weights, nearest_neighbor, kinds, num_kinds)


def slab_weights(
    positions: ArrayLike,
    energies_ev: ArrayLike,
    bulk_ev_per_atom: float,
    outer_thickness: float,
) -> Array:
    """Share (N,) of each atom of a slab in its boundary, 0 at the free surfaces.

    Args:
        positions, energies_ev, outer_thickness: as for slab_fingerprint.
    """
    heights = np.asarray(positions, dtype=float)[:, 2]
    inside = (heights > heights.min() + outer_thickness) & (
        heights < heights.max() - outer_thickness
    )
    return np.where(inside, energy_weights(energies_ev, bulk_ev_per_atom), 0.0)


def boundary_height(positions: ArrayLike, weights: ArrayLike) -> float:
    """Mean height of the boundary's atoms, Å; that of all atoms where none has a weight.

    Args:
        positions: (N, 3) Å.
        weights: (N,) from slab_weights.
    """
    heights, share = np.asarray(positions, dtype=float)[:, 2], np.asarray(weights, dtype=float)
    return float(np.average(heights, weights=share) if share.sum() > 0 else heights.mean())


def distance(a: Fingerprint, b: Fingerprint) -> float:
    """Difference of two fingerprints relative to their size: 0 for equal structures, at most 2.

    Measured for the W Sigma5 twist ground state with energy weights: atoms rattled by 0.001 Å give
    0.0002, by 0.01 Å 0.004; one boundary atom removed gives at least 0.015; the other published
    phase 0.15.
    """
    size = 0.5 * (np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b) / size) if size > 0 else 0.0


def is_same(energy_gap_j_m2: float, a: Fingerprint, b: Fingerprint) -> bool:
    """Whether two structures of one [n] are the same, by their energies and fingerprints."""
    return abs(energy_gap_j_m2) < SAME_ENERGY_J_M2 and distance(a, b) <= SAME_FINGERPRINT


def first_unique(
    rows: Iterable[Row],
    energy_j_m2: Callable[[Row], float],
    fingerprint: Callable[[Row], Fingerprint],
    num: int,
) -> list[Row]:
    """First ``num`` rows whose structures differ from those of all rows before them.

    Args:
        rows: of one [n]; in the order of their energies, the lowest of each structure is kept.
        energy_j_m2, fingerprint: of a row; the fingerprint is only made while rows are wanted.
    """
    kept: list[tuple[Row, float, Fingerprint]] = []
    for row in rows:
        if len(kept) == num:
            break
        energy, mark = energy_j_m2(row), fingerprint(row)
        if not any(is_same(energy - old, mark, known) for _, old, known in reversed(kept)):
            kept.append((row, energy, mark))
    return [row for row, _, _ in kept]


def energy_weights(
    energies_ev: ArrayLike, bulk_ev_per_atom: float, scale_ev: float = 0.05
) -> Array:
    """Weights (N,) from per-atom energies: 0 in the crystal, 1 far above or below its energy."""
    excess = (np.asarray(energies_ev, dtype=float) - bulk_ev_per_atom) / scale_ev
    return np.asarray(1.0 - np.exp(-(excess**2)), dtype=np.float64)


def _smeared(ratio: Array, share: Array) -> Fingerprint:
    """Weighted histogram with a Gaussian in place of each distance, (64,).

    Each distance is first shared linearly between two fine cells, which keeps it continuous.
    """
    num_fine = _NUM_BINS * _FINE
    step = (_CUTOFF - _FIRST) / num_fine
    place = np.clip((ratio - _FIRST) / step, 0.0, num_fine - 1e-9)
    left = place.astype(np.int64)
    part = place - left
    fine = np.bincount(left, share * (1 - part), num_fine + 1) + np.bincount(
        left + 1, share * part, num_fine + 1
    )
    centres = _FIRST + (np.arange(_NUM_BINS) + 0.5) * step * _FINE
    edges = _FIRST + np.arange(num_fine + 1) * step
    smear: Array = np.exp(-0.5 * ((centres[:, None] - edges) / _WIDTH) ** 2)
    return np.asarray(smear @ fine, dtype=np.float64)
