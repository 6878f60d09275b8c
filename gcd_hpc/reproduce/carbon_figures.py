"""Figure S.1 again: structures coloured by their bonds, radial distribution functions, coordination, recovery of diamond."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gcd_hpc.reproduce.carbon_bonds import bonds, coordination, coordination_shares

Array = NDArray[np.float64]

# Okabe and Ito's colours, by number of bonds: under two, two (sp), three (sp2), four (sp3), more.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00")
LABELS = ("0-1", "2 (sp)", "3 (sp$^2$)", "4 (sp$^3$)", "5+")
CURVES = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7")
ANGLE = {"elev": 8.0, "azim": -78.0}


@dataclass(frozen=True)
class Sample:
    """Structures (M, N, 3) of one kind in a box (3,), with their mean g(r)."""

    label: str
    form: str
    sigma: float | None
    structures: Array
    lengths: Array
    r: Array
    g: Array


@dataclass(frozen=True)
class Curve:
    """Loss of one training."""

    label: str
    steps: Array
    loss: Array


def carbon_figure(samples: Sequence[Sample], losses: Sequence[Curve], cases: dict[str, Any]) -> Figure:
    """The whole figure; the first sample is the held-out glass, the second the generated one, all others are of diamond."""
    figure = Figure(figsize=(11.0, 6.2), layout="constrained")
    rows = figure.add_gridspec(2, 1, height_ratios=(1.0, 1.15))
    top, bottom = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    glass, generated, *crystals = samples
    shown = [glass, generated, *(crystals[number] for number in sorted({0, max(0, len(crystals) - 2), len(crystals) - 1}))]
    for number, sample in enumerate(shown):
        axes = top.add_subplot(1, len(shown), number + 1, projection="3d")
        _draw_structure(axes, sample.structures[0], sample.lengths)
        axes.set_title(sample.label.replace(", ", "\n"), fontsize=9)
    handles = [Line2D([], [], marker="o", linestyle="", color=colour, label=label) for colour, label in zip(COLOURS, LABELS, strict=True)]
    top.legend(handles=handles, title="bonds of an atom", loc="outside lower center", ncols=len(handles), fontsize=8, title_fontsize=8)
    panels = bottom.subplots(1, 4, width_ratios=(1.0, 1.0, 1.2, 1.0))
    _draw_glass_rdf(panels[0], glass, generated)
    _draw_diamond_rdf(panels[1], crystals)
    _draw_coordination(panels[2], samples)
    _draw_recovery(panels[3], crystals, cases, losses)
    return figure


def _draw_structure(axes: Any, positions: Array, lengths: Array) -> None:
    """Atoms and the bonds that do not cross the box's faces."""
    wrapped = np.mod(positions, lengths)
    pairs, vectors = bonds(wrapped, lengths)
    inside = (pairs[:, 0] < pairs[:, 1]) & np.isclose(wrapped[pairs[:, 1]] - wrapped[pairs[:, 0]], vectors).all(axis=1)
    for first, second in pairs[inside]:
        axes.plot(*wrapped[[first, second]].T, color="0.55", linewidth=0.6, zorder=1)
    kinds = np.clip(coordination(wrapped, lengths) - 1, 0, len(COLOURS) - 1)
    axes.scatter(*wrapped.T, c=[COLOURS[kind] for kind in kinds], s=9, depthshade=False, edgecolors="black", linewidths=0.2)
    axes.set_box_aspect(lengths, zoom=1.35)
    axes.view_init(**ANGLE)
    axes.set_axis_off()


def _draw_glass_rdf(axes: Axes, glass: Sample, generated: Sample) -> None:
    axes.plot(glass.r, glass.g, color="black", linewidth=1.4, label="melt-quench, held out")
    axes.plot(generated.r, generated.g, color=COLOURS[4], linewidth=1.2, linestyle="--", label="generated")
    axes.set(xlabel="r (Å)", ylabel="g(r)", title="amorphous carbon", xlim=(0.5, None), ylim=(0, None))
    axes.legend(fontsize=7, frameon=False)


def _draw_diamond_rdf(axes: Axes, crystals: Sequence[Sample]) -> None:
    """One curve above the other."""
    step = 8.0
    for number, sample in enumerate(crystals):
        height = step * (len(crystals) - 1 - number)
        axes.plot(sample.r, np.minimum(sample.g, 3 * step) + height, color=CURVES[number % len(CURVES)], linewidth=1.0)
        label = "random" if sample.sigma is None else f"{sample.sigma} Å"
        axes.annotate(label, (0.62, height + 0.8), fontsize=7)
    axes.set(xlabel="r (Å)", ylabel="g(r), shifted", title="diamond, by start noise", xlim=(0.5, None))
    axes.set_yticks([])


def _draw_coordination(axes: Axes, samples: Sequence[Sample]) -> None:
    names = ["a-C, quenched", "a-C, generated"]
    names += ["diamond, random" if sample.sigma is None else f"diamond, {sample.sigma} Å" for sample in samples[2:]]
    left = np.zeros(len(samples))
    shares = np.array([coordination_shares(sample.structures, sample.lengths).mean(axis=0) for sample in samples])  # (S, 7)
    groups = np.stack([shares[:, :2].sum(axis=1), *shares[:, 2:5].T, shares[:, 5:].sum(axis=1)], axis=1)
    for number, colour in enumerate(COLOURS):
        axes.barh(names, groups[:, number], left=left, color=colour, height=0.75)
        left = left + groups[:, number]
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="share of atoms", title="bonds of an atom", xlim=(0, 1))


def _draw_recovery(axes: Axes, crystals: Sequence[Sample], cases: dict[str, Any], losses: Sequence[Curve]) -> None:
    """Share of atoms on sites of diamond against the start; the trainings' losses in the inset."""
    found = [case for case in cases.values() if "share_on_sites" in case]
    labels = ["random" if case["start_sigma"] is None else str(case["start_sigma"]) for case in found]
    means = [case["share_on_sites"]["mean"] for case in found]
    axes.errorbar(labels, means, [case["share_on_sites"]["std"] for case in found], color=CURVES[0], marker="o", capsize=2, linewidth=1.0)
    axes.plot(labels, [case["generated"]["tetrahedral"]["mean"] for case in found], color=COLOURS[3], marker="s", linewidth=1.0)
    axes.set(xlabel="start noise (Å)", ylabel="share of atoms", title="back in diamond", ylim=(-0.03, 1.75))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.legend(["four tetrahedral bonds", "on diamond sites"], fontsize=7, frameon=False, loc="upper right", bbox_to_anchor=(1.0, 0.66))
    inset = axes.inset_axes((0.30, 0.74, 0.68, 0.24))
    for number, curve in enumerate(losses):
        inset.plot(curve.steps, curve.loss, color=(COLOURS[4], CURVES[0])[number % 2], linewidth=0.8, label=curve.label)
    inset.set(ylabel="loss", xlabel="step")
    inset.tick_params(labelsize=6)
    inset.legend(fontsize=6, frameon=False)
