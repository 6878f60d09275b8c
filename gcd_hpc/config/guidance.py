"""What candidates are asked for beside the model's condition: one term for each measured property.

Each term is the logarithm of a probability with a spread of its own, and the terms are added.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gcd_hpc.config.section import NonNegativeFloat, Section
from gcd_hpc.errors import ConfigError

Length = Annotated[float, Field(ge=0.001, le=100.0)]


class CountGuidance(Section):
    """The fraction [n], by the number of atoms, which is a sum over the voxels. No network is
    needed: docs/method.md#guidance.
    """

    property: Literal["n_fraction"]
    """Property that the term is about."""
    target: Literal["asked"] | Annotated[float, Field(ge=0.0, lt=1.0)] = "asked"
    """The [n] wanted. asked is the one that each candidate's condition has: in sampling all of
    them in turn, or those that fit the image if there is one; that of the move in exploration.
    """
    strength: NonNegativeFloat = 10.0
    """Factor of the term. 1 is Bayes' rule, which pulls too late: docs/method.md#guidance."""


class ImageTarget(Section):
    """An image of the boundary seen edge on. Its rows are parallel to the boundary and the upper
    grain is at its top. It covers at least one repeat of the boundary along its rows, and above
    and below the generated layers some of each grain.
    """

    file: str
    """Image in shades of grey (PNG or TIFF) or array of numbers (NPY), looked for beside the
    campaign file and then in the working directory. The run keeps a copy of it.
    """
    axis: Literal["x", "y"]
    """In-plane axis of the boundary's cell along which one looks."""
    pixel_a: Length
    """Edge of a square pixel, Å."""
    blur_a: Length
    """Width at half of its height of the Gaussian that an atom is seen as, Å."""
    noise: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1
    """Standard deviation of a pixel's noise, as a share of the difference between the brightest
    and the darkest place of the perfect crystal in an image without noise.
    """


class ImageGuidance(Section):
    """A projected image of the boundary, such as a STEM image, for one element:
    docs/images.md.
    """

    property: Literal["image"]
    """Property that the term is about."""
    target: ImageTarget
    strength: NonNegativeFloat = 1.0
    """Factor of the term. 1 is Bayes' rule."""
    best_of: Annotated[int, Field(gt=0, le=1000)] = 1
    """Number of samples of which a candidate is the one that fits the image best, if possible with
    the [n] asked for. They differ in noise and in the registry along the line of sight, and cost no
    relaxation.
    """
    restarts: Annotated[int, Field(ge=0, le=1000)] = 0
    """How often the samples that fit best are noised to half and generated again, best_of samples
    each time. For diffusion.inpainting: palette.
    """


class EnergyTarget(Section):
    """An upper limit of the energy."""

    below_known: float = 0.0
    """How far the limit lies below the lowest energy known of the [n] that is asked for, J/m^2."""


class EnergyGuidance(Section):
    """A low boundary energy, by the energy model of the campaign: docs/models.md#energy-models."""

    property: Literal["gb_energy"]
    """Property that the term is about."""
    target: EnergyTarget = EnergyTarget()
    strength: NonNegativeFloat = 1.0
    """Factor of the term. 1 is Bayes' rule."""


GuidanceTerm = Annotated[
    CountGuidance | ImageGuidance | EnergyGuidance, Field(discriminator="property")
]
"""One entry of the list ``guidance`` of a campaign file of boundaries."""


class SpectrumGuidance(Section):
    """The target spectrum of the campaign of a material, by its property network:
    docs/spectra.md.
    """

    property: Literal["spectrum"]
    """Property that the term is about."""
    strength: NonNegativeFloat = 4.0
    """Factor of the term. 1 is Bayes' rule, which moved carbon less than half as far:
    docs/method.md#guidance.
    """
    extensive: bool = True
    """Pull as strongly on an atom of a large structure as on one of 216 atoms."""


def image_term(guidance: Sequence[GuidanceTerm]) -> ImageGuidance | None:
    """Guidance by an image, if there is any."""
    return next((term for term in guidance if isinstance(term, ImageGuidance)), None)


def image_of(guidance: Sequence[GuidanceTerm]) -> tuple[str, ImageTarget] | None:
    """The image, if there is one, and the path of its key."""
    for number, term in enumerate(guidance):
        if isinstance(term, ImageGuidance):
            return f"guidance[{number}].target", term.target
    return None


def asks_for_n(guidance: Sequence[GuidanceTerm]) -> bool:
    """Whether each candidate is asked for an [n]."""
    return any(isinstance(term, CountGuidance) for term in guidance)


def asked_n_index(guidance: Sequence[GuidanceTerm], n_index: int, num_plane: int) -> int:
    """[n] in atoms that is asked for: the number that guidance gives, or else the given one.

    Args:
        num_plane: atoms of a plane.
    """
    for term in guidance:
        if isinstance(term, CountGuidance) and term.target != "asked":
            return round(term.target * num_plane) % num_plane
    return n_index


def find_image(target: ImageTarget, folder: Path, source: str, key: str) -> Path:
    """File of an image, looked for in the folder of the campaign file first.

    Raises:
        ConfigError: if there is none.
    """
    places = (folder / target.file, Path(target.file))
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(source, f"{key}.file", f"there is no file {places[0]}")
