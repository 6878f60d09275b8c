"""Equivalent registries of two grains: those that differ by lattice translations."""

from dataclasses import replace

import numpy as np

from gcd_hpc.structures.bicrystal import Bicrystal, Positions, Side

_SAME = 1e-4
"""Largest difference of equal coordinates, Å."""


def repeat_cell(bicrystal: Bicrystal) -> tuple[float, float]:
    """Shortest shifts of the upper grain along x and along y that repeat the bicrystal, Å.

    They are sums of translations of either crystal within the boundary plane. Translations out of
    the plane would move the boundary as well.
    """
    lower, upper = (_translations(bicrystal, side) for side in ("lower", "upper"))
    shifts = (upper[:, None] - lower).reshape(-1, 2)  # (num_upper num_lower, 2)
    lengths = np.array(bicrystal.lengths)
    shifts -= lengths * np.floor(shifts / lengths + _SAME / lengths)  # from 0 up to the length
    return _shortest(shifts, lengths, 0), _shortest(shifts, lengths, 1)


def _translations(bicrystal: Bicrystal, side: Side) -> Positions:
    """Lattice points of a grain in one plane of the cell, without diamond's basis, (N, 2) Å."""
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
