"""Part of a report of a guided campaign: what candidates were asked for, and what was found."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

from gcd_hpc.browse.figures import BLUE, GREY, new_figure
from gcd_hpc.browse.report.document import Block, Paragraph, Section, picture, table
from gcd_hpc.browse.report.facts import config_of
from gcd_hpc.browse.report.found import Found
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.errors import GcdError
from gcd_hpc.learning.boundary import load_boundary_system, placed_image
from gcd_hpc.learning.image_match import resemblance
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.projection import projected

Array = NDArray[np.float64]

NUM_COMPARED = 200
"""Relaxed candidates of lowest energy whose projections are compared with an image."""
NUM_SHOWN = 3
"""Those most like the image whose projections are drawn beside it."""
SAME_N = 1e-6
"""Largest difference of fractions [n] that are the same but for rounding."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A candidate whose projection was compared with an image."""

    candidate: RunCandidate
    correlation: float
    """Correlation of the middle of the image with the projection, as the candidate lies."""


def asked_section(found: Found) -> list[Section]:
    """Section on guidance; none for a campaign without it."""
    guidance = config_of(found.run).get("guidance") or ()
    properties = {term.get("property") for term in guidance if isinstance(term, dict)}
    blocks: list[Block] = []
    if "n_fraction" in properties:
        blocks += _of_n(found)
    if "image" in properties:
        blocks += _of_image(found)
    return [Section("Asked and found", tuple(blocks))] if blocks else []


def _of_n(found: Found) -> list[Block]:
    """How often a candidate of a model has the [n] that it was asked for."""
    columns = found.run.columns(["source", "status", "n_fraction", "target_n_fraction"])
    asked, got = columns["target_n_fraction"], columns["n_fraction"]
    chosen = np.isfinite(asked) & np.isfinite(got) & (columns["status"] == "ok")
    if not chosen.any():
        return [Paragraph("No relaxed candidate was asked for an [n] yet.", is_note=True)]
    asked, got = asked[chosen], got[chosen]
    hit = np.abs((asked - got + 0.5) % 1 - 0.5) < SAME_N
    rows = [_hit_cells("all", hit)]
    for value in np.unique(asked).tolist():
        rows.append(_hit_cells(format_fraction(value), hit[asked == value]))
    caption = "Relaxed candidates by the [n] that they were asked for, and the [n] that they have."
    about = (
        "Share of the relaxed candidates that have the [n] they were asked for, with its 95 %"
        " interval (Wilson)."
    )
    headings = ("asked for", "candidates", "with this [n]", "share", "95 % interval")
    return [picture(asked_figure(asked, got), caption), table(about, headings, rows)]


def _hit_cells(name: str, hit: NDArray[np.bool_]) -> tuple[str, ...]:
    num, total = int(hit.sum()), len(hit)
    low, high = binomtest(num, total).proportion_ci(0.95, "wilson")
    return (name, f"{total:,}", f"{num:,}", f"{num / total:.0%}", f"{low:.0%} to {high:.0%}")


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


def _of_image(found: Found) -> list[Block]:
    """The image beside the candidates whose projections are most like it."""
    title = "The candidates cannot be compared with the image"
    path = found.run.path
    if not path.is_dir():
        return [Paragraph(f"{title}: it is in the run directory.", is_note=True)]
    try:
        image = placed_image(load_boundary_system(str(path)), RunDirectory(path))
    except (GcdError, OSError) as error:
        return [Paragraph(f"{title}: {error}.", is_note=True)]
    if image is None or not len(found.relaxed):
        return [Paragraph(f"{title}: none was relaxed yet.", is_note=True)]
    compared = compare(image, found)
    rows = [
        (
            f"`{one.candidate.id}`",
            f"{one.correlation:.3f}",
            format_fraction(one.candidate.n_fraction),
            f"{one.candidate.gb_energy_j_m2:.4f}",
        )
        for one in compared[:10]
    ]
    caption = (
        f"Correlation of the middle of the image with the projections of the {len(compared)}"
        " relaxed candidates of lowest energy, the ten largest. Candidates are compared as they"
        " lie, displaced by lattice vectors alone, not turned. A perfect projection would have"
        f" about {image.expected:.2f}, because of the noise."
    )
    shown = "The image, and projections of the candidates that are most like it."
    headings = ("candidate", "correlation", "[n]", "E_gb (J/m²)")
    return [
        picture(image_figure(image, compared[:NUM_SHOWN]), shown),
        table(caption, headings, rows),
    ]


def compare(image: PlacedImage, found: Found) -> list[Compared]:
    """Relaxed candidates of lowest energy by how much their projections are like an image."""
    rows = found.relaxed[:NUM_COMPARED]
    known = [Compared(row, resemblance(image, np.asarray(row.positions))) for row in rows]
    return sorted(known, key=lambda one: -one.correlation)


def image_figure(image: PlacedImage, compared: list[Compared]) -> Figure:
    """The image and projections, all on one scale of atoms per area."""
    target, lengths = image.target, np.diag(image.frame.cell)
    panels: list[tuple[str, Any]] = [("image", image.density)]
    for one in compared:
        positions = np.asarray(one.candidate.positions)
        shown = projected(positions, lengths, target.axis, image.pixels, target.blur_a)
        panels.append((f"{one.candidate.id}\ncorrelation {one.correlation:.3f}", shown))
    height, width = (target.pixel_a * number for number in image.density.shape)
    high = max(float(shown.max()) for _, shown in panels[1:] or panels)
    figure = new_figure(1.75 * len(panels), min(1.75 * height / width + 0.6, 5.0))
    for axes, (title, shown) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(shown, cmap="gray", extent=(0.0, width, 0.0, height), vmin=0, vmax=high)
        axes.set_title(title, fontsize=6)
        axes.set_xlabel("Å", fontsize=5)
        axes.tick_params(labelsize=5)
    return figure
