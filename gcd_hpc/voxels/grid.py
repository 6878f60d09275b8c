"""The voxel grid of a box: positions of the voxels, and periodic axes."""

from dataclasses import dataclass
from itertools import product
from math import ceil, gcd, hypot, inf

import numpy as np
from numpy.typing import ArrayLike

from gcd_hpc.structures.periodic import (
    Array,
    cartesian,
    edges_and_tilt,
    fractional,
    minimum_image,
    with_tilt,
    wrap,
)

ROUNDING = 1e-6
"""Relative error of lengths that must not change a number of voxels."""
MARGIN_LAYERS = 3
"""Layers of a training sample that hold no atom, at the upper end of z: an atom is spread over two,
and the sample is shifted by up to one.
"""


@dataclass(frozen=True)
class Grid:
    """Box divided into voxels along its edges; voxel (0, 0, 0) is centred at the origin.

    Voxels have the angles of the box: where the second edge of the box leans along x, those of the
    voxels do. See docs/science.md#skewed-grids.

    Args:
        shape: voxels along each edge, at least 3.
        lengths: extents of the box along x, y and z, Å.
        periodic: axes along which the box repeats; a grain boundary repeats in its plane only.
        tilt: lean of the second edge along x, Å; 0 where the angles are right.

    Source: Lei et al. (2024), section 2.3.
    """

    shape: tuple[int, int, int]
    lengths: tuple[float, float, float]
    periodic: tuple[bool, bool, bool] = (True, True, False)
    tilt: float = 0.0

    def __post_init__(self) -> None:
        if min(self.shape) < 3:
            raise ValueError(f"a grid needs at least 3 voxels along each axis, got {self.shape}")
        if min(self.lengths) <= 0:
            raise ValueError(f"the edges of a grid must be positive, got {self.lengths} Å")
        if self.tilt and not all(self.periodic[:2]):
            raise ValueError("a grid with a leaning edge must be periodic in its plane")

    @classmethod
    def build(cls, shape: tuple[int, int, int], in_plane: ArrayLike) -> "Grid":
        """Grid of a grain boundary; voxels are as high as their in-plane edges are long on average.

        Args:
            in_plane: cell in the boundary plane: lengths (2,) or vectors (2, 2), Å.
        """
        (x, y), tilt = edges_and_tilt(in_plane)
        pitch = (x / shape[0] + hypot(tilt, y) / shape[1]) / 2
        return cls(shape, (float(x), float(y), float(shape[2] * pitch)), tilt=tilt)

    @classmethod
    def fitting(
        cls,
        in_plane: ArrayLike,
        height: float,
        free: float,
        spacing: float,
        tolerance: float,
        multiple: int,
    ) -> "Grid":
        """Grid of a grain boundary with voxels of about the same size whatever its cell.

        Args:
            in_plane: cell in the boundary plane: lengths (2,) or vectors (2, 2), Å.
            height: of the atoms, Å.
            free: least empty height below and above them, Å. It is at least MARGIN_LAYERS, so that
                relaxed structures fit as training samples.
            spacing: wanted length of a voxel's in-plane edges, Å.
            tolerance: relative deviation from it that is allowed to save work.
            multiple: what the number along z must be divisible by. A network repeats the array
                along x and y until it can divide it.
        """
        (along_x, along_y), tilt = edges_and_tilt(in_plane)
        edges = along_x, hypot(tilt, along_y)
        x, y = (_number(float(edge) / spacing, tolerance, multiple) for edge in edges)
        pitch = (edges[0] / x + edges[1] / y) / 2
        # Rounding of the lengths must not add a whole multiple.
        layers = height / pitch + 2 * max(free / pitch, MARGIN_LAYERS) - ROUNDING
        return cls.build((x, y, multiple * ceil(layers / multiple)), in_plane)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Lengths of the edges of one voxel, Å."""
        x, y, z = (length / n for length, n in zip(self.lengths, self.shape, strict=True))
        return x, hypot(self.tilt / self.shape[1], y), z

    @property
    def cell(self) -> Array:
        """Vectors of the box as rows, (3, 3) Å."""
        return with_tilt(self.lengths, self.tilt)

    @property
    def voxel(self) -> Array:
        """Vectors along the edges of one voxel as rows, (3, 3) Å."""
        return np.asarray(self.cell / np.array(self.shape)[:, None])

    @property
    def num_voxels(self) -> int:
        return int(np.prod(self.shape))

    def wrap(self, positions: np.ndarray) -> np.ndarray:
        """Positions (N, 3) Å folded into the box along its periodic axes."""
        return wrap(positions, self.cell, self.periodic)

    def positions_of(self, voxels: ArrayLike) -> Array:
        """Positions (..., 3) Å of places given in voxels, (..., 3)."""
        return cartesian(voxels, self.voxel)

    def num_shared(self, positions: np.ndarray) -> int:
        """Number of voxels shared by two or more atoms; many mean that the grid is too coarse.

        An atom is spread over the voxels around it, at most two along each axis.

        Args:
            positions: (N, 3) Å, inside the box.
        """
        scaled = fractional(positions, self.voxel)
        first = np.floor(scaled).astype(int)  # (N, 3)
        corners = first[:, None] + np.array(list(product((0, 1), repeat=3)))  # (N, 8, 3)
        # An atom in the middle of a voxel does not reach the next one.
        touched = np.all((corners == first[:, None]) | (scaled > first)[:, None], axis=2)
        index = np.ravel_multi_index((corners % self.shape)[touched].T, self.shape)
        return int((np.bincount(index, minlength=self.num_voxels) > 1).sum())

    def displacement(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Minimum-image vectors (N, 3) from start to end, Å."""
        return minimum_image(end - start, self.cell, self.periodic)


def num_repeats(number: int, multiple: int) -> int:
    """How often a row of voxels is repeated until its number is a multiple."""
    return multiple // gcd(number, multiple)


def _number(length: float, tolerance: float, multiple: int) -> int:
    """Number of voxels along an edge: the least work within the tolerance, else the nearest.

    Args:
        length: of the edge, in wanted lengths of a voxel.
    """

    def cost(number: int) -> tuple[float, float]:
        deviation = abs(length / number - 1)
        is_allowed = deviation <= tolerance + ROUNDING
        return number * num_repeats(number, multiple) if is_allowed else inf, deviation

    return min(range(3, max(3, ceil(length / (1 - tolerance))) + 1), key=cost)
