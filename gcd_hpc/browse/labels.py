"""Labels of points in a figure, placed so that they cover neither each other nor the points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

DIRECTIONS = ((0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1), (1, 0), (-1, 0))
"""Sides of a point on which its label is tried, below it first."""
DISTANCES = (5.0, 12.0, 20.0, 30.0, 42.0)
"""Distances of a label from its point, in points of 1/72 inch; the far ones have a line to it."""
FIRST_WITH_LINE = 12.0
LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "linewidth": 0.5,
    "color": "#888888",
    "shrinkA": 0.0,
    "shrinkB": 3.0,
}
MARK = 4.0
"""Half the size that a marker takes, in points."""


def place_labels(
    axes: Axes,
    points: np.ndarray,
    names: Sequence[str],
    marks: np.ndarray,
    lines: Sequence[np.ndarray] = (),
    size: float = 7.0,
) -> list[str]:
    """Write the names beside their points where there is room; return the names left out.

    The layout and the limits of the axes must be final, as places are compared in pixels.

    Args:
        points: positions of the points to label in the data's units, the most important first,
            (M, 2).
        names: their labels.
        marks: positions of all markers that no label may cover, (K, 2).
        lines: corners of lines that no label may cover, (L, 2) each.
        size: of the letters, in points.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    pixels = figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    steps = [_along(axes.transData.transform(line), pixels) for line in lines]
    # Corners (x0, y0, x1, y1) of what is covered already, in pixels.
    taken = np.concatenate(
        [
            _boxes(axes.transData.transform(marks), MARK * pixels),
            *(_boxes(step, 0.5 * pixels) for step in steps),
        ]
    )
    left_out = []
    for point, name in zip(points, names, strict=True):
        style: dict[str, Any] = {"fontsize": size, "ha": "center", "va": "center", "zorder": 6}
        text = axes.text(point[0], point[1], name, **style)
        box = text.get_window_extent(renderer)
        text.remove()
        place = axes.transData.transform(point)
        found = _free_place(place, np.array([box.width, box.height]) / 2, pixels, inside, taken)
        if found is None:
            left_out.append(name)
            continue
        distance, centre, corners = found
        taken = np.concatenate([taken, corners[None]])
        has_line = distance >= FIRST_WITH_LINE
        axes.annotate(
            name,
            point,
            tuple((centre - place) / pixels),
            textcoords="offset points",
            arrowprops=LEADER if has_line else None,
            **style,
        )
    return left_out


def _free_place(
    place: np.ndarray, half: np.ndarray, pixels: float, inside: Bbox, taken: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray] | None:
    """Distance in points, centre and corners in pixels of the nearest free place, if there is one.

    Args:
        half: half the width and height of the label, pixels.
    """
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            centre = place + np.array(direction) * (half + distance * pixels)
            corners = np.concatenate([centre - half, centre + half])
            is_inside = (corners[:2] >= inside.min).all() and (corners[2:] <= inside.max).all()
            covers = (taken[:, :2] < corners[2:]).all(axis=1)
            covers &= (taken[:, 2:] > corners[:2]).all(axis=1)
            if is_inside and not covers.any():
                return distance, centre, corners
    return None


def _boxes(centres: np.ndarray, half: float) -> np.ndarray:
    """Corners (K, 4) of squares around places (K, 2)."""
    centres = centres.reshape(-1, 2)
    return np.concatenate([centres - half, centres + half], axis=1)


def _along(corners: np.ndarray, step: float) -> np.ndarray:
    """Places along a line, at most a step apart, (K, 2)."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], int(lengths[-1] / step) + 2)
    return np.stack([np.interp(at, lengths, corners[:, axis]) for axis in range(2)], axis=1)
