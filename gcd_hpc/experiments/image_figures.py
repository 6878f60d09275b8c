"""The figure of the experiment with images: images, candidates, and shares of hits."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.experiments.boundary_figures import LOWEST_RATE
from gcd_hpc.experiments.colours import BLUE, RED

LABELS = {"unguided": "without image", "guided": "with its image"}
COLOURS = {"unguided": BLUE, "guided": RED}
JUDGES = {
    "phase": "[n] and energy of the phase",
    "turned": "and the projection, in any symmetric variant",
    "as_it_lies": "and the projection, as it lies",
}
"""Ways in which a candidate is a hit."""


def figure_of(
    views: Mapping[str, Any], pictures: Sequence[Mapping[str, np.ndarray]], pixel_a: float
) -> Figure:
    """A row of image and candidate for each view on the left; shares of hits on the right."""
    figure = Figure(figsize=(10.5, 2.4 * max(len(views), 3)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1), squeeze=False)[0]
    axes = left.subplots(len(views), 3, squeeze=False)
    letters = iter(ascii_lowercase)
    for row, name, shown in zip(axes, views, pictures, strict=True):
        for one, (title, picture) in zip(row, shown.items(), strict=True):
            height, width = (pixel_a * number for number in picture.shape)
            extent = 0.0, width, 0.0, height
            one.imshow(picture, cmap="gray", extent=extent, vmin=0, vmax=1.6)
            is_image = title == "image"
            one.set_title(f"({next(letters)}) {name}" if is_image else title, fontsize=7)
            one.tick_params(labelsize=6)
    axes[-1][0].set_xlabel("along the rows (Å)", fontsize=7)
    for one, (judge, title) in zip(
        right.subplots(len(JUDGES), 1, sharex=True), JUDGES.items(), strict=True
    ):
        draw_rates(one, views, judge)
        one.set_title(f"({next(letters)}) {title}", fontsize=8)
    return figure


def draw_rates(axes: Axes, views: Mapping[str, Any], judge: str) -> None:
    """Share of hits among candidates with and without the image of each view."""
    for number, view in enumerate(views.values()):
        for offset, kind in ((-0.17, "unguided"), (0.17, "guided")):
            one = view[kind]
            share, (low, high) = one["share"][judge], one["wilson_95"][judge]
            drawn = max(share, LOWEST_RATE)
            axes.errorbar(
                number + offset,
                drawn,
                yerr=[[drawn - max(low, LOWEST_RATE / 2)], [high - drawn]],
                fmt="o",
                color=COLOURS[kind],
                capsize=3,
                label=LABELS[kind] if number == 0 else None,
            )
            axes.annotate(
                f"{one['hits'][judge]} of {one['candidates']}",
                (number + offset, high),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=6,
            )
    axes.set_yscale("log")
    names = [name.replace(" along ", "\nalong ") for name in views]
    axes.set_xticks(range(len(views)), names, fontsize=8)
    axes.set(ylabel="share", xlim=(-0.6, len(views) - 0.4), ylim=(1e-4, 3.0))
    axes.legend(fontsize=7, loc="lower right")
