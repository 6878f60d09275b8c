"""The cell in which registries repeat."""

import numpy as np
import pytest

from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image
from gcd_hpc.structures.registry import in_plane_translations, repeat_cell, shift_cell
from tests.structures.boundaries import ALL, PERFECT

# In a twist boundary the planes of the grains are turned, in a symmetric tilt boundary they are the
# same.
SHARES = {
    "W twist": (5, 5),
    "Si twist": (5, 5),
    "W Sigma5(310)[001] tilt": (1, 1),
    "Ni Sigma3(111) twist": (1, 1),
    "Cu Sigma3(111) rhomb": (1, 1),
    "Cu Sigma7(111) rhomb": (7, 7),
}


@pytest.mark.parametrize("name", SHARES)
def test_registries_repeat_where_the_planes_of_the_grains_do_not_coincide(name):
    assert np.diag(ALL[name].cell) / np.diag(repeat_cell(ALL[name])) == pytest.approx(SHARES[name])


def test_registries_of_one_crystal_repeat_as_its_lattice_does():
    # Along [310] of bcc the shortest translation is the whole of a0 times the square root of ten.
    assert repeat_cell(PERFECT) == pytest.approx(np.array(PERFECT.cell))


@pytest.mark.parametrize("name", [*SHARES, "strained", "Al Sigma11(113)[110] tilt"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_the_repeat_cell_is_the_same_bicrystal_moved(name, axis):
    bicrystal = ALL[name]
    frame = Frame.build(bicrystal, (6.0, 6.0), 40.0)
    shift = np.zeros(3)
    shift[:2] = repeat_cell(bicrystal)[axis]
    registry = np.array([0.3, 0.7, 0.4])
    before, after = (
        _distances(frame, frame.join(place).positions) for place in (registry, registry + shift)
    )
    np.testing.assert_allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("name", [*SHARES, "strained", "Al Sigma11(113)[110] tilt"])
def test_no_two_shifts_of_the_smallest_cell_are_equal(name):
    """Its area is that of the common cell over the number of different translations in it."""
    bicrystal = ALL[name]
    lower, upper = in_plane_translations(bicrystal)
    apart = (upper[:, None] - lower).reshape(-1, 2)
    fractions = apart @ np.linalg.inv(bicrystal.cell)
    rounded = np.round((fractions + 1e-7) % 1.0, 5) % 1.0
    cell = shift_cell(lower, upper, bicrystal.cell)
    num_equal = len(np.unique(rounded, axis=0))
    assert np.linalg.det(cell) * num_equal == pytest.approx(bicrystal.area)
    whole = apart @ np.linalg.inv(cell)
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-5)


def test_parts_without_translations_of_their_own_repeat_as_the_common_cell_does():
    bicrystal = ALL["W twist"]
    none = np.zeros((1, 2))
    assert shift_cell(none, none, bicrystal.cell) == pytest.approx(np.array(bicrystal.cell))


def _distances(frame, positions):
    """All distances between the atoms of a lower and an upper grain, sorted: the same for
    structures that differ by a translation.
    """
    low, high = (
        positions[positions[:, 2] < frame.centre - 1e-6],
        positions[positions[:, 2] > frame.centre - 1e-6],
    )
    offset = minimum_image(high[:, None] - low, frame.bicrystal.cell)
    return np.sort(np.linalg.norm(offset, axis=2).ravel())
