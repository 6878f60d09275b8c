"""The variance-exploding process x_t = x_0 + sigma_t epsilon: its loss and its samplers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from gcd_hpc.diffusion.process import per_item, whole_batch

SamplerKind = Literal["ode", "sde", "restart"]
Score = Callable[[Tensor, Tensor], Tensor]
"""Score function: (x_t (B, ...), t (B,)) -> grad log p_t(x_t), (B, ...)."""
Draw = Callable[[], Tensor]
"""Source of unit normal noise of the samples' shape, fresh at each call."""

GRID_POWER = 7.0
"""Steps are equal in sigma^(1/7), and so short at low noise.

Source: Karras et al. (2022), eq. 5.
"""


FOCUS = (0.1, 0.8)
"""Noise levels, Å, that half of the focused training times are drawn from."""


@dataclass(frozen=True)
class Exploding:
    """Noise schedule sigma_t = k t for t in [t_min, 1]."""

    max_sigma: float
    """k, in the unit of the positions."""
    t_min: float = 0.01
    """End of sampling: 1 % of the noise is left."""

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at t, in the unit of the positions."""
        return self.max_sigma * t

    def draw_times(self, uniform: Tensor) -> Tensor:
        """Training times from uniform numbers in [0, 1)."""
        return self.t_min + (1.0 - self.t_min) * uniform

    def draw_focused_times(self, uniform: Tensor) -> Tensor:
        """Training times for carbon from uniform numbers in [0, 1).

        One half is log-uniform over all times. The other half is log-uniform over ``FOCUS``, where
        the network removes most of the noise, and so learns most.
        """
        low, high = (self.time_of(sigma) for sigma in FOCUS)
        is_wide = uniform < 0.5
        position = (2.0 * uniform) % 1.0
        wide = self.t_min ** (1.0 - position)
        return torch.where(is_wide, wide, low * (high / low) ** position)

    def time_of(self, sigma: float) -> float:
        """Time t at which the noise has this standard deviation, at most 1."""
        return min(1.0, sigma / self.max_sigma)


@dataclass(frozen=True)
class Restart:
    """Restart sampling (Xu et al., 2023): from ``low``, noise is added up to ``high``."""

    low: float = 0.1
    high: float = 0.8
    num: int = 4


@dataclass(frozen=True)
class Steps:
    """One of the samplers of ``denoise`` with a number of steps."""

    kind: SamplerKind
    num: int


@dataclass(frozen=True)
class Anneal:
    """Ancestral descent to a low noise level, restarts from it, and a last denoising step.

    The restarts let atoms with a bond too many or too few find other places; at less noise than
    ``high`` they stay where they are.
    """

    num_restarts: int = 6
    """0 is a quick preview."""
    low: float = 0.1
    """Noise level that restarts begin and end at, in the unit of the positions."""
    high: float = 0.45
    """Noise level that restarts reach."""
    num_descent_steps: int = 60
    num_restart_steps: int = 30
    num_final_steps: int = 10

    @property
    def num_evaluations(self) -> int:
        """Number of score evaluations of a sample."""
        restarts = self.num_restarts * self.num_restart_steps
        return self.num_descent_steps + restarts + self.num_final_steps + 1


def score_matching_loss(
    score: Score, process: Exploding, clean: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Mean of (s sigma_t + epsilon)^2, a scalar; 1 for a score of zero.

    Args:
        clean, noise: (B, ...).
        t: (B,).

    Source: Lei et al. (2024), eq. 9.
    """
    sigma = per_item(process.sigma(t), clean)
    return (score(clean + sigma * noise, t) * sigma + noise).square().mean()


def denoise(
    score: Score,
    start: Tensor,
    process: Exploding,
    sampler: SamplerKind,
    num_steps: int,
    draw: Draw,
    t_start: float = 1.0,
) -> Tensor:
    """Sample at t_min, denoised from x_t at t_start.

    Args:
        start: (B, ...).
        sampler: "ode" is Heun's method on the probability flow, second order; "sde" is ancestral
            sampling of the reverse diffusion; "restart" is the ODE with noise added again from
            ``Restart.low`` to ``Restart.high``.
        num_steps: from t_start to t_min; "restart" repeats its share of them.
        draw: noise source of "sde" and "restart".

    Returns:
        (B, ...) like start.
    """
    t_start = max(t_start, process.t_min)
    with torch.no_grad():
        if sampler == "ode":
            return _follow_flow(score, start, process, t_start, process.t_min, num_steps)
        if sampler == "sde":
            return _ancestral(score, start, process, t_start, process.t_min, num_steps, draw)
        return _restarts(score, start, process, t_start, num_steps, draw)


