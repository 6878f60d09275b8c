"""The file of a boundary model: its weights, and a card with input units and training data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gcd_hpc.errors import CheckpointError
from gcd_hpc.learning.batches import ConditionScale
from gcd_hpc.networks.checkpoint import load, save
from gcd_hpc.voxels.channels import Channels


@dataclass(frozen=True)
class ModelCard:
    """Input units of a model, and how it was trained."""

    version: int
    scale: float
    """Standard deviation of the voxel values in training."""
    condition_scale: ConditionScale
    validation_loss: float
    """Hold-out loss at the end of training."""
    num_parts: int
    """Number of batch parts whose gradients were summed in training."""
    network: dict[str, Any]
    """Section ``network`` of the campaign."""
    elements: tuple[str, ...] = ()
    """Elements of the voxel channels, in their order; empty in files that state none."""
    sha256: str = ""
    """SHA-256 of the file's content."""


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
    save(path, weights, metadata, entries)


def load_model(path: Path) -> tuple[dict[str, Tensor], ModelCard]:
    """Weights and card of a model file.

    Raises:
        CheckpointError: if it is missing, damaged, not finite or no boundary model.
    """
    weights, metadata = load(path)
    try:
        card = ModelCard(
            int(metadata["version"]),
            float(metadata["scale"]),
            ConditionScale(**{k: float(v) for k, v in metadata["condition_scale"].items()}),
            float(metadata.get("validation_loss", math.nan)),
            int(metadata.get("num_parts", 1)),
            dict(metadata.get("network", {})),
            tuple(map(str, metadata.get("elements", ()))),
            str(metadata["sha256"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: is not the file of a boundary model ({error!r})") from error
    units = (card.scale, card.condition_scale.mean_j_m2, card.condition_scale.std_j_m2)
    if not all(math.isfinite(unit) for unit in units) or card.scale <= 0 or card.num_parts < 1:
        raise CheckpointError(
            f"{path}: cannot be used: the units of its inputs are not finite and positive, {units};"
            " train the model anew"
        )
    return weights, card


def check_elements(path: Path, card: ModelCard, channels: Channels) -> None:
    """Refuse the model of a file for channels of other elements.

    Files from before there were several elements state none; their models have one channel.

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
