"""Dot plot of the ablations: one row for each variant, quality on the left, cost on the right."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from gcd_hpc.experiments.colours import BLUE, GREEN, GREY, PURPLE, RED

SHARES: tuple[tuple[str, str, Callable[[dict[str, Any]], Any]], ...] = (
    ("relaxed", BLUE, lambda row: row["valid"]),
    ("near the lowest", GREEN, lambda row: row["near"]),
    ("[1/5]", RED, lambda row: row["phases"]["[1/5]"]),
)
"""Title, colour and value of each panel that shows a share."""


def ablation_figure(numbers: dict[str, Any], candidate_s: Sequence[float]) -> Figure:
    """Shares with intervals, energies and core-seconds of all variants; dashed lines mark the base.

    Args:
        numbers: numbers of ``ablations``.
        candidate_s: core-seconds to sample one candidate, by variant.
    """
    rows = numbers["variants"]
    heights = np.array(places([row["table"] for row in rows]))
    figure = Figure(figsize=(7.2, 0.9 + 0.24 * -heights.min()), layout="constrained")
    panels = figure.subplots(1, len(SHARES) + 2, sharey=True)
    for axes, (title, colour, of) in zip(panels, SHARES, strict=False):
        draw_shares(axes, heights, [of(row) for row in rows], colour)
        axes.set_title(title, fontsize=8)
        axes.set_xlabel("share of all", fontsize=8)
    above = [
        np.nan if row["median_above_lowest_j_m2"] is None else row["median_above_lowest_j_m2"]
        for row in rows
    ]
    for axes, values, title, label in (
        (panels[-2], above, "median energy", "above the lowest\n(J/m$^2$)"),
        (panels[-1], candidate_s, "sampling", "core-s a\ncandidate"),
    ):
        axes.plot(values, heights, "o", color=PURPLE if axes is panels[-2] else GREY, ms=4)
        axes.axvline(values[0], color="k", lw=0.7, ls="--", zorder=0)
        axes.set_title(title, fontsize=8)
        axes.set_xlabel(label, fontsize=8)
    panels[-1].set_xscale("log")
    panels[-1].xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    panels[-1].xaxis.set_major_formatter("{x:g}")
    panels[-1].xaxis.set_minor_formatter(NullFormatter())
    panels[0].set_yticks(heights, [f"{row['table']}: {row['label']}" for row in rows], fontsize=7)
    for axes in panels:
        axes.tick_params(axis="x", labelsize=7)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e6e6", lw=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def places(tables: Sequence[str]) -> list[float]:
    """Vertical positions of the rows, from 0 down, with a gap between tables."""
    heights = [0.0]
    for before, table in pairwise(tables):
        heights.append(heights[-1] - (1.0 if table == before else 1.5))
    return heights


def draw_shares(
    axes: Axes, heights: np.ndarray, shares: Sequence[dict[str, Any]], colour: str
) -> None:
    """Shares as dots on their 95 % intervals; the interval of the base is shaded in all rows."""
    low, high = np.array([share["wilson_95"] for share in shares]).T
    axes.hlines(heights, low, high, color=colour, lw=1.4)
    axes.plot([share["share"] for share in shares], heights, "o", color=colour, ms=4)
    axes.axvspan(low[0], high[0], color=colour, alpha=0.1, lw=0, zorder=0)
    axes.axvline(shares[0]["share"], color="k", lw=0.7, ls="--", zorder=0)
