import numpy as np
import pytest
from ase.geometry import find_mic, wrap_positions
from hypothesis import given
from hypothesis import strategies as st

from gcd_hpc.structures.periodic import minimum_image, wrap

LENGTHS = np.array([10.008131290506235, 7.5, 50.04])
EACH_AXIS = [(True, True, True), (True, True, False), (False, True, False)]


@pytest.fixture
def positions() -> np.ndarray:
    return np.random.default_rng(0).uniform(-3.0, 3.0, (1000, 3)) * LENGTHS


@pytest.mark.parametrize("periodic", EACH_AXIS)
def test_positions_and_vectors_are_those_of_ase(positions, periodic):
    """To rounding: ASE goes by fractions of the cell."""
    cell = np.diag(LENGTHS)
    expected = wrap_positions(positions, cell, periodic, eps=0.0)
    assert np.allclose(wrap(positions, LENGTHS, periodic), expected, atol=1e-12)
    expected, _ = find_mic(positions, cell, periodic)
    assert np.allclose(minimum_image(positions, LENGTHS, periodic), expected, atol=1e-12)


def test_a_position_just_below_the_box_does_not_become_its_length():
    """The remainder of -1e-17 is the length itself, which a periodic tree refuses."""
    assert wrap([[-1e-17, 7.5, 60.0]], LENGTHS[:2]).tolist() == [[0.0, 0.0, 60.0]]


def test_further_coordinates_and_the_argument_stay(positions):
    before = positions.copy()
    assert np.array_equal(wrap(positions, LENGTHS[:2])[:, 2], before[:, 2])
    assert np.array_equal(minimum_image(positions, LENGTHS[:1])[:, 1:], before[:, 1:])
    assert np.array_equal(positions, before)


def test_an_open_axis_may_have_no_length(positions):
    lengths, periodic = (10.0, 7.5, 0.0), (True, True, False)
    assert np.array_equal(wrap(positions, lengths, periodic)[:, 2], positions[:, 2])
    assert np.array_equal(minimum_image(positions, lengths, periodic)[:, 2], positions[:, 2])


@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e3))
def test_every_position_ends_in_the_box_and_every_vector_within_half_of_it(x, length):
    assert 0.0 <= wrap([[x]], [length]).item() < length
    # A relative rounding of 1e-16 for each of the boxes crossed.
    assert abs(minimum_image([[x]], [length]).item()) <= 0.5 * length + 1e-9
