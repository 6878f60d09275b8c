"""Figure k2: carbon guided by a spectrum."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.experiments.carbon_figures import COLOURS, LABELS
from gcd_hpc.experiments.colours import BLUE, GREEN, ORANGE, PURPLE, RED
from gcd_hpc.experiments.spectra_numbers import GROUPS, bond_numbers
from gcd_hpc.experiments.spectra_outcome import Cells, Truth

BIN_EV = 0.4
"""Approximate width of an energy bin; the data do not state it."""
SHADES = {
    "unguided": "0.45",
    "2.0": BLUE,
    "3.0": RED,
    "own": GREEN,
    "permuted": PURPLE,
}


def guided_figure(main: Sequence[Cells], truth: Truth, numbers: dict[str, Any]) -> Figure:
    """The whole of k2.

    Args:
        main: conditions of strength 1, unguided cells first.
        numbers: of the record, with "conditions", "strengths" and "judges".
    """
    figure = Figure(figsize=(13.0, 7.0), layout="constrained")
    panels = figure.subplots(2, 3)
    _draw_spectra(panels[0, 0], main, truth)
    _draw_bonds(panels[0, 1], main, truth, numbers["conditions"])
    _draw_strengths(panels[0, 2], numbers["strengths"])
    _draw_judges(panels[1, 0], numbers["judges"])
    _draw_errors(panels[1, 1], main, numbers["conditions"])
    _draw_own_density(panels[1, 2], main, truth, numbers["density_only"])
    return figure


def _draw_spectra(axes: Axes, main: Sequence[Cells], truth: Truth) -> None:
    """Spectra as differences from that of the true frames, where the targets differ."""
    energy = BIN_EV * np.arange(len(truth.spectrum))
    for cells in main:
        colour = SHADES.get(cells.name, "black")
        mean, spread = cells.judge.mean(axis=0), cells.judge.std(axis=0)
        shown = mean - truth.spectrum
        axes.plot(energy, shown, color=colour, linewidth=1.2, label=_label(cells))
        axes.fill_between(energy, shown - spread, shown + spread, color=colour, alpha=0.2)
        if cells.target is not None and cells.name in ("2.0", "3.0"):
            axes.plot(energy, cells.target - truth.spectrum, "--", color=colour, linewidth=0.9)
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.set(
        xlabel="energy above bin 0 (eV, about)",
        ylabel="mean spectrum minus that of true frames",
        title="A  spectra by the judge; dashed: targets",
    )
    axes.legend(fontsize=7, frameon=False)


def _draw_bonds(
    axes: Axes, main: Sequence[Cells], truth: Truth, conditions: dict[str, Any]
) -> None:
    """Shares of atoms by bonds, as generated and relaxed."""
    rows = [("true frames", bond_numbers(truth.positions, truth.lengths))]
    for cells in main:
        found = conditions[cells.name]
        rows.append((_label(cells), found["bonds"]))
        if "relaxed" in found:
            rows.append((f"{_label(cells)}, relaxed", found["relaxed"]))
    left = np.zeros(len(rows))
    for group, colour, label in zip(GROUPS, COLOURS, LABELS, strict=True):
        width = np.array([shares[group] for _, shares in rows])
        axes.barh(np.arange(len(rows)), width, left=left, color=colour, height=0.75, label=label)
        left = left + width
    axes.set_yticks(np.arange(len(rows)), [name for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="share of atoms", title="B  bonds of an atom", xlim=(0, 1))
    axes.legend(fontsize=6, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _draw_strengths(axes: Axes, strengths: dict[str, Any]) -> None:
    """Place on the line against the strength of the guidance; strength 0 is unguided."""
    for target, points in strengths.items():
        axes.errorbar(
            [point["strength"] for point in points],
            [point["a_judge"]["value"] for point in points],
            [point["a_judge"]["standard_error"] for point in points],
            marker="o",
            capsize=2,
            linewidth=1.0,
            color=SHADES[target],
            label=f"target {target}",
        )
    axes.set_xscale("symlog", linthresh=0.25)
    for height, name in ((0.0, "2.0"), (1.0, "3.0")):
        axes.axhline(height, color=SHADES[name], linewidth=0.7, linestyle=":")
    axes.set(
        xlabel="strength (1 is Bayes)", ylabel="a: 0 as 2.0, 1 as 3.0", title="C  place on the line"
    )
    axes.legend(fontsize=7, frameon=False)


def _draw_judges(axes: Axes, judges: dict[str, dict[str, Any]]) -> None:
    """Place on the line by everyone who looked at the same cells."""
    conditions = list(next(iter(judges.values())))
    for offset, (judge, marker) in enumerate(zip(judges, "osD", strict=False)):
        found = judges[judge]
        names = [name for name in conditions if name in found]
        axes.errorbar(
            [conditions.index(name) + 0.15 * (offset - 1) for name in names],
            [found[name]["value"] for name in names],
            [found[name]["standard_error"] for name in names],
            marker=marker,
            linestyle="",
            capsize=2,
            label=judge,
        )
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set(ylabel="a: 0 as 2.0, 1 as 3.0", title="D  the same cells, other judges")
    axes.legend(fontsize=7, frameon=False)


def _draw_errors(axes: Axes, main: Sequence[Cells], conditions: dict[str, Any]) -> None:
    """Distance to the target with and without guidance."""
    guided = [cells for cells in main if cells.target is not None]
    places = np.arange(len(guided))
    for shift, key, colour, label in (
        (-0.2, "error_of_unguided", "0.6", "unguided"),
        (0.2, "error_to_target", "black", "guided"),
    ):
        values = [conditions[cells.name][key] for cells in guided]
        axes.bar(
            places + shift,
            [value["value"] for value in values],
            0.38,
            yerr=[value["standard_error"] for value in values],
            color=colour,
            ecolor=RED,
            label=label,
        )
    axes.set_xticks(places, [cells.name for cells in guided])
    axes.set(xlabel="target", ylabel="RMS error to the target", title="E  distance to the target")
    axes.legend(fontsize=7, frameon=False)


def _draw_own_density(
    axes: Axes, main: Sequence[Cells], truth: Truth, density_only: dict[str, Any]
) -> None:
    """At its own density a spectrum adds little to what the density says."""
    chosen = [cells for cells in main if cells.name in ("unguided", "own")]
    energy = BIN_EV * np.arange(len(truth.spectrum))
    axes.plot(energy, truth.spectrum, color="black", linewidth=1.4, label="true frames")
    for cells in chosen:
        axes.plot(
            energy,
            cells.judge.mean(axis=0),
            color=SHADES[cells.name],
            linewidth=1.0,
            label=_label(cells),
        )
    axes.plot(energy, density_only["spectrum"], ":", color=ORANGE, label="interpolated in density")
    axes.set(
        xlabel="energy above bin 0 (eV, about)",
        ylabel="mean spectrum",
        title="F  target of the own density",
    )
    axes.legend(fontsize=7, frameon=False)


def _label(cells: Cells) -> str:
    return cells.name if cells.target is None else f"target {cells.name}"
