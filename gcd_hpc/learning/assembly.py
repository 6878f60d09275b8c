"""In-painting in terms of atoms: what is known beforehand, and the slab that follows from a
generated array.
"""

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
"""Decoded atoms this close to an exact one, in nearest-neighbour distances, are that atom."""


def known_mask(shape: tuple[int, int, int], known: int) -> torch.Tensor:
    """True where perfect grain is given: the outermost ``known`` voxel layers. (X, Y, Z)"""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, :, :known] = True
    mask[:, :, -known:] = True
    return mask


@dataclass(frozen=True)
class Canvas:
    """One candidate before generation: the two grains at a registry, on a grid moved by a sub-voxel
    shift.

    Args:
        registry: (dx, dy, dz) of the upper grain, Å.
        shift: displacement of all atoms relative to the grid, Å; the model learned all of them.
    """

    frame: Frame
    grid: Grid
    known: int
    registry: Array
    shift: Array

    def perfect(self) -> torch.Tensor:
        """Voxels of the two joined perfect grains (X, Y, Z); only the known layers carry over into
        generation.
        """
        return encode(
            torch.from_numpy(self.frame.join(self.registry).positions + self.shift), self.grid
        )

    @property
    def grains(self) -> tuple[Grain, Grain]:
        """The lower and the upper grain."""
        return self.frame.bicrystal.lower, self.frame.bicrystal.upper

    def seams(self) -> tuple[float, float]:
        """Heights between which atoms are taken from the decoder: midway between planes, one voxel
        inside the known layers.
        """
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
        """Exact grains outside the seams, decoded atoms between them. (N, 3) Å

        Args:
            decoded: positions that the decoder read off the whole array, in the grid's own frame
                (n, 3) Å.
        """
        low, high = self.seams()
        exact = np.concatenate([self.frame.lower(low), self.frame.upper(self.registry, high)])
        box = np.array([*self.frame.bicrystal.lengths, 10 * self.frame.height])
        middle = decoded - self.shift
        # A decoded atom of a plane beside the seam may lie a little on its other side.
        below, above = (grain.plane_spacing / 2 for grain in self.grains)
        middle = middle[(middle[:, 2] > low - below) & (middle[:, 2] < high + above)]
        middle = wrap(middle, box[:2])
        lifted = np.array([0.0, 0.0, self.frame.height])
        if len(middle):
            distance, _ = cKDTree(wrap(exact + lifted, box), boxsize=box).query(
                wrap(middle + lifted, box)
            )
            middle = middle[distance > SAME_ATOM * self.frame.bicrystal.nearest_neighbor]
        return np.concatenate([exact, middle])
