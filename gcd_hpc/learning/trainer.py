"""The training loop of all networks."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gcd_hpc.config.learning import AtomicConfig, EnergyModelConfig
from gcd_hpc.errors import TrainingError
from gcd_hpc.networks.ema import EMA
from gcd_hpc.networks.precision import exact_convolutions, one_thread

Module = TypeVar("Module", bound=nn.Module)
Losses = Callable[[int], Sequence[Callable[[], Tensor]]]
"""Step index -> functions that compute the scalar losses of the parts of its batch."""


class Trainer:
    """Optimiser steps with gradient clipping and an exponential moving average of the weights.

    Each step checks loss and gradients before it changes a weight, so that one NaN cannot spread to
    all weights.

    Args:
        losses: loss functions of the parts of a step's batch, whose gradients are averaged in
            order.
        before_step: called with the step index, to set the learning rate.
        ema_decay: decay of the average; 0 keeps the current weights.
        max_gradient_norm: longer gradients, of all parameters together, are scaled to this norm.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: Losses,
        before_step: Callable[[int], None] = lambda step: None,
        ema_decay: float = 0.0,
        max_gradient_norm: float = math.inf,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.average = EMA(network, ema_decay)
        self.step = 0
        self._device = next(network.parameters()).device
        self._losses = losses
        self._before_step = before_step
        self._max_gradient_norm = max_gradient_norm

    def steps(self, num_steps: int) -> Iterator[float]:
        """Advance until ``num_steps`` steps are done in total; yields the loss of each step.

        Raises:
            TrainingError: if a loss or a gradient is not finite; the weights are not changed by
                that step.
        """
        while self.step < num_steps:
            yield self.advance()

    def advance(self) -> float:
        """Take one optimiser step and return its loss."""
        self._before_step(self.step)
        parts = self._losses(self.step)
        # Accumulate the gradients of the parts, in order.
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        with exact_convolutions(self._device):
            for part in parts:
                share = part() / len(parts)
                share.backward()
                losses.append(share.detach())
        # Clip, and stop before a value that is not finite reaches the weights.
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._max_gradient_norm)
        # The only wait for a GPU, when all the work of the step is under way.
        *shares, length = torch.stack([*losses, norm]).tolist()
        loss = float(sum(shares))
        if not (math.isfinite(loss) and math.isfinite(length)):
            raise TrainingError(
                f"step {self.step + 1} of the training gave a loss of {loss:g} and a gradient of"
                f" norm {length:g}, which must be finite; lower the learning rate, or compute"
                " in float32"
            )
        self.optimizer.step()
        self.average.update(self.network)
        self.step += 1
        return loss

    def averaged(self, *inputs: Tensor) -> Any:
        """Output of the network with the averaged weights."""
        return torch.func.functional_call(self.network, self.average.weights, inputs)

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])


def seeded(build: Callable[[], Module], seed: int) -> Module:
    """Build a network with initial weights from ``seed``, without changing torch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def cosine_rate(
    step: int, num_steps: int, highest: float, lowest: float, num_warmup: int = 50
) -> float:
    """Learning rate: linear warm-up, then half a cosine from the highest to the lowest."""
    warm = min(1.0, (step + 1) / num_warmup)
    return float(
        warm * (lowest + 0.5 * (highest - lowest) * (1 + np.cos(np.pi * step / num_steps)))
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def trained_along_cosine(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Losses,
    config: AtomicConfig | EnergyModelConfig,
    report: Callable[[int, int], None],
) -> dict[str, Tensor]:
    """Averaged weights after all steps of a training whose rate falls to a hundredth of its peak.

    It is done with one thread, so that the bits are the same on any machine of one kind.

    Args:
        report: called with the number of steps done and their total.
    """

    def before_step(step: int) -> None:
        highest = config.learning_rate
        set_rate(optimizer, cosine_rate(step, config.num_steps, highest, 0.01 * highest))

    trainer = Trainer(network, optimizer, losses, before_step, config.ema_decay, 1.0)
    with one_thread():
        for step, _ in enumerate(trainer.steps(config.num_steps), start=1):
            report(step, config.num_steps)
    return trainer.average.weights
