"""How well the projection of a structure agrees with an image of a boundary.

Energy and [n] do not tell which of its symmetric variants a phase is in, and other structures may
have the same of both. The projection tells them apart.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.learning.image_place import CORE_A, PlacedImage
from gcd_hpc.structures.projection import REACH, SEEN, WIDTHS, densities, projected

Array = NDArray[np.float64]

SAME = 0.99
"""Least resemblance of the structure in an image without noise.

Of tungsten's Sigma5 twist, relaxed structures of one phase resemble each other by 0.999, a phase
and its other symmetric variants by at most 0.93, and two structures by at most 0.967 (those of a
search with the lowest energies, in the best of their variants).
"""
FARTHEST_A = 4.0
"""Largest difference of the heights of two boundaries that are compared, Å."""


def resemblance(image: PlacedImage, positions: Array, operations: Sequence[Array] = ()) -> float:
    """Largest correlation of the middle of an image with the projection of a structure.

    The structure may be displaced by any lattice vector of the lower grain, which lands on itself,
    because an image has no origin that a structure would have to keep.

    Args:
        positions: (N, 3) Å, in the frame of the image.
        operations: (3, 3) each, symmetry operations of the boundary that may turn the structure.
            Without any it is compared as it lies.
    """
    frame = image.frame
    turned = [frame.transform(positions, operation) for operation in operations] or [positions]
    return max(_displaced(image, one)[0] for one in turned)


def laid(image: PlacedImage, positions: Array) -> tuple[float, Array]:
    """A structure displaced by the lattice vector with which its projection fits an image best.

    Args:
        positions: (N, 3) Å, in the frame of the image.

    Returns:
        The correlation, that of ``resemblance`` as it lies, and the positions (N, 3) Å.
    """
    correlation, (across, along) = _displaced(image, positions)
    moved = positions.copy()
    moved[:, SEEN[image.target.axis]] += across
    moved[:, 2] += along
    return correlation, moved


def log_fit(image: PlacedImage, positions: Array) -> float:
    """log p(image | atoms) up to a constant, of a structure at the place that the image was given.

    Args:
        positions: (N, 3) Å, in the frame of the image.
    """
    axis, blur_a = image.target.axis, image.target.blur_a
    lengths = np.diag(image.frame.cell)
    apart = image.density - projected(positions, lengths, axis, image.pixels, blur_a)
    return -float((apart**2).sum()) / (2 * image.noise**2)


def _displaced(image: PlacedImage, positions: Array) -> tuple[float, tuple[float, float]]:
    """Largest correlation over the lattice vectors of the lower grain, and the vector that has it:
    along the rows of the image and along the normal, Å.
    """
    frame, pixels = image.frame, image.pixels
    seen, spread = SEEN[image.target.axis], image.target.blur_a / WIDTHS
    repeat = frame.bicrystal.cell[seen][seen]
    rows = np.abs(pixels.heights - frame.centre) < CORE_A / 2
    reach = CORE_A / 2 + FARTHEST_A + REACH * spread
    positions = positions[np.abs(positions[:, 2] - frame.centre) < reach]
    vectors = frame.bicrystal.lattice_points("lower", (0.0, 0.0, 0.0), -FARTHEST_A, FARTHEST_A)
    # An image is the product of a matrix of the heights and one of the columns.
    places: Array = vectors[:, [seen, 2]].round(6)
    across = {
        place: densities(pixels.columns - place, positions[:, seen], spread, repeat).T
        for place in np.unique(places[:, 0])
    }
    along = {
        height: densities(pixels.heights[rows] - height, positions[:, 2], spread)
        for height in np.unique(places[:, 1])
    }
    wanted = image.density[rows].ravel()
    return max(
        (float(np.corrcoef(wanted, (along[height] @ across[place]).ravel())[0, 1]), (place, height))
        for place, height in set(map(tuple, places.tolist()))
    )