def anneal(
    score: Score,
    start: Tensor,
    process: Exploding,
    plan: Anneal,
    draw: Draw,
    t_start: float = 1.0,
) -> Tensor:
    """Sample of x_0, denoised from x_t at t_start; all evaluations go through ``score``.

    The last step is the posterior mean at t_min, x + sigma^2 s (Tweedie's formula).

    Args:
        start: (B, ...).
        t_start: noise levels of the plan above that of t_start are lowered to it.

    Returns:
        (B, ...) like start.
    """
    t_start = max(t_start, process.t_min)
    high = min(process.time_of(plan.high), t_start)
    low = max(process.t_min, min(process.time_of(plan.low), high))
    again = process.max_sigma * math.sqrt(high**2 - low**2)
    with torch.no_grad():
        x = _ancestral(score, start, process, t_start, low, plan.num_descent_steps, draw)
        for _ in range(plan.num_restarts):
            x = x + again * draw()
            x = _ancestral(score, x, process, high, low, plan.num_restart_steps, draw)
        x = _ancestral(score, x, process, low, process.t_min, plan.num_final_steps, draw)
        variance = (process.max_sigma * process.t_min) ** 2
        return x + variance * score(x, whole_batch(process.t_min, x))


def num_evaluations(
    process: Exploding, sampler: SamplerKind, num_steps: int, t_start: float = 1.0
) -> int:
    """Number of score evaluations of ``denoise``."""
    num = 0

    def zero(x: Tensor, t: Tensor) -> Tensor:
        nonlocal num
        num += 1
        return torch.zeros_like(x)

    denoise(zero, torch.zeros(1), process, sampler, num_steps, lambda: torch.zeros(1), t_start)
    return num


def _follow_flow(
    score: Score, x: Tensor, process: Exploding, t_start: float, t_end: float, num_steps: int
) -> Tensor:
    """Heun's method for the flow dx / dsigma = -sigma s (Karras et al., 2022, algorithm 1)."""
    for t, t_next in pairwise(_times(t_start, t_end, num_steps)):
        sigma, sigma_next = process.max_sigma * t, process.max_sigma * t_next
        slope = -sigma * score(x, whole_batch(t, x))
        slope_next = -sigma_next * score(x + (sigma_next - sigma) * slope, whole_batch(t_next, x))
        x = x + (sigma_next - sigma) * 0.5 * (slope + slope_next)
    return x


def _ancestral(
    score: Score,
    x: Tensor,
    process: Exploding,
    t_start: float,
    t_end: float,
    num_steps: int,
    draw: Draw,
) -> Tensor:
    """Ancestral sampling of the reverse diffusion: Song et al. (2021), eq. 47."""
    for t, t_next in pairwise(_times(t_start, t_end, num_steps)):
        variance, variance_next = (process.max_sigma * t) ** 2, (process.max_sigma * t_next) ** 2
        fall = variance - variance_next
        x = (
            x
            + fall * score(x, whole_batch(t, x))
            + math.sqrt(variance_next * fall / variance) * draw()
        )
    return x


def _restarts(
    score: Score, x: Tensor, process: Exploding, t_start: float, num_steps: int, draw: Draw
) -> Tensor:
    """Restart sampling: algorithm 1 of Xu et al. (2023), one interval."""
    restart = Restart()
    high, low = min(restart.high, t_start), min(restart.low, t_start)
    # Down to low, then num times up to high and down again, and last from low to the end.
    x = _follow_flow(
        score, x, process, t_start, low, _share(num_steps, t_start, low, t_start, process.t_min)
    )
    again = process.max_sigma * math.sqrt(high**2 - low**2)
    for _ in range(restart.num):
        x = _follow_flow(
            score,
            x + again * draw(),
            process,
            high,
            low,
            _share(num_steps, high, low, t_start, process.t_min),
        )
    return _follow_flow(
        score,
        x,
        process,
        low,
        process.t_min,
        _share(num_steps, low, process.t_min, t_start, process.t_min),
    )


def _share(num_steps: int, t: float, t_next: float, t_start: float, t_end: float) -> int:
    """Steps from t to t_next, at least 1, if t_start to t_end takes num_steps."""
    a, b, c, d = (time ** (1.0 / GRID_POWER) for time in (t, t_next, t_start, t_end))
    return max(1, round(num_steps * (a - b) / (c - d))) if c > d else 1


def _times(t_start: float, t_end: float, num_steps: int) -> list[float]:
    first, last = t_start ** (1.0 / GRID_POWER), t_end ** (1.0 / GRID_POWER)
    return [(first + (last - first) * i / num_steps) ** GRID_POWER for i in range(num_steps + 1)]
