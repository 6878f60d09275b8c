"""What the guided candidates of a boundary were asked for, and what was found.

Guided are relaxed candidates that a model made in a campaign with ``guidance:``. Unguided are the
relaxed random tries, which were asked for nothing: the share of them that would do tells what
chance gives. A model without guidance is no part of such a campaign.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.accounts.rates import Estimate, wilson
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.errors import GcdError
from gcd_hpc.learning.boundary import load_boundary_system, placed_image
from gcd_hpc.learning.image_match import SAME, laid
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.store.makers import FRESH, MAKER_FIELDS, groups
from gcd_hpc.store.provenance import campaign_of, section_of
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.projection import projected

Array = NDArray[np.float64]
NUM_COMPARED = 100
"""Guided and unguided candidates, the lowest in energy, whose projections are compared."""
NUM_ALIKE = 10
"""Candidates most like the image that are listed."""
SAME_N = 1e-6
"""Largest difference of fractions [n] that are the same but for rounding."""
HEADINGS = (
    *("asked for", "guided", "as asked", "share", "95 % interval"),
    *("unguided", "would do", "share", "95 % interval"),
)
CHANCE = (
    "Unguided are the relaxed random tries, which were asked for nothing. Intervals are Wilson's."
)
MEAN_CHANCE = (
    f"{CHANCE} In the first row the number that would do is the mean over what the guided ones"
    " were asked for."
)
IMAGE_HEADINGS = ("candidate", "made", "correlation", "[n]", "E_gb (J/m²)")


@dataclass(frozen=True)
class Share:
    """How many of some candidates are as asked; of unguided ones it may be a mean over tasks."""

    hits: float
    num: int

    @property
    def rate(self) -> Estimate | None:
        """The share with its 95 % interval; None of no candidates."""
        return wilson(self.hits, self.num) if self.num else None


@dataclass(frozen=True)
class Row:
    """What was found of one thing that was asked for."""

    name: str
    guided: Share
    unguided: Share


@dataclass(frozen=True, eq=False)
class AskedN:
    """[n] asked for and found by the guided candidates, (M,) each, and the shares."""

    asked: Array
    got: Array
    rows: list[Row]


@dataclass(frozen=True, eq=False)
class Compared:
    """A candidate whose projection was compared with an image."""

    candidate: RunCandidate
    made: str
    """``guided`` or ``unguided``."""
    correlation: float
    """Correlation of the middle of the image with the projection, as the candidate lies."""
    positions: Array
    """(N, 3) Å, displaced by the lattice vector with which it is so."""


@dataclass(frozen=True, eq=False)
class AskedImage:
    """An image, and the candidates compared with it, the most alike first."""

    image: PlacedImage
    compared: list[Compared]

    @property
    def least(self) -> float:
        """Least correlation of a candidate that is the structure in the image."""
        return least_correlation(self.image)

    @property
    def row(self) -> Row:
        """How many of the compared candidates are the structure in the image."""
        shares = []
        for made in ("guided", "unguided"):
            own = [one.correlation >= self.least for one in self.compared if one.made == made]
            shares.append(Share(sum(own), len(own)))
        return Row("the image", *shares)


def guidance_of(run: Run) -> dict[str, dict[str, Any]]:
    """Entries of ``guidance:`` of the campaign of a boundary by property; none without guidance."""
    terms = campaign_of(run.provenance.get("config", "")).get("guidance") or ()
    if run.is_material:
        return {}
    return {term["property"]: term for term in terms if isinstance(term, dict)}


def asked_for(run: Run) -> list[str]:
    """What the candidates were asked for, one sentence for each entry of ``guidance:``."""
    return [_sentence(name, term) for name, term in guidance_of(run).items()]


def _sentence(name: str, term: dict[str, Any]) -> str:
    target, strength = term.get("target"), f"strength {term.get('strength', 1.0):g}"
    if name == "n_fraction":
        if target == "asked":
            return f"[n]: the one that each candidate's condition has, {strength}."
        return f"[n] = {format_fraction(float(str(target)))}, {strength}."
    target = target if isinstance(target, dict) else {}
    if name == "gb_energy":
        below = float(target.get("below_known", 0.0))
        far = f"at least {below:g} J/m² below" if below else "no higher than"
        return f"E_gb: {far} the lowest one known of the [n] asked for, {strength}."
    return (
        f"The image {Path(str(target.get('file'))).name}, seen along"
        f" {target.get('axis')}, pixels of {target.get('pixel_a')} Å, blur {target.get('blur_a')}"
        f" Å, noise {target.get('noise')}, {strength}."
    )


def made_by(relaxed: Run) -> dict[str, Run]:
    """Guided and unguided candidates of a run, relaxed ones, in their order."""
    columns = relaxed.columns(MAKER_FIELDS)
    is_guided = groups(columns) == "model"
    is_random = (columns["source"] == "search") | (columns["move"] == FRESH)
    return {"guided": relaxed[is_guided], "unguided": relaxed[is_random & ~is_guided]}


def asked_n(relaxed: Run) -> AskedN | None:
    """How often a guided candidate has the [n] that it was asked for; None if none was asked."""
    made = made_by(relaxed)
    columns = made["guided"].columns(["n_fraction", "target_n_fraction"])
    is_known = np.isfinite(columns["target_n_fraction"])
    asked, got = columns["target_n_fraction"][is_known], columns["n_fraction"][is_known]
    if not len(asked):
        return None
    hit = is_same_n(asked, got)
    others = made["unguided"].columns(["n_fraction"])["n_fraction"]
    would = np.array([is_same_n(others, one).sum() for one in asked.tolist()])
    return AskedN(asked, got, _rows(asked, hit, would, len(others)))


def asked_energies(run: Run, relaxed: Run) -> list[Row] | None:
    """How often a guided candidate has the [n] and an energy below the limit that it was asked for.

    None if no candidate was asked for an energy.
    """
    config = run.provenance.get("config", "")
    below = (guidance_of(run)["gb_energy"].get("target") or {}).get("below_known", 0.0)
    margin = float(section_of(config, "sampling").get("energy_margin_j_m2", 0.0))
    made = made_by(relaxed)
    names = ("n_fraction", "target_n_fraction", "gb_energy_j_m2", "target_energy_j_m2")
    columns = made["guided"].columns(names)
    # The model's condition lies the margin below the lowest energy known.
    limits = columns["target_energy_j_m2"] + margin - float(below)
    asked = columns["target_n_fraction"]
    is_known = np.isfinite(asked) & np.isfinite(limits)
    if not is_known.any():
        return None
    asked, limits = asked[is_known], limits[is_known]
    hit = is_same_n(asked, columns["n_fraction"][is_known])
    hit &= columns["gb_energy_j_m2"][is_known] <= limits
    others = made["unguided"].columns(["n_fraction", "gb_energy_j_m2"])
    would = np.array(
        [
            (is_same_n(others["n_fraction"], one) & (others["gb_energy_j_m2"] <= limit)).sum()
            for one, limit in zip(asked.tolist(), limits.tolist(), strict=True)
        ]
    )
    return _rows(asked, hit, would, len(others["n_fraction"]))


def is_same_n(first: Array, second: Array | float) -> NDArray[np.bool_]:
    """Mask of equal [n], which is periodic."""
    return np.asarray(np.abs((first - second + 0.5) % 1 - 0.5) < SAME_N)


def _rows(asked: Array, hit: NDArray[np.bool_], would: NDArray[Any], num: int) -> list[Row]:
    """All candidates together, then those that were asked for each [n].

    Args:
        asked, hit: [n] asked for, and whether the candidate is as asked, (M,).
        would: number of unguided candidates that would do for each, (M,), of ``num``.
    """
    rows = [_row("all", hit, would, num)]
    for value in np.unique(asked).tolist():
        own = asked == value
        rows.append(_row(f"[n] = {format_fraction(value)}", hit[own], would[own], num))
    return rows


def _row(name: str, hit: NDArray[np.bool_], would: NDArray[Any], num: int) -> Row:
    return Row(name, Share(int(hit.sum()), len(hit)), Share(float(would.mean()), num))


def cells(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Rows as texts, in the columns of HEADINGS."""
    return [(row.name, *_cells(row.guided), *_cells(row.unguided)) for row in rows]


