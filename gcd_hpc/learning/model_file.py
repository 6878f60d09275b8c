"""The file of a boundary model: its weights, and a card with input units and training data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from gcd_hpc.errors import CheckpointError, StoreError
from gcd_hpc.learning.conditions import ConditionScale, Units
from gcd_hpc.networks.checkpoint import load, save
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.voxels.channels import Channels


@dataclass(frozen=True)
class LearnedBoundary:
    """One boundary that a model has learned from."""

    name: str
    """Name of its campaign."""
    boundary: str
    """Sigma, kind, angle, axis and planes, for people."""
    elements: tuple[str, ...]
    lattice: str
    num_structures: int
    """Structures in the training set, those held out included."""
    potential_sha256: str
    """Hash of the potential that relaxed them."""
    hold_out: float
    """Loss on its structures that were held out."""
    is_held_out: bool = False
    """Whether the boundary was held out as a whole: nothing was learned from it."""


_BOUNDARIES = TypeAdapter(tuple[LearnedBoundary, ...])


@dataclass(frozen=True)
class ModelCard:
    """Input units of a model, and how it was trained."""

    version: int
    units: Units
    validation_loss: float
    """Hold-out loss at the end of training, the mean over all boundaries."""
    num_parts: int
    """Number of batch parts whose gradients were summed in training."""
    network: dict[str, Any]
    """Section ``network`` of the campaign."""
    elements: tuple[str, ...] = ()
    """Elements of the voxel channels, in their order. Empty in the model of several metals, whose
    one channel holds atoms of any element, and in old files that state none."""
    boundaries: tuple[LearnedBoundary, ...] = ()
    """What the model has learned from; empty in old files."""
    seed: int | None = None
    """Seed of the training; None in old files."""
    num_steps: int | None = None
    """Steps of the training that made this model of the one it started from, if any."""
    started_from: str = ""
    """SHA-256 of the model that training started from; empty if from random weights."""
    diffusion: dict[str, Any] = field(default_factory=dict)
    """Section ``diffusion`` of the campaign; empty in old files."""
    sha256: str = ""
    """SHA-256 of the file's content."""

    @property
    def hold_out(self) -> dict[str, float]:
        """Hold-out loss by the boundary's name."""
        return {one.name: one.hold_out for one in self.boundaries}

    @property
    def num_structures(self) -> int:
        """Structures of all boundaries that the model has learned from."""
        return sum(one.num_structures for one in self.boundaries if not one.is_held_out)


def save_model(
    path: Path,
    weights: dict[str, Tensor],
    card: ModelCard,
    entries: Mapping[str, str] | None = None,
) -> None:
    """Write a model file.

    Args:
        entries: texts beside the card that do not enter the model's hash.

    Raises:
        RunDirectoryError: if it cannot be written.
    """
    metadata = asdict(card)
    del metadata["sha256"]  # follows from the content
    units = metadata.pop("units")
    # Files keep the names that they had before there were models of several boundaries.
    metadata["scale"], metadata["condition_scale"] = units["scale"], units["of_one"]
    metadata["relative_std"] = units["relative_std"]
    save(path, weights, metadata, entries)


def load_model(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    """Weights and card of a model file.

    Raises:
        CheckpointError: if it is missing, damaged, not finite or no boundary model.
    """
    weights, metadata = load(path)
    try:
        card = _card(metadata)
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise CheckpointError(
            f"{path}: is not the file of a boundary model (boundaries: {fault})"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: is not the file of a boundary model ({error!r})") from error
    conditions = card.units.of_one or card.units.conditions({0.0: 1.0})
    mean = 0.0 if card.units.of_one is None else card.units.of_one.mean_j_m2
    numbers = (card.units.scale, conditions.std_j_m2, mean)
    if not all(map(math.isfinite, numbers)) or min(numbers[:2]) <= 0 or card.num_parts < 1:
        raise CheckpointError(
            f"{path}: cannot be used: the units of its inputs are not finite and positive,"
            f" {numbers}; train the model anew"
        )
    return weights, card


def _card(metadata: Mapping[str, Any]) -> ModelCard:
    """Card of a file's metadata; fields that old files lack have their defaults."""
    scale, relative = metadata["condition_scale"], metadata.get("relative_std")
    units = Units(
        float(metadata["scale"]),
        None if scale is None else ConditionScale(**{k: float(v) for k, v in scale.items()}),
        None if relative is None else float(relative),
    )
    seed, num_steps = metadata.get("seed"), metadata.get("num_steps")
    return ModelCard(
        int(metadata["version"]),
        units,
        float(metadata.get("validation_loss", math.nan)),
        int(metadata.get("num_parts", 1)),
        dict(metadata.get("network", {})),
        tuple(map(str, metadata.get("elements", ()))),
        _BOUNDARIES.validate_python(metadata.get("boundaries", ())),
        None if seed is None else int(seed),
        None if num_steps is None else int(num_steps),
        str(metadata.get("started_from", "")),
        dict(metadata.get("diffusion", {})),
        str(metadata["sha256"]),
    )


def check_elements(path: Path, card: ModelCard, channels: Channels) -> None:
    """Refuse the model of a file for channels of other elements.

    A model of several metals has one channel for any element. So have files from before there were
    several elements, which state none.

    Raises:
        CheckpointError: if the elements differ.
    """
    if card.elements == channels.symbols or (not card.elements and len(channels) == 1):
        return
    stated = f"those of {', '.join(card.elements)}" if card.elements else "that of one element"
    raise CheckpointError(
        f"{path}: cannot be used for {', '.join(channels.symbols)}, because the voxel channels of"
        f" this model are {stated}; train the model anew"
    )


def newest_round(files: RunDirectory) -> int:
    """The newest round whose model in use is known.

    Raises:
        StoreError: if no model has been trained.
    """
    for round in range(len(files.training_sets()), 0, -1):
        is_first = round == files.first_model
        if files.promotion(round).exists() or (is_first and files.model_file(round).exists()):
            return round
    if files.first_model == 0:
        return 0
    raise StoreError(
        f"{files.path}: cannot be sampled, because this run has no trained model yet; run its"
        " campaign to the end of a round"
    )
