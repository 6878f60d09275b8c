"""Where an image lies on a boundary: its origin, the visible registry, and its scale of brightness.

Both grains are crystals far from the boundary, so that the image itself tells where it lies. The
lower grain's atoms fix its origin and the upper grain's the shift between the grains, along the
rows and along the normal. The shift along the line of sight cannot be seen; it is drawn.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.guidance import ImageTarget
from gcd_hpc.errors import ConfigError
from gcd_hpc.learning.image_count import AtomFit
from gcd_hpc.structures.bicrystal import Side
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.projection import (
    REACH,
    SEEN,
    WIDTHS,
    Pixels,
    densities,
    projected,
    read_image,
)

Array = NDArray[np.float64]

CORE_A = 14.0
"""Height in the middle of an image that may show the boundary, Å. The rest shows perfect grains."""
FIT_MARGIN_A = 3.0
"""How far the part in which the atoms are counted reaches beyond it, Å."""
LEAST_GRAIN_A = 4.0
"""Least height of each grain, Å."""
LEAST_CORRELATION = 0.8
"""Least correlation of these ends with the perfect grains, relative to that which noise leaves."""
COARSE_A, FINE_A = 0.2, 0.02
"""Steps of the two searches for the place of a grain, Å."""
GOLDEN = (sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class PlacedImage:
    """An image with its place on a boundary, in atoms per Å^2.

    Args:
        density: (H, W) atoms of one cell, per Å^2.
        pixels: place of the image in the frame.
        registry: (3,) Å of the upper grain; its component along the line of sight is arbitrary.
        contrast: difference between the brightest and the darkest place of the perfect grains.
        correlation: of the image's ends with the perfect grains.
        expected: correlation that the noise leaves.
    """

    target: ImageTarget
    frame: Frame
    density: Array
    pixels: Pixels
    registry: Array
    contrast: float
    correlation: float
    expected: float

    @property
    def noise(self) -> float:
        """Standard deviation of a pixel, atoms per Å^2."""
        return self.target.noise * self.contrast

    def draw_registry(self, rng: np.random.Generator) -> Array:
        """Registry (3,) Å of a candidate: uniform along the line of sight, else as in the image."""
        hidden = 1 - SEEN[self.target.axis]
        registry = self.registry.copy()
        registry[hidden] += rng.random() * self.frame.bicrystal.cell[hidden][hidden]
        return self.frame.reduced(registry)

    @cached_property
    def numbers(self) -> dict[int, float]:
        """Probability of each number of atoms, from the atoms that fit the image best with it.

        Residuals that are larger than the stated noise are taken for noise.
        """
        bicrystal, seen = self.frame.bicrystal, SEEN[self.target.axis]
        fit = AtomFit(
            self.density,
            self.pixels,
            self.frame.join(self.registry).positions[:, [seen, 2]],
            CORE_A / 2 + FIT_MARGIN_A,
            bicrystal.cell[seen][seen],
            self.target.blur_a,
            self.noise,
        )
        found = fit.chi_squares()
        least = min(found.values())
        error = max(1.0, least / fit.wanted.size)
        weights = {
            one: float(np.exp((least - value) / (2 * error))) for one, value in found.items()
        }
        return {one: weight / sum(weights.values()) for one, weight in weights.items()}

    @property
    def num_atoms(self) -> int:
        """The most probable number of atoms."""
        return max(self.numbers, key=self.numbers.__getitem__)

    @cached_property
    def shares(self) -> Array:
        """Probability of each n_index that the number of atoms in the image gives, (P,)."""
        num_plane = self.frame.bicrystal.atoms_per_plane
        indices = np.array(list(self.numbers)) % num_plane
        shares = np.bincount(indices, list(self.numbers.values()), num_plane)
        return np.asarray(shares, dtype=float)

    def n_index(self, index: int) -> int:
        """n_index that candidate ``index`` is asked for: each as often as it is probable."""
        # Multiples of the golden ratio cover the unit interval evenly at any number.
        place = (index + 0.5) * GOLDEN
        return int(np.searchsorted(np.cumsum(self.shares), (place - int(place)) * (1 - 1e-9)))


def place_image(
    path: Path, target: ImageTarget, frame: Frame, source: str, key: str
) -> PlacedImage:
    """Read an image and find its place.

    Args:
        source, key: name of the campaign and path of the target in errors.

    Raises:
        ConfigError: if the file is no image, if the image is smaller than the cell or than the
            boundary with some of each grain, or if its ends do not show the grains.
    """
    file_key = f"{key}.file"
    try:
        image = read_image(path)
    except ValueError as error:
        raise ConfigError(source, file_key, f"{path} {error}") from None
    if np.ptp(image) == 0:
        raise ConfigError(source, file_key, f"{path} has the same brightness everywhere")
    if problem := _problem_of_size(target, image, frame):
        raise ConfigError(source, file_key, f"{path} {problem}")
    placed = _placed(target, image, frame)
    if placed.correlation < LEAST_CORRELATION * placed.expected:
        problem = (
            f"does not show the two grains above and below its middle {CORE_A:g} Å: their"
            f" correlation is {placed.correlation:.2f}, and with this noise"
            f" {placed.expected:.2f} is expected; check axis, pixel_a and blur_a, and that the"
            " upper grain is at the top"
        )
        raise ConfigError(source, file_key, f"{path} {problem}")
    return placed


def _problem_of_size(target: ImageTarget, image: Array, frame: Frame) -> str:
    """Why an image is too small or too large; empty if it is not."""
    seen, pixel = SEEN[target.axis], target.pixel_a
    height, width = (number * pixel for number in image.shape)
    repeat = frame.bicrystal.cell[seen][seen]
    if width < repeat - pixel / 2:
        return (
            f"must be at least one repeat of the boundary wide, {repeat:.2f} Å along {'xy'[seen]},"
            f" got {image.shape[1]} columns of {pixel:g} Å"
        )
    least = CORE_A + 2 * LEAST_GRAIN_A
    if height < least:
        return (
            f"must be at least {least:g} Å high, to show the boundary and some of each grain, got"
            f" {image.shape[0]} rows of {pixel:g} Å"
        )
    most = frame.top - frame.bottom - 2 * frame.bicrystal.plane_spacing
    if height > most:
        return f"must be at most {most:.1f} Å high, as the slabs are, got {height:.1f} Å; cut it"
    return ""


def _placed(target: ImageTarget, image: Array, frame: Frame) -> PlacedImage:
    """The image where it fits the perfect grains best."""
    num_rows = int((len(image) * target.pixel_a - CORE_A) / (2 * target.pixel_a))
    ends = np.r_[0:num_rows, len(image) - num_rows : len(image)]
    pixels, registry = _fitted(target, image, frame, num_rows)
    joined = _perfect(target, frame, pixels, registry)
    # Brightness of the ends in atoms per Å^2, by least squares.
    slope, offset = np.polyfit(joined[ends].ravel(), image[ends].ravel(), 1)
    density, contrast = (image - offset) / (slope or 1.0), float(np.ptp(joined[ends]))
    correlation = _correlation(image[ends], joined[ends])
    variance = float(joined[ends].var())
    expected = sqrt(variance / (variance + (target.noise * contrast) ** 2))
    return PlacedImage(target, frame, density, pixels, registry, contrast, correlation, expected)


def _fitted(target: ImageTarget, image: Array, frame: Frame, num_rows: int) -> tuple[Pixels, Array]:
    """Place of an image and registry (3,) Å of the upper grain, by the perfect grains.

    Args:
        num_rows: rows at either end that show one grain each.
    """
    seen = SEEN[target.axis]
    own = Pixels(image.shape, target.pixel_a, 0.0, 0.0)  # heights below the first row
    # 1. A lattice point of each grain in the coordinates of the image, from its outer rows.
    bottom = replace(own, shape=(num_rows, image.shape[1]), top=float(own.heights[-num_rows]))
    lower = _lattice_point(target, image[-num_rows:], bottom, "lower", frame)
    upper = _lattice_point(target, image[:num_rows], replace(bottom, top=0.0), "upper", frame)
    # 2. The plane at which the lower grain ends: that with which both grains together fit best.
    begin = (0.0, 0.0, frame.bottom)
    start = frame.bicrystal.lattice_points("lower", begin, frame.centre, frame.top)[0]
    best: tuple[float, Pixels, Array] | None = None
    points = frame.bicrystal.lattice_points("lower", lower, float(own.heights[-1]), 0.0)
    # Points of one plane are the same boundary.
    points = points[np.argsort(points[:, 2])]
    for point in points[np.diff(points[:, 2], prepend=-np.inf) > FINE_A]:
        pixels = replace(own, left=start[seen] - point[seen], top=start[2] - point[2])
        if pixels.top > frame.top or pixels.heights[-1] < frame.bottom:
            continue
        registry = upper + np.array([0.0, 0.0, pixels.top - frame.upper_plane])
        registry[seen] += pixels.left
        registry = frame.reduced(registry)
        score = _correlation(image, _perfect(target, frame, pixels, registry))
        if best is None or score > best[0]:
            best = score, pixels, registry
    assert best is not None, "an image that is lower than the slabs has a place on them"
    return best[1:]


def _perfect(target: ImageTarget, frame: Frame, pixels: Pixels, registry: Array) -> Array:
    """Image (H, W) of two perfect grains."""
    atoms = frame.join(registry).positions
    lengths = np.diag(np.asarray(frame.bicrystal.cell))
    return projected(atoms, lengths, target.axis, pixels, target.blur_a)


def _lattice_point(
    target: ImageTarget, image: Array, pixels: Pixels, side: Side, frame: Frame
) -> Array:
    """Place (3,) of a lattice point of a grain with which its image fits best, Å.

    It is searched over the cell along the rows and over one plane spacing along the normal, first
    coarsely and then around the best.
    """
    bicrystal, seen = frame.bicrystal, SEEN[target.axis]
    repeat, spacing = bicrystal.cell[seen][seen], bicrystal.grain(side).plane_spacing
    spread = target.blur_a / WIDTHS
    reach = REACH * spread + spacing
    low, high = float(pixels.heights[-1]) - reach, float(pixels.heights[0]) + reach
    atoms = bicrystal.lattice_positions(side, np.zeros(3), low, high)

    def best(across: Array, along: Array) -> Array:
        # An image is the product of a matrix of the heights and one of the columns.
        columns = [
            densities(pixels.columns, atoms[:, seen] + one, spread, repeat) for one in across
        ]
        heights = [densities(pixels.heights, atoms[:, 2] + one, spread) for one in along]
        scores = [[_correlation(image, high @ left.T) for left in columns] for high in heights]
        row, column = np.unravel_index(int(np.argmax(scores)), (len(heights), len(columns)))
        point = np.zeros(3)
        point[[seen, 2]] = across[column], along[row]
        return point

    found = best(np.arange(0.0, repeat, COARSE_A), np.arange(0.0, spacing, COARSE_A))
    for step in (COARSE_A / 4, FINE_A):
        offsets = step * np.arange(-4, 5)
        found = best(found[seen] + offsets, found[2] + offsets)
    return found


def _correlation(first: Array, second: Array) -> float:
    """Correlation coefficient of two images; 0 where one is the same everywhere."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
