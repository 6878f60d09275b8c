"""Solvers of the probability-flow ODE for any denoiser, uniform in lambda = log(alpha / sigma)."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from gcd_hpc.config.learning import Solver
from gcd_hpc.diffusion.process import Schedule, to_epsilon

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Denoiser: (x_t (B, ...), t scalar float64) -> estimate of x_0 (B, ...)."""


def solve(
    denoise: Denoiser, noise: Tensor, schedule: Schedule, num_steps: int, solver: Solver
) -> Tensor:
    """Sample at t_min, solved from unit noise at t_max.

    Args:
        denoise: called EVALUATIONS_PER_STEP[solver] * num_steps times.
        noise: (B, ...) unit normal.

    Returns:
        (B, ...) like noise.
    """
    with torch.no_grad():
        return solve_along(denoise, noise, schedule, uniform_log_snrs(schedule, num_steps), solver)


def uniform_log_snrs(schedule: Schedule, num_steps: int) -> list[float]:
    """lambda at the ends of the steps: num_steps + 1 values from t_max to t_min."""
    ends = schedule.log_snr(
        torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)
    ).tolist()
    return [ends[0] + (ends[1] - ends[0]) * i / num_steps for i in range(num_steps + 1)]


def remaining_log_snrs(schedule: Schedule, num_steps: int, start: float) -> list[float]:
    """lambda at the ends of the steps that remain from ``start`` to t_min, equidistant.

    They are as many as of ``num_steps`` steps from t_max lie in this range, rounded up, at least
    one. A start outside the schedule is moved to its nearer end.
    """
    first, *_, last = uniform_log_snrs(schedule, num_steps)
    start = min(max(start, first), last)
    num_left = max(1, math.ceil(num_steps * (last - start) / (last - first) - 1e-9))
    return [start + (last - start) * i / num_left for i in range(num_left + 1)]


def solve_along(
    denoise: Denoiser, x: Tensor, schedule: Schedule, log_snrs: list[float], solver: Solver
) -> Tensor:
    """Solve from the first of these equidistant lambda to the last, (B, ...) like x.

    A single step of dpm-solver++2m is of first order, like DDIM.
    """
    solution = _singlestep3 if solver == "dpm-solver-3" else _multistep2
    return solution(denoise, x, schedule, log_snrs)


def _singlestep3(denoise: Denoiser, x: Tensor, schedule: Schedule, log_snrs: list[float]) -> Tensor:
    """DPM-Solver-3 (Lu et al., 2022, algorithm 2): third order, r1 = 1/3, r2 = 2/3."""
    r1, r2 = 1.0 / 3.0, 2.0 / 3.0
    for start, stop in pairwise(log_snrs):
        h = stop - start
        alpha, _ = alpha_sigma(start)
        alpha1, sigma1 = alpha_sigma(start + r1 * h)
        alpha2, sigma2 = alpha_sigma(start + r2 * h)
        alpha3, sigma3 = alpha_sigma(stop)

        # First stage: exponential Euler step to a third.
        epsilon = _epsilon(denoise, x, schedule, start)
        x1 = alpha1 / alpha * x - sigma1 * math.expm1(r1 * h) * epsilon
        # Second stage: to two thirds, with the first difference of epsilon.
        slope = _epsilon(denoise, x1, schedule, start + r1 * h) - epsilon
        curve = math.expm1(r2 * h) / (r2 * h) - 1.0
        x2 = (
            alpha2 / alpha * x
            - sigma2 * math.expm1(r2 * h) * epsilon
            - sigma2 * r2 / r1 * curve * slope
        )
        # Full step, with the difference over two thirds.
        slope = _epsilon(denoise, x2, schedule, start + r2 * h) - epsilon
        curve = math.expm1(h) / h - 1.0
        x = alpha3 / alpha * x - sigma3 * math.expm1(h) * epsilon - sigma3 / r2 * curve * slope
    return x


def _multistep2(denoise: Denoiser, x: Tensor, schedule: Schedule, log_snrs: list[float]) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., 2022, algorithm 2): second order, one evaluation a step."""
    before: Tensor | None = None
    for start, stop in pairwise(log_snrs):
        clean = denoise(x, _time(schedule, start))
        # Extrapolation to the middle of the step; the steps are equal in lambda.
        middle = clean if before is None else 1.5 * clean - 0.5 * before
        _, sigma = alpha_sigma(start)
        alpha_next, sigma_next = alpha_sigma(stop)
        x = sigma_next / sigma * x - alpha_next * math.expm1(start - stop) * middle
        before = clean
    return x


def _epsilon(denoise: Denoiser, x: Tensor, schedule: Schedule, log_snr: float) -> Tensor:
    t = _time(schedule, log_snr)
    return to_epsilon(schedule, denoise(x, t), x, t)


def _time(schedule: Schedule, log_snr: float) -> Tensor:
    return schedule.time(torch.tensor(log_snr, dtype=torch.float64))


def alpha_sigma(log_snr: float) -> tuple[float, float]:
    """alpha and sigma of any variance-preserving process at this lambda."""
    return 1.0 / math.sqrt(1.0 + math.exp(-2.0 * log_snr)), 1.0 / math.sqrt(
        1.0 + math.exp(2.0 * log_snr)
    )
