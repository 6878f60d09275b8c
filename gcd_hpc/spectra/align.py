"""Spectra on one axis: broadening, resampling, normalisation and energy shift.

Between its points a spectrum is taken as linear, and beyond them as constant.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from gcd_hpc.errors import StoreError

Array = NDArray[np.float64]

FWHM_PER_SIGMA = 2 * sqrt(2 * log(2))
MAX_SHIFT_EV = 1.0
"""Largest shift between two energy scales that a comparison may choose, eV. With more, a spectrum
of one structure could pass for that of another."""
SHIFT_STEP_EV = 0.05


def broadened(energies_ev: Array, values: Array, fwhm_ev: float, onto_ev: Array) -> Array:
    """Convolution of a spectrum with a Gaussian, at other energies.

    It is exact for a spectrum that is linear between its points.

    Args:
        energies_ev: (M,) eV, rising, not necessarily equidistant.
        values: (M,).
        fwhm_ev: full width of the Gaussian at half its maximum, eV; 0 only interpolates.
        onto_ev: (K,) eV.

    Returns:
        Values (K,).
    """
    if fwhm_ev == 0:
        return np.interp(onto_ev, energies_ev, values)
    sigma = fwhm_ev / FWHM_PER_SIGMA
    u = (energies_ev - np.asarray(onto_ev)[:, None]) / sigma  # (K, M)
    cumulated = ndtr(u)
    density = np.exp(-0.5 * u**2) / sqrt(2 * np.pi)
    slope = np.diff(values) / np.diff(energies_ev)  # (M-1,)
    # The line of each segment, continued to the energy that is asked for: (K, M-1).
    line = values[:-1] - slope * (u[:, :-1] * sigma)
    inner = line * np.diff(cumulated) - slope * sigma * np.diff(density)
    ends = values[0] * cumulated[:, 0] + values[-1] * (1 - cumulated[:, -1])
    return np.asarray(inner.sum(axis=1) + ends)


def check_reaches(energies_ev: Array, onto_ev: Array, what: str) -> None:
    """Check that a spectrum reaches over a window of energies.

    Raises:
        StoreError: if it does not.
    """
    slack = 1e-6
    if energies_ev[0] > onto_ev[0] + slack or energies_ev[-1] < onto_ev[-1] - slack:
        raise StoreError(
            f"{what} reaches from {energies_ev[0]:g} to {energies_ev[-1]:g} eV, which is less than"
            f" the window from {onto_ev[0]:g} to {onto_ev[-1]:g} eV; measure or cut out more of it,"
            " choose a narrower window, or shift the energies if the scales differ"
        )


def mean_level(values: ArrayLike, energies_ev: Array | None) -> float:
    """Area under a spectrum, divided by the width of its window: its mean level.

    Args:
        values: (K,).
        energies_ev: (K,) eV; None for equidistant bins.
    """
    given = np.asarray(values, dtype=float)
    axis = np.arange(len(given), dtype=float) if energies_ev is None else energies_ev
    return float(np.trapezoid(given, axis) / (axis[-1] - axis[0]))


def normalized(values: Array, energies_ev: Array | None, what: str = "the spectrum") -> Array:
    """Spectrum (K,) whose mean level over its window is 1. All spectra are normalised here.

    Raises:
        StoreError: if its area is not positive.
    """
    level = mean_level(values, energies_ev)
    if not level > 0:
        raise StoreError(
            f"{what} has an area of {level:.3g} over its window and cannot be normalised; subtract"
            " the background so that it is positive"
        )
    return values / level


@dataclass(frozen=True, eq=False)
class ShiftedTarget:
    """A target at several shifts of its energies, each normalised over the same window.

    The shift is a nuisance parameter: the zeros of two energy scales differ. Whoever compares a
    spectrum with the target takes the shift at which they agree best.
    """

    shifts_ev: Array
    """Shifts (S,) eV that are added to the energies of the target."""
    values: Array
    """Targets (S, K), each with a mean level of 1."""

    def best(self, spectrum: Array) -> tuple[float, float]:
        """Shift, eV, and RMS difference at which a normalised spectrum (K,) agrees best."""
        rms = np.sqrt(np.square(self.values - spectrum).mean(axis=1))
        place = int(rms.argmin())
        return float(self.shifts_ev[place]), float(rms[place])


def shifted_target(
    energies_ev: Array,
    values: Array,
    onto_ev: Array,
    fwhm_ev: float = 0.0,
    limit_ev: float = MAX_SHIFT_EV,
    what: str = "the target",
    must_reach: bool = True,
) -> ShiftedTarget:
    """Target at shifts from -limit to +limit in steps of 0.05 eV, resampled and normalised.

    Args:
        energies_ev, values: the target, (M,) each.
        onto_ev: (K,) eV, the energies of the spectra that it is compared with.
        fwhm_ev: Gaussian broadening of the target, eV.
        what: name of the target for the message.
        must_reach: whether the target must reach over the window as it is. Where it does not reach
            once it is shifted, its last value continues.

    Raises:
        StoreError: if it must and does not, or if its area is not positive.
    """
    if must_reach:
        check_reaches(energies_ev, onto_ev, what)
    num = round(limit_ev / SHIFT_STEP_EV)
    shifts: Array = SHIFT_STEP_EV * np.arange(-num, num + 1, dtype=float)
    shifted = [
        normalized(broadened(energies_ev + shift, values, fwhm_ev, onto_ev), onto_ev, what)
        for shift in shifts.tolist()
    ]
    return ShiftedTarget(shifts, np.stack(shifted))


def correlations(first: Array, second: Array) -> Array:
    """Pearson correlation of each row of two arrays (A, K), (A,)."""
    one = first - first.mean(axis=1, keepdims=True)
    two = second - second.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return np.asarray((one * two).sum(axis=1) / scale)


def window(start_ev: float, stop_ev: float, step_ev: float) -> Array:
    """Equidistant energies (K,) eV from start to stop, both included."""
    num = round((stop_ev - start_ev) / step_ev) + 1
    return np.asarray(start_ev + step_ev * np.arange(num, dtype=float))
