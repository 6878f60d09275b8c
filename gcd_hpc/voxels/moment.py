"""Decoding of voxels to atoms by first moments, without learned parameters.

The encoder conserves first moments, so the weighted mean of an isolated atom's voxels is its
position, exactly so in clean arrays.
"""

from itertools import product

import numpy as np

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.periodic import Neighbors, wrap
from gcd_hpc.voxels.grid import Grid

_CUBE = np.array(list(product((-1, 0, 1), repeat=3)))  # (27, 3)
_CORNERS = np.array(list(product((0, 1), repeat=3)))  # (8, 3)
# Indices (8, 8) of the voxels of each 2x2x2 block within the list of 27 of a 3x3x3 cube.
_BLOCKS = np.array(
    [[int(np.dot(corner + inner, (9, 3, 1))) for inner in _CORNERS] for corner in _CORNERS]
)
_MIN_MASS = 0.5  # atoms; a lighter block is noise
# voxels; mass closer to a found atom is residual noise of this atom, not another atom
_MIN_DISTANCE = 1.5
_MAX_SEARCHES = 20
_MAX_PASSES = 30
_CONVERGED = 1e-9


def decode_moments(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Positions (N, 3), float64, Å, of the atoms in a voxel array (X, Y, Z), clean or generated.

    Blocks of 2x2x2 voxels whose atom explains the array better than those of neighbouring blocks
    are found and subtracted. The search is repeated on the residual, so that atoms which share
    voxels are found too. Then each atom's mean is refined with all other atoms subtracted, until no
    atom moves.

    Raises:
        StructureError: if the array holds NaN or infinity.
    """
    padded = np.pad(
        np.asarray(array, dtype=np.float64),
        [(0, 0 if periodic else 2) for periodic in grid.periodic],
    )
    if not np.isfinite(padded).all():
        raise StructureError("a voxel array must hold finite numbers, got NaN or infinity")
    positions = np.empty((0, 3))
    residual = padded
    for _ in range(_MAX_SEARCHES):
        found = _away_from(positions, _search(residual), padded.shape)
        if not len(found):
            break
        positions = _refine(padded, np.concatenate([positions, found]), num_passes=2)
        residual = padded - _spread(positions, padded.shape)
    positions = _refine(padded, positions, num_passes=_MAX_PASSES)
    return _to_box(positions, padded.shape, grid)


def _search(residual: np.ndarray) -> np.ndarray:
    """Positions (K, 3), in voxels, of atoms whose 2x2x2 block gains most among its neighbours.

    The gain of a block is the decrease of the squared residual by its atom.
    """
    # Mass of the 2x2x2 block that starts at each voxel; light blocks are noise.
    mass = residual
    for axis in range(3):
        mass = mass + np.roll(mass, -1, axis)
    blocks = np.argwhere(mass > _MIN_MASS)  # (K, 3)
    # One atom at the mean of each block, and its occupancies of the eight voxels.
    values = residual.ravel()[_flat(blocks[:, None] + _CORNERS, residual.shape)]  # (K, 8)
    inner = _mean(values)
    tents = np.stack([1 - inner, inner], axis=1)[:, _CORNERS, np.arange(3)].prod(axis=2)  # (K, 8)
    # Squared residual without minus with the atom, (K,); the small ramp breaks ties.
    gain = 2 * (tents * values).sum(axis=1) - (tents * tents).sum(axis=1)
    gain += 1e-9 * np.arange(len(gain)) / max(1, len(gain))
    # Keep blocks whose gain is the largest in their 3x3x3 neighbourhood.
    score = np.full(residual.shape, -np.inf)
    score[tuple(blocks.T)] = gain
    for axis in range(3):
        score = np.maximum(score, np.maximum(np.roll(score, 1, axis), np.roll(score, -1, axis)))
    return np.asarray((blocks + inner)[(gain > 0) & (gain == score[tuple(blocks.T)])])


def _away_from(atoms: np.ndarray, found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Found positions (K, 3) that lie near none of the atoms (N, 3), in voxels."""
    if not len(atoms) or not len(found):
        return found
    distances, _ = Neighbors(atoms, shape).nearest(found)
    return np.asarray(found[distances > _MIN_DISTANCE])


def _mean(values: np.ndarray) -> np.ndarray:
    """Weighted mean (K, 3) of blocks of eight values (K, 8), in voxels from the first corner."""
    mass = np.maximum(values.sum(axis=1), _MIN_MASS)
    return np.asarray(np.clip(0.5 + values @ (_CORNERS - 0.5) / mass[:, None], 0.0, 1.0))


def _refine(array: np.ndarray, positions: np.ndarray, num_passes: int) -> np.ndarray:
    """Positions (N, 3), in voxels, refined by taking each mean with all other atoms subtracted."""
    for _ in range(num_passes):
        nearest = np.round(positions).astype(int)
        index = _flat(nearest[:, None] + _CUBE, array.shape)  # (N, 27)
        # Each atom's voxels with all other atoms subtracted.
        own = _tents(positions, nearest)
        total = np.bincount(index.ravel(), own.ravel(), minlength=array.size)
        values = (array.ravel() - total)[index] + own  # (N, 27)
        # The heaviest 2x2x2 block gives the new mean.
        best = values[:, _BLOCKS].sum(axis=2).argmax(axis=1)  # (N, 8) -> (N,)
        moved = (
            nearest - 1 + _CORNERS[best] + _mean(np.take_along_axis(values, _BLOCKS[best], axis=1))
        )
        change = np.abs(moved - positions).max(initial=0.0)
        positions = moved
        if change < _CONVERGED:
            break
    return positions


def _tents(positions: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Occupancies (N, 27) of the 3x3x3 voxels around the nearest one.

    Args:
        positions: (N, 3), in voxels.
        nearest: (N, 3), index of the voxel nearest to each atom.
    """
    offset = (positions - nearest)[:, None] - np.array([-1, 0, 1])[:, None]  # (N, 3 voxels, 3 axes)
    sides = np.maximum(0.0, 1 - np.abs(offset))
    along_x, along_y, along_z = np.moveaxis(sides, -1, 0)
    weights = np.einsum("ni,nj,nk->nijk", along_x, along_y, along_z, optimize=False)
    return np.asarray(weights.reshape(-1, 27))


def _spread(positions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Voxel array of atoms at positions (N, 3), in voxels."""
    nearest = np.round(positions).astype(int)
    index = _flat(nearest[:, None] + _CUBE, shape)
    return np.bincount(
        index.ravel(), _tents(positions, nearest).ravel(), minlength=int(np.prod(shape))
    ).reshape(shape)


def _flat(index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices of voxels (..., 3); every axis wraps."""
    index = index % np.array(shape)
    return np.asarray((index[..., 0] * shape[1] + index[..., 1]) * shape[2] + index[..., 2])


def _to_box(positions: np.ndarray, padded: tuple[int, ...], grid: Grid) -> np.ndarray:
    """Positions (N, 3) in Å from voxels; padding of an open axis belongs to its nearer end."""
    folded = wrap(positions, padded)
    for axis, periodic in enumerate(grid.periodic):
        if not periodic:
            last = grid.shape[axis] - 1
            beyond = folded[:, axis] > last + 1.5
            folded[:, axis] = np.where(beyond, 0.0, np.minimum(folded[:, axis], last))
    return grid.wrap(grid.positions_of(folded))
