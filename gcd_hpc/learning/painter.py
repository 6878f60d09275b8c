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
from gcd_hpc.learning.atom_count import Count
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.conditions import Conditions
from gcd_hpc.learning.context import num_computed, shown
from gcd_hpc.learning.decoding import Decoder
from gcd_hpc.learning.energy_network import EnergyModel
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
        )

    def knowing(self, lowest_j_m2: Mapping[float, float]) -> "Painter":
        """Painter that asks in units of what is known by now of the boundary.

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

        def structure(array: torch.Tensor) -> Sites:
            decoded = self.decoder(array, grid).moved(-shift)
            return repaired(sites, decoded, windows, grid, self.system.frame)

        def count(array: torch.Tensor) -> int:
            return len(structure(array.cpu()).positions)

        with one_thread():
            array, net_voxels = self._generate(voxels, noise, mask, start_log_snr, target, count)
            return Painted(structure(array), net_voxels)

    def _generate(
        self,
        voxels: torch.Tensor,
        noise: torch.Tensor,
        mask: torch.Tensor,
        start_log_snr: float | None,
        target: tuple[float, int],
        count: Count,
    ) -> tuple[torch.Tensor, int]:
        """Generated array (C, X, Y, Z) in atoms, and its cost in evaluations times voxels."""
        config, device = self.system.config, self.device
        schedule, sampling = Schedule(config.diffusion.schedule), config.sampling
        known = voxels[None].to(device) / self.model.card.units.scale
        mask = mask.to(device)
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
        scale = self.model.card.units.scale
        lowest = target[0] + sampling.energy_margin_j_m2
        batch = Generated(
            self.system, known, mask, scale, [target[1]], [count], [lowest], self.energy
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
        return array[0].float().cpu() * scale, num_voxels

    def _condition(self, target: tuple[float, int]) -> torch.Tensor | None:
        """Condition (1, 3), or None for an unconditional model."""
        if not self.system.config.diffusion.conditional:
            return None
        energy, n_index = target
        fraction = n_index / self.system.bicrystal.atoms_per_plane
        wanted = self.conditions(energy, fraction)
        return torch.from_numpy(wanted)[None].to(self.device)
