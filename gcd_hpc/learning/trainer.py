"""The one training loop, for networks of any kind."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gcd_hpc.errors import TrainingError
from gcd_hpc.networks.ema import EMA

Module = TypeVar("Module", bound=nn.Module)
Losses = Callable[[int], Sequence[Callable[[], Tensor]]]
"""Number of a step -> functions that compute the losses, scalars, of the parts of its batch."""


class Trainer:
    """Optimiser steps on clipped gradients, with a running average of the weights.

    Each step checks that its loss and gradients are finite before it changes a weight, so that one
    NaN cannot become a network of NaN.

    Args:
        losses: the parts of the batch of a step; their gradients are averaged in the order given.
        before_step: called with the number of a step, to set the learning rate.
        ema_decay: decay of the running average of the weights; with 0 it is the weights.
        max_gradient_norm: gradients of all parameters together that are longer are scaled to this.
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
        self._losses = losses
        self._before_step = before_step
        self._max_gradient_norm = max_gradient_norm

    def steps(self, num_steps: int) -> Iterator[float]:
        """Advance until ``num_steps`` steps are done in all; yields the loss of each step.

        Raises:
            TrainingError: if a loss or a gradient is not finite; the weights are those before it.
        """
        while self.step < num_steps:
            yield self.advance()

    def advance(self) -> float:
        """One optimiser step; returns its loss."""
        self._before_step(self.step)
        parts = self._losses(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for part in parts:
            share = part() / len(parts)
            share.backward()
            losses.append(float(share.detach()))
        loss = sum(losses)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._max_gradient_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.step + 1} of the training gave a loss of {loss:g} and a gradient of"
                f" norm {float(norm):g}, expected finite numbers; lower the learning rate, or"
                " compute in float32"
            )
        self.optimizer.step()
        self.average.update(self.network)
        self.step += 1
        return loss

    def averaged(self, *inputs: Tensor) -> Any:
        """The network's answer with the averaged weights."""
        return torch.func.functional_call(self.network, self.average.weights, inputs)

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint has to hold."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])


def seeded(build: Callable[[], Module], seed: int) -> Module:
    """Build a network whose initial weights follow from ``seed``; torch's own generator stays as it
    was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def cosine_rate(
    step: int, num_steps: int, highest: float, lowest: float, num_warmup: int = 50
) -> float:
    """Learning rate: linear warm-up, then half a cosine down to the lowest."""
    warm = min(1.0, (step + 1) / num_warmup)
    return float(
        warm * (lowest + 0.5 * (highest - lowest) * (1 + np.cos(np.pi * step / num_steps)))
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
