"""Figures of spectra: those of a table, and a measured one beside their mean."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.browse.figures import BLUE, GREY, RED, new_figure
from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.align import mean_level
from gcd_hpc.spectra.matching import mean_spectrum
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.table import Array, SpectrumTable

MAX_LINES = 60
"""Largest number of single spectra that are drawn."""


def table_figure(
    table: SpectrumTable, target: MeasuredSpectrum | None = None, shift_ev: float = 0.0
) -> Figure:
    """Spectra of single atoms, grey, with their mean; a target is shifted and normalised.

    Raises:
        StoreError: if the table holds no spectrum.
    """
    mean = mean_spectrum(table)
    figure = new_figure(6.0, 4.0)
    axes = figure.add_subplot()
    x = axis_of(table.energies_ev, len(mean))
    spectra = table.values[table.is_ok]
    # One scale for all rows: that of their mean.
    spectra = spectra / mean_level(spectra.mean(axis=0), table.energies_ev)
    step = -(-len(spectra) // MAX_LINES)
    axes.plot(x, spectra[::step].T, color=GREY, linewidth=0.4, alpha=0.35)
    axes.plot(x, mean, color=BLUE, linewidth=1.8, label=f"mean of {len(spectra):,} atoms")
    if target is not None:
        own = axis_of(target.energies_ev, len(target.values)) + shift_ev
        inside = (own >= x[0]) & (own <= x[-1])
        if not inside.any():
            raise StoreError(f"{target.source}: does not reach into the window of the table")
        level = mean_level(target.values[inside], own[inside])
        label = f"{target.source}, shifted by {shift_ev:+.2f} eV"
        axes.plot(own[inside], target.values[inside] / level, color=RED, linewidth=1.4, label=label)
    _finish(axes, table.energies_ev, f"{table.element} {table.edge} edge, {table.engine}")
    return figure


def target_figure(target: MeasuredSpectrum) -> Figure:
    """A measured spectrum as it stands in its file."""
    figure = new_figure(6.0, 4.0)
    axes = figure.add_subplot()
    x = axis_of(target.energies_ev, len(target.values))
    axes.plot(x, target.values, color=RED, linewidth=1.4, label=target.source)
    _finish(axes, target.energies_ev, f"{target.element} {target.edge} edge")
    return figure


def axis_of(energies_ev: Array | None, num: int) -> Array:
    """Energies, eV, or the numbers of the bins where they are not known."""
    return np.arange(num, dtype=float) if energies_ev is None else energies_ev


def _finish(axes: Axes, energies_ev: Array | None, title: str) -> None:
    axes.set_xlabel("bin, of unknown energy" if energies_ev is None else "energy (eV)")
    axes.set_ylabel("absorption (mean level 1)" if len(axes.lines) > 1 else "absorption")
    axes.set_title(title, fontsize=9, color=GREY)
    axes.legend(frameon=False, fontsize=8)
    axes.margins(x=0)
