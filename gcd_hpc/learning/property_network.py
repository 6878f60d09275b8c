"""Network of a property that every atom has, such as a spectrum, and the file that keeps it.

A structure's property is the mean over its absorbers, y = sum_i m_i f_i / sum_i m_i, with f_i >= 0.
It is linear in the atoms, so a network trained on noisy positions to the properties of the clean
atoms, by least squares, learns the expectation of y given the noisy positions.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from gcd_hpc.config.explain import first_fault
from gcd_hpc.config.section import Depth, Measure, PositiveInt
from gcd_hpc.errors import CheckpointError, StructureError
from gcd_hpc.learning.calibration import Calibration, split_tensors
from gcd_hpc.networks.checkpoint import load, loaded, save
from gcd_hpc.networks.equivariant import EquivariantNet
from gcd_hpc.networks.meshgraphnet import MeshGraphNet

Backbone = Literal["equivariant", "meshgraphnet"]
_LEAST = 1e-3
"""Smallest starting value of a channel, as a share of the mean over channels."""


@dataclass(frozen=True)
class PropertyConfig:
    """Shape of a property network, and the noise of the positions that it is made for."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    backbone: Backbone
    cutoff: Measure = 3.0
    """Å."""
    width: PositiveInt = 64
    num_layers: Depth = 3
    min_sigma: Measure = 0.02
    """Å; less noise is taken as this much."""
    max_sigma: float = 0.0
    """Å; 0 for a network of clean positions, which has no input for the noise."""

    @property
    def is_noise_aware(self) -> bool:
        """Whether the noise of the positions is an input of the network."""
        return self.max_sigma > 0


class PropertyNetwork(nn.Module):
    """f_i >= 0 of every atom, (B, N, K): softplus of a graph network's outputs.

    Args:
        typical: (K,) mean over the training's atoms, which the untrained network gives.
    """

    typical: Tensor
    unit: Tensor

    def __init__(self, config: PropertyConfig, typical: Tensor) -> None:
        super().__init__()
        self.config = config
        unit = typical.mean()
        relative = (typical / unit).clamp(min=_LEAST)
        self.register_buffer("unit", unit)
        self.register_buffer("typical", relative.expm1().log())  # inverse of softplus
        shape = (config.width, config.num_layers, config.cutoff)
        self.backbone: nn.Module
        last = nn.Linear(config.width, len(typical))
        if config.backbone == "equivariant":
            self.backbone = EquivariantNet(*shape)
            self.head = nn.Sequential(nn.Linear(config.width, config.width), nn.SiLU(), last)
        else:
            self.backbone = MeshGraphNet(*shape, len(typical))
            self.backbone.output[-1] = last
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        positions: Tensor,
        lengths: Tensor,
        sigma: Tensor,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """Property of every atom.

        Args:
            positions: (B, N, 3) Å.
            lengths: (3,) Å of the periodic box.
            sigma: (B,) Å, noise of the positions; a network of clean positions ignores it.
            rotation: (3, 3) that turns all edges; an equivariant backbone does without.
        """
        level = self._level(sigma)
        if self.config.backbone == "equivariant":
            scalars, _ = self.backbone(positions, lengths, level)
            outputs = self.head(scalars)
        else:
            # The mesh network tells times between 0 and 1 apart.
            low, high = np.log(self.config.min_sigma), np.log(self.config.max_sigma or 1.0)
            outputs = self.backbone(positions, lengths, (level - low) / (high - low), rotation)
        return self.unit * functional.softplus(outputs + self.typical)

    def _level(self, sigma: Tensor) -> Tensor:
        """log sigma (B,) within the trained range; for clean positions its lower end."""
        config = self.config
        if not config.is_noise_aware:
            return torch.full_like(sigma, config.min_sigma).log()
        return sigma.clamp(config.min_sigma, config.max_sigma).log()


