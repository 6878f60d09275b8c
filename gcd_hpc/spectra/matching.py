"""Measured spectra on the energies of a table, normalised, and how far the two scales differ."""

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.align import broadened, check_reaches, normalized, shifted_target
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.table import SpectrumTable

Array = NDArray[np.float64]
SCALE_LIMIT_EV = 15.0
"""Largest difference between the zeros of the energy scales of an engine and a measurement, eV."""


def check_same_edge(spectrum: MeasuredSpectrum, table: SpectrumTable) -> None:
    """Check that a spectrum is of the element and edge of a table.

    Raises:
        StoreError: if it is not.
    """
    own, wanted = (spectrum.element, spectrum.edge), (table.element, table.edge)
    if own != wanted:
        raise StoreError(
            f"{spectrum.source}: is the {' '.join(own)} edge, and the table holds spectra of the"
            f" {' '.join(wanted)} edge; give a spectrum and a table of the same one"
        )


def onto_table(
    spectrum: MeasuredSpectrum, table: SpectrumTable, shift_ev: float = 0.0, fwhm_ev: float = 0.0
) -> MeasuredSpectrum:
    """Spectrum at the energies of a table, with a mean level of 1 over its window.

    Args:
        shift_ev: added to the energies of the spectrum, eV.
        fwhm_ev: Gaussian broadening, eV.

    Raises:
        StoreError: if element or edge differ, the spectrum does not reach over the window, or only
            one of the two states energies.
    """
    check_same_edge(spectrum, table)
    axis, own = table.energies_ev, spectrum.energies_ev
    if (axis is None) != (own is None):
        which = spectrum.source if own is None else "the table"
        raise StoreError(
            f"{which} states no energies, so that {spectrum.source} cannot be laid onto the table;"
            " give one that states them"
        )
    if axis is None or own is None:
        if spectrum.values.shape != table.values.shape[1:]:
            raise StoreError(
                f"{spectrum.source}: has {len(spectrum.values)} bins, and the spectra of the table"
                f" have {table.values.shape[1]}; give a spectrum of the same bins"
            )
        values = spectrum.values
    else:
        check_reaches(own + shift_ev, axis, spectrum.source)
        values = broadened(own + shift_ev, spectrum.values, fwhm_ev, axis)
    level = normalized(values, axis, spectrum.source)
    return MeasuredSpectrum(axis, level, spectrum.element, spectrum.edge, spectrum.source)


def mean_spectrum(table: SpectrumTable) -> Array:
    """Mean spectrum (K,) of the rows that have one, normalised.

    Raises:
        StoreError: if none has.
    """
    if not table.is_ok.any():
        raise StoreError("the table holds no spectrum: all of its rows failed")
    return normalized(table.values[table.is_ok].mean(axis=0), table.energies_ev, "the mean")


def scale_difference(spectrum: MeasuredSpectrum, table: SpectrumTable) -> tuple[float, float]:
    """Shift, eV, at which a spectrum agrees best with the mean of a table, and the RMS difference.

    It is a start where the zeros of the scales are unknown: the mean of other structures need not
    have its features where the spectrum has them. Better is to compare a crystal with its spectrum.

    Raises:
        StoreError: if element or edge differ, or one of them states no energies.
    """
    check_same_edge(spectrum, table)
    if table.energies_ev is None or spectrum.energies_ev is None:
        raise StoreError(f"{spectrum.source}: no shift can be found where energies are not stated")
    mean = mean_spectrum(table)
    target = shifted_target(
        spectrum.energies_ev,
        spectrum.values,
        table.energies_ev,
        limit_ev=SCALE_LIMIT_EV,
        what=spectrum.source,
        must_reach=False,
    )
    return target.best(mean)
