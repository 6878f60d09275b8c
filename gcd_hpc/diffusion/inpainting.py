"""In-painting after Palette: the known region is a clean input, the loss covers the rest.

The network sees the noisy array with the known voxels inserted, the known voxels alone, and the
mask. An array has one channel an element; the mask is one for all of them, because what is known of
a place is known of all elements.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gcd_hpc.config.learning import Solver
from gcd_hpc.diffusion.process import (
    Prediction,
    Schedule,
    add_noise,
    to_clean,
    training_target,
    whole_batch,
)
from gcd_hpc.diffusion.solvers import Denoiser, alpha_sigma, remaining_log_snrs, solve, solve_along

Network = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""Network: (x (B, 2 C + 1, X, Y, Z), log_snr (B,), condition, has_condition) -> (B, C, X, Y, Z).

condition is (B, K) or None, has_condition (B,) bool or None.
"""


def num_inputs(num_channels: int) -> int:
    """Channels that the network sees of arrays with C channels: noisy and known ones, the mask."""
    return 2 * num_channels + 1


def inpainting_loss(
    network: Network,
    schedule: Schedule,
    prediction: Prediction,
    clean: Tensor,
    mask: Tensor,
    t: Tensor,
    noise: Tensor,
    condition: Tensor | None = None,
    has_condition: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the network's prediction over the unknown voxels, a scalar.

    All channels count alike.

    Args:
        clean, noise: (B, C, X, Y, Z).
        mask: bool, True where known: (X, Y, Z) for the whole batch, or (B, 1, X, Y, Z) with a mask
            for each item. The loss of a batch with masks of its items is the mean of their losses.
        t: (B,) training times.
        condition, has_condition: (B, K) and (B,) bool, as for the network.
    """
    noisy = add_noise(schedule, clean, noise, t)
    target = training_target(schedule, prediction, clean, noise, t)
    predicted = network(
        _channels(noisy, clean, mask), schedule.log_snr(t), condition, has_condition
    )
    error = (predicted.float() - target).masked_fill(mask, 0.0).square()
    num_items, num_channels = clean.shape[:2]
    if mask.ndim == clean.ndim:
        return (error.flatten(1).sum(1) / (num_channels * (~mask).flatten(1).sum(1))).mean()
    return error.sum() / (num_items * num_channels * (~mask).sum())


def inpainting_denoiser(
    network: Network,
    schedule: Schedule,
    prediction: Prediction,
    known: Tensor,
    mask: Tensor,
    condition: Tensor | None = None,
    guidance: float = 1.0,
) -> Denoiser:
    """Denoiser of one batch for ``solve``; it sets the known voxels before and after the network.

    Args:
        known: (B, C, X, Y, Z); values outside the mask are not used.
        mask: (X, Y, Z) bool, True where known.
        condition: (B, K); without it the samples are unconditional.
        guidance: w in uncond + w (cond - uncond). 0 and 1 cost one evaluation, other values two in
            one batch.
    """

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        channels = _channels(x, known, mask)
        log_snr = whole_batch(float(schedule.log_snr(t)), x)
        predicted = guided(network, channels, log_snr, condition, guidance).to(x.dtype)
        return torch.where(mask, known, to_clean(schedule, prediction, predicted, x, t))

    return denoise


def inpaint(
    denoise: Denoiser,
    noise: Tensor,
    known: Tensor,
    mask: Tensor,
    schedule: Schedule,
    num_steps: int,
    solver: Solver,
    start_log_snr: float | None = None,
) -> Tensor:
    """Sample (B, C, X, Y, Z) with the given known voxels.

    Args:
        denoise: from ``inpainting_denoiser`` with the same known and mask.
        noise, known: (B, C, X, Y, Z).
        mask: (X, Y, Z) bool, True where known.
        start_log_snr: lambda at which the solver starts from all of ``known``, noised to it, with
            the steps that remain; None starts from pure noise and does not use the values of
            ``known`` outside the mask.
    """
    if start_log_snr is None:
        return torch.where(mask, known, solve(denoise, noise, schedule, num_steps, solver))
    log_snrs = remaining_log_snrs(schedule, num_steps, start_log_snr)
    alpha, sigma = alpha_sigma(log_snrs[0])
    with torch.no_grad():
        start = alpha * known + sigma * noise
        return torch.where(mask, known, solve_along(denoise, start, schedule, log_snrs, solver))


def guided(
    network: Network, channels: Tensor, log_snr: Tensor, condition: Tensor | None, guidance: float
) -> Tensor:
    """Classifier-free guidance (Ho and Salimans, 2022): uncond + w (cond - uncond)."""
    num = channels.shape[0]
    if condition is None or guidance == 0.0:
        return network(channels, log_snr, None, None)
    if guidance == 1.0:
        return network(channels, log_snr, condition, None)
    # Conditional and unconditional predictions in one batch of 2 B.
    has_condition = torch.arange(2 * num, device=channels.device) < num
    both = network(
        torch.cat([channels, channels]),
        torch.cat([log_snr, log_snr]),
        torch.cat([condition, condition]),
        has_condition,
    )
    return both[num:] + guidance * (both[:num] - both[num:])


def _channels(noisy: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    shown = torch.where(mask, known, 0.0)
    flags = mask.to(noisy.dtype).expand_as(noisy[:, :1])
    return torch.cat(
        [torch.where(mask, known, noisy), shown, flags], dim=1
    )  # (B, 2 C + 1, X, Y, Z)
