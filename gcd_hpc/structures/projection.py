"""Projected images of a boundary that is seen edge on, such as STEM images of atom columns.

The image of N atoms is the sum of N normal densities in the plane of the image, atoms per Å^2. Rows
are parallel to the boundary, the first one is the highest; columns follow the in-plane axis that is
seen, y where one looks along x. An image repeats along its rows with the cell.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.errors import reason_of
from gcd_hpc.files import replacing

Array = NDArray[np.float64]
Axis = Literal["x", "y"]

SEEN: dict[Axis, int] = {"x": 1, "y": 0}
"""In-plane axis along the rows of an image, by the axis along which one looks."""
WIDTHS = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Width of a normal density at half of its height, in standard deviations."""
REACH = 5.0
"""Distance up to which an atom is seen, in standard deviations of its density."""
FORMATS = ("PNG", "TIFF", "BMP", "JPEG")
"""Image files that are read, recognized by their content. Others may start a program, as EPS does.
"""
MOST_PIXELS = 2**25
"""Largest number of pixels of an image, more than detectors have."""


@dataclass(frozen=True)
class Pixels:
    """Place of an image in the frame of a structure.

    Args:
        shape: rows and columns.
        pixel_a: edge of a pixel, Å.
        left: centre of the first column along the axis that is seen, Å.
        top: height of the centre of the first row, Å.
    """

    shape: tuple[int, int]
    pixel_a: float
    left: float
    top: float

    @property
    def columns(self) -> Array:
        """Places of the columns along the axis that is seen, (W,) Å."""
        return np.asarray(self.left + self.pixel_a * np.arange(self.shape[1]))

    @property
    def heights(self) -> Array:
        """Heights of the rows, (H,) Å."""
        return np.asarray(self.top - self.pixel_a * np.arange(self.shape[0]))


def densities(places: ArrayLike, points: ArrayLike, spread: float, length: float = 0.0) -> Array:
    """Normal densities at places (M,) of points (N,), (M, N) in 1/Å.

    Args:
        spread: standard deviation, Å.
        length: period along which the points repeat, Å; 0 if they do not.
    """
    return densities_and_slopes(places, points, spread, length)[0]


def densities_and_slopes(
    places: ArrayLike, points: ArrayLike, spread: float, length: float = 0.0
) -> tuple[Array, Array]:
    """``densities``, and their derivatives with respect to the points, (M, N) in 1/Å^2."""
    apart = np.asarray(places, dtype=float)[:, None] - np.asarray(points, dtype=float)
    num = 0
    if length:
        farthest = float(np.abs(apart).max(initial=0.0)) + REACH * spread
        num = int(np.ceil(farthest / length))
    # Repeats first: numpy sums over the first axis several times as fast as over a short last one.
    apart = apart + length * np.arange(-num, num + 1)[:, None, None]  # (repeats, M, N)
    values = np.exp(-((apart / spread) ** 2) / 2) / (np.sqrt(2 * np.pi) * spread)
    return values.sum(0), (values * apart).sum(0) / spread**2


def projected(
    positions: Array, lengths: ArrayLike, axis: Axis, pixels: Pixels, blur_a: float
) -> Array:
    """Image (H, W) of atoms, in atoms per Å^2.

    Args:
        positions: (N, 3) Å.
        lengths: (2,) in-plane edges of a cell with right angles, Å.
        axis: along which one looks.
        blur_a: width of an atom at half of its height, Å.
    """
    seen, spread = SEEN[axis], blur_a / WIDTHS
    length = float(np.asarray(lengths, dtype=float)[seen])
    across = densities(pixels.columns, positions[:, seen], spread, length)
    along = densities(pixels.heights, positions[:, 2], spread)
    return np.asarray(along @ across.T)


def noisy(image: Array, noise: float, rng: np.random.Generator) -> Array:
    """Image (H, W) with independent normal noise.

    Args:
        noise: standard deviation, as a share of the difference between the brightest and the
            darkest pixel.
    """
    return np.asarray(image + noise * float(np.ptp(image)) * rng.standard_normal(image.shape))


def read_image(path: Path) -> Array:
    """Shades of grey (H, W) of an image file, or the numbers of an array in a NPY file.

    Raises:
        ValueError: if it cannot be read, or is no array of finite numbers in two dimensions; says
            so in the words that follow the name of a file.
    """
    try:
        image = _numbers(path) if path.suffix.lower() == ".npy" else _shades(path)
    except Exception as error:  # the readers of damaged files fail in any way
        reason = reason_of(error)
        raise ValueError(f"cannot be read as an image ({reason})") from None
    if image.ndim == 3 and image.shape[2] in (3, 4) and (image[..., :1] == image[..., :3]).all():
        image = image[..., 0]  # shades of grey that were saved as colours
    if image.ndim == 3:
        raise ValueError("is in colour; save it in shades of grey")
    if image.ndim != 2 or image.dtype.kind not in "biuf":
        shape = " x ".join(map(str, image.shape)) or "a single value"
        raise ValueError(f"must hold numbers in rows and columns, got {shape} of {image.dtype}")
    image = image.astype(float)
    if not np.isfinite(image).all():
        raise ValueError("must hold finite numbers, got NaN or infinity")
    return np.asarray(image)


def _numbers(path: Path) -> NDArray[Any]:
    """Array of a NPY file. It is mapped first, because its header may state one of any size."""
    image = np.lib.format.open_memmap(path, mode="r")
    _check_size(image.size)
    return np.array(image)


def _shades(path: Path) -> NDArray[Any]:
    """Values of an image file, (H, W) or (H, W, channels)."""
    # Late imports: they take a third of a second, and only images need them.
    from matplotlib.image import imread
    from PIL import Image

    with warnings.catch_warnings():
        # Files of more than a certain size are warned of, and refused here.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as opened:
            _check_size(opened.width * opened.height)
            # matplotlib would cut these numbers to 256 shades, beyond which all are white.
            if opened.format == "TIFF" and opened.mode in ("F", "I"):
                return np.array(opened)
        return np.asarray(imread(path))


def _check_size(num_pixels: int) -> None:
    if num_pixels > MOST_PIXELS:
        raise ValueError(f"it has {num_pixels:,} pixels, more than {MOST_PIXELS:,}; cut it out")


def write_image(path: Path, image: Array) -> None:
    """Write an image (H, W) as numbers (NPY), or as shades of grey between its extremes (PNG)."""
    if path.suffix == ".npy":
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, image)
        return
    from matplotlib.image import imsave

    with replacing(path) as temporary:
        imsave(temporary, image, cmap="gray", format="png")
