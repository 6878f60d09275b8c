"""Figure of the transfer experiment: hit rates and times to the best known energy, by boundary."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.experiments.colours import BLUE, GREY, RED, SKY
from gcd_hpc.experiments.transfer_numbers import (
    CHOSEN,
    FRESH,
    MODEL,
    REGISTRIES,
    WITH,
    WITHOUT,
)

COLOURS = {MODEL: SKY, CHOSEN: BLUE, FRESH: RED, REGISTRIES: GREY}
LOOP_COLOURS = {WITH: BLUE, WITHOUT: RED}
SPREAD = 0.18
"""Vertical distance of the methods within the row of a boundary."""


def transfer_figure(numbers: dict[str, Any]) -> Figure:
    """Rates with 95 % intervals on the left; core-seconds to the target of every seed on the right.

    Loops that spent their budget before the target are open circles there.
    """
    boundaries = numbers["boundaries"]
    heights = -np.arange(len(boundaries), dtype=float)
    figure = Figure(figsize=(7.6, 1.4 + 0.34 * len(boundaries)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    titles = {
        "of_all": "within 20 mJ/m$^2$\nof the lowest known",
        "of_the_same_n": "within 20 mJ/m$^2$ of the\nlowest known of their [n]",
    }
    for axes, (key, title) in zip(panels, titles.items(), strict=False):
        draw_rates(axes, heights, [row["rates"][key]["rates"] for row in boundaries.values()])
        axes.set_title(title, fontsize=8)
        axes.set_xlabel("share of all tries", fontsize=8)
    times = panels[-1]
    draw_times(times, heights, [row["loops"] for row in boundaries.values()])
    times.set_title("exploration to the lowest\nknown + 2 mJ/m$^2$", fontsize=8)
    times.set_xlabel("core-seconds", fontsize=8)
    panels[0].set_yticks(heights, [name.replace("_", " ") for name in boundaries], fontsize=7)
    for axes in panels:
        axes.tick_params(axis="x", labelsize=7)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e6e6", lw=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_ylim(heights[-1] - 1, 1)
    style: dict[str, Any] = {"fontsize": 7, "frameon": False}
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", **style)
    figure.legend(*times.get_legend_handles_labels(), loc="outside lower right", **style)
    return figure


def draw_rates(axes: Axes, heights: np.ndarray, rows: list[dict[str, Any]]) -> None:
    """A dot on its interval for each method of each boundary."""
    for number, (method, colour) in enumerate(COLOURS.items()):
        rates = np.array([row[method] for row in rows])  # value, low and high of each
        places = heights + SPREAD * (1.5 - number)
        axes.hlines(places, rates[:, 1], rates[:, 2], color=colour, lw=1.2)
        axes.plot(rates[:, 0], places, "o", color=colour, ms=3, label=method)


def draw_times(axes: Axes, heights: np.ndarray, rows: list[dict[str, Any]]) -> None:
    """A dot for each seed; open where the budget ended the loop before the target."""
    for number, (method, colour) in enumerate(LOOP_COLOURS.items()):
        label: str | None = method
        for height, row in zip(heights + SPREAD * (0.5 - number), rows, strict=True):
            times = np.array(row["core_s"][method], dtype=float)
            reached = np.isfinite(times)
            place = np.full(len(times), height)
            axes.plot(times[reached], place[reached], "o", color=colour, ms=3, label=label)
            open_ones = np.full(int((~reached).sum()), row["budget_s"])
            axes.plot(open_ones, place[~reached], "o", color=colour, ms=4, mfc="white")
            label = None
    axes.set_xscale("log")