def mean_over(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over absorbers, (B, N, K) -> (B, K).

    Args:
        mask: (N,) or (B, N), the weight of each atom; None for all atoms alike.
    """
    if mask is None:
        return values.mean(dim=1)
    weights = mask.to(values).expand(values.shape[:2])
    return (weights[..., None] * values).sum(dim=1) / weights.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class PropertyCard:
    """What a property network predicts, and how it was trained."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    """Name of the property, for people."""
    element: str
    """Element of all atoms of its structures."""
    edge: str
    """Absorption edge of a spectrum, such as "K"; empty for other properties."""
    energies_ev: tuple[float, ...] | None
    """Energies of the channels; None if the labels state none."""
    groups: tuple[str, ...]
    """Groups of structures that were learned."""
    held_out: tuple[str, ...]
    """Groups of structures that the covariance was measured on."""
    training: dict[str, Any] = field(default_factory=dict)
    """Settings, seed and counts of the training."""
    sha256: str = ""
    """SHA-256 of the file's content."""


_CONFIG, _CARD = TypeAdapter(PropertyConfig), TypeAdapter(PropertyCard)


@dataclass(frozen=True)
class PropertyModel:
    """A trained property network with its card and the measured covariance of its error."""

    network: PropertyNetwork
    card: PropertyCard
    calibration: Calibration | None

    def atoms(self, positions: Tensor, lengths: Tensor, sigma: Tensor) -> Tensor:
        """Property of every atom, (B, N, 3), (3,), (B,) -> (B, N, K)."""
        return self.network(positions, lengths, sigma)  # type: ignore[no-any-return]

    def mean(
        self, positions: Tensor, lengths: Tensor, sigma: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Mean property over the absorbers, (B, K), differentiable in the positions."""
        return mean_over(self.atoms(positions, lengths, sigma), mask)


def save_property(
    path: Path, network: PropertyNetwork, card: PropertyCard, calibration: Calibration | None
) -> str:
    """Write a property network with its card and calibration; returns the SHA-256 of the content.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    described = asdict(card)
    del described["sha256"]  # follows from the content
    metadata = {"property": described, "network": asdict(network.config)}
    tensors = dict(network.state_dict())
    if calibration is not None:
        tensors |= calibration.tensors()
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(path, tensors, json.loads(json.dumps(metadata)))


def load_property(path: Path, device: str = "cpu") -> PropertyModel:
    """Read a file of ``save_property``; the network is in evaluation mode.

    Raises:
        CheckpointError: if the file is missing, damaged or not of a property network.
    """
    tensors, metadata = load(path)
    weights, calibration = split_tensors(tensors)
    try:
        config = _CONFIG.validate_python(metadata.get("network"))
        card = replace(_CARD.validate_python(metadata.get("property")), sha256=metadata["sha256"])
        num = weights["typical"].numel()
    except (KeyError, ValidationError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else f"no {error}"
        raise CheckpointError(
            f"{path}: is not the file of a property network ({reason})"
        ) from error
    if card.energies_ev is not None and len(card.energies_ev) != num:
        raise CheckpointError(
            f"{path}: is not the file of a property network, because its card states"
            f" {len(card.energies_ev)} energies and its network {num} channels"
        )
    network = loaded(lambda: PropertyNetwork(config, torch.ones(num)), weights, path)
    return PropertyModel(network.to(device).eval(), card, calibration)


def check_elements(symbols: Sequence[str], element: str, what: str) -> None:
    """Refuse a structure with an element that a property network has not learned.

    Raises:
        StructureError: if an atom is of another element.
    """
    others = sorted(set(symbols) - {element})
    if others:
        raise StructureError(
            f"{what}: cannot predict its spectrum, because the network was trained on structures of"
            f" {element} alone and this one has {', '.join(others)} as well; train a network on"
            " labelled structures of these elements"
        )


def check_energies(
    expected: Sequence[float] | None, got: Sequence[float] | None, what: str
) -> None:
    """Refuse spectra whose channels are at other energies than a network's or other spectra's.

    Raises:
        StructureError: if the energies differ, or if only one of the two states energies.
    """
    if expected is None and got is None:
        return
    same = (
        expected is not None
        and got is not None
        and len(expected) == len(got)
        and np.allclose(expected, got, rtol=0, atol=1e-6)
    )
    if not same:
        raise StructureError(
            f"{what}: has spectra at other energies: expected {_range(expected)}, got"
            f" {_range(got)}; resample them to the same energies"
        )


def _range(energies: Sequence[float] | None) -> str:
    if energies is None:
        return "channels without energies"
    return f"{len(energies)} energies from {energies[0]:g} to {energies[-1]:g} eV"
