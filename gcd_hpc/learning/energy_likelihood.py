"""Likelihood of a low boundary energy, by which generation is guided: log Phi((E_0 - e) / s)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gcd_hpc.learning.energy_network import LEVELS, EnergyModel


@dataclass(frozen=True)
class EnergyLikelihood:
    """Probability that the relaxed energy lies below a limit, by an energy model on noisy voxels.

    It is the normal distribution of the model's estimate e and measured spread s, summed up to the
    limit E_0: log Phi((E_0 - e) / s). Far below the limit it is flat, so that generation is not
    pulled to energies that no training data have. At noise levels above those that the model has
    learned, it is constant.
    """

    model: EnergyModel
    limit_j_m2: Tensor
    """E_0 of each item, (B,)."""
    known: Tensor
    """Clean voxels (B, C, X, Y, Z) in units of ``scale``; only the known ones are used."""
    mask: Tensor
    """(X, Y, Z) bool, True where known."""
    num_known: int
    """Voxel layers at each end whose contributions do not count."""
    scale: float
    """Divisor of the voxel values of the arrays that are guided."""
    strength: float = 1.0

    @property
    def estimator(self) -> Literal["noisy"]:
        """The model takes x_t itself."""
        return "noisy"

    def log_probability(self, x: Tensor, noise: float) -> Tensor:
        """log Phi((E_0 - e) / s) of x_t, (B, C, X, Y, Z) -> (B,).

        Args:
            noise: sigma / alpha of x_t.
        """
        # The model has a scale of its own, in which the same noise is larger or smaller.
        ratio = self.scale / self.model.card.scale
        log_snr = -math.log(noise * ratio)
        if log_snr < LEVELS[0]:
            return x.new_zeros(len(x))
        own_alpha = 1.0 / math.sqrt(1.0 + (noise * ratio) ** 2)
        noisy = x * (own_alpha * ratio * math.sqrt(1.0 + noise**2))
        arrays = torch.where(self.mask, self.known * ratio, noisy)
        level = x.new_full((len(x),), min(log_snr, LEVELS[-1]))
        energy, spread = self.model(arrays, level, self.mask, self.num_known)
        log_p: Tensor = torch.special.log_ndtr((self.limit_j_m2.to(energy) - energy) / spread)
        return log_p
