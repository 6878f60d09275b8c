"""Images as targets: where they lie, and what they say about voxels."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from gcd_hpc.config.guidance import ImageTarget
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.layout import Layout, lay_out
from gcd_hpc.errors import ConfigError
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.image import ImageTerm, Projector
from gcd_hpc.learning.image_match import SAME, resemblance
from gcd_hpc.learning.image_place import PlacedImage, place_image
from gcd_hpc.structures.projection import SEEN, Pixels, noisy, projected
from gcd_hpc.structures.sites import Sites
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.moment import decode_moments

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
REGISTRY = np.array([2.1, 3.3, 0.9])
SHIFT = np.array([0.1, 0.3, 0.2])


@cache
def layout() -> Layout:
    return lay_out(load_campaign(CAMPAIGNS / "w_sigma5.yaml"), 3.165, "w.yaml")


def target(file: str = "a.npy", **keys: object) -> ImageTarget:
    given = {"file": file, "axis": "x", "pixel_a": 0.2, "blur_a": 0.8, "noise": 0.1}
    return ImageTarget.model_validate({**given, **keys})


def image_of(positions: np.ndarray, axis: str = "x", noise: float = 0.1) -> np.ndarray:
    """Image of 28 Å of a structure, in shades of grey of its own."""
    frame = layout().frame
    lengths = np.diag(np.asarray(frame.bicrystal.cell))
    pixels = Pixels((140, round(lengths[SEEN[axis]] / 0.2) + 3), 0.2, 1.3, frame.centre + 14.6)
    image = projected(positions, lengths, axis, pixels, 0.8)
    return 40.0 + 7.0 * noisy(image, noise, np.random.default_rng(0))


def core() -> np.ndarray:
    """Two grains with six atoms of the upper one's first planes left out."""
    atoms = layout().frame.join(REGISTRY).positions
    above = np.flatnonzero(atoms[:, 2] > layout().frame.centre)
    return np.delete(atoms, above[np.argsort(atoms[above, 2])[:6]], axis=0)


@cache
def placed(axis: str = "x") -> PlacedImage:
    path = Path(__file__).parent / "unused.npy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gcd_hpc.learning.image_place.read_image", lambda _: image_of(core(), axis))
        return place_image(path, target(axis=axis), layout().frame, "a.yaml", "guidance[0].target")


@pytest.mark.parametrize("axis", ["x", "y"])
def test_an_image_tells_its_place_its_registry_and_its_number_of_atoms(axis):
    found, frame = placed(axis), layout().frame
    lengths = np.diag(np.asarray(frame.bicrystal.cell))
    assert found.correlation > 0.85
    # Both grains of the place that was found, against those of the image, without noise.
    rows = np.r_[0:35, 105:140]
    expected = projected(frame.join(found.registry).positions, lengths, axis, found.pixels, 0.8)
    clean = (image_of(core(), axis, 0.0) - 40.0) / 7.0
    # The place is found to 0.02 Å, of an atom's spread of 0.34 Å.
    assert np.abs(expected[rows] - clean[rows]).max() < 0.12 * np.ptp(clean)
    # The same boundary a plane higher has ten atoms more.
    assert (found.num_atoms - len(core())) % 10 == 0
    assert int(np.argmax(found.shares)) == len(core()) % 10


@pytest.mark.parametrize("axis", ["x", pytest.param("y", marks=pytest.mark.slow)])
@pytest.mark.parametrize("num_missing", [1, 4, 7])
def test_atoms_are_counted_in_an_image_of_a_disordered_boundary(tmp_path, axis, num_missing):
    frame, rng = layout().frame, np.random.default_rng(num_missing)
    atoms = frame.join(frame.random_registry(rng)).positions
    away = np.abs(atoms[:, 2] - frame.centre)
    # Displaced by 0.25 Å at the boundary, of an atom's spread of 0.34 Å, and less in the grains.
    atoms = atoms + 0.25 * rng.standard_normal(atoms.shape) * np.exp(-away / 3)[:, None]
    atoms = np.delete(atoms, np.argsort(away)[:num_missing], axis=0)
    np.save(tmp_path / "a.npy", image_of(atoms, axis))
    found = place_image(tmp_path / "a.npy", target(axis=axis), frame, "a.yaml", "key")
    assert (found.num_atoms - len(atoms)) % 10 == 0
    assert found.numbers[found.num_atoms] > 0.99


