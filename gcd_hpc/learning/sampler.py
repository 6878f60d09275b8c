"""Sampling from a trained model: ``Sampler.load("runs/w_sigma5").sample(range(4))``.

Candidate i of a round has its own random stream and always shares its batch with the same
neighbours, so every call gives the same bits.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.config.guidance import asked_n_index, asks_for_n, image_term
from gcd_hpc.diffusion.guidance import Likelihood, guided_denoiser
from gcd_hpc.diffusion.inpainting import inpaint, inpainting_denoiser
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.diffusion.repaint import repaint
from gcd_hpc.learning.assembly import Canvas, known_mask
from gcd_hpc.learning.atom_count import Count
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system, placed_image
from gcd_hpc.learning.candidates import (
    known_columns,
    new_candidate,
    objection,
    with_structure,
)
from gcd_hpc.learning.conditions import Conditions
from gcd_hpc.learning.context import shown
from gcd_hpc.learning.decoding import Decoder, load_decoder
from gcd_hpc.learning.energy_network import EnergyModel
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.learning.model_file import ModelCard, check_elements, load_model, newest_round
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.learning.samples import RESTART_LOG_SNR, Draft, Sample, best, parents
from gcd_hpc.learning.sources import low_energy_weights
from gcd_hpc.learning.terms import Generated, likelihoods
from gcd_hpc.networks.checkpoint import load_weights
from gcd_hpc.networks.precision import computing
from gcd_hpc.networks.unet import UNet
from gcd_hpc.seeds import SAMPLING, generator
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import fraction_distance, lowest_energies, lowest_nearby
from gcd_hpc.structures.sites import Sites

BEST_OF = 2
"""Key of the random streams of the further samples of a candidate; 1 is that of RePaint's noise."""


@dataclass(frozen=True)
class Model:
    """A trained network and its card."""

    network: UNet
    card: ModelCard

    @classmethod
    def load(
        cls, path: Path, system: BoundarySystem, device: torch.device, version: int | None = None
    ) -> "Model":
        """Load a model from its file.

        Args:
            version: of the model in its run, if the file may be a copy of another run's; by default
                that of its card.

        Raises:
            CheckpointError: if the file is missing or damaged, not finite, or of another network or
                other elements.
        """
        weights, card = load_model(path)
        check_elements(path, card, system.channels)
        network = boundary_network(system.config.network, system.channels)
        load_weights(network, weights, path)
        if version is not None:
            card = replace(card, version=version)
        return cls(network.to(device).eval(), card)


