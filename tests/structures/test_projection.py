"""Projected images of structures, and files of images."""

import numpy as np
import pytest
from matplotlib.image import imsave
from PIL import Image

from gcd_hpc.structures.projection import (
    Pixels,
    densities,
    densities_and_slopes,
    noisy,
    projected,
    read_image,
)

LENGTHS = (6.0, 8.0)


@pytest.fixture
def atoms() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((20, 3)) * [6.0, 8.0, 10.0] + [0.0, 0.0, 10.0]


@pytest.mark.parametrize(("axis", "length"), [("x", 8.0), ("y", 6.0)])
def test_an_image_of_one_repeat_integrates_to_the_number_of_atoms(atoms, axis, length):
    pixels = Pixels((300, round(length / 0.1)), 0.1, 3.0, 30.0)
    image = projected(atoms, LENGTHS, axis, pixels, 0.8)
    # Pixels are a third of a standard deviation, so that sums are exact to rounding.
    assert image.sum() * 0.1**2 == pytest.approx(20.0, rel=1e-6)


def test_an_image_repeats_along_its_rows_and_its_first_row_is_the_highest(atoms):
    image = projected(atoms, LENGTHS, "x", Pixels((200, 160), 0.1, 0.0, 25.0), 0.8)
    np.testing.assert_allclose(image[:, :80], image[:, 80:], atol=1e-12)
    highest = projected(
        atoms[[atoms[:, 2].argmax()]], LENGTHS, "x", Pixels((200, 80), 0.1, 0.0, 25.0), 0.8
    )
    row = int(highest.max(1).argmax())
    assert 25.0 - 0.1 * row == pytest.approx(atoms[:, 2].max(), abs=0.06)


def test_an_atom_is_half_as_bright_half_its_width_away():
    values = densities([0.0, 0.4], [0.0], 0.8 / (2 * np.sqrt(2 * np.log(2))))
    assert values[1, 0] / values[0, 0] == pytest.approx(0.5)


def test_slopes_are_derivatives_of_the_densities():
    places, points, step = np.linspace(0, 5, 11), np.array([0.3, 4.9]), 1e-5
    _, slopes = densities_and_slopes(places, points, 0.5, 5.0)
    numerical = densities(places, points + step, 0.5, 5.0) - densities(
        places, points - step, 0.5, 5.0
    )
    np.testing.assert_allclose(slopes, numerical / (2 * step), atol=1e-6)


def test_noise_is_a_share_of_the_contrast():
    image = np.zeros((200, 200))
    image[0, 0] = 5.0
    noise = noisy(image, 0.1, np.random.default_rng(0)) - image
    # 40,000 pixels: three standard errors are 1 %.
    assert noise.std() == pytest.approx(0.5, rel=0.01)


def test_shades_of_grey_are_read_also_where_they_are_saved_as_colours(tmp_path):
    shades = np.linspace(0, 1, 12).reshape(3, 4)
    imsave(tmp_path / "a.png", shades, cmap="gray", vmin=0, vmax=1)
    np.save(tmp_path / "a.npy", shades)
    # Colour maps and files have 256 steps each.
    np.testing.assert_allclose(read_image(tmp_path / "a.png"), shades, atol=1.0 / 255)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), shades)


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.uint16])
def test_numbers_of_a_tiff_file_are_read_as_they_are(kind, tmp_path):
    """Detectors write counts, which would all be white if they were taken for 256 shades."""
    counts = (300 + 100 * np.arange(12).reshape(3, 4)).astype(kind)
    Image.fromarray(counts).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), counts)


def test_an_image_of_a_kind_that_starts_a_program_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        read_image(tmp_path / "a.tif")


def test_files_that_are_no_images_are_refused(tmp_path):
    imsave(tmp_path / "colour.png", np.random.default_rng(0).random((4, 4)), cmap="jet")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan]]))
    np.save(tmp_path / "cube.npy", np.zeros((2, 3, 4, 5)))
    np.save(tmp_path / "complex.npy", np.zeros((2, 3), complex))
    for name, problem in {
        "colour.png": "is in colour; save it in shades of grey",
        "text.png": "cannot be read as an image",
        "text.npy": "cannot be read as an image",
        "nan.npy": "must hold finite numbers, got NaN or infinity",
        "cube.npy": "must hold numbers in rows and columns, got 2 x 3 x 4 x 5 of float64",
        "complex.npy": "must hold numbers in rows and columns, got 2 x 3 of complex128",
    }.items():
        with pytest.raises(ValueError, match=problem):
            read_image(tmp_path / name)
