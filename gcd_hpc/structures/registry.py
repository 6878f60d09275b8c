"""Equivalent registries of two grains: those that differ by lattice translations."""

import numpy as np

from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import Array, edges_and_tilt, minimum_image, with_tilt, wrap

_SAME = 1e-4
"""Largest difference of equal coordinates, Å."""


def repeat_cell(bicrystal: Bicrystal) -> Array:
    """Cell (2, 2) Å of the shifts of the upper grain that repeat the bicrystal.

    In a rectangular bicrystal it is the rectangle of the shortest shifts along x and along y, in
    others the smallest cell. The shifts are sums of translations of either crystal within the
    boundary plane. Translations out of the plane would move the boundary as well.
    """
    origin = (0.0, 0.0, 0.0)
    lower = bicrystal.lattice_points("lower", origin, 0.0, _SAME)[:, :2]
    upper = bicrystal.lattice_points("upper", origin, 0.0, _SAME)[:, :2]
    shifts = (upper[:, None] - lower).reshape(-1, 2)  # (num_upper num_lower, 2)
    lengths, tilt = edges_and_tilt(bicrystal.cell)
    if not tilt:
        shifts -= lengths * np.floor(shifts / lengths + _SAME / lengths)  # from 0 up to the length
        return np.diag([_shortest(shifts, lengths, 0), _shortest(shifts, lengths, 1)])
    # The first edge along x, then the lowest row above it; its shortest lean.
    shifts = wrap(shifts + _SAME, bicrystal.cell) - _SAME
    along = shifts[np.abs(shifts[:, 1]) < _SAME, 0]
    first = min(along[along > _SAME], default=lengths[0])
    above = shifts[shifts[:, 1] > _SAME]
    second = above[np.argmin(above[:, 1])] if len(above) else np.array([tilt, lengths[1]])
    return with_tilt([first, second[1]], float(minimum_image([second[0]], [first])[0]))


def _shortest(shifts: Positions, lengths: Positions, axis: int) -> float:
    along = shifts[shifts[:, 1 - axis] < _SAME][:, axis]
    return float(min(along[along > _SAME], default=lengths[axis]))