@dataclass(frozen=True)
class Sampler:
    """A model, the round to sample, and the structures that were known before it.

    The round is the key of the random streams; the weights may be those of an earlier model.
    """

    system: BoundarySystem
    model: Model
    round: int
    known: Columns
    """n_index, n_fraction, gb_energy_j_m2 and registry_relaxed of the structures known before; see
    ``known_columns``.
    """
    decoder: Decoder
    device: torch.device
    energy: EnergyModel | None = None
    """Energy model of the campaign, if it has one."""
    image: PlacedImage | None = None
    """Image that the candidates are to have."""

    @classmethod
    def load(
        cls,
        run: str | Path,
        round: int | None = None,
        device: str | torch.device | None = None,
        version: int | None = None,
    ) -> "Sampler":
        """Sampler of a round of a run, by default with the model in use in that round.

        Args:
            run: run directory.
            round: by default the newest one with a model in use.
            device: by default a GPU if there is one.
            version: of the model.

        Raises:
            GcdError: if there is no such model, or if its file is damaged.
        """
        files = RunDirectory(run)
        if round is None:
            round = newest_round(files)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(device)
        system = load_boundary_system(str(run))
        known = known_columns(
            files, round, ["n_index", "n_fraction", "gb_energy_j_m2", "registry_relaxed"]
        )
        if version is None:
            version = model_in_use(files, round)
        model = Model.load(files.model_file(version), system, device, version)
        decoder = load_decoder(Path(run), system, device)
        energy = None
        if system.config.energy_model is not None:
            energy = EnergyModel.of(files, system)
            energy.network.to(device)
        image = placed_image(system, files)
        return cls(system, model, round, known, decoder, device, energy, image)

    def sample(self, indices: Iterable[int]) -> list[Candidate]:
        """Candidates of these indices, decoded and checked but not relaxed.

        Their status is "sampled", or "invalid" with the reason. Whole batches are always computed,
        because the last bits depend on the size of a batch.
        """
        wanted = list(indices)
        made: dict[int, Candidate] = {}
        for batch in dict.fromkeys(self.batch_of(index) for index in wanted):
            made |= {row.index: row for row in self._make(batch)}
        return [made[index] for index in wanted]

    def batch_of(self, index: int) -> range:
        """Indices of the batch that contains this one; batches divide the campaign's chunks."""
        sampling = self.system.config.sampling
        chunk = index // sampling.chunk_size * sampling.chunk_size
        start = index - (index - chunk) % sampling.batch_size
        return range(start, min(start + sampling.batch_size, chunk + sampling.chunk_size))

    @cached_property
    def lowest(self) -> dict[int, float]:
        """Lowest boundary energy of each [n] that was known before the round, J/m^2."""
        return lowest_energies(self.known["n_index"], self.known["gb_energy_j_m2"])

    @cached_property
    def conditions(self) -> Conditions:
        """Scale of the conditions for this boundary, from the lowest energies of ``known``."""
        num_plane = self.system.bicrystal.atoms_per_plane
        lowest = {n_index / num_plane: energy for n_index, energy in self.lowest.items()}
        return self.model.card.units.conditions(lowest)

    def target(self, index: int, attempt: int = 0) -> tuple[float, float]:
        """Target (E_gb in J/m^2, [n]) of a candidate: all [n] in turn, below their lowest E_gb.

        The energy is NaN where none is known. Guidance may ask for one [n] only, and an image for
        those that it fits, by the samples of a candidate in turn.
        """
        num_plane = self.system.bicrystal.atoms_per_plane
        in_turn = index % num_plane if self.image is None else self.image.n_index(index + attempt)
        n_index = asked_n_index(self.system.config.guidance, in_turn, num_plane)
        margin = self.system.config.sampling.energy_margin_j_m2
        return lowest_nearby(self.lowest, n_index, num_plane) - margin, n_index / num_plane

    def draft(self, index: int, attempt: int = 0) -> Draft:
        """Draw registry, sub-voxel shift and noise of candidate ``index``.

        Args:
            attempt: number of the sample, each with its own random streams.
        """
        config, frame = self.system.config, self.system.frame
        rng = generator(config.seed, *self._stream(index, attempt))
        grid, channels = self.system.grid, self.system.channels
        energy, fraction = self.target(index, attempt)
        registry = self.draw_registry(fraction, rng)
        shift = grid.positions_of(rng.random(3))
        canvas = Canvas(frame, grid, channels, self.system.num_known, registry, shift)
        noise = rng.standard_normal((len(channels), *grid.shape), dtype=np.float32)
        n_index = round(fraction * self.system.bicrystal.atoms_per_plane)
        if not config.diffusion.conditional:
            energy = float("nan")
            if not asks_for_n(config.guidance):
                fraction = float("nan")
        return Draft(index, canvas, noise, energy, fraction, n_index, attempt)

    def _stream(self, index: int, attempt: int) -> tuple[int, ...]:
        """Key of the random streams of one sample of a candidate."""
        own = (SAMPLING, self.round, index)
        return (*own, BEST_OF, attempt) if attempt else own

    def draw_registry(self, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Random registry (3,) Å: uniform, or near that of a known structure of the nearest [n].

        With an image it is the one that the image shows, uniform along the line of sight.
        """
        if self.image is not None:
            return self.image.draw_registry(rng)
        frame, sampling = self.system.frame, self.system.config.sampling
        uniform = frame.random_registry(rng)
        choice = rng.random()
        jitter = rng.standard_normal(3)
        if choice >= sampling.bootstrap_share or not len(self.known["n_fraction"]):
            return uniform
        # Known structures of the nearest [n], the ones of low energy more often.
        apart = np.array(
            [fraction_distance(float(other), fraction) for other in self.known["n_fraction"]]
        )
        matching = np.flatnonzero(np.isclose(apart, apart.min(), atol=1e-6))
        preference = self.system.config.selection.preference_j_m2
        weights = low_energy_weights(self.known["gb_energy_j_m2"][matching], preference)
        chosen = self.known["registry_relaxed"][rng.choice(matching, p=weights)]
        return frame.reduced(chosen + sampling.registry_jitter * jitter)

    def generate(self, drafts: list[Draft]) -> torch.Tensor:
        """Voxel arrays (B, C, X, Y, Z) of a batch, in atoms; the known layers are exact."""
        config, device = self.system.config, self.device
        schedule, sampling = Schedule(config.diffusion.schedule), config.sampling
        perfect = torch.stack([item.canvas.perfect() for item in drafts])
        noise = torch.from_numpy(np.stack([item.noise for item in drafts])).to(device)
        mask = known_mask(self.system.grid.shape, self.system.num_known)
        starts = [item.start for item in drafts if item.start is not None]
        if starts:
            perfect = torch.where(mask, perfect, torch.from_numpy(np.stack(starts)))
        known = perfect.to(device) / self.model.card.units.scale  # (B, C, X, Y, Z)
        mask = mask.to(device)
        # RePaint's network is shown no known voxels; the sampler imposes them at each step.
        is_palette = config.diffusion.inpainting == "palette"
        denoise = inpainting_denoiser(
            shown(self.model.network, self.system.seen_layers),
            schedule,
            config.diffusion.prediction,
            known,
            mask if is_palette else torch.zeros_like(mask),
            self._condition(drafts),
            sampling.guidance,
        )
        denoise = guided_denoiser(denoise, schedule, self._likelihoods(drafts, known, mask), mask)
        options = (noise, known, mask, schedule, sampling.num_steps, sampling.solver)
        with torch.no_grad(), computing(config.training.precision, device):
            if is_palette:
                arrays = inpaint(denoise, *options, RESTART_LOG_SNR if starts else None)
            else:
                draw = self._noise_source(drafts)
                arrays = repaint(denoise, *options, sampling.resamples, draw)
        return arrays.float().cpu() * self.model.card.units.scale

    def candidate(self, draft: Draft, sites: Sites, seconds: float = 0.0) -> Candidate:
        """Row of one decoded structure: "sampled", or "invalid" with the reason.

        Args:
            seconds: time spent on making it.
        """
        row = new_candidate(self.system, "model", draft.index, self.round, self.model.card.version)
        row = with_structure(
            self.system, row, sites.positions, draft.canvas.registry, seconds, sites.numbers
        )
        reason = objection(self.system, row.num_atoms, row.closest_pair_a)
        return replace(
            row,
            status="invalid" if reason else "sampled",
            reason=reason,
            target_energy_j_m2=draft.energy_j_m2,
            target_n_fraction=draft.fraction,
            model_sha256=self.model.card.sha256,
        )

    def _make(self, batch: range) -> list[Candidate]:
        """Candidates of one whole batch, each the best of its samples."""
        image = image_term(self.system.config.guidance)
        num, num_restarts = (1, 0) if image is None else (image.best_of, image.restarts)
        generations = [
            self._sampled([self.draft(index, attempt) for index in batch]) for attempt in range(num)
        ]
        for restart in range(1, num_restarts + 1):
            chosen = [parents(samples, num) for samples in zip(*generations, strict=True)]
            for number in range(num):
                drafts = [
                    one[number].draft.again(
                        one[number].array, self.draft(index, restart * num + number)
                    )
                    for one, index in zip(chosen, batch, strict=True)
                ]
                generations.append(self._sampled(drafts))
        return [best(samples) for samples in zip(*generations, strict=True)]

    def _sampled(self, drafts: list[Draft]) -> list[Sample]:
        """One sample of each candidate of a batch."""
        started = time.perf_counter()
        arrays = self.generate(drafts)
        decoded = [
            item.canvas.assemble(self.decoder(array, self.system.grid))
            for item, array in zip(drafts, arrays, strict=True)
        ]
        seconds = (time.perf_counter() - started) / len(drafts)
        return [
            Sample.of(item, array.numpy(), self.candidate(item, sites, seconds), self.image)
            for item, array, sites in zip(drafts, arrays, decoded, strict=True)
        ]

    def _likelihoods(
        self, drafts: list[Draft], known: torch.Tensor, mask: torch.Tensor
    ) -> list[Likelihood]:
        """What the batch is guided to."""
        if not self.system.config.guidance:
            return []

        def decode(array: torch.Tensor) -> Sites:
            return self.decoder(array.cpu(), grid)

        def counting(canvas: Canvas) -> Count:
            return lambda array: len(canvas.assemble(decode(array)).positions)

        grid, num_plane = self.system.grid, self.system.bicrystal.atoms_per_plane
        return likelihoods(
            Generated(
                self.system,
                known,
                mask,
                self.model.card.units.scale,
                [item.n_index for item in drafts],
                decode,
                [counting(item.canvas) for item in drafts],
                [item.canvas.shift for item in drafts],
                [lowest_nearby(self.lowest, item.n_index, num_plane) for item in drafts],
                self.energy,
                self.image,
            )
        )

    def _condition(self, drafts: list[Draft]) -> torch.Tensor | None:
        """Conditions (B, 3) of a batch, or None for an unconditional model."""
        if not self.system.config.diffusion.conditional:
            return None
        wanted = [self.conditions(item.energy_j_m2, item.fraction) for item in drafts]
        return torch.from_numpy(np.stack(wanted)).to(self.device)

    def _noise_source(self, drafts: list[Draft]) -> Callable[[], torch.Tensor]:
        """Source of RePaint's noise (B, C, X, Y, Z), from a second stream of each candidate."""
        config = self.system.config
        streams = [
            generator(config.seed, *self._stream(item.index, item.attempt), 1) for item in drafts
        ]
        shape = (len(self.system.channels), *self.system.grid.shape)

        def draw() -> torch.Tensor:
            fresh = [rng.standard_normal(shape, dtype=np.float32) for rng in streams]
            return torch.from_numpy(np.stack(fresh)).to(self.device)

        return draw
