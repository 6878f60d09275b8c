"""A projected image as a target. No network is needed: the image is linear in the voxels.

While the estimate of the clean array is blurred, an image of low resolution is compared, which is
B_z (sum of v along the line of sight) B_y^T with one matrix for the rows and one for the columns.
As soon as it is sharp, the atoms that it is decoded into are seen at full resolution. The image of
an atom is linear in the mass and in the moments of its voxels. See docs/images.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.diffusion.guidance import clean_variance
from gcd_hpc.learning.atom_count import USED_BELOW
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.structures.periodic import minimum_image
from gcd_hpc.structures.projection import SEEN, WIDTHS, densities, densities_and_slopes
from gcd_hpc.structures.sites import Sites
from gcd_hpc.voxels.encoder import occupancies
from gcd_hpc.voxels.grid import Grid

SHARP_BELOW = 1.0
"""Noise below which the estimate is decoded."""
SMOOTHING = 0.8
"""Standard deviation of the smoothing of an image of low resolution, in the longest edge of a
voxel. Waves shorter than two voxels cannot be seen in an array.
"""
LEAST_OCCUPANCY = 1e-3
"""Least sum of occupancies of a voxel by which its value is shared among atoms."""


@dataclass(frozen=True)
class Projector:
    """Linear projection of an array (..., X, Y, Z) to a smoothed image (..., H, W).

    Args:
        along: (H, Z) of the heights.
        across: (W, N) of the axis that is seen.
        hidden: axis of the array along which one looks, counted from its end: -3 or -2.
    """

    along: Tensor
    across: Tensor
    hidden: int

    @classmethod
    def of(
        cls, image: PlacedImage, grid: Grid, shift: NDArray[np.float64], smoothing: float
    ) -> "Projector":
        """Projector of arrays on a grid.

        The encoder spreads an atom by a voxel, on average with the variance h^2 / 6 along an edge
        of length h, which is taken off the image's.

        Args:
            shift: displacement (3,) of the structure relative to the grid, Å.
            smoothing: standard deviation, Å; at least that of the encoder.
        """
        seen, own = SEEN[image.target.axis], image.target.blur_a / WIDTHS

        def matrix(axis: int, places: NDArray[np.float64], length: float) -> Tensor:
            pitch = grid.lengths[axis] / grid.shape[axis]
            spread = float(np.sqrt(own**2 + smoothing**2 - pitch**2 / 6))
            centres = pitch * np.arange(grid.shape[axis]) - shift[axis]
            return torch.from_numpy(densities(places, centres, spread, length)).float()

        heights = matrix(2, image.pixels.heights, 0.0)
        columns = matrix(seen, image.pixels.columns, grid.lengths[seen])
        return cls(heights, columns, -2 if seen == 0 else -3)

    def __call__(self, array: Tensor) -> Tensor:
        """Image (..., H, W) of an array (..., X, Y, Z)."""
        return self.along @ array.sum(self.hidden).transpose(-1, -2) @ self.across.T


@dataclass(frozen=True)
class ImageTerm:
    """Normal likelihood of an image, with the noise of its pixels and the spread of the voxels.

    Args:
        image: the image and its place.
        grid: of the arrays.
        shifts: displacement (3,) of each item's structure relative to the grid, Å.
        decode: from an array (C, X, Y, Z) in atoms to atoms in the frame of the grid.
        mask: (X, Y, Z) bool, True where known.
        scale: divisor of the voxel values.
        strength: as for ``Likelihood``.
    """

    image: PlacedImage
    grid: Grid
    shifts: Sequence[NDArray[np.float64]]
    decode: Callable[[Tensor], Sites]
    mask: Tensor
    scale: float
    strength: float = 1.0
    estimator: ClassVar[Literal["clean"]] = "clean"

    def log_probability(self, x: Tensor, noise: float) -> Tensor:
        """log p(image | x_0) up to a constant, (B, 1, X, Y, Z) -> (B,); see ``Likelihood``."""
        if noise > USED_BELOW:
            return x.new_zeros(len(x))
        # Images have few pixels and decoding is numpy's: the term is computed on the CPU.
        compare = self._sharp if noise < SHARP_BELOW else self._smooth
        arrays = self.scale * x[:, 0].cpu()
        values = [
            compare(number, array, clean_variance(noise)) for number, array in enumerate(arrays)
        ]
        return torch.stack(values).to(x)

    def _smooth(self, number: int, array: Tensor, variance: float) -> Tensor:
        """log p of the smoothed image, whose covariance is diagonal in the singular vectors.

        Args:
            variance: of a voxel divided by the scale, about its estimate.
        """
        projector, along, across = self._projections[number]
        residual = self._smoothed - projector(array)
        unknown = (~self.mask).float()
        depth = float(unknown.sum(projector.hidden).max())  # voxels behind each other
        spread = depth * self.scale**2 * variance * (along.S[:, None] * across.S) ** 2
        components = along.U.T @ residual @ across.U
        return -(components**2 / (self.image.noise**2 + spread)).sum() / 2

    def _sharp(self, number: int, array: Tensor, variance: float) -> Tensor:
        """log p of the image of the decoded atoms.

        The model's error is one number for all pixels of a place that cannot be told apart.
        """
        image, seen = self.image, SEEN[self.image.target.axis]
        sites = self.decode(array.detach()[None])
        masses, moments = self._atoms(array, sites.positions)
        places = sites.positions - self.shifts[number]
        spread = image.target.blur_a / WIDTHS
        axes = ((2, image.pixels.heights, 0.0), (seen, image.pixels.columns, self._repeat))
        (along, along_slope), (across, across_slope) = (
            [
                torch.from_numpy(one).float()
                for one in densities_and_slopes(at, points, spread, length)
            ]
            for at, points, length in ((at, places[:, axis], length) for axis, at, length in axes)
        )
        # First order in the moments, which are zero: the value is that of the decoded atoms.
        seen_now = (along * masses + along_slope * moments[:, 2]) @ across.T
        seen_now = seen_now + (along * moments[:, seen]) @ across_slope.T
        residual = torch.from_numpy(image.density).float() - seen_now
        num_pixels = 4 * pi * (spread / image.target.pixel_a) ** 2
        error = image.noise**2 + image.contrast**2 * variance * num_pixels
        return torch.sum(-(residual**2) / (2 * error))

    def _atoms(self, array: Tensor, positions: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Masses (N,), and moments (N, 3) about the positions in Å, of the atoms in an array.

        The value of a voxel is shared among atoms as their own occupancies of it are.
        """
        voxels, own = occupancies(torch.as_tensor(positions), self.grid)  # (N, 8)
        own = own.float()
        total = torch.zeros(self.grid.num_voxels).index_add(0, voxels.flatten(), own.flatten())
        values = array.flatten()[voxels] * own / total[voxels].clamp(min=LEAST_OCCUPANCY)
        corners = np.stack(np.unravel_index(voxels.numpy(), self.grid.shape), -1)  # (N, 8, 3)
        apart = self.grid.positions_of(corners) - positions[:, None]
        apart = minimum_image(apart.reshape(-1, 3), self.grid.cell, self.grid.periodic)
        offsets = torch.from_numpy(apart.reshape(corners.shape)).float()
        return values.sum(1), (values[..., None] * offsets).sum(1)

    @property
    def _repeat(self) -> float:
        return self.grid.lengths[SEEN[self.image.target.axis]]

    @cached_property
    def _smoothing(self) -> float:
        """Standard deviation of the smoothing, Å."""
        edges = (
            length / num for length, num in zip(self.grid.lengths, self.grid.shape, strict=True)
        )
        return SMOOTHING * max(edges)

    @cached_property
    def _inner(self) -> tuple[slice, slice]:
        """Rows and columns whose smoothed values do not depend on what lies outside the image."""
        num = int(np.ceil(2 * self._smoothing / self.image.target.pixel_a))
        width = self.image.pixels.shape[1] * self.image.target.pixel_a
        is_wide = width > self._repeat + 4 * self._smoothing
        return slice(num, -num), slice(num, -num) if is_wide else slice(None)

    @cached_property
    def _smoothed(self) -> Tensor:
        """Inner part of the smoothed image."""
        rows, columns = (
            densities(places, places, self._smoothing)
            for places in (self.image.pixels.heights, self.image.pixels.columns)
        )
        rows, columns = (one / one.sum(1, keepdims=True) for one in (rows, columns))
        smoothed = rows @ self.image.density @ columns.T
        return torch.from_numpy(smoothed[self._inner]).float()

    @cached_property
    def _projections(self) -> list[tuple[Projector, "SVD", "SVD"]]:
        """Projector of each item, and singular vectors of its matrices in unknown layers."""
        rows, columns = self._inner
        layers = (~self.mask).float().cpu().flatten(0, 1).amax(0)  # (Z,)
        made = []
        for shift in self.shifts:
            whole = Projector.of(self.image, self.grid, shift, self._smoothing)
            one = Projector(whole.along[rows], whole.across[columns], whole.hidden)
            along = SVD(*torch.linalg.svd(one.along * layers, full_matrices=False)[:2])
            across = SVD(*torch.linalg.svd(one.across, full_matrices=False)[:2])
            made.append((one, along, across))
        return made


@dataclass(frozen=True)
class SVD:
    """Left singular vectors (M, K) and singular values (K,)."""

    U: Tensor
    S: Tensor