def _cells(share: Share) -> tuple[str, ...]:
    rate = share.rate
    if rate is None:
        return ("0", "–", "–", "–")
    hits = f"{share.hits:,.0f}" if float(share.hits).is_integer() else f"{share.hits:,.1f}"
    interval = f"{rate.low:.0%} to {rate.high:.0%}"
    return (f"{share.num:,}", hits, f"{rate.value:.0%}", interval)


def asked_image(relaxed: Run, image: PlacedImage) -> AskedImage | str:
    """The image and the candidates compared with it, or the reason why they cannot be compared.

    Of the guided and of the unguided candidates the NUM_COMPARED lowest in energy are compared.
    """
    if not len(relaxed):
        return f"{CANNOT}: none was relaxed yet."
    compared = [
        Compared(row, made, *laid(image, np.asarray(row.positions)))
        for made, rows in made_by(relaxed).items()
        for row in rows[:NUM_COMPARED]
    ]
    return AskedImage(image, sorted(compared, key=lambda one: -one.correlation))


CANNOT = "The candidates cannot be compared with the image"


def image_of_run(run: Run) -> PlacedImage | str:
    """The image that guidance names at its place on the boundary, or the reason why not."""
    if not run.path.is_dir():
        return f"{CANNOT}: it is in the run directory."
    try:
        image = placed_image(load_boundary_system(str(run.path)), RunDirectory(run.path))
    except (GcdError, OSError) as error:
        return f"{CANNOT}: {error}."
    return image if image is not None else f"{CANNOT}: the run has none."


def projection(image: PlacedImage, positions: Array) -> Array:
    """Projection (H, W) of a structure in the pixels of an image, in atoms per Å^2."""
    lengths = np.diag(image.frame.cell)
    target = image.target
    return projected(positions, lengths, target.axis, image.pixels, target.blur_a)


def least_correlation(image: PlacedImage) -> float:
    """Least correlation with an image of a candidate that is the structure in it."""
    return SAME * image.expected


def image_cells(asked: AskedImage) -> list[tuple[str, ...]]:
    """The candidates most like the image as texts, in the columns of IMAGE_HEADINGS."""
    return [
        (
            one.candidate.id,
            one.made,
            f"{one.correlation:.3f}",
            format_fraction(one.candidate.n_fraction),
            f"{one.candidate.gb_energy_j_m2:.4f}",
        )
        for one in asked.compared[:NUM_ALIKE]
    ]


def about_image(asked: AskedImage) -> str:
    """What the numbers of an image mean."""
    return (
        f"Compared are the relaxed candidates lowest in energy, {NUM_COMPARED} guided and"
        f" {NUM_COMPARED} unguided ones at most, as they lie, displaced by lattice vectors alone,"
        " not turned. The correlation is that of the middle of the image. Noise leaves a perfect"
        f" projection about {asked.image.expected:.3f}; from {asked.least:.3f} on a candidate"
        " counts as the structure in the image."
    )
