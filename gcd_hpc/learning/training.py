"""Training of a boundary model: batches, loss, validation and checkpoint state."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.diffusion.inpainting import inpainting_loss
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.errors import LaunchError
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.batches import VALIDATE, Batch, TrainingBatches, hold_out
from gcd_hpc.learning.conditions import ConditionScale, Units, relative_std
from gcd_hpc.learning.context import seen_layers, shown
from gcd_hpc.learning.model_file import LearnedBoundary, ModelCard
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.learning.prefetch import Parts, drawn
from gcd_hpc.learning.sources import TrainingSource, shared_elements, voxel_scale
from gcd_hpc.learning.trainer import Trainer, cosine_rate, seeded, set_rate
from gcd_hpc.networks.checkpoint import load_weights
from gcd_hpc.networks.precision import computing
from gcd_hpc.seeds import TRAINING, generator
from gcd_hpc.structures.character import described

NUM_VALIDATION_BATCHES = 16
MIN_FINAL_BATCHES = 4
"""Batches that give the hold-out loss of a boundary in the card of a model of several."""
NUM_SHARED = 4
"""Least number of samples in a batch that validates one boundary of several: with hundreds of
boundaries and a large batch size, validation would take as long as the training.
"""
MAX_DRAWING = 16
"""Largest number of processes that draw batches for one GPU.

On an H200, 16 of them drew 26 batches of 32 small samples a second, which kept it waiting.
"""
MIN_COMPILED_STEPS = 4000
"""Fewest steps for which a network is compiled on its own account.

