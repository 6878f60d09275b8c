"""In-painting of a slab or a window: known voxels before generation, atoms after it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.search.windows import Window
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.grain import Grain
from gcd_hpc.structures.periodic import Neighbors, wrap
from gcd_hpc.structures.sites import Sites
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.encoder import encode_elements
from gcd_hpc.voxels.grid import Grid

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

SAME_ATOM = 0.3
"""Decoded atoms this close to an exact one, in nearest-neighbour distances, repeat it."""


def known_mask(shape: tuple[int, int, int], known: int) -> torch.Tensor:
    """Mask (X, Y, Z) of the known voxels: the outermost ``known`` layers at both ends of z."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, :, :known] = True
    mask[:, :, -known:] = True
    return mask


@dataclass(frozen=True)
class Canvas:
    """One candidate before generation: two grains at a registry, on a grid with a sub-voxel shift.

    Args:
        known: number of known voxel layers at each end.
        registry: (dx, dy, dz) of the upper grain, Å.
        shift: displacement (3,) of all atoms relative to the grid, Å; training covers all shifts.
    """

    frame: Frame
    grid: Grid
    channels: Channels
    known: int
    registry: Array
    shift: Array

    def perfect(self) -> torch.Tensor:
        """Voxels (C, X, Y, Z) of the joined perfect grains.

        Generation uses the known layers only.
        """
        atoms = self.frame.join(self.registry)
        return encode_elements(
            atoms.positions + self.shift, atoms.numbers, self.channels, self.grid
        )

    @property
    def grains(self) -> tuple[Grain, Grain]:
        """The lower and the upper grain."""
        return self.frame.bicrystal.lower, self.frame.bicrystal.upper

    def seams(self) -> tuple[float, float]:
        """Heights (Å) between which decoded atoms are used: midway between known lattice planes."""
        spacing = self.grid.spacing[2]
        lower, upper = self.frame.bottom, self.frame.upper_plane + self.registry[2]
        below, above = (grain.plane_spacing for grain in self.grains)
        low = (self.known - 2) * spacing - self.shift[2]
        high = (self.grid.shape[2] - self.known + 1) * spacing - self.shift[2]
        return (
            lower + (np.floor((low - lower) / below) - 0.5) * below,
            upper + (np.ceil((high - upper) / above) + 0.5) * above,
        )

    def assemble(self, decoded: Sites) -> Sites:
        """Slab of exact grains outside the seams and decoded atoms between them.

        Args:
            decoded: atoms decoded from the whole array, in the frame of the grid.
        """
        low, high = self.seams()
        exact = self.frame.lower_sites(low).and_also(self.frame.upper_sites(self.registry, high))
        middle = decoded.moved(-self.shift)
        # Atoms of a plane beside a seam may be decoded slightly beyond it: take half a plane more.
        below, above = (grain.plane_spacing / 2 for grain in self.grains)
        heights = middle.positions[:, 2]
        middle = middle.of((heights > low - below) & (heights < high + above))
        return joined(exact, middle, self.frame)


def joined(exact: Sites, decoded: Sites, frame: Frame) -> Sites:
    """The exact atoms, then the decoded ones that repeat none of them, of whatever element."""
    cell = frame.bicrystal.cell
    fresh = Sites(wrap(decoded.positions, cell), decoded.numbers)
    if len(exact.positions) and len(fresh.positions):
        distance, _ = Neighbors(exact.positions, cell).nearest(fresh.positions)
        fresh = fresh.of(distance > SAME_ATOM * frame.bicrystal.nearest_neighbor)
    return exact.and_also(fresh)


def slab_window(grid: Grid, known: int, shift: Array) -> Window:
    """The layers between the known ones, in the frame of the structure, as a window.

    Args:
        known, shift: as for ``Canvas``.
    """
    layers, spacing = grid.shape[2], grid.spacing[2]
    middle = np.array([0.0, 0.0, (layers - 1) / 2 * spacing - shift[2]])
    return Window(middle, np.inf, (layers / 2 - known) * spacing)


def in_all(windows: Sequence[Window], positions: Array, cell: ArrayLike) -> Flags:
    """Whether each position (N, 3) Å lies in all of the windows of a cell, (N,)."""
    inside = [window.mask(positions, cell) for window in windows]
    return np.asarray(np.all(inside, axis=0))


def window_mask(windows: Sequence[Window], grid: Grid, shift: Array) -> torch.Tensor:
    """Mask (X, Y, Z) of the known voxels: those whose centre is not in all of the windows.

    Args:
        windows: in the frame of the structure.
        shift: displacement (3,) of the structure relative to the grid, Å.
    """
    centres = grid.positions_of(np.indices(grid.shape).reshape(3, -1).T) - shift
    return torch.from_numpy(~in_all(windows, centres, grid.cell).reshape(grid.shape))


def repaired(
    parent: Sites, decoded: Sites, windows: Sequence[Window], grid: Grid, frame: Frame
) -> Sites:
    """The parent's atoms outside of the windows, bit for bit, then the decoded ones inside.

    The voxels of an atom that is decoded beyond the edge are in part generated. So decoded atoms up
    to one voxel beyond the edge are taken as well, unless they repeat an atom of the parent.

    Args:
        parent, decoded: in the frame of the structure.
        windows: region that was generated, the intersection of these.
    """
    margin, cell = max(grid.spacing), grid.cell
    wider = [replace(one, radius=one.radius + margin, depth=one.depth + margin) for one in windows]
    kept = parent.of(~in_all(windows, parent.positions, cell))
    return joined(kept, decoded.of(in_all(wider, decoded.positions, cell)), frame)
