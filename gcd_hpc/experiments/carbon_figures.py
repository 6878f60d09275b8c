"""Figure S.1: bonded structures, g(r), coordination, and recovery of diamond."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_bonds import bonds, coordination, coordination_shares
from gcd_hpc.experiments.colours import BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]

# Okabe and Ito's colours, by number of bonds: under two, two (sp), three (sp2), four (sp3), more.
COLOURS = ("#000000", ORANGE, SKY, GREEN, RED)
LABELS = ("0-1", "2 (sp)", "3 (sp$^2$)", "4 (sp$^3$)", "5+")
CURVES = (BLUE, SKY, GREEN, ORANGE, RED, PURPLE)
CLOSEST = 0.5
"""Distance, Å, from which g(r) is drawn; below lie atoms that share a site of diamond."""
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


def carbon_figure(
    samples: Sequence[Sample], losses: Sequence[Curve], cases: dict[str, Any]
) -> Figure:
    """The whole figure; samples are the held-out glass, the generated glass, then diamond."""
    sizes: Any = {"font.size": 8, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8}
    with rc_context(sizes):
        return _draw_figure(samples, losses, cases)


def _draw_figure(
    samples: Sequence[Sample], losses: Sequence[Curve], cases: dict[str, Any]
) -> Figure:
    figure = Figure(figsize=(13.0, 6.6), layout=ConstrainedLayoutEngine(h_pad=0.08))
    rows = figure.add_gridspec(2, 1, height_ratios=(1.15, 1.1))
    top, bottom = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
    glass, generated, *crystals = samples
    shown = [
        glass,
        generated,
        *(crystals[number] for number in sorted({0, max(0, len(crystals) - 2), len(crystals) - 1})),
    ]
    for number, sample in enumerate(shown):
        axes = top.add_subplot(1, len(shown), number + 1, projection="3d")
        _draw_structure(axes, sample.structures[0], sample.lengths)
        axes.set_title(f"({'abcde'[number]}) {sample.label}", y=1.06)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=label)
        for colour, label in zip(COLOURS, LABELS, strict=True)
    ]
    top.legend(
        handles=handles,
        title="bonds of an atom",
        loc="outside lower center",
        ncols=len(handles),
    )
    panels = bottom.subplots(1, 5, width_ratios=(1.0, 1.0, 0.9, 1.15, 0.8))
    _draw_glass_rdf(panels[0], glass, generated)
    _draw_diamond_rdf(panels[1], crystals)
    _draw_coordination(panels[2], samples)
    _draw_recovery(panels[3], cases)
    _draw_losses(panels[4], losses)
    for letter, axes in zip("fghij", panels, strict=True):
        axes.set_title(f"({letter}) {axes.get_title()}")
    return figure


def _draw_structure(axes: Any, positions: Array, lengths: Array) -> None:
    """Atoms, and the bonds that do not cross the faces of the box."""
    wrapped = wrap(positions, lengths)
    pairs, vectors = bonds(wrapped, lengths)
    inside = (pairs[:, 0] < pairs[:, 1]) & np.isclose(
        wrapped[pairs[:, 1]] - wrapped[pairs[:, 0]], vectors
    ).all(axis=1)
    for first, second in pairs[inside]:
        axes.plot(*wrapped[[first, second]].T, color="0.55", linewidth=0.6, zorder=1)
    kinds = np.clip(coordination(wrapped, lengths) - 1, 0, len(COLOURS) - 1)
    axes.scatter(
        *wrapped.T,
        c=[COLOURS[kind] for kind in kinds],
        s=9,
        depthshade=False,
        edgecolors="black",
        linewidths=0.2,
    )
    axes.set_box_aspect(tuple(lengths), zoom=1.35)  # of an array it would change the entries
    axes.view_init(**ANGLE)
    axes.set_axis_off()


def _draw_glass_rdf(axes: Axes, glass: Sample, generated: Sample) -> None:
    axes.plot(glass.r, glass.g, color="black", linewidth=1.4, label="quenched")
    axes.plot(
        generated.r, generated.g, color=COLOURS[4], linewidth=1.2, linestyle="--", label="generated"
    )
    axes.set(
        xlabel="r (Å)",
        ylabel="g(r)",
        title="amorphous carbon",
        xlim=(CLOSEST, None),
        ylim=(0, None),
    )
    axes.legend(frameon=False)


def _draw_diamond_rdf(axes: Axes, crystals: Sequence[Sample]) -> None:
    """g(r) of the diamond cases, one above the other."""
    step = 8.0
    for number, sample in enumerate(crystals):
        height = step * (len(crystals) - 1 - number)
        shown = sample.r > CLOSEST
        axes.plot(
            sample.r[shown],
            np.minimum(sample.g, 3 * step)[shown] + height,
            color=CURVES[number % len(CURVES)],
            linewidth=1.0,
        )
        axes.annotate(_start(sample.sigma, " Å"), (0.1, height + 1.6), fontsize=7)
    axes.set(
        xlabel="r (Å)", ylabel="g(r), shifted", title="diamond, by start noise", xlim=(0, None)
    )
    axes.set_yticks([])


def _draw_coordination(axes: Axes, samples: Sequence[Sample]) -> None:
    shares = np.array(
        [coordination_shares(sample.structures, sample.lengths).mean(axis=0) for sample in samples]
    )  # (S, 7)
    groups = np.stack(
        [shares[:, :2].sum(axis=1), *shares[:, 2:5].T, shares[:, 5:].sum(axis=1)], axis=1
    )
    rows = np.arange(len(samples))
    for number, colour in enumerate(COLOURS):
        axes.barh(
            rows, groups[:, number], left=groups[:, :number].sum(axis=1), color=colour, height=0.75
        )
    names = [
        "a-C, quenched",
        "a-C, generated",
        *(f"diamond, {_start(sample.sigma, ' Å')}" for sample in samples[2:]),
    ]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set(xlabel="share of atoms", title="bonds of an atom", xlim=(0, 1))


def _draw_recovery(axes: Axes, cases: dict[str, Any]) -> None:
    """Share of atoms on diamond sites against the noise of the start."""
    found = [case for case in cases.values() if "share_on_sites" in case]
    labels = [_start(case["start_sigma"]) for case in found]
    for values, colour, marker, label in (
        ([case["share_on_sites"] for case in found], CURVES[0], "o", "alone on a site"),
        (
            [case["generated"]["tetrahedral"] for case in found],
            CURVES[4],
            "s",
            "four tetrahedral bonds",
        ),
    ):
        means, spreads = [value["mean"] for value in values], [value["std"] for value in values]
        axes.errorbar(
            labels,
            means,
            spreads,
            color=colour,
            marker=marker,
            capsize=2,
            linewidth=1.0,
            label=label,
        )
    axes.set(
        xlabel="start noise (Å)",
        ylabel="share of atoms",
        title="back in diamond",
        ylim=(-0.03, 1.25),
        yticks=np.linspace(0.0, 1.0, 6),
    )
    axes.legend(frameon=False, loc="upper right")


def _draw_losses(axes: Axes, losses: Sequence[Curve]) -> None:
    for curve, colour in zip(losses, (CURVES[4], CURVES[0]), strict=True):
        axes.plot(curve.steps, curve.loss, color=colour, linewidth=0.9, label=curve.label)
    axes.set(xlabel="training step", ylabel="loss", title="training", ylim=(0, 1.1))
    axes.legend(frameon=False)


def _start(sigma: float | None, unit: str = "") -> str:
    return "random" if sigma is None else f"{sigma}{unit}"
