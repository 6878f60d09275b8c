"""Figure of a phase diagram: regions of stability, or energies where there is one temperature."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from gcd_hpc.browse.figures import GREY, new_figure
from gcd_hpc.phases.diagram import Array, Diagram

NUM_VALUES = 401
"""Values of the second variable in a figure."""
LEAST_REGION = 0.004
"""Share of the diagram from which a region has its name in it."""
DASHES = ("-", "--", "-.", ":")


def diagram_figure(diagram: Diagram) -> Figure:
    """Draw which phase is stable; the lightness of regions tells them apart in greyscale too."""
    figure = new_figure(5.6, 4.2)
    axes = figure.add_subplot()
    if len(diagram.temperatures_k) > 1:
        _draw_regions(axes, diagram)
    else:
        _draw_lines(axes, diagram)
    axes.set_xlabel(diagram.axis.label)
    axes.set_xlim(diagram.axis.low, diagram.axis.high)
    return figure


def _draw_regions(axes: Axes, diagram: Diagram) -> None:
    """Regions of temperature and the second variable, pale where the errors leave it open."""
    values, kelvin = diagram.axis.values(NUM_VALUES), diagram.temperatures_k
    stable, uncertain = diagram.stable(values), diagram.uncertain(values)
    shown = np.unique(stable)
    colours = matplotlib.colormaps["cividis"](np.linspace(0.3, 1.0, max(2, len(shown))))
    places = np.searchsorted(shown, stable)
    axes.pcolormesh(
        values,
        kelvin,
        places,
        cmap=ListedColormap(colours[: len(shown)]),
        vmin=-0.5,
        vmax=len(shown) - 0.5,
        shading="nearest",
        rasterized=True,
    )
    if len(shown) > 1:
        for number in range(len(shown)):
            is_here = (places == number).astype(float)
            axes.contour(values, kelvin, is_here, levels=[0.5], colors="black", linewidths=0.9)
    if uncertain.any():
        axes.contourf(
            values,
            kelvin,
            uncertain.astype(float),
            levels=[0.5, 1.5],
            colors="white",
            alpha=0.6,
        )
    for number, line in enumerate(shown.tolist()):
        _name_region(axes, diagram.lines[line].name, places == number, values, kelvin)
    axes.set_ylim(kelvin[0], kelvin[-1])
    axes.set_ylabel("temperature (K)")
    title = "stable phase, first order in the second variable"
    if uncertain.any():
        title += "\npale: another one is as low within the errors"
    axes.set_title(title, fontsize=9, color=GREY)


def _name_region(
    axes: Axes, name: str, inside: NDArray[np.bool_], values: Array, kelvin: Array
) -> None:
    """Write a name in a region, a mask (T, X), unless it is too small."""
    rows, columns = np.nonzero(inside)
    if len(rows) < LEAST_REGION * inside.size:
        return
    # The point of the region that is nearest to its mean lies in it.
    up, along = (rows - rows.mean()) / len(kelvin), (columns - columns.mean()) / NUM_VALUES
    at = int(np.hypot(up, along).argmin())
    x, y = float(values[columns[at]]), float(kelvin[rows[at]])
    text = axes.text(x, y, name, ha="center", va="center", fontsize=10)
    outline: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground="white")]
    text.set_path_effects(outline)


def _draw_lines(axes: Axes, diagram: Diagram) -> None:
    """Energies at one temperature; those that are never the lowest are thin and grey."""
    values = diagram.axis.values(NUM_VALUES)
    energies = diagram.energies(values)[:, 0]  # (P, X)
    stable = np.unique(energies.argmin(axis=0)).tolist()
    lowest = energies.min(axis=0)
    for number, energy in enumerate(energies):
        if number not in stable:
            axes.plot(values, energy, color="#bbbbbb", linewidth=0.7, zorder=1)
    colours = matplotlib.colormaps["cividis"](np.linspace(0.0, 0.8, max(2, len(stable))))
    for place, number in enumerate(stable):
        axes.plot(
            values,
            energies[number],
            color=colours[place],
            linestyle=DASHES[place % len(DASHES)],
            linewidth=1.8,
            label=diagram.lines[number].name,
            zorder=3,
        )
    for one in diagram.crossings():
        axes.axvline(one.at, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)), zorder=2)
    span = max(float(np.ptp(lowest)), float(np.ptp(energies[stable])), 0.02)
    axes.set_ylim(lowest.min() - 0.08 * span, lowest.max() + 0.9 * span)
    axes.set_ylabel("GB energy (J/m$^2$)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    order = "" if diagram.axis.name == "mu" else ", first order in the variable"
    axes.set_title(f"energies at {diagram.temperatures_k[0]:g} K{order}", fontsize=9, color=GREY)
