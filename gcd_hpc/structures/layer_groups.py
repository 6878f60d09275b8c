"""Layer groups of boundary structures, found by spglib."""

import warnings
from typing import Any

import numpy as np
import spglib
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.structures.periodic import fractional

TOLERANCE_A = 0.05
"""Largest distance of an atom from where a symmetry operation puts another one, Å.

Relaxations stop at a force, which leaves rigid shifts of a grain uncertain by some 0.01 Å.
"""
MIN_REACH, MAX_REACH = 7.0, 10.0
"""The structure is cut this far above and below the boundary, within the widest gap, Å."""
_VACUUM = 20.0
"""Empty space between the ends of the cut structure and of its cell, Å."""


def layer_group(
    positions: ArrayLike,
    cell: ArrayLike,
    numbers: ArrayLike,
    weights: ArrayLike,
    tolerance_a: float = TOLERANCE_A,
) -> str:
    """Layer group of a boundary, as its number and symbol: ``50 p-4``; empty if there is none.

    Only atoms around the boundary count: those as far above as below the mean height of the
    boundary's atoms, up to a gap between the planes on both sides. Operations that swap the grains
    keep this height, so that the cut breaks none.

    Args:
        positions: (N, 3) Å, periodic in x and y.
        cell: vectors of the box as rows, (3, 3) Å.
        numbers: (N,) atomic numbers.
        weights: (N,) share of each atom in the boundary, from ``energy_weights``, 0 at surfaces.
        tolerance_a: of spglib (symprec), Å.
    """
    points, weight = np.asarray(positions, dtype=float), np.asarray(weights, dtype=float)
    if not weight.sum() > 0:
        return ""
    heights = points[:, 2] - np.average(points[:, 2], weights=weight)
    inside = np.abs(heights) < _reach(heights)
    box = np.array(cell, dtype=float)
    box[2] = (0.0, 0.0, np.ptp(heights[inside]) + _VACUUM)
    centred = np.column_stack([points[inside, :2], heights[inside] + box[2, 2] / 2])
    kinds = np.asarray(numbers)[inside]
    found = _dataset((box, fractional(centred, box), kinds), tolerance_a)
    return "" if found is None else f"{found.number} {found.international.strip()}"


def _reach(heights: NDArray[np.float64]) -> float:
    """Distance from the boundary in the middle of the widest gap between planes, Å."""
    apart = np.sort(np.abs(heights))
    apart = apart[(apart > MIN_REACH) & (apart < MAX_REACH)]
    edges = np.concatenate([[MIN_REACH], apart, [MAX_REACH]])
    widest = int(np.argmax(np.diff(edges)))
    return float(edges[widest : widest + 2].mean())


def _dataset(cell: tuple[Any, ...], tolerance_a: float) -> Any:
    """What spglib finds out about a layer; None if it finds nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return spglib.get_symmetry_layerdataset(cell, aperiodic_dir=2, symprec=tolerance_a)
        except spglib.SpglibError:
            return None
