"""Part of a report of a guided campaign: what candidates were asked for, and what was found."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gcd_hpc.browse.asked import (
    CHANCE,
    HEADINGS,
    IMAGE_HEADINGS,
    MEAN_CHANCE,
    Compared,
    about_image,
    asked_energies,
    asked_for,
    asked_image,
    asked_n,
    cells,
    guidance_of,
    image_cells,
    image_of_run,
    projection,
)
from gcd_hpc.browse.figures import BLUE, GREY, new_figure
from gcd_hpc.browse.report.document import Block, Paragraph, Section, picture, table
from gcd_hpc.browse.report.found import Found
from gcd_hpc.learning.image_place import PlacedImage

Array = NDArray[np.float64]

NUM_SHOWN = 3
"""Candidates most like the image whose projections are drawn beside it."""


def asked_section(found: Found) -> list[Section]:
    """Section on guidance; none for a campaign without it."""
    properties = guidance_of(found.run)
    if not properties:
        return []
    blocks: list[Block] = [Paragraph(" ".join(asked_for(found.run)))]
    if "n_fraction" in properties:
        blocks += _of_n(found)
    if "gb_energy" in properties:
        blocks += _of_energy(found)
    if "image" in properties:
        blocks += _of_image(found)
    return [Section("Asked and found", tuple(blocks))]


def _of_n(found: Found) -> list[Block]:
    """How often a guided candidate has the [n] that it was asked for."""
    known = asked_n(found.relaxed)
    if known is None:
        return [Paragraph("No relaxed candidate was asked for an [n] yet.", is_note=True)]
    caption = "Guided candidates by the [n] that they were asked for, and the [n] that they have."
    about = f"Share of the candidates that have the [n] asked for. {MEAN_CHANCE}"
    return [
        picture(asked_figure(known.asked, known.got), caption),
        table(about, HEADINGS, cells(known.rows)),
    ]


def asked_figure(asked: Array, got: Array) -> Figure:
    """Number of candidates by asked and found [n]; those on the diagonal have what was asked."""
    figure = new_figure(4.6, 3.4)
    axes = figure.add_subplot()
    pairs, counts = np.unique(np.round([asked, got], 4), axis=1, return_counts=True)
    axes.scatter(
        pairs[0], pairs[1], s=14 + 160 * counts / counts.max(), color=BLUE, alpha=0.75, linewidth=0
    )
    for (x, y), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        if count > 1:
            axes.annotate(f"{count:,}", (x, y), xytext=(6, 4), textcoords="offset points", size=6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlim(-0.06, 1.0)
    axes.set_ylim(-0.06, 1.0)
    axes.set_xlabel("[n] asked for")
    axes.set_ylabel("[n] found")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _of_energy(found: Found) -> list[Block]:
    """How often a guided candidate has an energy as low as it was asked for."""
    rows = asked_energies(found.run, found.relaxed)
    if rows is None:
        return [Paragraph("No relaxed candidate was asked for an energy yet.", is_note=True)]
    about = f"Share of the candidates with the [n] and an energy as asked for. {MEAN_CHANCE}"
    return [table(about, HEADINGS, cells(rows))]


def _of_image(found: Found) -> list[Block]:
    """The image beside the candidates whose projections are most like it."""
    image = image_of_run(found.run)
    known = image if isinstance(image, str) else asked_image(found.relaxed, image)
    if isinstance(known, str):
        return [Paragraph(known, is_note=True)]
    shown = "The image, and projections of the candidates that are most like it."
    rows = [(f"`{name}`", *others) for name, *others in image_cells(known)]
    found_cells = cells([known.row])
    return [
        picture(image_figure(known.image, known.compared[:NUM_SHOWN]), shown),
        table(f"Candidates that are the structure in the image. {CHANCE}", HEADINGS, found_cells),
        table(f"Candidates most like the image. {about_image(known)}", IMAGE_HEADINGS, rows),
    ]


def image_figure(image: PlacedImage, compared: Sequence[Compared]) -> Figure:
    """The image and projections, all on one scale of atoms per area."""
    target = image.target
    panels: list[tuple[str, Any]] = [("image", image.density)]
    for one in compared:
        title = f"{one.candidate.id}\ncorrelation {one.correlation:.3f}"
        panels.append((title, projection(image, one.positions)))
    height, width = (target.pixel_a * number for number in image.density.shape)
    high = max(float(shown.max()) for _, shown in panels[1:] or panels)
    figure = new_figure(1.75 * len(panels), min(1.75 * height / width + 0.6, 5.0))
    for axes, (title, shown) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(shown, cmap="gray", extent=(0.0, width, 0.0, height), vmin=0, vmax=high)
        axes.set_title(title, fontsize=6)
        axes.set_xlabel("Å", fontsize=5)
        axes.tick_params(labelsize=5)
    return figure
