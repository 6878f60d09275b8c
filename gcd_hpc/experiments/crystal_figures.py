"""Figures of crystals: atoms with bonds, radial distribution, bond order, and voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_lowercase

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.experiments.colours import BLUE, GREY, RED

Array = NDArray[np.float64]

IDEAL, COLORS = "#000000", (BLUE, RED)  # Okabe-Ito: black; blue, vermilion
_OCCUPIED = 0.05
"""Fraction of an atom from which a voxel is drawn, p_thre of the paper."""
_SHORTEST = 0.3
"""Least distance of the radial distributions drawn, in lattice constants."""
_FAR = 0.3
"""Displacement from which the colour stays the same, in lattice constants."""


@dataclass(frozen=True)
class Curves:
    """Curves of one crystal for each model and the ideal crystal, by name."""

    title: str
    radial: dict[str, tuple[Array, Array]]
    """Distances in lattice constants and g(r)."""
    order: dict[str, Array]
    """q4 and q6 of each atom, (N, 2)."""
    loss: tuple[Array, Array]
    """Steps and loss of the particle model's training; a zero score has loss 1."""


@dataclass(frozen=True)
class Panel:
    """One cell of atoms."""

    title: str
    positions: Array  # (N, 3) within the box
    displacements: Array  # (N,) from the nearest site, in the unit of the positions
    lengths: tuple[float, float, float]
    bond: float
    """Longest bond drawn, in the unit of the positions."""


def draw_order(rows: Sequence[Curves]) -> Figure:
    """One row for each crystal: g(r), (q4, q6), distribution of q6, and particle training loss."""
    figure = Figure(figsize=(8.6, 2.1 * len(rows)), layout="constrained")
    axes = figure.subplots(
        len(rows), 4, squeeze=False, gridspec_kw={"width_ratios": [1.6, 1.0, 1.0, 0.8]}
    )
    for row, in_row in zip(rows, axes, strict=True):
        for draw, axis in zip(
            (_draw_radial, _draw_points, _draw_histogram, _draw_loss), in_row, strict=True
        ):
            draw(axis, row)
            axis.tick_params(labelsize=7)
    for number, axis in enumerate(axes.flat):
        axis.set_title(f"({ascii_lowercase[number]})", fontsize=8, fontweight="bold", loc="left")
    for axis, label in zip(
        axes[-1], ("distance r / a", "bond order q4", "bond order q6", "training step"), strict=True
    ):
        axis.set_xlabel(label, fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8, frameon=False
    )
    return figure


def _colors(names: Sequence[str]) -> dict[str, str]:
    models = [name for name in names if name != "ideal"]
    return dict(zip(models, COLORS, strict=True)) | {"ideal": IDEAL}


def _draw_radial(axis: Axes, row: Curves) -> None:
    colors = _colors(list(row.radial))
    radii, ideal = row.radial["ideal"]
    # Two atoms on one site give a peak at zero distance that would flatten all others.
    top = 1.15 * max(
        max(1.0, g[r > _SHORTEST].max()) for name, (r, g) in row.radial.items() if name != "ideal"
    )
    axis.vlines(radii[ideal > 0], 0, top, color=IDEAL, linewidth=0.6, linestyle=":", label="ideal")
    for name, (r, g) in row.radial.items():
        if name != "ideal":
            axis.plot(r, g, color=colors[name], linewidth=1.1, label=name.partition(" ")[0])
    axis.set_ylim(0, top)
    axis.set_xlim(_SHORTEST, radii[-1])
    axis.set_ylabel(f"{row.title}\ng(r)", fontsize=8)
    for name in row.order:
        if "(" in name:
            axis.set_title(name, fontsize=6, loc="right", pad=2, color=colors[name])


def _draw_points(axis: Axes, row: Curves) -> None:
    colors = _colors(list(row.order))
    # The wider distribution first, so that the narrow one is drawn above it.
    for name in sorted(
        (name for name in row.order if name != "ideal"),
        key=lambda name: (
            -float(np.ptp(row.order[name], axis=0).sum() if len(row.order[name]) else 0)
        ),
    ):
        q4, q6 = row.order[name].T
        axis.scatter(q4, q6, s=4, color=colors[name], alpha=0.5, linewidths=0, rasterized=True)
    # Around the points, which lie on the ideal where a model is good.
    q4, q6 = row.order["ideal"].mean(axis=0)
    axis.scatter([q4], [q6], s=80, facecolors="none", edgecolors=IDEAL, linewidths=1.0, zorder=4)
    axis.set_ylabel("bond order q6", fontsize=8)


