"""Figures 6 and S.3: energies against [n], the two phases, and the hit rates of all methods."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gcd_hpc.browse.figures import BLUE, RED
from gcd_hpc.experiments.boundary_numbers import PHASES
from gcd_hpc.experiments.colours import GREEN, PURPLE, YELLOW
from gcd_hpc.experiments.work import Arrays
from gcd_hpc.structures.energetics import lowest_of_each
from gcd_hpc.structures.periodic import wrap

PHASE_COLOURS = (GREEN, PURPLE)
COLUMN_WIDTH = 0.024
"""Half the width of the column of points around an [n]."""
ABOVE_J_M2 = 0.3
"""Range of energies drawn above the search's highest of the lowest energies of all [n]."""
SHOWN_A = 9.0
"""Distance from the boundary up to which atoms are drawn, Å."""
MARGIN_A = 0.8
"""Width of the margin around the atoms, Å."""
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
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    energies = left.add_subplot()
    draw_energies(energies, model, search, numbers["withheld_j_m2"])
    _letter(energies, "a", -30.0)
    # Each method has the same height, however many there are.
    heights = (8.0, 1.2 + 0.95 * len(numbers["methods"]))
    above, below = right.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    draw_structures(above, found, len(model["status"]), cohesive_ev)
    rates = below.add_subplot()
    draw_rates(rates, numbers["methods"])
    _letter(rates, "d")
    return figure


def _letter(axes: Axes, letter: str, shift: float = 0.0) -> None:
    """Letter of a panel, above its upper left corner, shifted to the right by points."""
    axes.annotate(
        f"({letter})",
        (0.0, 1.0),
        (shift, 6.0),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=10,
        fontweight="bold",
    )


def draw_energies(
    axes: Axes, model: Arrays, search: Arrays, withheld: Sequence[float] | None
) -> None:
    """E_gb against [n]: search, model, training window, and published energies as lines."""
    top = _hull(search)[1].max() + ABOVE_J_M2
    if withheld is not None:
        axes.axhspan(
            *withheld,
            color=YELLOW,
            alpha=0.35,
            lw=0,
            label=f"training: {withheld[0]:g} to {withheld[1]:g} J/m$^2$",
        )
    _draw_published(axes)
    # Rings of the search stay visible around the smaller points of the model.
    for number, (arrays, name, colour, size) in enumerate(
        ((search, "search", BLUE, 16), (model, "diffusion model", RED, 6))
    ):
        ok = (arrays["status"] == "ok") & (arrays["gb_energy_j_m2"] <= top)
        stream = np.random.default_rng(number)
        spread = stream.uniform(-COLUMN_WIDTH, COLUMN_WIDTH, int(ok.sum()))
        is_search = name == "search"
        axes.scatter(
            arrays["n_fraction"][ok] + spread,
            arrays["gb_energy_j_m2"][ok],
            s=size,
            facecolors="none" if is_search else colour,
            edgecolors=colour if is_search else "none",
            linewidths=0.6,
            alpha=0.6,
            rasterized=True,
        )
        axes.plot(
            *_hull(arrays),
            "-o",
            color=colour,
            ms=7 if is_search else 3.5,
            lw=1.2,
            mfc="w" if is_search else colour,
            label=f"{name}, {len(arrays['status']):,} tries",
        )
    axes.set(xlabel="[n]", ylabel="GB energy (J/m$^2$)", ylim=(2.2, top), xticks=np.arange(10) / 10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3 if withheld is not None else 2,
        frameon=False,
        fontsize=7.5,
        handlelength=1.4,
        handletextpad=0.4,
        columnspacing=0.9,
    )


def _draw_published(axes: Axes) -> None:
    """Published energy of each phase as a short line with its name."""
    for phase in PHASES:
        n, energy = phase.n_fraction, phase.gb_energy_j_m2
        axes.hlines(energy, n - 0.045, n + 0.045, colors="k", lw=1.2, zorder=1)
        axes.annotate(
            phase.name, (n, energy), (0, -7), textcoords="offset points", ha="center", va="top"
        )


def _hull(arrays: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest energy of each [n]."""
    ok = arrays["status"] == "ok"
    return lowest_of_each(arrays["n_fraction"][ok], arrays["gb_energy_j_m2"][ok])[:2]


def draw_structures(
    figure: SubFigure, found: Sequence[Arrays], num_candidates: int, cohesive_ev: float
) -> None:
    """Side views of the phases' lowest structures in frames of one size, with a colour bar."""
    places = [figure.add_subplot(1, len(PHASES), 1 + number) for number in range(len(PHASES))]
    drawn = {}
    for number, axes in enumerate(places):
        points = draw_structure(axes, number, found, cohesive_ev)
        if points is not None:
            drawn[number] = points
    widths = [float(arrays["cell"][0]) for arrays in found if "cell" in arrays]
    for number, axes in enumerate(places):
        _letter(axes, "bc"[number])
        if widths:
            axes.set(xlim=(-MARGIN_A, widths[0] + MARGIN_A), aspect="equal")
            axes.set_ylim(-SHOWN_A - MARGIN_A, SHOWN_A + MARGIN_A)
        if number in drawn:
            continue
        words = f"none of {num_candidates:,}\ncandidates"
        axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=9, transform=axes.transAxes)
        axes.set_title(f"{PHASES[number].name}: not found", fontsize=9)
    if drawn:
        (first, *_) = drawn.values()
        bar = figure.colorbar(first, ax=places, shrink=0.8, pad=0.02, extend="max")
        bar.set_label("excess energy (eV)", fontsize=8)
        bar.ax.tick_params(labelsize=7)


def draw_structure(
    axes: Axes, number: int, found: Sequence[Arrays], cohesive_ev: float
) -> PathCollection | None:
    """Side view of a phase's lowest structure, coloured by excess energy; None if not found."""
    axes.set(xticks=[], yticks=[])
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
    axes.set_title(f"{PHASES[number].name}: {lowest:.3f} J/m$^2$", fontsize=9)
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
            )
    labels = [
        fill(f"{name} ({numbers['tries']:,})", LABEL_WIDTH) for name, numbers in methods.items()
    ]
    axes.set_yticks(-np.arange(len(methods)), labels, fontsize=7)
    axes.set_ylim(-len(methods) + 0.5, 0.5)
    axes.set(
        xscale="log",
        xlim=(LOWEST_RATE * 0.8, 0.6),
        xlabel="share of tries that end in the phase (open: none), 95 % interval",
    )
    axes.xaxis.label.set_fontsize(8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    handles = [
        Line2D([], [], marker="o", ms=5, color=colour, lw=1.6, label=phase.name)
        for phase, colour in zip(PHASES, PHASE_COLOURS, strict=True)
    ]
    axes.legend(
        handles=handles,
        fontsize=8,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(PHASES),
        frameon=False,
    )
