"""The model that a campaign starts from: its file, and whether it fits the campaign.

Only the header of the file is read, without torch, so that login nodes can check it. The weights
are checked when the run directory is prepared.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from pydantic import BaseModel, ValidationError

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.explain import first_fault
from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.errors import ConfigError

BUILTIN = "builtin"
BUILTIN_FILE = Path(__file__).parents[1] / "models/builtin.safetensors"
"""The model that comes with the package."""
CARD_KEY = "gcd_hpc"
"""Entry of a model file's header that holds the card, as JSON."""
KEY, ENERGY_KEY = "model", "energy_model"
MOST_NAMES = 4
"""Boundaries of a model's training that are named in one line."""
DIFFUSION_KEYS = ("schedule", "prediction", "inpainting", "conditional")
"""Keys of the section diffusion in which a model and a campaign must agree."""


class _Boundary(BaseModel):
    """One boundary of a model's training, as far as its name and count are stated."""

    name: str | None = None
    num_structures: int | None = None


class _Card(BaseModel):
    """What the card of any model file states, as far as it concerns a campaign."""

    kind: str = ""
    network: dict[str, Any] | None = None
    elements: tuple[str, ...] = ()
    diffusion: dict[str, Any] | None = None
    boundaries: tuple[_Boundary, ...] = ()


@dataclass(frozen=True)
class StartingModel:
    """Card of a model file, as far as it concerns the campaign."""

    path: Path
    network: NetworkConfig
    elements: tuple[str, ...]
    """Elements of the voxel channels; empty if the model has one channel of any element."""
    card: _Card

    def line(self) -> str:
        """File, network and origin of the model, for ``gcd-hpc check``."""
        names = [str(one.name) for one in self.card.boundaries]
        num = sum(one.num_structures or 0 for one in self.card.boundaries)
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        learned = f"trained on {num:,} structures of {', '.join(names[:MOST_NAMES])}{more}"
        elements = ", ".join(self.elements) or "any element"
        return (
            f"model: {self.path}, network of width {self.network.width} and"
            f" {self.network.num_levels} levels for {elements},"
            f" {learned if names else 'of unstated training'}"
        )


def starting_file(config: CampaignConfig, folder: Path, source: str) -> Path:
    """File of the model that a campaign starts from.

    Args:
        folder: of the campaign file, in which the model is looked for first.
        source: name of the campaign in errors.

    Raises:
        ConfigError: if there is no such file.
    """
    assert config.model is not None
    if config.model == BUILTIN:
        if not BUILTIN_FILE.is_file():
            problem = (
                "builtin cannot be used, because this installation of gcd-hpc holds no model; name"
                " a model file or leave the key out"
            )
            raise ConfigError(source, KEY, problem)
        return BUILTIN_FILE
    return _found(config.model, folder, source, KEY, "that a campaign has trained, or builtin")


def energy_file(config: CampaignConfig, folder: Path, source: str) -> Path:
    """File of the energy model that a campaign names.

    Args:
        folder: of the campaign file, in which the model is looked for first.
        source: name of the campaign in errors.

    Raises:
        ConfigError: if there is no such file.
    """
    assert config.energy_model is not None
    cure = "that gcd-hpc model energy has written"
    return _found(config.energy_model, folder, source, ENERGY_KEY, cure)


def check_energy_model(config: CampaignConfig, folder: Path, source: str) -> None:
    """Check that the energy model that a campaign names, if any, is one of its elements.

    Raises:
        ConfigError: if it is missing, no energy model, or of other elements.
    """
    if config.energy_model is None:
        return
    path = energy_file(config, folder, source)
    card = _card(path, source, ENERGY_KEY)
    if card.kind != "energy":
        problem = f"{path} is no energy model; name a file that gcd-hpc model energy has written"
        raise ConfigError(source, ENERGY_KEY, problem)
    elements, wanted = card.elements, config.boundary.symbols
    if sorted(elements) != sorted(wanted):
        problem = (
            f"{path} is an energy model of {', '.join(elements)}, but this boundary is of"
            f" {', '.join(wanted)}; train one on runs of these elements"
        )
        raise ConfigError(source, ENERGY_KEY, problem)


def _found(name: str, folder: Path, source: str, key: str, cure: str) -> Path:
    """Model file of this name in one of two folders."""
    places = (folder / name, Path(name))
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(source, key, f"there is no file {places[0]}; name a model file {cure}")


def starting_model(config: CampaignConfig, folder: Path, source: str) -> StartingModel | None:
    """The model that a campaign starts from, or None.

    Raises:
        ConfigError: if the file is missing or no model, or if its voxel channels or its diffusion
            process are not the campaign's.
    """
    if config.model is None:
        return None
    path = starting_file(config, folder, source)
    card = _card(path, source, KEY)
    try:
        network, elements = NetworkConfig.model_validate(card.network), card.elements
    except ValidationError as error:
        problem = f"{path} is not the model of a boundary, because its card lacks the network"
        reason = first_fault(error)
        raise ConfigError(source, KEY, f"{problem} ({reason}); name another one") from None
    # 1. The channels of the voxel arrays are those of the campaign's elements.
    wanted = config.boundary.symbols
    if sorted(elements) != sorted(wanted) and (elements or len(wanted) > 1):
        channels = f"elements {', '.join(elements)}" if elements else "a single element"
        problem = f"{path} is a model of {channels}, but this boundary is of {', '.join(wanted)}"
        raise ConfigError(source, KEY, f"{problem}; name a model of the same elements")
    # 2. The network predicts for the noise process that it was trained with.
    trained, own = card.diffusion or {}, config.diffusion.model_dump()
    for key in DIFFUSION_KEYS:
        if key in trained and trained[key] != own[key]:
            problem = f"must be {trained[key]} as in the training of {path}, got {own[key]}"
            raise ConfigError(source, f"diffusion.{key}", problem)
    return StartingModel(path, network, elements, card)


def with_model(config: CampaignConfig, folder: Path, source: str) -> CampaignConfig:
    """The campaign with the network of the model that it starts from, or as it is without one.

    Args:
        folder: of the campaign file, in which the model is looked for first.
        source: name of the campaign in errors.

    Raises:
        ConfigError: as ``starting_model``, or if the campaign gives another network, or voxels that
            the model's network cannot divide.
    """
    model = starting_model(config, folder, source)
    if model is None:
        return config
    network = model.network
    for key in sorted(config.network.model_fields_set if config.network != network else ()):
        own, theirs = getattr(config.network, key), getattr(network, key)
        if own != theirs:
            problem = f"must be {theirs} as in the model {model.path}, got {own}"
            raise ConfigError(source, f"network.{key}", f"{problem}; leave the section out")
    shape = config.voxels.shape
    if shape != "auto" and shape[2] % network.voxel_multiple:
        problem = (
            f"must be a multiple of {network.voxel_multiple} along z for the network of the model"
            f" {model.path}, got {list(shape)}; auto is always one"
        )
        raise ConfigError(source, "voxels.shape", problem)
    return config.model_copy(update={"network": network})


def _card(path: Path, source: str, key: str) -> _Card:
    """The card in the header of a model file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {})[CARD_KEY])
    except (OSError, KeyError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        reason = "its header holds no card" if isinstance(error, KeyError) else str(error)
        problem = f"{path} is not a model of gcd-hpc ({reason}); name a model file"
        raise ConfigError(source, key, problem) from None
    try:
        return _Card.model_validate(card)
    except ValidationError as error:
        problem = f"{path} is not a model of gcd-hpc ({first_fault(error)}); name a model file"
        raise ConfigError(source, key, problem) from None
