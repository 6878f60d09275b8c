"""The number of atoms as a target, for which no network is needed: N is the sum of the voxels.

The value is that of the decoder, and the gradient that of the sum. Through the denoiser's Jacobian,
which is the posterior covariance of the voxels, it acts where the model is uncertain: one atom is
added or left out, instead of a little mass at all of them. See docs/method.md#guidance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

VARIANCE_PER_PLANE_ATOM = 0.4
"""Variance of N at a given registry, divided by the atoms of a plane. W Sigma5, P = 10: at high
noise a model's estimates of N miss those of structures by 1.5 to 2.1. N of a larger cell is a sum
over its parts, so that its variance grows with P.
"""
USED_BELOW = 7.5
"""Noise sigma / alpha below which the term is used. Above it the derivatives of a network say
nothing: the variance of N that follows from them is negative.
"""
DECODED_BELOW = 1.0
"""Noise below which the estimate of x_0 is decoded. Above it, it is too blurred, and N is the sum
of its voxels.
"""

Count = Callable[[Tensor], int]
"""From a voxel array (C, X, Y, Z) in atoms to the number of atoms that it is decoded into."""


@dataclass(frozen=True)
class AtomCount:
    """Likelihood of the fraction [n], log sum_k exp(-(N - N_k)^2 / 2 s^2) with N_k = n + k P.

    s^2 is the posterior variance of N at the noise of x_t.

    Args:
        wanted: (B,) n_index that each item is asked for.
        period: P, atoms of a plane.
        counts: decodes the estimate of x_0 of each item.
        known: (B,) atoms of the known voxels.
        mask: bool, True where known, broadcastable to (B, C, X, Y, Z).
        scale: divisor of the voxel values.
        strength: as for ``Likelihood``.
    """

    wanted: Tensor
    period: int
    counts: Sequence[Count]
    known: Tensor
    mask: Tensor
    scale: float
    strength: float = 1.0
    estimator: ClassVar[Literal["clean"]] = "clean"

    def log_probability(self, x: Tensor, noise: float) -> Tensor:
        """log p([n] | x_0) up to a constant, (B, C, X, Y, Z) -> (B,); see ``Likelihood``."""
        if noise > USED_BELOW:
            return x.new_zeros(len(x))
        unknown = ~self.mask.expand_as(x)
        number = self.known + self.scale * (x * unknown).flatten(1).sum(1)  # (B,)
        if noise < DECODED_BELOW:
            # The mass of an atom in doubt is less than one: take the value from the decoder.
            arrays = x.detach() * self.scale
            decoded = [count(one) for count, one in zip(self.counts, arrays, strict=True)]
            number = number - number.detach() + number.new_tensor(decoded)
        # Numbers of atoms that have the fraction: the nearest and two beyond on either side.
        nearest = torch.round((number.detach() - self.wanted) / self.period)
        steps = torch.arange(-2, 3, device=x.device, dtype=x.dtype)
        allowed = self.wanted[:, None] + self.period * (nearest[:, None] + steps)  # (B, 5)
        num_voxels = unknown.flatten(1).sum(1)
        variance = count_variance(noise, self.period, self.scale**2 * num_voxels)
        return torch.logsumexp(-((number[:, None] - allowed) ** 2) / (2 * variance[:, None]), 1)


def count_variance(noise: float, period: int, unit: Tensor) -> Tensor:
    """Posterior variance of N at x_t: that of a normal N, of which the sum of x_t is a measurement.

    With m = noise^2 unit, the variance of the sum over x_t / alpha, it is V m / (V + m).

    Args:
        noise: sigma / alpha.
        period: P, from which the variance V without x_t follows.
        unit: variance of that sum for noise 1: unknown voxels times the square of the scale.
    """
    prior, measured = VARIANCE_PER_PLANE_ATOM * period, noise**2 * unit
    return prior * measured / (prior + measured)