def with_more_noise(share: float) -> PlacedImage:
    """The image with more noise than it is said to have, as a share of its contrast."""
    image, rng = placed(), np.random.default_rng(1)
    noise = share * image.contrast * rng.standard_normal(image.density.shape)
    return replace(image, density=image.density + noise)


@pytest.mark.slow
def test_an_image_that_is_noisier_than_stated_leaves_more_numbers_of_atoms_open():
    assert max(placed().numbers.values()) > 0.999
    assert max(with_more_noise(2.0).numbers.values()) < 0.9


def test_candidates_are_asked_for_each_fraction_as_often_as_it_is_probable():
    image = with_more_noise(2.0)
    asked = np.bincount([image.n_index(index) for index in range(1000)], minlength=10)
    np.testing.assert_allclose(asked / 1000, image.shares, atol=0.01)


def test_registries_are_drawn_along_the_line_of_sight_only():
    image, lengths = placed(), np.diag(np.asarray(layout().frame.bicrystal.cell))
    rng = np.random.default_rng(0)
    drawn = [image.draw_registry(rng) for _ in range(20)]
    assert np.ptp([one[0] for one in drawn]) > lengths[0] / 2
    views = [
        projected(layout().frame.join(one).positions, lengths, "x", image.pixels, 0.8)
        for one in (drawn[0], drawn[1])
    ]
    np.testing.assert_allclose(views[0], views[1], atol=1e-6)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_smoothed_image_of_voxels_is_that_of_the_atoms(axis):
    image, grid = placed(axis), layout().grid
    atoms, smoothing = core(), 0.7
    voxels = encode(atoms + SHIFT, grid)
    found = Projector.of(image, grid, SHIFT, smoothing)(voxels).numpy()
    wide = float(np.sqrt(0.8**2 + 8 * np.log(2) * smoothing**2))
    lengths = np.diag(np.asarray(layout().frame.bicrystal.cell))
    expected = projected(atoms, lengths, axis, image.pixels, wide)
    # An atom between two voxels is spread more than on average, one on a voxel less.
    assert np.abs(found - expected).max() < 0.15 * expected.max()


def term() -> ImageTerm:
    grid = layout().grid

    def decode(array: torch.Tensor) -> Sites:
        positions = decode_moments(array[0].numpy(), grid)
        return Sites(positions, np.full(len(positions), 74))

    frame, lengths = layout().frame, np.diag(np.asarray(layout().frame.bicrystal.cell))
    image = placed()
    # The image of the structure at the place that the term knows, so that its truth is known.
    pixels = replace(image.pixels, left=0.0, top=frame.centre + 14.0)
    density = projected(core(), lengths, "x", pixels, 0.8)
    known = replace(image, density=density, pixels=pixels)
    mask = known_mask(grid.shape, layout().num_known)
    return ImageTerm(known, grid, [SHIFT], decode, mask, 0.1)


@pytest.mark.parametrize("noise", [2.0, 0.1])
def test_the_structure_of_an_image_is_more_probable_than_others(noise):
    atoms = core()
    middle = int(np.argmin(np.abs(atoms[:, 2] - layout().frame.centre)))
    moved = atoms.copy()
    moved[middle] += [0.0, 1.0, 0.5]
    structures = {"true": atoms, "missing": np.delete(atoms, middle, axis=0), "moved": moved}
    values = {
        name: float(
            term().log_probability(encode(one + SHIFT, layout().grid)[None, None] / 0.1, noise)
        )
        for name, one in structures.items()
    }
    assert max(values, key=values.__getitem__) == "true"


