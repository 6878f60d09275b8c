"""Figures of a campaign of a material: its spectra, the errors of each round, and the energies."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gcd_hpc.browse.figures import BLUE, GREEN, GREY, RED, new_figure
from gcd_hpc.browse.material_losses import RoundLosses
from gcd_hpc.browse.material_numbers import RoundErrors, groups_of
from gcd_hpc.browse.material_spectra import MaterialSpectra
from gcd_hpc.store.run import Run

MARKS = {
    "guided": (RED, "s"),
    "unguided": (BLUE, "o"),
    "quenches": (GREEN, "^"),
    "given structures": (GREEN, "D"),
}
"""Colour and mark of each group, so that they can be told in greyscale."""
LINES = {"guided": "-", "unguided": (0, (5, 2))}


def spectra_figure(spectra: MaterialSpectra, run: Run, picked: str = "") -> Figure:
    """Target, and mean spectra of the candidates with and without guidance.

    Bands are the standard deviation from structure to structure.

    Args:
        picked: id of a structure whose own spectrum is drawn too.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    x = spectra.energies_ev
    for name, ids in groups_of(run).items():
        band = spectra.band(ids)
        if name not in LINES or band is None:
            continue
        colour = MARKS[name][0]
        low, high = band.mean - band.deviation, band.mean + band.deviation
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        label = f"{name}, mean of {band.num:,}"
        axes.plot(x, band.mean, color=colour, linestyle=LINES[name], linewidth=1.5, label=label)
    if picked in spectra.means:
        axes.plot(x, spectra.means[picked], color=GREEN, linewidth=1.0, ls=":", label=picked)
    if spectra.target is not None:
        axes.plot(x, spectra.target, color="black", linewidth=1.8, label="target")
    axes.set_xlabel("energy (eV)")
    axes.set_ylabel("absorption (mean level 1)")
    axes.legend(frameon=False, fontsize=8)
    axes.margins(x=0)
    _open(axes)
    return figure


def errors_figure(rounds: Sequence[RoundErrors]) -> Figure:
    """Spectrum error of every candidate by round, and the means with their 95 % intervals."""
    figure = new_figure(5.0, 3.2)
    axes = figure.add_subplot()
    labelled = set()
    for one in rounds:
        colour, mark = MARKS[one.guided]
        place = one.round + (-0.12 if one.guided == "guided" else 0.12)
        axes.plot(
            np.full(len(one.errors), place),
            one.errors,
            mark,
            color=colour,
            alpha=0.35,
            markersize=4,
            markeredgewidth=0,
        )
        axes.errorbar(
            place + 0.06,
            one.error.mean,
            one.error.half_width,
            marker=mark,
            color=colour,
            capsize=3,
            markersize=6,
            linewidth=1.4,
            label="" if one.guided in labelled else f"{one.guided}, mean and 95 %",
        )
        labelled.add(one.guided)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(min(one.round for one in rounds) - 0.5, max(one.round for one in rounds) + 0.5)
    axes.set_ylim(0, None)
    axes.set_xlabel("round")
    axes.set_ylabel("spectrum error")
    # Above the axes, where no interval reaches.
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    _open(axes)
    return figure


def losses_figure(losses: Sequence[RoundLosses]) -> Figure:
    """Training losses of the particle model and of the property network, a line for each round."""
    figure = new_figure(6.4, 2.8)
    panels = figure.subplots(1, 2)
    for axes, title in zip(panels, ("particle model", "property network"), strict=True):
        for number, one in enumerate(losses):
            course = one.prior if title == "particle model" else one.network
            if course:
                shade = GREY if number < len(losses) - 1 else RED
                style = ("-", "--", ":")[number % 3]
                axes.plot(
                    *zip(*course, strict=True), style, color=shade, label=f"round {one.round}"
                )
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("training step")
        axes.set_ylim(0, None)
        _open(axes)
    panels[0].set_ylabel("loss")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def energies_figure(run: Run) -> Figure:
    """Spectrum error against energy per atom, of the structures compared with the target."""
    figure = new_figure(5.0, 3.4)
    axes = figure.add_subplot()
    for name, ids in groups_of(run).items():
        columns = run[ids].columns(["spectrum_error", "spectrum_error_se", "energy_ev_atom"])
        error = columns["spectrum_error"]
        if not np.isfinite(error).any():
            continue
        colour, mark = MARKS[name]
        axes.errorbar(
            columns["energy_ev_atom"],
            error,
            columns["spectrum_error_se"],
            fmt=mark,
            color=colour,
            markersize=5,
            elinewidth=0.8,
            alpha=0.8,
            label=name,
        )
    axes.set_xlabel("energy (eV/atom)")
    axes.set_ylabel("spectrum error")
    axes.set_ylim(0, None)
    axes.legend(frameon=False, fontsize=8)
    _open(axes)
    return figure


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=GREY)
