"""Figure k3: cells of growing size, their structure, their cost and what guidance does to them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_bonds import bonds, coordination
from gcd_hpc.experiments.carbon_figures import COLOURS, LABELS
from gcd_hpc.experiments.colours import BLUE, GREEN, ORANGE, PURPLE
from gcd_hpc.experiments.spectra_numbers import GROUPS
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]

SLICE_A = 4.0
"""Thickness of the slice that is drawn, Å."""
SHADES = (BLUE, ORANGE, GREEN, PURPLE)


def scale_figure(positions: Array, lengths: Array, numbers: dict[str, Any]) -> Figure:
    """The whole of k3.

    Args:
        positions: (N, 3) Å, the largest cell, in a box of ``lengths`` (3,).
        numbers: of the record, with "sizes" and "guided".
    """
    figure = Figure(figsize=(13.0, 7.0), layout="constrained")
    panels = figure.subplots(2, 3)
    _draw_slice(panels[0, 0], positions, lengths)
    sizes = dict(sorted(numbers["sizes"].items(), key=lambda item: int(item[0])))
    _draw_curves(panels[0, 1], sizes, "r", "g")
    panels[0, 1].set(xlabel="r (Å)", ylabel="g(r)", title="B  pairs", xlim=(1.0, None))
    _draw_curves(panels[0, 2], sizes, "q", "s")
    panels[0, 2].set(xlabel="q (1/Å)", ylabel="S(q)", title="C  long waves", xlim=(0.0, None))
    _draw_bonds(panels[1, 0], sizes)
    _draw_cost(panels[1, 1], sizes)
    _draw_guided(panels[1, 2], numbers["guided"])
    return figure


def _draw_slice(axes: Axes, positions: Array, lengths: Array) -> None:
    """Atoms of a slice and their bonds, coloured by the number of bonds."""
    wrapped = wrap(positions, lengths)
    kinds = np.clip(coordination(wrapped, lengths) - 1, 0, len(COLOURS) - 1)
    inside = wrapped[:, 2] < SLICE_A
    pairs, vectors = bonds(wrapped, lengths)
    drawn = inside[pairs].all(axis=1) & (pairs[:, 0] < pairs[:, 1])
    straight = np.isclose(wrapped[pairs[:, 1]] - wrapped[pairs[:, 0]], vectors).all(axis=1)
    for first, second in pairs[drawn & straight]:
        axes.plot(*wrapped[[first, second], :2].T, color="0.6", linewidth=0.4, zorder=1)
    colours = [COLOURS[kind] for kind in kinds[inside]]
    x, y, _ = wrapped[inside].T
    axes.scatter(x, y, c=colours, s=4, zorder=2, linewidths=0)
    axes.set_aspect("equal")
    axes.set(title=f"A  {len(positions):,} atoms, a slice of {SLICE_A:g} Å", xlabel="x (Å)")


def _draw_curves(axes: Axes, sizes: dict[str, Any], across: str, up: str) -> None:
    for (size, found), colour in zip(sizes.items(), SHADES, strict=False):
        marker = "." if across == "q" else ""
        axes.plot(
            found[across],
            found[up],
            marker=marker,
            color=colour,
            linewidth=1.0,
            label=f"{int(size):,} atoms",
        )
    axes.legend(fontsize=7, frameon=False)


def _draw_bonds(axes: Axes, sizes: dict[str, Any]) -> None:
    places = np.arange(len(sizes))
    left = np.zeros(len(sizes))
    for group, colour, label in zip(GROUPS, COLOURS, LABELS, strict=True):
        width = np.array([found["bonds"][group] for found in sizes.values()])
        axes.barh(places, width, left=left, color=colour, height=0.7, label=label)
        left = left + width
    axes.set_yticks(places, [f"{int(size):,}" for size in sizes])
    axes.invert_yaxis()
    axes.set(xlabel="share of atoms", ylabel="atoms", title="D  bonds of an atom", xlim=(0, 1))
    axes.legend(fontsize=6, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _draw_cost(axes: Axes, sizes: dict[str, Any]) -> None:
    costs = [found["core_us_per_atom_and_evaluation"] for found in sizes.values()]
    axes.plot([int(size) for size in sizes], costs, marker="o", color="black")
    axes.set_xscale("log")
    axes.set(
        xlabel="atoms",
        ylabel="core-µs an atom and evaluation",
        title="E  cost, unguided",
        ylim=(0.0, 1.15 * max(costs)),
    )


def _draw_guided(axes: Axes, guided: dict[str, float]) -> None:
    """Error to the target of small and large cells."""
    names = {
        "unguided_216": "216\nunguided",
        "guided_216": "216\nguided",
        "unguided_1728": "1,728\nunguided",
        "plain_1728": "1,728\nguided,\nnot extensive",
        "extensive_1728": "1,728\nguided,\nextensive",
    }
    colours = ("0.6", "black", "0.6", SHADES[1], "black")
    axes.bar(list(names.values()), [guided[name] for name in names], color=colours)
    axes.tick_params(axis="x", labelsize=7)
    axes.set(ylabel="RMS error to the target 3.0", title="F  guidance at two sizes")