On an H200, compilation took 58 s, and a step with CUDA graphs 12 instead of 40 ms at batch 4: that
pays after 2,000 steps. Steps without CUDA graphs, as here, gain less; from twice as many steps on
it pays if they gain half.
"""


@dataclass(frozen=True)
class Process:
    """The single process of a training; subclasses share the work between torchrun's processes.

    Args:
        num_parts: parts of each global batch, a multiple of the number of processes. The gradients
            of the parts are summed, so the same number of parts gives the same sums on fewer
            processes: bit for bit on one instead of two, else up to the order of the sum.
    """

    device: torch.device
    rank: int = 0
    world: int = 1
    num_parts: int = 1

    def parts(self, batch_size: int) -> list[range]:
        """Parts of a global batch that this process computes, as ranges of samples.

        Raises:
            LaunchError: if the batch size is not a multiple of the number of parts.
        """
        if batch_size % self.num_parts:
            raise LaunchError(
                "training.batch_size must be a multiple of the number of processes, got"
                f" {batch_size} and {self.num_parts}"
            )
        size = batch_size // self.num_parts
        share = self.num_parts // self.world
        first = self.rank * share
        return [range(part * size, (part + 1) * size) for part in range(first, first + share)]

    def agree(self, value: float, flag: bool = False) -> tuple[float, bool]:
        """Mean of a number over all processes, and whether any of them has the flag."""
        return value, flag

    def shared(self, value: Any) -> Any:
        """Value of the first process, in all processes."""
        return value

    def wait_for_all(self) -> None:
        """Barrier over all processes."""


@dataclass(frozen=True)
class Objective:
    """Loss of a boundary model: error of its prediction over the unknown voxels."""

    config: CampaignConfig
    device: torch.device

    def mask(self, batch: Batch) -> Tensor:
        """Known voxels, which the loss excludes: none for "repaint".

        (X, Y, Z), or (B, 1, X, Y, Z) where the items have masks of their own.
        """
        _, _, x, y, z = batch.clean.shape
        if self.config.diffusion.inpainting == "repaint":
            return torch.zeros((x, y, z), dtype=torch.bool, device=self.device)
        mask = batch.mask
        if mask is None:
            mask = known_mask((x, y, z), batch.num_known)
        return mask.to(self.device)

    def __call__(self, network: Callable[..., Tensor], batch: Batch) -> Tensor:
        layers = seen_layers(batch.clean.shape[-1], batch.num_known, self.config)
        with computing(self.config.training.precision, self.device):
            return inpainting_loss(
                shown(network, layers),
                Schedule(self.config.diffusion.schedule),
                self.config.diffusion.prediction,
                batch.clean.to(self.device),
                self.mask(batch),
                batch.time.to(self.device),
                batch.noise.to(self.device),
                batch.condition.to(self.device),
                batch.has_condition.to(self.device),
            )

    @torch.no_grad()
    def validate(
        self,
        network: Callable[..., Tensor],
        batches: TrainingBatches,
        process: Process,
        least: int = 1,
    ) -> list[float]:
        """Mean loss on each boundary, over batches that are the same at every call.

        NUM_VALIDATION_BATCHES batches are shared by all boundaries.

        Args:
            least: least number of batches of each boundary.
        """
        num = max(least, NUM_VALIDATION_BATCHES // len(batches.sources))
        return [
            self._loss_on(network, batches, process, source, num)
            for source in range(len(batches.sources))
        ]

    def _loss_on(
        self,
        network: Callable[..., Tensor],
        batches: TrainingBatches,
        process: Process,
        source: int,
        num: int,
    ) -> float:
        size = self.config.training.batch_size
        if len(batches.sources) > 1:
            size = min(size, -(-NUM_SHARED // process.num_parts) * process.num_parts)
        means = []
        for slots in process.parts(size):
            parts = (batches.batch(VALIDATE, index, slots, size, source) for index in range(num))
            means.append(float(torch.stack([self(network, part) for part in parts]).mean()))
        return process.agree(sum(means) / len(means))[0]


def is_compiled_for(device: torch.device, num_steps: int, given: bool | Literal["auto"]) -> bool:
    """Whether the network is compiled for a training of ``num_steps`` steps, earlier ones included.

    A resumed training thus computes as the one that was stopped did.
    """
    if given == "auto":
        return device.type == "cuda" and num_steps >= MIN_COMPILED_STEPS
    return given


def training_batches(
    sources: Sequence[TrainingSource], units: Units, version: int
) -> tuple[TrainingBatches, TrainingBatches]:
    """Training batches and hold-out batches.

    Args:
        sources: the relaxed structures of each boundary.
        units: those of the model that training starts from, or measured on the structures.
    """
    conditions = [units.conditions(source.lowest) for source in sources]
    share = sources[0].system.config.training.validation_share
    learned, held_out = [], []
    for source in sources:
        held, rest = hold_out(source.structures, share)
        learned.append(replace(source, structures=rest or held))
        held_out.append(replace(source, structures=held or rest))
    fit = TrainingBatches(learned, conditions, units.scale, version)
    return fit, replace(fit, sources=held_out)


def measured_units(sources: Sequence[TrainingSource]) -> Units:
    """Units of a model that learns from these structures, with equal weights of all boundaries."""
    given = sources[0].system.config.voxels.scale
    if given == "auto":
        scales = [voxel_scale(source) for source in sources]
        scale = scales[0] if len(scales) == 1 else float(np.sqrt(np.mean(np.square(scales))))
    else:
        scale = given
    if len(sources) > 1:
        energies = [[source.energies[members] for members, _ in source.by_n] for source in sources]
        return Units(scale, None, relative_std(energies))
    return Units(scale, ConditionScale.fit(sources[0].energies.tolist()))


class BoundaryTraining:
    """Training of one boundary model on one or more processes.

    Every sample of a step has its own random stream, so the model depends on the number of
    processes only through the rounding of sums.

    Args:
        weights: of an earlier model to start from.
    """

    def __init__(
        self,
        fit: TrainingBatches,
        validation: TrainingBatches,
        process: Process,
        num_steps: int,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        self.process = process
        self.num_steps = num_steps
        self.checkpoint_every = fit.config.training.checkpoint_every
        self.validation_loss = float("nan")
        self._fit = fit
        self._validation = validation
        self._config = fit.config
        self._objective = Objective(self._config, process.device)
        training = self._config.training
        seed = int(generator(self._config.seed, TRAINING, 0).integers(2**62))
        channels = fit.sources[0].system.channels
        network = seeded(lambda: boundary_network(self._config.network, channels), seed)
        if weights is not None:
            load_weights(network, weights, "the model that training starts from")
        network = network.to(process.device)
        optimizer = torch.optim.AdamW(
            network.parameters(), training.learning_rate, weight_decay=training.weight_decay
        )
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=4, min_lr=training.min_learning_rate
        )
        self._batches = self._parts_ahead()
        self.trainer = Trainer(
            network, optimizer, self._losses, self._before_step, training.ema_decay, 1.0
        )
        wrapped = DistributedDataParallel(network) if process.world > 1 else network
        # Each new shape would be compiled anew.
        is_one_shape = len(fit.sources) == 1 or training.compile != "auto"
        is_compiled = is_one_shape and is_compiled_for(process.device, num_steps, training.compile)
        self._model = torch.compile(wrapped) if is_compiled else wrapped

    def validate(self) -> None:
        """Measure the hold-out loss of the averaged weights, the mean over all boundaries."""
        self.validation_loss = float(np.mean(self.losses_by_boundary()))
        if self._config.training.learning_rate_schedule == "plateau":
            self._plateau.step(self.validation_loss)

    def final_losses(self) -> list[float]:
        """Hold-out loss on each boundary at the end, more accurate than during the training."""
        if len(self._validation.sources) == 1:
            return [self.validation_loss]
        return self.losses_by_boundary(MIN_FINAL_BATCHES)

    def losses_on(
        self, sources: Sequence[TrainingSource], units: Units, version: int
    ) -> list[float]:
        """Loss of the averaged weights on all structures of other boundaries."""
        if not sources:
            return []
        conditions = [units.conditions(source.lowest) for source in sources]
        batches = TrainingBatches(sources, conditions, units.scale, version)
        return self._objective.validate(
            self.trainer.averaged, batches, self.process, MIN_FINAL_BATCHES
        )

    def losses_by_boundary(self, least: int = 1) -> list[float]:
        """Hold-out loss of the averaged weights on each boundary.

        Args:
            least: least number of batches of each boundary.
        """
        return self._objective.validate(
            self.trainer.averaged, self._validation, self.process, least
        )

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return self.trainer.state() | {
            "validation_loss": self.validation_loss,
            "plateau": self._plateau.state_dict(),
            "num_parts": self.process.num_parts,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.trainer.restore(state)
        self.validation_loss = state["validation_loss"]
        self._plateau.load_state_dict(state["plateau"])
        self._batches = self._parts_ahead()

    def _before_step(self, step: int) -> None:
        training = self._config.training
        if training.learning_rate_schedule == "cosine":
            rate = cosine_rate(
                step, self.num_steps, training.learning_rate, training.min_learning_rate
            )
            set_rate(self.trainer.optimizer, rate)

    def _parts_ahead(self) -> Iterator[Batch]:
        """Parts of the batches of this process, from the first step after the first call on."""
        size = self._config.training.batch_size
        steps = range(self.trainer.step, self.num_steps)
        order = [(step, slots) for step in steps for slots in self.process.parts(size)]
        # On a CPU the training itself keeps its cores busy.
        is_on_gpu = self.process.device.type == "cuda"
        num_processes = min(MAX_DRAWING, torch.get_num_threads() - 1) if is_on_gpu else 0
        yield from drawn(Parts(self._fit, size), order, num_processes)

    def _losses(self, step: int) -> list[Callable[[], Tensor]]:
        def loss() -> Tensor:
            return self._objective(self._model, next(self._batches))

        return [loss] * len(self.process.parts(self._config.training.batch_size))


def model_card(
    state: BoundaryTraining,
    sources: Sequence[TrainingSource],
    units: Units,
    version: int,
    before: ModelCard | None = None,
    held_out: Sequence[TrainingSource] = (),
) -> ModelCard:
    """Card of a trained model; all processes call it together.

    Args:
        sources: what it has learned from, with the structures that were held out.
        before: card of the model that training started from.
        held_out: boundaries of which nothing was learned.
    """
    config = sources[0].system.config
    losses, others = state.final_losses(), state.losses_on(held_out, units, version)
    boundaries = [
        LearnedBoundary(
            source.name,
            described(source.system.config.boundary, source.system.bicrystal),
            source.system.bicrystal.elements,
            source.system.config.boundary.lattice,
            len(source.structures),
            source.system.potential.sha256,
            loss,
            is_held_out,
        )
        for part, of_part, is_held_out in ((sources, losses, False), (held_out, others, True))
        for source, loss in zip(part, of_part, strict=True)
    ]
    return ModelCard(
        version,
        units,
        float(np.mean(losses)),
        state.process.num_parts,
        config.network.model_dump(),
        shared_elements(sources),
        tuple(boundaries),
        config.seed,
        state.num_steps,
        "" if before is None else before.sha256,
        config.diffusion.model_dump(),
    )
