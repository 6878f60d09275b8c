"""Figure of a gamma surface with the phases of the run on it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from scipy.ndimage import map_coordinates

from gcd_hpc.browse.figures import GREY, new_figure
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.phases.gamma import CUT, GammaSurface
from gcd_hpc.phases.registries import Place
from gcd_hpc.structures.periodic import Array

BESIDE = 0.06
"""Distance of places that share one line of names, in edges of the map."""
MAX_PLACES = 6
"""Largest number of phases that are named on a map."""
PIXELS = 240
"""Pixels along the longer edge of a map."""
MAX_ROWS = 60
"""Rows of the cell of the shifts after which its lean need not repeat."""
COLOURS = "cividis"
"""Colours whose lightness grows with the energy, so that they can be told in greyscale too."""


def gamma_map(surface: GammaSurface, places: Sequence[Place] = ()) -> Figure:
    """Energy against the shift of the upper grain, over the smallest upright rectangle.

    Each phase has a ring and its name at its first place, and rings alone at equal ones.
    """
    width, height = _rectangle(surface.cell)
    shape = float(np.clip(height / width, 0.4, 2.2))
    figure = new_figure(4.4 if shape > 1 else 5.6, (3.4 if shape > 1 else 4.6) * shape + 0.7)
    axes = figure.add_subplot()
    num = (PIXELS, max(8, round(PIXELS * height / width)))
    x, y = (np.linspace(0.0, end, count) for end, count in zip((width, height), num, strict=True))
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)  # (num_x, num_y, 2) Å
    energies = _between(surface, points)
    image = axes.pcolormesh(x, y, energies.T, cmap=COLOURS, shading="gouraud", rasterized=True)
    axes.contour(x, y, energies.T, levels=8, colors="white", linewidths=0.5, alpha=0.6)
    _mark(axes, surface, places[:MAX_PLACES], (width, height))
    axes.set_xlabel("shift along x (Å)")
    axes.set_ylabel("shift along y (Å)")
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_aspect("equal" if 0.4 <= height / width <= 2.2 else "auto")
    what = "two perfect grains" if surface.phase == CUT else f"phase {surface.phase}"
    how = "along the normal" if surface.freedom == "normal" else "freely between the grains"
    axes.set_title(
        f"{what}, [n] = {format_fraction(surface.n_fraction)}\nrelaxed {how}",
        fontsize=9,
        color=GREY,
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label("GB energy (J/m$^2$)")
    return figure


def _between(surface: GammaSurface, points: Array) -> Array:
    """Energies (X, Y) at points (X, Y, 2) Å, linear between those of the grid, J/m^2."""
    energies = surface.energies_j_m2
    grid = points @ np.linalg.inv(surface.cell) * energies.shape
    return np.asarray(
        map_coordinates(energies, np.moveaxis(grid, -1, 0), order=1, mode="grid-wrap")
    )


def _mark(
    axes: Axes, surface: GammaSurface, places: Sequence[Place], size: tuple[float, float]
) -> None:
    """Draw rings at the places of phases and their images, and each name once.

    Args:
        size: of the map, Å.
    """
    images = _lattice(surface.cell)
    extent, margin = np.array(size), 0.005 * np.array(size)
    names: list[tuple[Array, list[str]]] = []
    for place in places:
        every = (place.shifts[:, None] + images).reshape(-1, 2)
        shown = every[((every > -margin) & (every < extent + margin)).all(axis=1)]
        if not len(shown):
            continue
        for colour, linewidth in (("white", 2.6), ("black", 1.2)):
            axes.scatter(
                shown[:, 0],
                shown[:, 1],
                s=42,
                facecolors="none",
                edgecolors=colour,
                linewidths=linewidth,
                clip_on=False,
            )
        # The name stands beside one ring, with the names of others that lie there.
        beside = [one for one in names if _nearest(shown, one[0], extent) < BESIDE]
        if beside:
            beside[0][1].append(place.phase)
        else:
            middle = np.linalg.norm(shown / extent - 0.5, axis=1).argmin()
            names.append((shown[middle], [place.phase]))
    for at, phases in names:
        _write(axes, ", ".join(phases), at, extent)


def _nearest(points: Array, place: Array, extent: Array) -> float:
    """Distance of the nearest of some points (K, 2), in edges of the map."""
    return float(np.linalg.norm((points - place) / extent, axis=1).min())


def _write(axes: Axes, words: str, at: Array, extent: Array) -> None:
    """Write a name to the right of a place, and to its left or below it near the border."""
    on_left, below = at[0] > 0.6 * extent[0], at[1] > 0.9 * extent[1]
    text = axes.annotate(
        words,
        (float(at[0]), float(at[1])),
        (-6 if on_left else 6, -11 if below else 5),
        textcoords="offset points",
        ha="right" if on_left else "left",
        fontsize=8,
    )
    outline: list[AbstractPathEffect] = [withStroke(linewidth=2.2, foreground="white")]
    text.set_path_effects(outline)


def _lattice(cell: Array) -> Array:
    """Vectors (K, 2) Å of the lattice of a cell, those of MAX_ROWS steps along its edges."""
    steps = np.arange(-MAX_ROWS, MAX_ROWS + 1)
    both = np.stack(np.meshgrid(steps, steps), axis=-1)
    return np.asarray(both.reshape(-1, 2) @ cell)


def _rectangle(cell: Array) -> tuple[float, float]:
    """Edges of the smallest upright rectangle that repeats as a cell (2, 2) does, Å."""
    vectors = _lattice(cell)
    edges = []
    for axis in range(2):
        along = vectors[np.abs(vectors[:, 1 - axis]) < 1e-4][:, axis]
        # Without a vector along an axis the largest extent of the cell is shown.
        edges.append(float(min(along[along > 1e-4], default=np.abs(cell[:, axis]).sum())))
    return edges[0], edges[1]
