"""Voxel encoding without learned parameters: each atom is one unit, shared by 8 voxels linearly."""

from itertools import product

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gcd_hpc.errors import StructureError
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.grid import Grid

CORNERS = torch.tensor(list(product((0, 1), repeat=3)))  # (8, 3)
_ROUNDING = 1e-9  # an atom this far (in voxels) outside of an open axis is a rounding error


def encode(positions: ArrayLike | Tensor, grid: Grid) -> Tensor:
    """Voxel array C (X, Y, Z), float32, of positions (N, 3) in Å, an array or a tensor.

    The sum over all voxels is N, and the weighted mean of an isolated atom's voxels is its
    position, also where the box leans. The array is differentiable in the positions of a tensor.

    Raises:
        StructureError: if a position is not finite, or is so close to an open end of the box that a
            part of the atom would be cut off.

    Source: Lei et al. (2024), eq. 1-2.
    """
    voxels, weights = occupancies(torch.as_tensor(positions), grid)
    array = torch.zeros(grid.num_voxels, dtype=torch.float64, device=weights.device)
    array = array.index_add(0, voxels.flatten(), weights.flatten())
    return array.view(grid.shape).to(torch.float32)


def encode_elements(
    positions: ArrayLike, numbers: ArrayLike, channels: Channels, grid: Grid
) -> Tensor:
    """Voxel array (C, X, Y, Z), float32, of positions (N, 3) in Å and atomic numbers (N,).

    The sum over the voxels of a channel is the number of atoms of its element.

    Raises:
        StructureError: if an atom is of an element without a channel, or as ``encode``.

    Source: docs/science.md#channels.
    """
    return torch.stack([encode(part, grid) for part in channels.split(positions, numbers)])


def occupancies(positions: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """The eight voxels of each atom and its occupancies of them.

    Args:
        positions: (N, 3) Å.

    Returns:
        Flat indices of the voxels (N, 8), and occupancies P(a, I) (N, 8), which sum to one.

    Raises:
        StructureError: as ``encode``.
    """
    shape = torch.tensor(grid.shape, device=positions.device)
    periodic = torch.tensor(grid.periodic, device=positions.device)
    scaled = _in_voxels(positions.to(torch.float64), grid)  # (N, 3)
    _refuse_clipped(scaled.detach(), grid)
    base = torch.floor(scaled.detach()).long()
    base = torch.where(periodic, base, base.clamp(min=torch.zeros_like(shape), max=shape - 2))
    fraction = scaled - base  # (N, 3) in [0, 1]
    corners = CORNERS.to(positions.device)
    sides = torch.stack([1 - fraction, fraction], dim=1)  # (N, 2, 3)
    # (N, 8, 3) -> (N, 8)
    weights = sides[:, corners, torch.arange(3, device=positions.device)].prod(dim=-1)
    index = (base[:, None] + corners) % shape  # (N, 8, 3)
    flat = (index[..., 0] * grid.shape[1] + index[..., 1]) * grid.shape[2] + index[..., 2]
    return flat, weights


def _in_voxels(positions: Tensor, grid: Grid) -> Tensor:
    """Positions (N, 3) Å in voxels along the edges of the box."""
    voxel = torch.tensor(grid.voxel, device=positions.device)
    if grid.tilt:
        lean = positions[:, 1] * (grid.tilt / grid.lengths[1])
        positions = torch.stack([positions[:, 0] - lean, *positions.T[1:]], dim=1)
    return positions / voxel.diagonal()


def _refuse_clipped(scaled: Tensor, grid: Grid) -> None:
    """Refuse positions (N, 3), in voxels, that are not finite or outside an open axis."""
    if not torch.isfinite(scaled).all():
        raise StructureError("positions must be finite numbers, got NaN or infinity")
    for axis, periodic in enumerate(grid.periodic):
        if periodic or not len(scaled):
            continue
        low, high = scaled[:, axis].min().item(), scaled[:, axis].max().item()
        if low < -_ROUNDING or high > grid.shape[axis] - 1 + _ROUNDING:
            pitch = grid.spacing[axis]
            raise StructureError(
                f"atoms must lie between 0 and {(grid.shape[axis] - 1) * pitch:.3f} Å along open"
                f" axis {'xyz'[axis]}, got {low * pitch:.3f} to {high * pitch:.3f} Å"
            )
