"""Figures of structures: registries of the grains and radial distribution functions."""

from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter1d

from gcd_hpc.browse.figures import BLUE, GREY, need_some, new_figure, relaxed_columns
from gcd_hpc.browse.registries import REGISTRY_FIELDS, repeat_of
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.errors import StoreError
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.crystal import unit_crystal
from gcd_hpc.store.run import Run
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.fingerprint import energy_weights
from gcd_hpc.structures.periodic import cartesian, fractional, spelled_cell

MAX_MAPS = 12
"""Largest number of [n] whose registries fit into one figure."""
MAX_STRUCTURES = 50
"""Number of structures of lowest energy over which g(r) is averaged."""
REACH = 7.0
"""Longest distance of the radial distribution function, Å."""
BOUNDARY_REGION, BULK_DISTANCE = 3.0, 9.0
"""Largest distance of boundary atoms from its plane, and smallest of crystal atoms, Å."""
NUM_BINS = 280
SMEARED = 0.06
"""Standard deviation of the Gaussian that broadens each distance, Å."""
_MARGIN = 0.04
"""Distance from the border, in cells, up to which periodic images of points are drawn."""


def registry_map(run: Run) -> Figure:
    """Relaxed registries of each [n] in the smallest cell in which they repeat, coloured by energy.

    The cell of the candidates is used if the files do not describe the boundary.

    Raises:
        StoreError: if the selection is wrong or holds no relaxed candidate with a registry.
    """
    columns = relaxed_columns(run, *REGISTRY_FIELDS)
    known = np.isfinite(columns["registry_relaxed"]).all(axis=1)
    columns = {name: values[known] for name, values in columns.items()}
    need_some(run, int(known.sum()))
    cell = repeat_of(run, columns)
    return _maps(columns, cell, run.selection)


def _maps(columns: Columns, cell: np.ndarray, selection: str) -> Figure:
    """Draw one map for each [n]; columns are sorted by energy."""
    places = fractional(columns["registry_relaxed"][:, :2], cell) % 1.0
    fractions, firsts = np.unique(columns["n_fraction"], return_index=True)
    shown = np.sort(fractions[np.argsort(firsts)][:MAX_MAPS])
    num_columns = min(len(shown), 5 if len(shown) > 4 else 4)
    num_rows = ceil(len(shown) / num_columns)
    width = 2.1 if len(shown) > 1 else 4.6
    height = width * float(np.clip(_shape(cell), 0.4, 2.5))
    figure = new_figure(width * num_columns + 1.3, (height + 0.3) * num_rows + 0.3)
    figure.suptitle(
        f"relaxed registries of the grains, which repeat in {spelled_cell(cell)}"
        + (f"; {selection}" if selection else ""),
        fontsize=10,
        color=GREY,
    )
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey=True)
    above = {n: columns["gb_energy_j_m2"][columns["n_fraction"] == n] for n in shown.tolist()}
    above = {n: energy - energy[0] for n, energy in above.items()}
    top = float(np.quantile(np.concatenate(list(above.values())), 0.9)) or 0.1
    points = None
    for axes, n_fraction in zip(grid.flat, shown.tolist(), strict=False):
        points = _draw_map(
            axes, places[columns["n_fraction"] == n_fraction], above[n_fraction], cell, top
        )
        axes.set_title(
            f"[n] = {format_fraction(n_fraction)}  ({len(above[n_fraction]):,})", fontsize=9
        )
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(shown) - num_columns) : len(shown)]:
        axes.set_xlabel("dx (Å)", fontsize=9)
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("dy (Å)", fontsize=9)
    assert points is not None
    bar = figure.colorbar(points, ax=grid, extend="max", shrink=0.9, pad=0.02)
    bar.set_label("GB energy above the lowest\nof its [n] (J/m$^2$)")
    return figure


def _draw_map(
    axes: Axes, places: np.ndarray, above: np.ndarray, cell: np.ndarray, top: float
) -> PathCollection:
    """Draw points in one cell, the lowest energies on top, with images of points at the border."""
    shifts = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1)), axis=-1).reshape(-1, 2)
    every = (places[:, None] + shifts).reshape(-1, 2)  # (9 M, 2)
    energy = np.repeat(above, len(shifts))
    near = np.all((every > -_MARGIN) & (every < 1 + _MARGIN), axis=1)
    every, energy = cartesian(every[near], cell), energy[near]
    order = np.argsort(-energy, kind="stable")
    size = float(np.clip(9000 / len(above), 6, 30))
    points = axes.scatter(
        every[order, 0],
        every[order, 1],
        c=energy[order],
        s=size,
        cmap="viridis",
        vmin=0,
        vmax=top,
        linewidths=0.25,
        edgecolors="white",
        rasterized=bool(len(energy) > 3000),
    )  # fmt: skip
    (edge, _), (tilt, height) = cell.tolist()
    if tilt:
        corners = np.array([[0, 0], [edge, 0], [edge + tilt, height], [tilt, height], [0, 0]])
        axes.plot(*corners.T, color=GREY, linewidth=0.7)
    axes.set_xlim(min(0, tilt), edge + max(0, tilt))
    axes.set_ylim(0, height)
    axes.set_aspect("equal" if 0.4 <= _shape(cell) <= 2.5 else "auto")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=8)
    return points