def _draw_histogram(axis: Axes, row: Curves) -> None:
    colors = _colors(list(row.order))
    values = {name: order[:, 1] for name, order in row.order.items() if name != "ideal"}
    everything = np.concatenate([order[:, 1] for order in row.order.values()])
    bins = np.linspace(everything.min() - 1e-3, everything.max() + 1e-3, 60).tolist()
    for name, q6 in values.items():
        axis.hist(
            q6,
            bins,
            weights=np.full(len(q6), 1 / max(1, len(q6))),
            color=colors[name],
            alpha=0.6,
            linewidth=0,
        )
    axis.axvline(row.order["ideal"][:, 1].mean(), color=IDEAL, linewidth=0.8, linestyle=":")
    axis.set_yscale("log")
    axis.set_ylabel("share of atoms", fontsize=8)


def _draw_loss(axis: Axes, row: Curves) -> None:
    axis.axhline(1.0, color=IDEAL, linewidth=0.6, linestyle=":")
    axis.plot(*row.loss, color=COLORS[1], linewidth=1.1)
    axis.set_ylim(0, 1.15)
    axis.set_ylabel("particle model's loss", fontsize=8)


def draw_cells(panels: Sequence[Panel]) -> Figure:
    """Cells side by side, with atoms coloured by displacement and bonds between neighbours."""
    figure = Figure(figsize=(3.4 * len(panels), 3.6), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        axis = figure.add_subplot(1, len(panels), number, projection="3d")
        assert isinstance(axis, Axes3D)
        _draw_bonds(axis, panel)
        points = axis.scatter(
            *panel.positions.T,
            c=panel.displacements,
            vmin=0,
            vmax=_FAR,
            cmap="viridis",
            s=45,
            edgecolors="black",
            linewidths=0.3,
            depthshade=False,
        )
        _draw_box(axis, panel.lengths)
        axis.set_title(panel.title, fontsize=9)
    bar = figure.colorbar(points, ax=figure.axes, shrink=0.6, pad=0.02, extend="max")
    bar.set_label("distance from the nearest site / a", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _draw_bonds(axis: Axes3D, panel: Panel) -> None:
    """Lines between neighbouring atoms within the box."""
    pairs = cKDTree(panel.positions).query_pairs(panel.bond, output_type="ndarray")  # (P, 2)
    if len(pairs):  # matplotlib accepts no empty collections
        axis.add_collection3d(Line3DCollection(panel.positions[pairs], colors=GREY, linewidths=1.0))


def _draw_box(axis: Axes3D, lengths: Sequence[float]) -> None:
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    edges = [
        (a, b)
        for a, b in product(corners, corners)
        if np.abs(a - b).sum() == 1 and a.sum() < b.sum()
    ]
    axis.add_collection3d(
        Line3DCollection(np.array(edges) * lengths, colors="black", linewidths=0.6)
    )
    axis.set_box_aspect(
        np.array(lengths), zoom=1.15 * float(np.mean(lengths) / max(lengths)) ** 0.5
    )  # leaves room for a tall box
    for set_limits, length in zip(
        (axis.set_xlim, axis.set_ylim, axis.set_zlim), lengths, strict=True
    ):
        set_limits(0, length)
    axis.set_axis_off()
    axis.view_init(elev=16, azim=-68)


def draw_voxels(pairs: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32]]]) -> Figure:
    """Voxels with at least a twentieth of an atom, one row for each (name, encoded, generated)."""
    figure = Figure(figsize=(5.6, 2.7 * len(pairs)), layout="constrained")
    for row, (name, *arrays) in enumerate(pairs):
        for column, (array, kind) in enumerate(zip(arrays, ("encoded", "generated"), strict=True)):
            axis = figure.add_subplot(len(pairs), 2, 2 * row + column + 1, projection="3d")
            assert isinstance(axis, Axes3D)
            places = np.argwhere(array > _OCCUPIED)
            values = array[tuple(places.T)]
            sizes = (1100 / len(array)) * values
            points = axis.scatter(
                *places.T,
                c=values,
                s=sizes,
                vmin=0,
                vmax=0.6,
                cmap="viridis",
                marker="s",
                linewidths=0,
                rasterized=True,
            )
            _draw_box(axis, [float(size - 1) for size in array.shape])
            axis.set_title(f"{name}, {kind}", fontsize=9)
    bar = figure.colorbar(points, ax=figure.axes, shrink=0.4, pad=0.02, extend="max")
    bar.set_label("atoms in the voxel", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure
