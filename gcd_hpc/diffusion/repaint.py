"""RePaint: in-painting with a network that was trained on whole arrays.

After each step the known voxels are replaced by clean ones with noise of that level. The step did
not see this noise, so known and unknown voxels do not fit; adding the step's noise again and
repeating the step makes them fit better (Lugmayr et al., 2022). Steps uniform in lambda are wide,
so one step back has the effect of ten in the original.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from gcd_hpc.config.learning import Solver
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.diffusion.solvers import Denoiser, alpha_sigma, solve_along, uniform_log_snrs


def repaint(
    denoise: Denoiser,
    noise: Tensor,
    known: Tensor,
    mask: Tensor,
    schedule: Schedule,
    num_steps: int,
    solver: Solver,
    num_resamples: int,
    draw: Callable[[], Tensor],
) -> Tensor:
    """Sample (B, ...) with the given known voxels.

    Args:
        denoise: of a network that was trained on whole arrays; called num_resamples times as often
            as by ``solve``.
        noise: (B, ...) unit normal, the start.
        known: (B, ...); values outside the mask are not used.
        mask: broadcastable to noise, bool, True where known.
        num_resamples: times that each step is taken, with a step back in between; 1 never goes
            back.
        draw: source of fresh unit normal noise like ``noise``.

    Source: Lugmayr et al. (2022), algorithm 1 with jumps of one step; the solver's step replaces
    the ancestral one.
    """
    with torch.no_grad():
        x = noise
        for start, stop in pairwise(uniform_log_snrs(schedule, num_steps)):
            for repeat in range(num_resamples):
                if repeat > 0:
                    x = back(x, stop, start, draw())
                x = solve_along(denoise, x, schedule, [start, stop], solver)
                x = torch.where(mask, noised(known, stop, draw()), x)
    return torch.where(mask, known, x)


def noised(clean: Tensor, log_snr: float, noise: Tensor) -> Tensor:
    """x_t = alpha x_0 + sigma epsilon at this lambda."""
    alpha, sigma = alpha_sigma(log_snr)
    return alpha * clean + sigma * noise


def back(x: Tensor, log_snr: float, lower: float, noise: Tensor) -> Tensor:
    """Forward process q(x_t | x_s), t > s: x at a lower lambda, with more noise."""
    alpha, sigma = alpha_sigma(log_snr)
    alpha_lower, sigma_lower = alpha_sigma(lower)
    ratio = alpha_lower / alpha
    added: float = (sigma_lower**2 - ratio**2 * sigma**2) ** 0.5
    return ratio * x + added * noise