def test_an_atom_is_drawn_to_its_place_in_the_image():
    atoms, grid = core(), layout().grid
    middle = int(np.argmin(np.abs(atoms[:, 2] - layout().frame.centre)))
    for axis in (1, 2):
        moved = atoms.copy()
        moved[middle, axis] += 0.3
        array = (encode(moved + SHIFT, grid)[None, None] / 0.1).requires_grad_(True)
        term().log_probability(array, 0.1).sum().backward()
        # Derivative of log p along a motion of the atom, from its voxels.
        step = moved.copy()
        step[middle, axis] += 0.01
        motion = encode(step + SHIFT, grid) - encode(moved + SHIFT, grid)
        assert array.grad is not None
        assert float((array.grad[0, 0] * motion).sum()) < 0


def test_an_image_says_nothing_about_noise():
    array = torch.zeros(1, 1, *layout().grid.shape)
    assert term().log_probability(array, 50.0).tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda image: image.T, "must be at least 22 Å high, to show the boundary"),
        (lambda image: image[:, :40], "must be at least one repeat of the boundary wide, 10.01 Å"),
        (lambda image: image[:80], "must be at least 22 Å high, to show the boundary"),
        (lambda image: np.concatenate([image] * 3), "must be at most"),
        (lambda image: 0 * image, "has the same brightness everywhere"),
        (lambda image: np.where(image > 46, np.nan, image), "must hold finite numbers"),
        (lambda image: np.stack([image, image, 0 * image], 2), "is in colour"),
    ],
)
def test_an_image_that_cannot_be_of_the_boundary_is_refused_in_one_sentence(
    tmp_path, change, problem
):
    np.save(tmp_path / "a.npy", change(image_of(core())))
    with pytest.raises(ConfigError, match=problem) as caught:
        place_image(tmp_path / "a.npy", target(), layout().frame, "a.yaml", "guidance[0].target")
    assert str(caught.value).startswith(f"a.yaml: guidance[0].target.file: {tmp_path / 'a.npy'} ")


def test_an_image_whose_pixels_have_another_size_does_not_show_the_grains(tmp_path):
    np.save(tmp_path / "a.npy", image_of(core()))
    with pytest.raises(
        ConfigError, match="does not show the two grains above and below its middle"
    ):
        place_image(
            tmp_path / "a.npy", target(pixel_a=0.25), layout().frame, "a.yaml", "guidance[0].target"
        )


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_structure_resembles_its_image_wherever_it_lies_and_other_structures_do_not(axis):
    atoms, frame = core(), layout().frame
    clean = replace(placed(axis), density=(image_of(atoms, axis, 0.0) - 40.0) / 7.0)
    # Another lattice vector of the lower grain, in the plane and along the normal.
    vectors = frame.bicrystal.lattice_points("lower", (0.0, 0.0, 0.0), 1.0, 2.0)
    displaced = atoms + vectors[len(vectors) // 2]
    assert min(resemblance(clean, one) for one in (atoms, displaced)) > SAME
    above = np.flatnonzero(atoms[:, 2] > frame.centre)
    vacancy = np.delete(atoms, above[np.argmin(atoms[above, 2])], axis=0)
    assert resemblance(clean, vacancy, frame.bicrystal.symmetry_operations) < SAME


@pytest.mark.parametrize("axis", ["x", pytest.param("y", marks=pytest.mark.slow)])
def test_symmetric_variants_resemble_an_image_only_where_they_may_be_turned_back(axis):
    atoms, frame = core(), layout().frame
    clean = replace(placed(axis), density=(image_of(atoms, axis, 0.0) - 40.0) / 7.0)
    operations = frame.bicrystal.symmetry_operations
    turned = [frame.transform(atoms, operation) for operation in operations]
    assert min(resemblance(clean, one) for one in turned) < SAME
    assert min(resemblance(clean, one, operations) for one in turned) > SAME
