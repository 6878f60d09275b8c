"""The model as a move: in-painting of a part of one known structure.

A window is generated anew in its known surroundings, or the whole boundary is, either from pure
noise or from the structure itself, partly noised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from gcd_hpc.diffusion.guidance import guided_denoiser
from gcd_hpc.diffusion.inpainting import inpaint, inpainting_denoiser
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.errors import ConfigError
from gcd_hpc.learning.assembly import repaired, slab_window, window_mask
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.conditions import Conditions
from gcd_hpc.learning.context import num_computed, shown
from gcd_hpc.learning.decoding import Decoder
from gcd_hpc.learning.energy_network import EnergyModel
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.learning.sampler import Model, Sampler
from gcd_hpc.learning.terms import Generated, likelihoods
from gcd_hpc.networks.precision import computing, one_thread
from gcd_hpc.search.windows import Window
from gcd_hpc.structures.sites import Sites
from gcd_hpc.voxels.encoder import encode_elements


@dataclass(frozen=True)
class Painted:
    """A structure with an in-painted part."""

    sites: Sites
    """The atoms that were kept, in their order, then the decoded ones."""
    net_voxels: int
    """Cost: network evaluations times the voxels of each."""


@dataclass(frozen=True)
class Painter:
    """In-paints one structure at a time, so that its bits do not depend on any other.

    Its system may have a larger in-plane cell than the structures that the model has learned from,
    because the network is made of periodic convolutions.
    """

    system: BoundarySystem
    model: Model
    conditions: Conditions
    decoder: Decoder
    device: torch.device
    energy: EnergyModel | None = None
    """Energy model of the campaign, if it has one."""
    image: PlacedImage | None = None
    """Image that the structures are to have."""

    @classmethod
    def of(cls, sampler: Sampler) -> "Painter":
        """Painter with the model of a sampler.

        Raises:
            ConfigError: if the model was trained without known voxels as an input.
        """
        config = sampler.system.config
        if config.diffusion.inpainting != "palette":
            raise ConfigError(
                config.name,
                "diffusion.inpainting",
                "must be palette for in-painting of known structures, got"
                f" {config.diffusion.inpainting}",
            )
        return cls(
            sampler.system,
            sampler.model,
            sampler.conditions,
            sampler.decoder,
            sampler.device,
            sampler.energy,
            sampler.image,
        )

    def knowing(self, lowest_j_m2: Mapping[float, float]) -> "Painter":
        """The same painter with conditions in units of the energies that are known now.

        Args:
            lowest_j_m2: lowest energy that is known of each [n].
        """
        return replace(self, conditions=self.model.card.units.conditions(lowest_j_m2))

    def replicated(self, x: int, y: int) -> "Painter":
        """Painter of structures in an in-plane cell that is x times y as large."""
        return replace(self, system=self.system.replicated(x, y))

    def paint(
        self,
        sites: Sites,
        window: Window | None,
        start_log_snr: float | None,
        target: tuple[float, int],
        rng: np.random.Generator,
    ) -> Painted:
        """Generate a part of a structure anew. The rest comes back bit for bit.

        Args:
            sites: atoms in the frame of the system. The outer layers, which are always kept,
                determine the registry.
            window: part that is generated; None is all between the known layers.
            start_log_snr: lambda to which the structure's own voxels are noised to start from. The
                higher it is, the more is kept; None starts from pure noise.
            target: boundary energy in J/m^2 and n_index of the whole new structure.

        Raises:
            StructureError: if the structure does not fit between the ends of the grid.
        """
        grid, channels = self.system.grid, self.system.channels
        shift = grid.positions_of(rng.random(3))
        shape = (len(channels), *grid.shape)
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        slab = slab_window(grid, self.system.num_known, shift)
        windows = [slab] if window is None else [slab, window]
        mask = window_mask(windows, grid, shift)
        if mask.all():
            return Painted(sites, 0)
        voxels = encode_elements(sites.positions + shift, sites.numbers, channels, grid)

        def decode(array: torch.Tensor) -> Sites:
            return self.decoder(array.cpu(), grid)

        def structure(array: torch.Tensor) -> Sites:
            decoded = decode(array).moved(-shift)
            return repaired(sites, decoded, windows, grid, self.system.frame)

        batch = Generated(
            self.system,
            voxels[None].to(self.device) / self.model.card.units.scale,
            mask.to(self.device),
            self.model.card.units.scale,
            [target[1]],
            decode,
            [lambda array: len(structure(array).positions)],
            [shift],
            [target[0] + self.system.config.sampling.energy_margin_j_m2],
            self.energy,
            self.image,
        )
        with one_thread():
            array, net_voxels = self._generate(batch, noise, start_log_snr, target)
            return Painted(structure(array), net_voxels)

    def _generate(
        self,
        batch: Generated,
        noise: torch.Tensor,
        start_log_snr: float | None,
        target: tuple[float, int],
    ) -> tuple[torch.Tensor, int]:
        """Generated array (C, X, Y, Z) in atoms, and its cost in evaluations times voxels."""
        config, device = self.system.config, self.device
        schedule, sampling = Schedule(config.diffusion.schedule), config.sampling
        known, mask = batch.known, batch.mask
        num_voxels = 0

        def network(x: torch.Tensor, *others: torch.Tensor | None) -> torch.Tensor:
            nonlocal num_voxels
            num_voxels += len(x) * num_computed(x.shape[2:], config)
            predicted: torch.Tensor = self.model.network(x, *others)
            return predicted

        denoise = inpainting_denoiser(
            shown(network, self.system.seen_layers),
            schedule,
            config.diffusion.prediction,
            known,
            mask,
            self._condition(target),
            sampling.guidance,
        )
        denoise = guided_denoiser(denoise, schedule, likelihoods(batch), mask)
        with torch.no_grad(), computing(config.training.precision, device):
            array = inpaint(
                denoise,
                noise[None].to(device),
                known,
                mask,
                schedule,
                sampling.num_steps,
                sampling.solver,
                start_log_snr,
            )
        return array[0].float().cpu() * batch.scale, num_voxels

    def _condition(self, target: tuple[float, int]) -> torch.Tensor | None:
        """Condition (1, 3), or None for an unconditional model."""
        if not self.system.config.diffusion.conditional:
            return None
        energy, n_index = target
        fraction = n_index / self.system.bicrystal.atoms_per_plane
        wanted = self.conditions(energy, fraction)
        return torch.from_numpy(wanted)[None].to(self.device)
