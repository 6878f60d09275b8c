"""Figure of runs side by side: their lowest energies, their progress and their cost."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gcd_hpc.browse.compare import Comparison
from gcd_hpc.browse.compare_materials import MaterialComparison, material_comparison_figure
from gcd_hpc.browse.figures import COLOURS, GREY, check_suffix, new_figure, save
from gcd_hpc.browse.tables import UNIT
from gcd_hpc.errors import StoreError
from gcd_hpc.stages.merit import NOTICEABLE_J_M2
from gcd_hpc.store.makers import GROUPS

RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours of runs, which colour-blind eyes tell apart."""
MARKS = ("o", "s", "^", "D", "v", "X", "P")


def plot_comparison(found: Comparison | MaterialComparison, path: Path) -> Path:
    """Draw ``comparison_figure``, or that of materials, to a file.

    Raises:
        StoreError: if the suffix is not .png, .svg or .pdf, or as ``comparison_figure``.
    """
    check_suffix(path)
    if isinstance(found, MaterialComparison):
        return save(material_comparison_figure(found), path)
    return save(comparison_figure(found), path)


def comparison_figure(found: Comparison) -> Figure:
    """Lowest energy of each [n], the number of [n] at the lowest of all runs, and the cost.

    Raises:
        StoreError: if the energies cannot be compared, or if nothing was relaxed yet.
    """
    if found.problem:
        raise StoreError(f"the energies cannot be drawn together: {found.problem}; leave --out out")
    if not found.lowest:
        raise StoreError("nothing to draw: no run has relaxed candidates yet")
    figure = new_figure(11.0, 4.2)
    hulls, progress, cost = figure.subplots(1, 3, width_ratios=(1.5, 1.2, 1.0))
    for number, run in enumerate(found.runs):
        colour = RUN_COLOURS[number % len(RUN_COLOURS)]
        mark = MARKS[number % len(MARKS)]
        energies = [energy for energy, _ in run.per_n.values()]
        hulls.plot(list(run.per_n), energies, mark, ls="-", color=colour, ms=5, label=run.run)
        spent, reached = _progress(found, run.run)
        progress.step([*spent, run.core_s], [*reached, reached[-1]], where="post", color=colour)
        if len(spent) > 1:
            progress.plot(spent[-1], reached[-1], mark, color=colour, ms=5)
    hulls.set(xlabel="[n]", ylabel=f"lowest GB energy ({UNIT.replace('^2', '$^2$')})")
    progress.set(xlabel="core-seconds of the run", xlim=(0, None))
    progress.set_ylabel(f"[n] at the lowest of all runs (of {len(found.lowest)})")
    progress.yaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_cost(cost, found)
    for axes, letter in zip((hulls, progress, cost), "abc", strict=True):
        axes.set_title(letter, loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = hulls.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


def _progress(found: Comparison, name: str) -> tuple[list[float], list[int]]:
    """Core-seconds at which a run reached the lowest energy of a further [n], and their number."""
    spent = []
    made = found.finds.get(name)
    for n_fraction, lowest in found.lowest.items() if made is not None else ():
        assert made is not None
        near = (made.exact_n == n_fraction) & (made.energy <= lowest + NOTICEABLE_J_M2)
        if near.any():
            spent.append(float(made.core_s[np.flatnonzero(near)[0]]))
    return [0.0, *sorted(spent)], list(range(len(spent) + 1))


def _draw_cost(axes: Axes, found: Comparison) -> None:
    """Draw the core-seconds of each run as a bar, one piece for each group of sources."""
    names = [run.run for run in found.runs]
    left = np.zeros(len(names))
    hatches = {"search": "", "exploration": "//", "model": ".."}
    for group in GROUPS:
        values = np.array([run.core_s_of.get(group, 0.0) for run in found.runs])
        if values.any():
            bars = axes.barh(names, values, 0.6, left, color=COLOURS[group], label=group)
            for bar in bars:
                bar.set(hatch=hatches[group], edgecolor="white")
        left += values
    axes.set_xlabel("core-seconds")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8, labelcolor=GREY)
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
