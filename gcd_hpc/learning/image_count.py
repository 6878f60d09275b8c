"""How many atoms an image shows: atoms are fitted to it, with every number that may be.

A column of an image holds a whole number of atoms, and an atom more or less changes it by much more
than noise does. The total brightness tells far less, because the noise of all dark pixels is in it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.structures.projection import WIDTHS, Pixels, densities, densities_and_slopes

Array = NDArray[np.float64]

STEP_A = 0.1
"""Step of the places at which an atom is put in, Å."""
MARGIN_A = 1.0
"""Distance from the ends of the part up to which an atom in it is seen, Å."""
JITTER_A = 0.03
"""Displacement of the first places: atoms behind each other would stay so for ever, Å."""
MAX_ITERATIONS = 60
"""Steps of the minimizer after each atom that is put in or taken out."""
MAX_MOVES = 12
"""Atoms that may be put elsewhere with one number of atoms."""
LEAST_GAIN = 10.0
"""Least gain in chi square for which an atom is put elsewhere."""
BEYOND = 2
"""Numbers that are tried beyond the best one on both sides."""


@dataclass(frozen=True)
class AtomFit:
    """Places of atoms whose image is nearest to a part of an image.

    Args:
        density: (H, W) atoms of one cell, per Å^2.
        pixels: place of the image.
        points: (N, 2) first places along the rows and along the normal, Å, some beyond the part.
        reach: of the part above and below the middle of the image in which atoms move, Å.
        repeat: of the boundary along the rows, Å.
        blur_a: width of an atom at half of its height, Å.
        noise: standard deviation of a pixel, atoms per Å^2.
    """

    density: Array
    pixels: Pixels
    points: Array
    reach: float
    repeat: float
    blur_a: float
    noise: float

    @cached_property
    def middle(self) -> float:
        """Height of the middle of the image, Å."""
        return float(self.pixels.heights[0] + self.pixels.heights[-1]) / 2

    @cached_property
    def heights(self) -> Array:
        """Heights of the rows that show all of the atoms that move, Å."""
        heights = self.pixels.heights
        return heights[np.abs(heights - self.middle) < self.reach + MARGIN_A]

    @cached_property
    def moves(self) -> NDArray[np.bool_]:
        """Which of the first places are in the part, (N,)."""
        return np.abs(self.points[:, 1] - self.middle) < self.reach

    @cached_property
    def wanted(self) -> Array:
        """What the atoms that move have to give: the part without the others."""
        rows = np.isin(self.pixels.heights, self.heights)
        return np.asarray(self.density[rows] - self._image(self.points[~self.moves]))

    @property
    def spread(self) -> float:
        """Standard deviation of an atom, Å."""
        return float(self.blur_a / WIDTHS)

    def chi_squares(self) -> dict[int, float]:
        """Sum of squared residuals in units of the noise, by the number of atoms.

        The numbers are consecutive, with BEYOND more and less than that of the least.
        """
        rng = np.random.default_rng(0)
        first = self.points[self.moves]
        first = first + JITTER_A * rng.standard_normal(first.shape)
        fits = {len(self.points): self._improved(*self._relaxed(first))}
        for step in (1, -1):
            number = len(self.points)
            while (number - min(fits, key=lambda one: fits[one][0])) * step < BEYOND:
                last = fits[number][1]
                atoms = self._with_one_more(last) if step > 0 else self._with_one_less(last)
                number += step
                fits[number] = self._improved(*self._relaxed(atoms))
        return {number: fits[number][0] for number in sorted(fits)}

    def _image(self, points: Array) -> Array:
        along = densities(self.heights, points[:, 1], self.spread)
        across = densities(self.pixels.columns, points[:, 0], self.spread, self.repeat)
        return np.asarray(along @ across.T)

    def _chi_square(self, flat: Array) -> tuple[float, Array]:
        """chi square of places (2 N,), and its gradient."""
        points = flat.reshape(-1, 2)
        along, along_slope = densities_and_slopes(self.heights, points[:, 1], self.spread)
        across, across_slope = densities_and_slopes(
            self.pixels.columns, points[:, 0], self.spread, self.repeat
        )
        residual = self.wanted - along @ across.T
        slopes = (residual.T @ along * across_slope, residual @ across * along_slope)
        gradient = -2 * np.stack([one.sum(0) for one in slopes], 1) / self.noise**2
        return float((residual**2).sum()) / self.noise**2, gradient.ravel()

    def _relaxed(self, points: Array) -> tuple[float, Array]:
        """chi square and places (N, 2) at the nearest minimum."""
        # Late, because every worker imports this module; see constants.py.
        from scipy.optimize import minimize

        # An atom that could leave the part would not be counted against it.
        ends = (self.middle - self.reach, self.middle + self.reach)
        found = minimize(
            self._chi_square,
            points.ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=[(None, None), ends] * len(points),
            options={"maxiter": MAX_ITERATIONS},
        )
        return float(found.fun), np.asarray(found.x).reshape(-1, 2)

    def _improved(self, chi_square: float, points: Array) -> tuple[float, Array]:
        """The same number of atoms, one after the other put elsewhere as long as that helps."""
        for _ in range(MAX_MOVES):
            moved = self._with_one_more(self._with_one_less(points))
            less, places = self._relaxed(moved)
            if less > chi_square - LEAST_GAIN:
                break
            chi_square, points = less, places
        return chi_square, points

    def _with_one_more(self, points: Array) -> Array:
        """An atom more where it lowers chi square most."""
        heights = np.arange(self.middle - self.reach, self.middle + self.reach, STEP_A)
        places = np.arange(0.0, self.repeat, STEP_A)
        along = densities(heights, self.heights, self.spread)
        across = densities(places, self.pixels.columns, self.spread, self.repeat)
        residual = self.wanted - self._image(points)
        own = np.outer((along**2).sum(1), (across**2).sum(1))
        row, column = np.unravel_index(
            int((2 * along @ residual @ across.T - own).argmax()), own.shape
        )
        return np.vstack([points, [places[column], heights[row]]])

    def _with_one_less(self, points: Array) -> Array:
        """An atom less where it raises chi square least."""
        along = densities(self.heights, points[:, 1], self.spread)
        across = densities(self.pixels.columns, points[:, 0], self.spread, self.repeat)
        residual = self.wanted - self._image(points)
        own = (along**2).sum(0) * (across**2).sum(0)
        change = 2 * (residual @ across * along).sum(0) + own
        return np.delete(points, int(change.argmin()), axis=0)
