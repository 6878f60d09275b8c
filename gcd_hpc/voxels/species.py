"""Decoding of an array with one channel an element to atoms and their elements.

In an array that encodes a structure each channel can be decoded by itself. A generated array may
be undecided about an element: parts of one atom lie in several channels, and their sum is the atom.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.structures.periodic import Neighbors
from gcd_hpc.structures.sites import Positions, Sites
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.encoder import encode, occupancies
from gcd_hpc.voxels.grid import Grid

Array = NDArray[np.float64]
Decode = Callable[[NDArray[np.floating], Grid], Positions]
"""Decoder of one channel: voxel array (X, Y, Z) and its grid -> positions (N, 3) Å."""

WHOLE = 0.75
"""An atom with at least this share of itself in one channel is of this channel's element."""
APART = 1.5
"""Voxels: parts of an atom lie closer together, different atoms lie further apart."""


def decode_elements(
    array: NDArray[np.floating], channels: Channels, grid: Grid, decode: Decode
) -> Sites:
    """Atoms in a voxel array (C, X, Y, Z), clean or generated.

    First each channel is decoded by itself, and atoms that are whole in it are taken. Then the sum
    of what is left in all channels is decoded, and each atom found in it is of the element with
    its largest share. With one channel this is the decoder of this channel alone.

    Source: docs/science.md#channels.
    """
    found = [decode(channel, grid) for channel in array]
    if len(channels) == 1:
        return channels.join(found)
    values = np.asarray(array, dtype=np.float64)
    whole = [
        positions[_shares(positions, channel[None], grid)[0] >= WHOLE]
        for positions, channel in zip(found, values, strict=True)
    ]
    left = values - np.stack([encode(_inside(part, grid), grid).numpy() for part in whole])
    undecided = _away_from(np.concatenate(whole), decode(left.sum(axis=0), grid), grid)
    owners = _shares(undecided, left, grid).argmax(axis=0)
    return channels.join(
        [np.concatenate([part, undecided[owners == one]]) for one, part in enumerate(whole)]
    )


def _shares(positions: Positions, array: Array, grid: Grid) -> Array:
    """Share of each atom (N, 3) in each channel (C, X, Y, Z) of an array, (C, N).

    It is the factor of the atom's occupancies that fits the channel best (least squares).
    """
    voxels, weights = occupancies(torch.from_numpy(_inside(positions, grid)), grid)
    tents = weights.numpy()  # (N, 8)
    values = array.reshape(len(array), -1)[:, voxels.numpy()]  # (C, N, 8)
    return np.asarray((values * tents).sum(axis=2) / (tents**2).sum(axis=1))


def _inside(positions: Positions, grid: Grid) -> Positions:
    """Positions (N, 3) Å, those beyond an open end of the box on its outermost voxels."""
    ends = (np.array(grid.shape) - 1) * np.array(grid.spacing)
    return np.where(grid.periodic, positions, np.clip(positions, 0.0, ends))


def _away_from(atoms: Positions, found: Positions, grid: Grid) -> Positions:
    """Found positions (K, 3) Å that lie near none of the atoms (N, 3) Å."""
    if not len(atoms) or not len(found):
        return found
    distances, _ = Neighbors(atoms, grid.cell, grid.periodic).nearest(found)
    return np.asarray(found[distances > APART * min(grid.spacing)])