def _shape(cell: np.ndarray) -> float:
    """Height over width of the smallest upright rectangle around a cell (2, 2)."""
    (edge, _), (tilt, height) = cell.tolist()
    return float(height / (edge + abs(tilt)))


def distances(run: Run) -> Figure:
    """Radial distribution functions g(r) around boundary atoms and around crystal atoms.

    Both are relative to the density of the crystal and averaged over the MAX_STRUCTURES selected
    structures of lowest energy.

    Raises:
        StoreError: if the selection is wrong or holds no relaxed candidate.
    """
    candidates = list(run.relaxed()[:MAX_STRUCTURES])
    need_some(run, len(candidates))
    found = [_around(candidate, _density(run, candidate)) for candidate in candidates]
    boundary, bulk = (
        [values for values in side if values is not None] for side in zip(*found, strict=True)
    )
    if not boundary:
        raise StoreError(
            f"{run.path}: nothing to draw: no structure has atoms at a boundary, away from the"
            " surfaces"
        )
    figure = new_figure(7.0, 4.4)
    axes = figure.add_subplot()
    mean, crystal = np.mean(boundary, axis=0), np.mean(bulk or [np.zeros(NUM_BINS)], axis=0)
    centres = (np.arange(NUM_BINS) + 0.5) * REACH / NUM_BINS
    axes.fill_between(
        centres,
        crystal,
        color="#c9c9c9",
        linewidth=0,
        label=f"crystal, more than {BULK_DISTANCE:g} Å away",
    )
    axes.plot(
        centres,
        mean,
        color=BLUE,
        linewidth=1.7,
        label=f"within {BOUNDARY_REGION:g} Å of the boundary plane",
    )
    axes.axhline(1.0, color=GREY, linewidth=0.7, linestyle=(0, (2, 3)))
    axes.set_xlim(0.75 * centres[np.flatnonzero(mean + crystal > 0.01)[0]], REACH)
    axes.set_ylim(0, 1.05 * max(mean.max(), crystal.max()))
    axes.set_xlabel("distance r (Å)")
    axes.set_ylabel("g(r)")
    axes.spines[["top", "right"]].set_visible(False)
    num = len(candidates)
    lowest, highest = candidates[0].gb_energy_j_m2, candidates[-1].gb_energy_j_m2
    what = "the lowest structure" if num == 1 else f"the {num} lowest structures"
    span = f"{lowest:.3f}" if num == 1 else f"{lowest:.3f} to {highest:.3f}"
    among = f"; {run.selection}" if run.selection else ""
    axes.set_title(f"{what}, {span} J/m$^2${among}", fontsize=9, color=GREY)
    axes.legend(frameon=False)
    return figure


def _density(run: Run, candidate: Candidate) -> float:
    """Atoms per Å^3 of the crystal, or of the slab if the files do not describe the crystal."""
    one = unit_crystal(run.provenance.get("config"))
    if one is None:
        return candidate.num_atoms / float(
            np.prod(candidate.cell[:2]) * np.ptp(candidate.positions[:, 2])
        )
    return float((one.cell[0][0] / candidate.cell[0]) ** 3 / one.atomic_volume)


def _around(candidate: Candidate, density: float) -> tuple[np.ndarray | None, np.ndarray | None]:
    """g(r) around boundary atoms and around crystal atoms; None where there are no such atoms."""
    heights = candidate.positions[:, 2]
    inner = (heights > heights.min() + REACH) & (heights < heights.max() - REACH)
    weights = np.where(inner, energy_weights(excess_energies(vars(candidate)), 0.0), 0.0)
    if not weights.sum() > 0:
        return None, None
    away = np.abs(heights - np.average(heights, weights=weights))
    near, far = inner & (away < BOUNDARY_REGION), inner & (away > BULK_DISTANCE)
    return _smooth_rdf(candidate, near, density), _smooth_rdf(candidate, far, density)


def _smooth_rdf(candidate: Candidate, chosen: np.ndarray, density: float) -> np.ndarray | None:
    """g(r) in NUM_BINS bins up to REACH, broadened because peaks at 0 K have no width."""
    if not chosen.any():
        return None
    # Late, because freud imports matplotlib's pyplot: 40 MB that pages and reports do without.
    from gcd_hpc.structures.analysis import rdf_around

    _, values = rdf_around(
        candidate.positions, chosen, candidate.box, REACH, density, NUM_BINS, (True, True, False)
    )
    return np.asarray(gaussian_filter1d(values, SMEARED * NUM_BINS / REACH, mode="constant"))
