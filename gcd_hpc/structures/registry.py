"""Registries of two grains that are the same: those that differ by translations of the crystals."""

from dataclasses import replace

import numpy as np

from gcd_hpc.structures.bicrystal import Bicrystal, Positions, Side

_SAME = 1e-4
"""Coordinates that agree this well are equal, Å."""


def repeat_cell(bicrystal: Bicrystal) -> tuple[float, float]:
    """Shortest shifts of the upper grain along x and along y after which the bicrystal is the same,
    but for its place, Å.

    Sums of translations of either crystal within the boundary plane. Those that lead out of the
    plane would move the boundary as well.
    """
    lower, upper = (_translations(bicrystal, side) for side in ("lower", "upper"))
    shifts = (upper[:, None] - lower).reshape(-1, 2)  # (num_upper num_lower, 2)
    lengths = np.array(bicrystal.lengths)
    shifts -= lengths * np.floor(shifts / lengths + _SAME / lengths)  # from 0 up to the length
    return _shortest(shifts, lengths, 0), _shortest(shifts, lengths, 1)


def _translations(bicrystal: Bicrystal, side: Side) -> Positions:
    """Lattice points of a grain in one plane within the common cell, (N, 2), without the basis of
    diamond.
    """
    grain = bicrystal.grain(side)
    if grain.lattice == "diamond":
        grain = replace(grain, lattice="fcc")
        bicrystal = (
            replace(bicrystal, lower=grain) if side == "lower" else replace(bicrystal, upper=grain)
        )
    return bicrystal.lattice_positions(side, (0.0, 0.0, 0.0), 0.0, _SAME)[:, :2]


def _shortest(shifts: Positions, lengths: Positions, axis: int) -> float:
    along = shifts[shifts[:, 1 - axis] < _SAME][:, axis]
    return float(min(along[along > _SAME], default=lengths[axis]))
