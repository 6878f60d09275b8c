"""The energy model, which estimates the relaxed boundary energy of a structure beforehand.

It has two parts. One looks at the atoms of a structure and ranks what is to be relaxed; the other
looks at noisy voxels and guides their generation.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from gcd_hpc.config.explain import first_fault
from gcd_hpc.config.learning import EnergyModelConfig
from gcd_hpc.config.section import Measure
from gcd_hpc.errors import CheckpointError
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.atom_energies import AtomEnergies, atomic_network
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.networks.atomic import AtomicNetwork
from gcd_hpc.networks.checkpoint import load, loaded, save
from gcd_hpc.networks.energy import EnergyNetwork
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.voxels.encoder import encode_elements

CLEAN_LOG_SNR = 5.0
"""lambda of an array without noise, the largest of the cosine schedule."""
LEVELS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.5, CLEAN_LOG_SNR)
"""lambda of the noise levels at which the spread is measured, ascending."""
KIND = "energy"
"""What the file of an energy model says that it is."""
CURE = "train one with gcd-hpc model energy"


@dataclass(frozen=True)
class EnergyCard:
    """What an energy model is, and what it has learned from."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    config: EnergyModelConfig
    """Section of its training."""
    elements: Annotated[tuple[str, ...], Field(min_length=1)]
    """Elements of the voxel channels, in their order."""
    scale: Measure
    """Divisor of the voxel values."""
    potential_sha256: str
    """Hash of the potential that relaxed the rows."""
    runs: tuple[str, ...]
    num_rows: int
    seed: int
    spread: Annotated[
        tuple[Measure, ...], Field(min_length=len(LEVELS), max_length=len(LEVELS))
    ] = (1.0,) * len(LEVELS)
    """Measured spread of rows held out over the network's own, at LEVELS."""
    rank_correlation: float | None = None
    """Spearman's correlation within one [n] of structures before relaxation, of [n] held out; None
    where no [n] has rows enough."""
    sha256: str = ""
    """SHA-256 of the file's content."""


_CARD = TypeAdapter(EnergyCard)


