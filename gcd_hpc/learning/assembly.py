"""In-painting of a slab: known voxels before generation, atoms of the slab after it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.structures.bicrystal import Grain
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import wrap
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid

Array = NDArray[np.float64]

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
    known: int
    registry: Array
    shift: Array

    def perfect(self) -> torch.Tensor:
        """Voxels (X, Y, Z) of the joined perfect grains; generation uses the known layers only."""
        return encode(
            torch.from_numpy(self.frame.join(self.registry).positions + self.shift), self.grid
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

    def assemble(self, decoded: Array) -> Array:
        """Slab (N, 3) Å: exact grains outside the seams, decoded atoms between them.

        Args:
            decoded: (n, 3) Å, decoded from the whole array, in the frame of the grid.
        """
        low, high = self.seams()
        exact = np.concatenate([self.frame.lower(low), self.frame.upper(self.registry, high)])
        box = np.array([*self.frame.bicrystal.lengths, 10 * self.frame.height])
        middle = decoded - self.shift
        # Atoms of a plane beside a seam may be decoded slightly beyond it: take half a plane more.
        below, above = (grain.plane_spacing / 2 for grain in self.grains)
        middle = middle[(middle[:, 2] > low - below) & (middle[:, 2] < high + above)]
        middle = wrap(middle, box[:2])
        # Drop decoded atoms that repeat an exact one; z is lifted so that the tree's box holds it.
        lifted = np.array([0.0, 0.0, self.frame.height])
        if len(middle):
            distance, _ = cKDTree(wrap(exact + lifted, box), boxsize=box).query(
                wrap(middle + lifted, box)
            )
            middle = middle[distance > SAME_ATOM * self.frame.bicrystal.nearest_neighbor]
        return np.concatenate([exact, middle])
