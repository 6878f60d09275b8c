"""The voxel grid of a box: positions of the voxels, and periodic axes."""

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np

from gcd_hpc.structures.periodic import minimum_image, wrap


@dataclass(frozen=True)
class Grid:
    """Box divided into voxels; voxel (i, j, k) is centred at (i Lx, j Ly, k Lz).

    Args:
        shape: voxels along each axis, at least 3.
        lengths: edges of the box, Å.
        periodic: axes along which the box repeats; a grain boundary repeats in its plane only.

    Source: Lei et al. (2024), section 2.3.
    """

    shape: tuple[int, int, int]
    lengths: tuple[float, float, float]
    periodic: tuple[bool, bool, bool] = (True, True, False)

    def __post_init__(self) -> None:
        if min(self.shape) < 3:
            raise ValueError(f"a grid needs at least 3 voxels along each axis, got {self.shape}")
        if min(self.lengths) <= 0:
            raise ValueError(f"the edges of a grid must be positive, got {self.lengths} Å")

    @classmethod
    def build(cls, shape: tuple[int, int, int], in_plane: tuple[float, float]) -> "Grid":
        """Grid of a grain boundary; voxels are as high as wide (mean of x and y).

        Args:
            in_plane: lengths of the box along x and y, Å.
        """
        pitch = (in_plane[0] / shape[0] + in_plane[1] / shape[1]) / 2
        return cls(shape, (float(in_plane[0]), float(in_plane[1]), shape[2] * pitch))

    @classmethod
    def fitting(
        cls, in_plane: tuple[float, float], height: float, widest: float, multiple: int
    ) -> "Grid":
        """Grid of a grain boundary with the fewest voxels that are narrow enough.

        Args:
            in_plane: lengths of the box along x and y, Å.
            height: least height of the box, Å.
            widest: largest width of a voxel along x and y, Å.
            multiple: what all three numbers must be divisible by.
        """

        def number(length: float, spacing: float) -> int:
            # Rounding of the lengths must not add a whole multiple.
            least = max(length / spacing - 1e-6, 3)
            return multiple * ceil(least / multiple)

        x, y = (number(length, widest) for length in in_plane)
        pitch = (in_plane[0] / x + in_plane[1] / y) / 2
        return cls.build((x, y, number(height, pitch)), in_plane)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Edges L of one voxel, Å."""
        x, y, z = (length / n for length, n in zip(self.lengths, self.shape, strict=True))
        return x, y, z

    @property
    def num_voxels(self) -> int:
        return int(np.prod(self.shape))

    def wrap(self, positions: np.ndarray) -> np.ndarray:
        """Positions (N, 3) Å with periodic axes folded into [0, length)."""
        return wrap(positions, self.lengths, self.periodic)

    def num_shared(self, positions: np.ndarray) -> int:
        """Number of voxels shared by two or more atoms; many mean that the grid is too coarse.

        An atom is spread over the voxels around it, at most two along each axis.

        Args:
            positions: (N, 3) Å, inside the box.
        """
        scaled = positions / np.asarray(self.spacing)
        first = np.floor(scaled).astype(int)  # (N, 3)
        corners = first[:, None] + np.array(list(product((0, 1), repeat=3)))  # (N, 8, 3)
        # An atom in the middle of a voxel does not reach the next one.
        touched = np.all((corners == first[:, None]) | (scaled > first)[:, None], axis=2)
        index = np.ravel_multi_index((corners % self.shape)[touched].T, self.shape)
        return int((np.bincount(index, minlength=self.num_voxels) > 1).sum())

    def displacement(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Minimum-image vectors (N, 3) from start to end, Å."""
        return minimum_image(end - start, self.lengths, self.periodic)
