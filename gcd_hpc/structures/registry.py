"""Equivalent registries of two grains: those that differ by lattice translations."""

import numpy as np

from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.grain import Positions

_SAME = 1e-4
"""Largest difference of equal coordinates, Å."""


def repeat_cell(bicrystal: Bicrystal) -> tuple[float, float]:
    """Shortest shifts of the upper grain along x and along y that repeat the bicrystal, Å.

    They are sums of translations of either crystal within the boundary plane. Translations out of
    the plane would move the boundary as well.
    """
    origin = (0.0, 0.0, 0.0)
    lower = bicrystal.lattice_points("lower", origin, 0.0, _SAME)[:, :2]
    upper = bicrystal.lattice_points("upper", origin, 0.0, _SAME)[:, :2]
    shifts = (upper[:, None] - lower).reshape(-1, 2)  # (num_upper num_lower, 2)
    lengths = np.array(bicrystal.lengths)
    shifts -= lengths * np.floor(shifts / lengths + _SAME / lengths)  # from 0 up to the length
    return _shortest(shifts, lengths, 0), _shortest(shifts, lengths, 1)


def _shortest(shifts: Positions, lengths: Positions, axis: int) -> float:
    along = shifts[shifts[:, 1 - axis] < _SAME][:, axis]
    return float(min(along[along > _SAME], default=lengths[axis]))
