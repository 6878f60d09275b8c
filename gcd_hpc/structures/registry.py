"""Equivalent registries of two grains: those that differ by lattice translations."""

import numpy as np
from numpy.typing import ArrayLike

from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import (
    Array,
    edges_and_tilt,
    minimum_image,
    shortest_vectors,
    with_tilt,
    wrap,
)

_SAME = 1e-4
"""Largest difference of equal coordinates, Å."""


def repeat_cell(bicrystal: Bicrystal) -> Array:
    """Cell (2, 2) Å of the shifts of the upper grain that repeat the bicrystal.

    In a rectangular bicrystal it is the rectangle of the shortest shifts along x and along y, in
    others the smallest cell. The shifts are sums of translations of either crystal within the
    boundary plane. Translations out of the plane would move the boundary as well.
    """
    shifts = _differences(*in_plane_translations(bicrystal))
    lengths, tilt = edges_and_tilt(bicrystal.cell)
    if tilt:
        return _smallest(shifts, bicrystal.cell)
    shifts -= lengths * np.floor(shifts / lengths + _SAME / lengths)  # from 0 up to the length
    return np.diag([_shortest(shifts, lengths, 0), _shortest(shifts, lengths, 1)])


def in_plane_translations(bicrystal: Bicrystal) -> tuple[Positions, Positions]:
    """Translations of the lower and of the upper crystal within the boundary plane, (K, 2) Å each.

    They are those within the common cell; sums with its edges are translations too.
    """
    origin = (0.0, 0.0, 0.0)
    lower = bicrystal.lattice_points("lower", origin, 0.0, _SAME)
    upper = bicrystal.lattice_points("upper", origin, 0.0, _SAME)
    return lower[:, :2], upper[:, :2]


def shift_cell(lower: Positions, upper: Positions, cell: ArrayLike) -> Array:
    """Smallest cell of the shifts of an upper part that repeat a structure of two parts.

    A shift repeats the structure if it is a translation of the upper part, or a translation of the
    lower part backwards, or a sum of both. Two perfect grains have the translations of their
    crystals in the plane, so that this is the cell of their DSC lattice in the plane. Where both
    parts have those of the common cell alone, it is the common cell.

    Args:
        lower, upper: (K, 2) Å translations of the parts, as ``in_plane_translations``: a group
            together with the edges of the common cell.
        cell: the common cell.

    Returns:
        Edges as rows (2, 2) Å, right-handed. The first one lies along x unless the two shortest
        vectors of the lattice do not.
    """
    edges = _smallest(_differences(lower, upper), cell)
    lengths = np.linalg.norm(edges, axis=1)
    if 2 * abs(edges[0] @ edges[1]) <= min(lengths) ** 2 * (1 + 1e-9):
        return edges
    short, long = shortest_vectors(edges)
    return np.stack([short, long if np.linalg.det([short, long]) > 0 else -long])


def _differences(lower: Positions, upper: Positions) -> Positions:
    """All translations of the upper part minus all of the lower one, (K M, 2)."""
    return np.asarray((upper[:, None] - lower).reshape(-1, 2))


def _smallest(shifts: Positions, cell: ArrayLike) -> Array:
    """Smallest cell (2, 2) of the lattice of some shifts (K, 2) that the edges of a cell are in.

    The first edge lies along x, the second goes to the lowest row above it, with the shortest lean.
    """
    edges, tilt = edges_and_tilt(cell)
    shifts = wrap(shifts + _SAME, cell) - _SAME
    along = shifts[np.abs(shifts[:, 1]) < _SAME, 0]
    first = min(along[along > _SAME], default=edges[0])
    above = shifts[shifts[:, 1] > _SAME]
    second = above[np.argmin(above[:, 1])] if len(above) else np.array([tilt, edges[1]])
    lean = float(minimum_image([second[0]], [first])[0])
    return with_tilt([first, second[1]], lean if abs(lean) > _SAME else 0.0)


def _shortest(shifts: Positions, lengths: Positions, axis: int) -> float:
    along = shifts[shifts[:, 1 - axis] < _SAME][:, axis]
    return float(min(along[along > _SAME], default=lengths[axis]))