@dataclass(frozen=True)
class EnergyModel:
    """Both networks with their units: J/m^2, and arrays in units of the card's scale."""

    network: EnergyNetwork
    """The part that looks at noisy voxels."""
    card: EnergyCard
    atoms: AtomEnergies
    """The part that looks at atoms."""

    def __call__(
        self, arrays: Tensor, log_snr: Tensor, known: Tensor, num_known: int
    ) -> tuple[Tensor, Tensor]:
        """Energies and their spreads, (B,) J/m^2 each, of noisy arrays.

        Args:
            arrays: (B, C, X, Y, Z) = alpha x_0 + sigma epsilon; x_0 where known.
            log_snr: (B,) lambda = log(alpha / sigma).
            known: (X, Y, Z) or (B, 1, X, Y, Z) bool, True where a voxel is known.
            num_known: voxel layers at each end whose contributions do not count.
        """
        x, counted = network_input(arrays, known, num_known, self.card.config)
        mean, log_variance, _ = self.network(x, log_snr, counted)
        factors = np.interp(log_snr.detach().cpu().numpy(), LEVELS, self.card.spread)
        return mean, (0.5 * log_variance).exp() * torch.as_tensor(factors).to(mean)

    def estimate(self, system: BoundarySystem, row: Candidate) -> float:
        """Energy of a candidate after relaxation from its atoms before; see ``AtomEnergies``."""
        return self.atoms.estimate(system, row)

    def save(self, path: Path, entries: Mapping[str, str] | None = None) -> None:
        """Write the model's file.

        Args:
            entries: texts beside the card that do not enter the model's hash.

        Raises:
            RunDirectoryError: if it cannot be written.
        """
        metadata = asdict(self.card) | {"config": self.card.config.model_dump(mode="json")}
        del metadata["sha256"]  # follows from the content
        weights = both_parts(self.network, self.atoms.network).state_dict()
        save(path, weights, {"kind": KIND, **metadata}, entries)

    @classmethod
    def load(cls, path: Path) -> "EnergyModel":
        """Read the file of an energy model.

        Raises:
            CheckpointError: if it is missing, damaged or no energy model.
        """
        weights, metadata = load(path)
        if metadata.pop("kind", None) != KIND:
            raise CheckpointError(f"{path}: is not the file of an energy model; {CURE}")
        try:
            card = _CARD.validate_python(metadata)
        except ValidationError as error:
            reason = first_fault(error)
            raise CheckpointError(f"{path}: its card cannot be read ({reason}); {CURE}") from error

        def make() -> nn.ModuleDict:
            num = len(card.elements)
            return both_parts(
                energy_network(card.config, num), atomic_network(card.config.atoms, num)
            )

        both = loaded(make, weights, path).eval().requires_grad_(False)
        network, atoms = both["voxels"], both["atoms"]
        assert isinstance(network, EnergyNetwork)
        assert isinstance(atoms, AtomicNetwork)
        return cls(network, card, AtomEnergies(atoms))

    @classmethod
    def of(cls, run: RunDirectory, system: BoundarySystem) -> "EnergyModel":
        """The energy model of a run.

        Raises:
            CheckpointError: if it is missing, damaged, or of another potential or other elements.
        """
        model = cls.load(run.energy_model)
        model.check(run.energy_model, system)
        return model

    def check(self, path: Path, system: BoundarySystem) -> None:
        """Refuse the model for a boundary of other elements or of another potential.

        Raises:
            CheckpointError: naming the file.
        """
        card = self.card
        if card.elements != system.channels.symbols:
            raise CheckpointError(
                f"{path}: cannot be used for {', '.join(system.channels.symbols)}, because it is an"
                f" energy model of {', '.join(card.elements)}; {CURE} on runs of these elements"
            )
        if card.potential_sha256 != system.potential.sha256:
            raise CheckpointError(
                f"{path}: cannot be used, because it has learned the energies of another potential;"
                f" {CURE} on runs with this one"
            )


def both_parts(voxels: EnergyNetwork, atoms: AtomicNetwork) -> nn.ModuleDict:
    """Both networks as one module, whose weights are those of a file."""
    return nn.ModuleDict({"voxels": voxels, "atoms": atoms})


def energy_network(config: EnergyModelConfig, num_channels: int) -> EnergyNetwork:
    """Network with random weights for arrays of this number of elements and the mask."""
    return EnergyNetwork(config.network, num_channels + 1)


def network_input(
    arrays: Tensor, known: Tensor, num_known: int, config: EnergyModelConfig
) -> tuple[Tensor, Tensor]:
    """What the network is shown of arrays, and which of its voxels count.

    Args:
        arrays, known, num_known: as for ``EnergyModel``.

    Returns:
        (B, C + 1, X, Y, Z') and (X, Y, Z') bool. The last channel is 1 where known.
    """
    flags = known.to(arrays.dtype).expand_as(arrays[:, :1])
    counted = ~known_mask((*arrays.shape[2:],), num_known).to(arrays.device)
    x = shown_layers(torch.cat([arrays, flags], dim=1), num_known, config)
    return x, shown_layers(counted, num_known, config)


def shown_layers(x: Tensor, num_known: int, config: EnergyModelConfig) -> Tensor:
    """Layers (..., Z') of an array (..., Z) that the network is shown.

    Empty layers follow where the levels of the network could not divide their number.
    """
    context = config.network.context
    hidden = 0 if context is None else max(0, num_known - context)
    x = x[..., hidden : x.shape[-1] - hidden]
    return functional.pad(x, (0, -x.shape[-1] % config.network.voxel_multiple))


def row_array(system: BoundarySystem, row: Candidate, positions: Any) -> Tensor:
    """Voxels (C, X, Y, Z) in atoms of a row's atoms at positions (N, 3) Å."""
    numbers = system.numbers_of(positions, system.own_numbers(row.numbers))
    return encode_elements(positions, numbers, system.channels, system.grid)
