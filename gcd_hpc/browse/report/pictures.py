"""Pictures of boundary structures from three sides, coloured by the excess energy of atoms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gcd_hpc.browse.figures import GREY, new_figure
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.fingerprint import energy_weights
from gcd_hpc.structures.periodic import cartesian, fractional

HALF_HEIGHT = 8.0
"""Height above and below the boundary that is drawn, Å."""
LAYER = 2.5
"""Half the thickness of the layer that is seen along the normal, Å."""
LEAST_WIDTH = 13.0
"""Cells are repeated until they are this wide, Å."""
MAX_WIDTH = 46.0
"""Width of the part of a large cell that is drawn, Å."""
COLOURS = "RdBu_r"
RADII = (0.4, 0.32, 0.27, 0.23)
"""Radii of the atoms of the first element, the second and so on, nearest-neighbour distances."""
PANELS_IN = 5.2
"""Width of the three panels of a picture together, inches; lengths have one scale in all three."""
TOP = 98.0
"""Percentile of the excess energies at which the colours end."""


@dataclass(frozen=True)
class View:
    """One panel: axes that lie flat and upright, the axis of sight, and a mask of the atoms."""

    title: str
    plane: tuple[int, int]
    depth: int
    chosen: np.ndarray


def boundary_height(candidate: Candidate) -> float:
    """Height of the boundary plane, the mean of the atoms weighted by excess energy, Å."""
    heights = candidate.positions[:, 2]
    depth = candidate.surface_depth_a if np.isfinite(candidate.surface_depth_a) else 7.0
    inner = (heights > heights.min() + depth) & (heights < heights.max() - depth)
    weights = np.where(inner, energy_weights(excess_energies(vars(candidate)), 0.0), 0.0)
    if not weights.sum() > 0:
        return float((heights.min() + heights.max()) / 2)
    return float(np.average(heights, weights=weights))


def colour_limit(candidates: Sequence[Candidate]) -> float:
    """Excess energy at which the colours of all pictures of a report end, eV."""
    found = [
        np.abs(excess_energies(vars(one))[_near(one, HALF_HEIGHT)])
        for one in candidates
        if one.num_atoms
    ]
    values = np.concatenate(found) if found else np.zeros(0)
    top = float(np.percentile(values, TOP)) if len(values) else 0.0
    return max(0.05, round(top + 0.005, 2))


def _near(candidate: Candidate, reach: float) -> np.ndarray:
    return np.abs(candidate.positions[:, 2] - boundary_height(candidate)) <= reach


def three_views(
    candidate: Candidate, neighbour: float, limit_ev: float, elements: Sequence[int]
) -> Figure:
    """A structure seen along x, along y and, the layer at the boundary alone, along the normal.

    Args:
        neighbour: nearest-neighbour distance of the crystal, Å.
        limit_ev: excess energy at which the colours end.
        elements: atomic numbers of the elements in their order.
    """
    height = boundary_height(candidate)
    near = _near(candidate, HALF_HEIGHT + neighbour)
    colours = excess_energies(vars(candidate))[near]
    places, source = _repeated(candidate.positions[near], candidate.box[:2, :2])
    places = places - [0.0, 0.0, height]
    numbers = candidate.numbers[near][source]
    order = {number: rank for rank, number in enumerate(elements)}
    radii = np.array([RADII[min(order.get(int(one), 0), 3)] for one in numbers]) * neighbour
    # The longer edge of the cell lies flat in the view along the normal.
    flat = (0, 1) if np.ptp(places[:, 0]) >= np.ptp(places[:, 1]) else (1, 0)
    every = np.ones(len(places), dtype=bool)
    layer = np.abs(places[:, 2]) <= LAYER
    views = (
        View("along x", (1, 2), 0, every),
        View("along y", (0, 2), 1, every),
        View(f"along the normal, ±{LAYER:g} Å", flat, 2, layer),
    )
    norm = Normalize(-limit_ev, limit_ev)
    extents = np.ptp(places, axis=0) + 2 * radii.max()
    widths = [float(extents[view.plane[0]]) for view in views]
    scale = PANELS_IN / sum(widths)
    tallest = max(2 * HALF_HEIGHT, float(extents[flat[1]]))
    figure = new_figure(7.0, scale * tallest + 0.75)
    grid = figure.subplots(1, 3, width_ratios=widths)
    for axes, view in zip(grid, views, strict=True):
        # Atoms near to the eye are drawn last.
        toward_eye = -1.0 if view.depth == 1 else 1.0
        chosen = np.flatnonzero(view.chosen)
        shown = chosen[np.argsort(toward_eye * places[chosen, view.depth], kind="stable")]
        _draw(axes, places[shown][:, view.plane], radii[shown], colours[source[shown]], norm)
        axes.set_title(view.title, fontsize=7, color=GREY)
        axes.set_xlabel(f"{'xyz'[view.plane[0]]} (Å)", fontsize=7)
        axes.set_ylabel(f"{'xyz'[view.plane[1]]} (Å)", fontsize=7)
        if view.depth != 2:
            axes.set_ylim(-HALF_HEIGHT, HALF_HEIGHT)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    outline = cartesian(corners, candidate.box[:2, :2])[:, list(flat)]
    grid[2].plot(*outline.T, color="black", linewidth=0.9)
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=grid, shrink=0.8, pad=0.015)
    bar.set_label("excess energy (eV)", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    return figure


def _repeated(positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of as many cells as fill LEAST_WIDTH, but not beyond MAX_WIDTH, and whose copies.

    Returns:
        Positions (K, 3) Å, and the number of the atom that each of them is a copy of, (K,).
    """
    inside = cartesian(fractional(positions[:, :2], cell) % 1.0, cell)
    base = np.column_stack([inside, positions[:, 2]])
    num = [max(1, int(np.ceil(LEAST_WIDTH / cell[axis, axis]))) for axis in (0, 1)]
    shifts = [[*(i * cell[0] + j * cell[1]), 0.0] for i in range(num[0]) for j in range(num[1])]
    places = np.concatenate([base + shift for shift in shifts])
    source = np.tile(np.arange(len(base)), len(shifts))
    shown = (places[:, :2] <= MAX_WIDTH).all(axis=1)
    return places[shown], source[shown]


def _draw(
    axes: Axes, places: np.ndarray, radii: np.ndarray, colours: np.ndarray, norm: Normalize
) -> None:
    """Draw atoms as circles of their size, in the given order."""
    atoms = EllipseCollection(
        2 * radii,
        2 * radii,
        np.zeros(len(radii)),
        units="xy",
        offsets=places,
        transOffset=axes.transData,
        cmap=COLOURS,
        norm=norm,
        edgecolors="#444444",
        linewidths=0.35,
    )
    atoms.set_array(colours)
    axes.add_collection(atoms)
    low, high = places.min(axis=0) - radii.max(), places.max(axis=0) + radii.max()
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.tick_params(labelsize=6, length=2)
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)
