"""Figure of the ranking experiment: rank correlations, core-seconds to a hit, explorations."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.experiments.colours import BLUE, GREY, ORANGE, RED

NAMES = {
    "network": "energy model",
    "cg20": "20 force evaluations",
    "cg1": "energy before relaxation",
    "excess_volume": "excess volume",
    "closest_pair": "closest pair",
}
COLOURS = {
    "network": BLUE,
    "cg20": RED,
    "cg1": ORANGE,
    "excess_volume": GREY,
    "closest_pair": "#CCCCCC",
}
HOLD_OUTS = {
    "n": "[n] not\nlearned",
    "seed": "another\ncampaign",
    "cell": "twice\nas long",
    "long": "3 times\nas long",
    "long_two": "3 times,\nafter two",
}
"""What a model has not learned from; the last has learned from the cells once and twice as long."""
LINES = {"seed": "-", "cell": "--", "long_two": ":"}
"""Hold-outs of which the costs of a hit are drawn."""
WANTED = 0.6
"""Rank correlation from which a ranker is worth having."""


def ranking_figure(numbers: dict[str, Any]) -> Figure:
    """Correlations within one [n] on the left, core-seconds to a hit and to the target beside."""
    figure = Figure(figsize=(8.8, 3.8), layout="constrained")
    bars, hits, loops = figure.subplots(1, 3, width_ratios=(1.9, 1.3, 0.7))
    draw_correlations(bars, numbers["rank_correlation"])
    draw_hits(hits, numbers["core_s_a_hit"])
    draw_loops(loops, numbers["loops"])
    for axes in (bars, hits, loops):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_correlations(axes: Axes, correlations: dict[str, dict[str, float]]) -> None:
    """A bar for each method of each hold-out."""
    width = 0.8 / len(NAMES)
    places = np.arange(len(HOLD_OUTS), dtype=float)
    for number, (method, name) in enumerate(NAMES.items()):
        heights = [correlations[one][method] for one in HOLD_OUTS]
        at = places + (number - (len(NAMES) - 1) / 2) * width
        axes.bar(at, np.nan_to_num(heights), width, color=COLOURS[method], label=name)
    axes.axhline(WANTED, color="black", lw=0.7, ls=":")
    axes.axhline(0.0, color="black", lw=0.5)
    axes.set_xticks(places, list(HOLD_OUTS.values()))
    axes.set_ylabel("rank correlation within one [n]", fontsize=8)
    axes.set_title("before any relaxation", fontsize=8)
    axes.legend(fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def draw_hits(axes: Axes, savings: dict[str, Any]) -> None:
    """Core-seconds to a hit against the number of structures made for each that is relaxed."""
    for hold_out, line in LINES.items():
        for method in ("network", "cg20"):
            found = savings[hold_out][method]
            times = [found[num]["core_s"] for num in found]
            axes.plot(
                [int(num) for num in found],
                np.where(np.isfinite(times), times, np.nan),
                line,
                marker="o",
                ms=3,
                color=COLOURS[method],
                label=f"{NAMES[method]}, {' '.join(HOLD_OUTS[hold_out].split())}",
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks([int(num) for num in savings["seed"]["network"]])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("structures made for each relaxed", fontsize=8)
    axes.set_ylabel("core-seconds to a hit", fontsize=8)
    axes.set_title("within 20 mJ/m$^2$ of its [n]", fontsize=8)
    axes.legend(fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def draw_loops(axes: Axes, loops: dict[str, Any]) -> None:
    """Core-seconds of every exploration to the lowest energy known; open where not reached."""
    longest = max(
        [one for some in loops["core_s"].values() for one in some if np.isfinite(one)], default=1.0
    )
    for place, (label, colour) in enumerate((("without", RED), ("with", BLUE))):
        times = np.array(loops["core_s"][label], dtype=float)
        reached = np.isfinite(times)
        axes.plot(np.full(int(reached.sum()), place), times[reached], "o", color=colour, ms=4)
        missed = np.full(int((~reached).sum()), 1.2 * longest)
        axes.plot(np.full(len(missed), place), missed, "o", color=colour, ms=4, mfc="white")
    axes.set_xticks([0, 1], ["without", "with"])
    axes.set_xlim(-0.6, 1.6)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("core-seconds", fontsize=8)
    axes.set_title("exploration to the\nlowest known", fontsize=8)
