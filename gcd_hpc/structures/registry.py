"""Registries of two grains that are the same: those that differ by a translation of either crystal."""

from dataclasses import replace

import numpy as np

from gcd_hpc.structures.bicrystal import Bicrystal, Positions, Side

_SAME = 1e-4
"""Coordinates that agree this well are equal, Å."""


def repeat_cell(bicrystal: Bicrystal) -> tuple[float, float]:
    """Shortest shifts of the upper grain along x and along y that bring back its registry with the lower one, Å.

    The in-plane translations of the two crystals and all their sums, whose lattice (Bollmann's DSC lattice) is finer than that of either.
    """
    lower, upper = (_translations(bicrystal, side) for side in ("lower", "upper"))
    shifts = (upper[:, None] - lower).reshape(-1, 3)  # (num_upper num_lower, 3)
    shifts = shifts[np.abs(shifts[:, 2]) < _SAME]
    lengths = np.array(bicrystal.lengths)
    inside = shifts[:, :2] - lengths * np.floor(shifts[:, :2] / lengths + _SAME / lengths)  # from 0 up to the length
    return _shortest(inside, lengths, 0), _shortest(inside, lengths, 1)


def _translations(bicrystal: Bicrystal, side: Side) -> Positions:
    """Lattice points of a grain within the common cell and one of its periods along the normal, without the basis of diamond."""
    grain = bicrystal.grain(side)
    if grain.lattice == "diamond":
        grain = replace(grain, lattice="fcc")
        bicrystal = replace(bicrystal, lower=grain) if side == "lower" else replace(bicrystal, upper=grain)
    return bicrystal.lattice_positions(side, (0.0, 0.0, 0.0), 0.0, grain.periods[2])


def _shortest(shifts: Positions, lengths: Positions, axis: int) -> float:
    along = shifts[shifts[:, 1 - axis] < _SAME][:, axis]
    return float(min(along[along > _SAME], default=lengths[axis]))
