"""Figure of an overview: lowest boundary energy against misorientation."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gcd_hpc.browse.figures import BLUE, GREEN, GREY, RED, check_suffix, new_figure, save
from gcd_hpc.browse.labels import place_labels
from gcd_hpc.browse.overview import Overview, OverviewRow, compact
from gcd_hpc.browse.reference import Reference
from gcd_hpc.config.miller import Indices
from gcd_hpc.errors import StoreError

COLOURS = (BLUE, RED, GREEN, "#8a5fb5", "#c77f17", "#2b9aa8", "#7a7a7a", "#a0456a")
"""Colours of the elements, in the order of their names; they repeat after eight."""
LINKED = ("symmetric tilt", "twist")
"""Kinds whose boundaries a line joins; several asymmetric tilts share an angle."""
MAX_ABOVE_J_M2 = 0.6
"""Energies of other [n] are drawn up to this far above the highest lowest energy, J/m^2."""
LEAST_SPAN_DEG = 10.0
"""Least span of angles in a panel, degrees."""
Panel = tuple[str, Indices]
"""Kind and axis."""


def plot_overview(found: Overview, path: str | Path) -> Path:
    """Draw ``overview_figure`` to a file.

    Raises:
        StoreError: if the suffix is not .png, .svg or .pdf, or if nothing was relaxed yet.
    """
    path = Path(path)
    check_suffix(path)
    return save(overview_figure(found), path)


def overview_figure(found: Overview) -> Figure:
    """Lowest energy of each boundary against its misorientation, one panel for each axis and kind.

    Light points are the lowest energies of the other [n]. Local minima along the angle are labelled
    with Sigma and plane, and other boundaries where there is room. Reference energies are crosses.

    Raises:
        StoreError: if nothing was relaxed yet.
    """
    panels: dict[Panel, list[OverviewRow]] = defaultdict(list)
    for row in found.rows:
        if row.id:
            panels[row.kind, row.axis].append(row)
    if not panels:
        raise StoreError("nothing to draw: no boundary of the overview has relaxed candidates yet")
    elements = sorted({row.elements for row in found.rows})
    colours = {one: COLOURS[i % len(COLOURS)] for i, one in enumerate(elements)}
    num_columns = 1 if len(panels) == 1 else 2
    num_rows = -(-len(panels) // num_columns)
    width = 7.6 if num_columns == 1 else 6.0 * num_columns
    figure = new_figure(width, 0.5 + 4.1 * num_rows)
    every = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (panel, rows) in zip(every, panels.items(), strict=False):
        _draw_panel(axes, panel, rows, colours, found.reference)
    for axes in every[len(panels) :]:
        axes.set_visible(False)
    _explain(figure, colours, found.reference)
    # The final layout must be known before labels are placed, and must not change afterwards.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, (panel, rows) in zip(every, panels.items(), strict=False):
        _label_panel(axes, panel, rows, found.reference)
    return figure


def _draw_panel(
    axes: Axes,
    panel: Panel,
    rows: Sequence[OverviewRow],
    colours: dict[str, str],
    reference: Reference | None,
) -> None:
    kind, axis = panel
    for element, colour in colours.items():
        mine = [row for row in rows if row.elements == element]
        if not mine:
            continue
        angles = np.array([row.misorientation_deg for row in mine])
        lowest = np.array([row.gb_energy_j_m2 for row in mine])
        hull = np.array([(row.misorientation_deg, one) for row in mine for _, one in row.per_n])
        axes.plot(*hull.T, "o", markersize=3, color=colour, alpha=0.22, markeredgewidth=0, zorder=2)
        if kind in LINKED:
            axes.plot(*_line(mine).T, color=colour, linewidth=1.1, zorder=3)
        axes.plot(angles, lowest, "o", markersize=5, color=colour, zorder=4)
    known = _listed(panel, rows, reference)
    if len(known):
        axes.plot(*known.T, "x", markersize=5.5, color=GREY, markeredgewidth=1.2, zorder=3.5)
    lowest_all = np.array([row.gb_energy_j_m2 for row in rows])
    top = max([float(lowest_all.max()) + 0.02, *known[:, 1].tolist()])
    highest = min(top + MAX_ABOVE_J_M2, max([top, *(one for row in rows for _, one in row.per_n)]))
    bottom = min([float(lowest_all.min()), *known[:, 1].tolist()])
    span = max(highest - bottom, 0.05)
    # Labels stand below the points.
    axes.set_ylim(bottom - 0.16 * span, bottom + 1.06 * span)
    angles = np.array([*(row.misorientation_deg for row in rows), *known[:, 0].tolist()])
    half = max(0.59 * float(np.ptp(angles)), LEAST_SPAN_DEG / 2)
    axes.set_xlim(*((angles.min() + angles.max()) / 2 + np.array([-half, half])))
    axes.set_title(f"{kind} about {compact(axis, '<>')}", fontsize=10, loc="left")
    axes.set_xlabel("misorientation angle (degrees)")
    axes.set_ylabel("GB energy (J/m$^2$)")
    axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 1.5, 2, 3, 5, 10]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _line(rows: Sequence[OverviewRow]) -> np.ndarray:
    """Ascending angles of the boundaries of an element, and the lowest energy at each, (K, 2)."""
    lowest: dict[float, float] = {}
    for row in sorted(rows, key=lambda row: -row.gb_energy_j_m2):
        lowest[row.rounded_angle] = row.gb_energy_j_m2
    return np.array(sorted(lowest.items()))


def _listed(panel: Panel, rows: Sequence[OverviewRow], reference: Reference | None) -> np.ndarray:
    """Angles in degrees and energies in J/m^2 of the list that belong in a panel, (K, 2)."""
    elements = {"", *(row.elements for row in rows)}
    found = [
        (angle, point.energy_j_m2)
        for point in (() if reference is None else reference.points)
        if point.elements in elements and (angle := point.angle_about(*panel)) is not None
    ]
    return np.array(found, dtype=float).reshape(-1, 2)


def _label_panel(
    axes: Axes, panel: Panel, rows: Sequence[OverviewRow], reference: Reference | None
) -> None:
    """Label the cusps, then other boundaries where there is room, the lowest first."""
    cusps = _cusps(rows)
    order = sorted(rows, key=lambda row: (row.boundary not in cusps, row.gb_energy_j_m2))
    points = np.array([(row.misorientation_deg, row.gb_energy_j_m2) for row in order])
    marks = np.concatenate([points, _listed(panel, rows, reference)])
    lines = [
        _line([row for row in rows if row.elements == element])
        for element in {row.elements for row in rows}
        if panel[0] in LINKED
    ]
    place_labels(axes, points, [row.title for row in order], marks, lines)


def _cusps(rows: Sequence[OverviewRow]) -> set[str]:
    """Names of the boundaries of an element below both neighbours in angle."""
    found = set()
    for element in {row.elements for row in rows}:
        mine = [row for row in rows if row.elements == element]
        mine.sort(key=lambda row: (row.rounded_angle, row.gb_energy_j_m2))
        energies = [np.inf, *(row.gb_energy_j_m2 for row in mine), np.inf]
        found |= {
            row.boundary
            for row, left, right in zip(mine, energies, energies[2:], strict=False)
            if row.gb_energy_j_m2 < min(left, right)
        }
    return found


def _explain(figure: Figure, colours: dict[str, str], reference: Reference | None) -> None:
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=5, label=f"{one}, lowest")
        for one, colour in colours.items()
    ]
    handles.append(
        Line2D(
            *([], []),
            linestyle="none",
            marker="o",
            markersize=4,
            color=GREY,
            alpha=0.35,
            label="lowest of each [n]",
        )
    )
    if reference is not None:
        mark = Line2D([], [], linestyle="none", marker="x", color=GREY, label=reference.title)
        handles.append(mark)
    figure.legend(
        handles=handles,
        loc="outside upper right",
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=9,
        columnspacing=1.4,
        handletextpad=0.5,
    )
