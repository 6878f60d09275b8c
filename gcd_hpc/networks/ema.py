"""Exponential moving average of a network's weights. Sampling uses the averaged weights."""

from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """average <- d average + (1 - d) weights; d = min(decay, (1 + n) / (10 + n)) after n updates.

    The smaller d of the first updates discards the random initial weights, which matters in short
    runs.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.weights: dict[str, Tensor] = {
            name: tensor.detach().clone() for name, tensor in module.state_dict().items()
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Update the average with the module's weights.

        Their names must be those of the initial module, not of its DDP wrapper.
        """
        decay = min(self.decay, (1.0 + self.num_updates) / (10.0 + self.num_updates))
        self.num_updates += 1
        for name, tensor in module.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(tensor, 1.0 - decay)
            else:
                average.copy_(tensor)

    def state_dict(self) -> dict[str, Any]:
        """State for ``checkpoint.save_state``."""
        return {"num_updates": self.num_updates, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        assert state["weights"].keys() == self.weights.keys(), "the average of another network"
        self.num_updates = state["num_updates"]
        for name, tensor in state["weights"].items():
            self.weights[name].copy_(tensor)
