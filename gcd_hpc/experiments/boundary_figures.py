"""Figures 6 and S.3: energies against [n], the two phases, and the hit rates of all methods."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gcd_hpc.experiments.boundary_numbers import PHASES
from gcd_hpc.experiments.work import Arrays
from gcd_hpc.structures.energetics import lowest_of_each
from gcd_hpc.structures.periodic import wrap

SEARCH_BLUE = "#0072B2"
MODEL_RED = "#D55E00"
GREY = "#999999"
PHASE_COLOURS = ("#009E73", "#CC79A7")
COLUMN_SHIFT, COLUMN_WIDTH = 0.021, 0.012
"""Offset of the columns of points from their [n], and their width."""
ABOVE_J_M2 = 0.3
"""Range of energies drawn above the search's highest of the lowest energies of all [n]."""
SHOWN_A = 9.0
"""Distance from the boundary up to which atoms are drawn, Å."""
LABEL_WIDTH = 24
"""Longest line in a method's label, in characters."""
LOWEST_RATE = 3e-4
"""Value at which rates of zero are drawn."""


def boundary_figure(
    numbers: dict[str, Any],
    model: Arrays,
    search: Arrays,
    found: Sequence[Arrays],
    cohesive_ev: float,
) -> Figure:
    """Energies on the left; lowest structure of each phase and hit rates on the right."""
    figure = Figure(figsize=(10.0, 6.0), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    draw_energies(left.add_subplot(), model, search, numbers["withheld_j_m2"])
    above, below = right.subfigures(2, 1, squeeze=False)[:, 0]
    places = [above.add_subplot(1, len(PHASES), 1 + number) for number in range(len(PHASES))]
    points = [
        draw_structure(axes, number, found, cohesive_ev) for number, axes in enumerate(places)
    ]
    if drawn := [shown for shown in points if shown is not None]:
        bar = above.colorbar(drawn[0], ax=places, shrink=0.8, pad=0.02, extend="max")
        bar.set_label("excess energy (eV)", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    draw_rates(below.add_subplot(), numbers["methods"])
    return figure


def draw_energies(
    axes: Axes, model: Arrays, search: Arrays, withheld: Sequence[float] | None
) -> None:
    """E_gb against [n]: search, model, training window, and published energies as lines."""
    top = _hull(search)[1].max() + ABOVE_J_M2
    if withheld is not None:
        axes.axhspan(
            *withheld,
            color="#F0E442",
            alpha=0.35,
            lw=0,
            label=f"training: {withheld[0]:g} to {withheld[1]:g} J/m$^2$",
        )
    _draw_published(axes)
    for arrays, name, colour, side, size in (
        (search, "search", SEARCH_BLUE, -1, 14),
        (model, "diffusion model", MODEL_RED, 1, 7),
    ):
        ok = (arrays["status"] == "ok") & (arrays["gb_energy_j_m2"] <= top)
        spread = np.random.default_rng(0).uniform(-COLUMN_WIDTH, COLUMN_WIDTH, int(ok.sum()))
        axes.scatter(
            arrays["n_fraction"][ok] + side * COLUMN_SHIFT + spread,
            arrays["gb_energy_j_m2"][ok],
            s=size,
            facecolors="none" if side < 0 else colour,
            edgecolors=colour if side < 0 else "none",
            linewidths=0.6,
            alpha=0.6,
            rasterized=True,
        )
        label = f"{name}, {len(arrays['status']):,} tries"
        axes.plot(
            *_hull(arrays),
            "-o",
            color=colour,
            ms=4,
            lw=1.2,
            mfc="w" if side < 0 else colour,
            label=label,
        )
    axes.set(xlabel="[n]", ylabel="GB energy (J/m$^2$)", ylim=(2.2, top), xticks=np.arange(10) / 10)
    axes.legend(loc="upper left", frameon=True, framealpha=0.9, fontsize=8)


def _draw_published(axes: Axes) -> None:
    """Published energy of each phase as a short line with its name."""
    for phase in PHASES:
        n, energy = phase.n_fraction, phase.gb_energy_j_m2
        axes.hlines(energy, n - 0.045, n + 0.045, colors="k", lw=1.2, zorder=1)
        axes.annotate(
            phase.name, (n, energy), (0, -4), textcoords="offset points", ha="center", va="top"
        )


def _hull(arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest energy of each [n]."""
    ok = arrays["status"] == "ok"
    return lowest_of_each(arrays["n_fraction"][ok], arrays["gb_energy_j_m2"][ok])[:2]


def draw_structure(
    axes: Axes, number: int, found: Sequence[Arrays], cohesive_ev: float
) -> PathCollection | None:
    """Side view of a phase's lowest structure, coloured by excess energy; None if not found."""
    phase = PHASES[number]
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.set_title(f"{phase.name}: not found", fontsize=9)
    having = [arrays for arrays in found if f"positions-{number}" in arrays]
    if not having:
        return None
    arrays = min(
        having, key=lambda found_by: found_by["gb_energy_j_m2"][found_by["phase"] == number].min()
    )
    positions, excess = arrays[f"positions-{number}"], arrays[f"energies-{number}"] - cohesive_ev
    disturbed = positions[:, 2][
        (np.abs(excess) > 0.1)
        & (np.abs(positions[:, 2] - np.median(positions[:, 2])) < 2 * SHOWN_A)
    ]
    middle = disturbed.mean()
    shown = np.abs(positions[:, 2] - middle) < SHOWN_A
    order = np.argsort(positions[shown][:, 1])
    x, _, z = wrap(positions[shown][order], arrays["cell"][:1]).T
    z = z - middle
    points = axes.scatter(
        x,
        z,
        c=excess[shown][order],
        s=42,
        cmap="cividis",
        vmin=0.0,
        vmax=0.6,
        edgecolors="k",
        linewidths=0.3,
    )
    lowest = arrays["gb_energy_j_m2"][arrays["phase"] == number].min()
    axes.set_title(f"{phase.name}: {lowest:.3f} J/m$^2$", fontsize=9)
    return points


def draw_rates(axes: Axes, methods: dict[str, Any]) -> None:
    """Share of tries that end in each phase, with Wilson's 95 % intervals; logarithmic."""
    for place, numbers in enumerate(methods.values()):
        for number, phase in enumerate(PHASES):
            found = numbers["phases"][phase.name]
            rate, (low, high) = max(found["rate"], LOWEST_RATE), found["wilson_95"]
            height = -place + (0.12 if number == 0 else -0.12)
            axes.hlines(height, max(low, LOWEST_RATE), high, color=PHASE_COLOURS[number], lw=1.6)
            face = PHASE_COLOURS[number] if found["hits"] else "w"
            axes.plot(
                rate,
                height,
                "o",
                color=PHASE_COLOURS[number],
                mfc=face,
                ms=5,
                label=phase.name if place == 0 else None,
            )
    labels = [
        fill(f"{name} ({numbers['tries']:,})", LABEL_WIDTH) for name, numbers in methods.items()
    ]
    axes.set_yticks(-np.arange(len(methods)), labels, fontsize=7)
    axes.set(
        xscale="log",
        xlim=(LOWEST_RATE * 0.8, 0.6),
        xlabel="share of tries that end in the phase (open: none), 95 % interval",
    )
    axes.xaxis.label.set_fontsize(8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.legend(fontsize=8, loc="lower right")
