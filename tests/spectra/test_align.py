"""Broadening, resampling, normalisation and shift, in closed form."""

import numpy as np
import pytest
from scipy.special import ndtr

from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.align import (
    FWHM_PER_SIGMA,
    broadened,
    check_reaches,
    correlations,
    mean_level,
    normalized,
    shifted_target,
    window,
)

FWHM = 0.8
SIGMA = FWHM / FWHM_PER_SIGMA
ONTO = window(280, 300, 0.4)
UNEVEN = np.sort(np.random.default_rng(0).uniform(270, 310, 60))


def test_a_window_holds_both_of_its_ends():
    assert ONTO[0] == 280
    assert ONTO[-1] == pytest.approx(300)
    assert len(ONTO) == 51


def test_a_straight_line_stays_the_same_when_it_is_broadened():
    """The mean of a line under a symmetric kernel; its ends are far away."""
    found = broadened(UNEVEN, 2 + 0.3 * (UNEVEN - 290), FWHM, window(285, 295, 0.1))
    np.testing.assert_allclose(found, 2 + 0.3 * (window(285, 295, 0.1) - 290), atol=1e-12)


def test_a_step_becomes_the_cumulated_normal_distribution():
    energies = np.array([270.0, 290 - 1e-7, 290 + 1e-7, 310])
    found = broadened(energies, np.array([0.0, 0, 1, 1]), FWHM, ONTO)
    np.testing.assert_allclose(found, ndtr((ONTO - 290) / SIGMA), atol=1e-6)


def test_a_narrow_peak_keeps_its_area_and_gets_the_width_of_the_gaussian():
    energies = np.array([270.0, 290 - 1e-3, 290, 290 + 1e-3, 310])
    fine = window(286, 294, 0.001)
    found = broadened(energies, np.array([0.0, 0, 1000, 0, 0]), FWHM, fine)
    assert np.trapezoid(found, fine) == pytest.approx(1, abs=1e-6)
    above = fine[found > found.max() / 2]
    assert above[-1] - above[0] == pytest.approx(FWHM, abs=0.002)


def test_no_broadening_is_interpolation():
    values = np.cos(UNEVEN)
    np.testing.assert_array_equal(
        broadened(UNEVEN, values, 0, ONTO), np.interp(ONTO, UNEVEN, values)
    )


def test_two_broadenings_are_one_whose_squared_widths_add_up():
    fine = window(280, 300, 0.02)
    values = np.exp(-((fine - 290) ** 2))
    twice = broadened(fine, broadened(fine, values, 0.6, fine), 0.8, ONTO)
    # Lines between points 0.02 eV apart differ from the curve by the square of that.
    np.testing.assert_allclose(twice, broadened(fine, values, 1.0, ONTO), atol=1e-4)


@pytest.mark.parametrize("ends", [(281, 310), (270, 299)])
def test_a_spectrum_shorter_than_the_window_is_refused(ends):
    with pytest.raises(StoreError, match=r"m reaches from .* less than the window from 280 to 300"):
        check_reaches(np.linspace(*ends, 50), ONTO, "m")


def test_the_mean_level_of_a_line_is_its_middle():
    assert mean_level(3 * ONTO, ONTO) == pytest.approx(3 * 290)
    assert mean_level([1, 2, 3], None) == pytest.approx(2)


def test_normalised_spectra_have_the_mean_level_one_whatever_their_unit():
    values = 1 + np.sin(ONTO) ** 2
    assert mean_level(normalized(values, ONTO), ONTO) == pytest.approx(1)
    np.testing.assert_allclose(normalized(values, ONTO), normalized(49 * values, ONTO))
    with pytest.raises(StoreError, match=r"spectrum has an area of .* cannot be normalised"):
        normalized(-values, ONTO)


@pytest.mark.parametrize("shift", [-0.85, 0.0, 0.4])
def test_the_shift_between_two_energy_scales_is_found(shift):
    fine = window(270, 312, 0.05)

    def spectrum(energies):
        return 1 + ndtr(energies - 285) + np.exp(-((energies - 291) ** 2))

    # A target whose zero differs: its features lie by the shift too low.
    target = shifted_target(fine, spectrum(fine + shift), ONTO)
    found, rms = target.best(normalized(spectrum(ONTO), ONTO))
    assert found == pytest.approx(shift, abs=1e-9)
    assert rms < 1e-3


def test_no_more_than_one_electronvolt_is_put_down_to_the_scale():
    fine = window(270, 312, 0.05)
    target = shifted_target(fine, 1 + np.exp(-((fine - 290) ** 2)), ONTO)
    assert target.shifts_ev[[0, -1]] == pytest.approx([-1, 1])
    other = normalized(1 + np.exp(-((ONTO - 293) ** 2)), ONTO)
    found, rms = target.best(other)
    assert found == pytest.approx(1)
    assert rms > 0.1


def test_correlations_are_those_of_numpy():
    one, two = np.random.default_rng(0).normal(size=(2, 4, 30))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, two, strict=True)]
    np.testing.assert_allclose(correlations(one, two), expected)
