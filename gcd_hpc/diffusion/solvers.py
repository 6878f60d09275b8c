"""Solvers of the probability-flow equation, uniform in lambda = log(alpha / sigma).

They take any denoiser.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from gcd_hpc.diffusion.process import Schedule, to_epsilon

Solver = Literal["dpm-solver-3", "dpm-solver++2m"]
Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, ...), t scalar float64) -> estimate of x_0 (B, ...)."""

EVALUATIONS_PER_STEP: dict[Solver, int] = {"dpm-solver-3": 3, "dpm-solver++2m": 1}


def solve(
    denoise: Denoiser, noise: Tensor, schedule: Schedule, num_steps: int, solver: Solver
) -> Tensor:
    """From unit noise at t_max to a sample at t_min.

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


def solve_along(
    denoise: Denoiser, x: Tensor, schedule: Schedule, log_snrs: list[float], solver: Solver
) -> Tensor:
    """From the first of these equidistant lambda to the last.

    One step of dpm-solver++2m alone is of first order, as in DDIM.
    """
    solution = _singlestep3 if solver == "dpm-solver-3" else _multistep2
    return solution(denoise, x, schedule, log_snrs)


def _singlestep3(denoise: Denoiser, x: Tensor, schedule: Schedule, log_snrs: list[float]) -> Tensor:
    """Third order, noise prediction, r1 = 1/3 and r2 = 2/3: algorithm 2 of Lu et al. (2022),
    DPM-Solver.
    """
    r1, r2 = 1.0 / 3.0, 2.0 / 3.0
    for start, stop in pairwise(log_snrs):
        h = stop - start
        alpha, _ = alpha_sigma(start)
        alpha1, sigma1 = alpha_sigma(start + r1 * h)
        alpha2, sigma2 = alpha_sigma(start + r2 * h)
        alpha3, sigma3 = alpha_sigma(stop)

        epsilon = _epsilon(denoise, x, schedule, start)
        x1 = alpha1 / alpha * x - sigma1 * math.expm1(r1 * h) * epsilon
        slope = _epsilon(denoise, x1, schedule, start + r1 * h) - epsilon
        curve = math.expm1(r2 * h) / (r2 * h) - 1.0
        x2 = (
            alpha2 / alpha * x
            - sigma2 * math.expm1(r2 * h) * epsilon
            - sigma2 * r2 / r1 * curve * slope
        )
        slope = _epsilon(denoise, x2, schedule, start + r2 * h) - epsilon
        curve = math.expm1(h) / h - 1.0
        x = alpha3 / alpha * x - sigma3 * math.expm1(h) * epsilon - sigma3 / r2 * curve * slope
    return x


def _multistep2(denoise: Denoiser, x: Tensor, schedule: Schedule, log_snrs: list[float]) -> Tensor:
    """Second order, data prediction, one evaluation a step: algorithm 2 of Lu et al. (2022),
    DPM-Solver++.
    """
    before: Tensor | None = None
    for start, stop in pairwise(log_snrs):
        clean = denoise(x, _time(schedule, start))
        # Steps are equal in lambda, so the extrapolation to the middle of the step has the weights
        # 3/2 and -1/2.
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
    """Of any variance-preserving process: alpha^2 and sigma^2 are the logistic functions of +-2
    lambda.
    """
    return 1.0 / math.sqrt(1.0 + math.exp(-2.0 * log_snr)), 1.0 / math.sqrt(
        1.0 + math.exp(2.0 * log_snr)
    )
