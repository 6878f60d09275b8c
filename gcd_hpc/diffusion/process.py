"""The variance-preserving process x_t = alpha x_0 + sigma epsilon, and its prediction targets.

alpha^2 + sigma^2 = 1. ``log_snr`` is lambda = log(alpha / sigma), half the log of the
signal-to-noise ratio.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v"]


@dataclass(frozen=True)
class Schedule:
    """Noise schedule over t in [t_min, t_max].

    "linear": beta(t) = 0.1 + 19.9 t, as in score-based SDEs. "cosine": alpha = cos(pi t / 2), sigma
    = sin(pi t / 2). The ends of t exclude sigma = 0 and alpha = 0, where lambda is infinite.
    """

    kind: Literal["linear", "cosine"]

    BETA_MIN = 0.1
    BETA_MAX = 20.0
    COSINE_LOG_SNR = 5.0

    @property
    def t_min(self) -> float:
        """End of sampling: about 1 % of the noise or less is left."""
        return (
            1e-3
            if self.kind == "linear"
            else 2.0 / math.pi * math.atan(math.exp(-self.COSINE_LOG_SNR))
        )

    @property
    def t_max(self) -> float:
        """Start of sampling: less than 1 % of the signal is left."""
        return (
            1.0
            if self.kind == "linear"
            else 2.0 / math.pi * math.atan(math.exp(self.COSINE_LOG_SNR))
        )

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of the signal in x_t."""
        return (
            torch.exp(-0.5 * self._beta_integral(t))
            if self.kind == "linear"
            else torch.cos(0.5 * math.pi * t)
        )

    def sigma(self, t: Tensor) -> Tensor:
        """Coefficient of the noise in x_t."""
        return (
            torch.sqrt(-torch.expm1(-self._beta_integral(t)))
            if self.kind == "linear"
            else torch.sin(0.5 * math.pi * t)
        )

    def log_snr(self, t: Tensor) -> Tensor:
        """lambda(t) = log(alpha / sigma), which decreases with t."""
        if self.kind == "linear":
            return -0.5 * torch.log(torch.expm1(self._beta_integral(t)))
        return -torch.log(torch.tan(0.5 * math.pi * t))

    def time(self, log_snr: Tensor) -> Tensor:
        """Inverse of ``log_snr``: t at this lambda."""
        if self.kind == "cosine":
            return 2.0 / math.pi * torch.atan(torch.exp(-log_snr))
        integral = torch.nn.functional.softplus(-2.0 * log_snr)  # log(1 + exp(-2 lambda))
        rise = self.BETA_MAX - self.BETA_MIN
        return (
            2.0 * integral / (torch.sqrt(self.BETA_MIN**2 + 2.0 * rise * integral) + self.BETA_MIN)
        )

    def draw_times(self, uniform: Tensor) -> Tensor:
        """Training times from uniform numbers in [0, 1)."""
        return self.t_min + (self.t_max - self.t_min) * uniform

    def _beta_integral(self, t: Tensor) -> Tensor:
        return self.BETA_MIN * t + 0.5 * (self.BETA_MAX - self.BETA_MIN) * t * t


def per_item(values: Tensor, like: Tensor) -> Tensor:
    """Reshape (B,) or a scalar to broadcast over ``like`` (B, ...), in its dtype.

    A scalar keeps its shape: one of the CPU can be combined with an array on any device, without a
    copy that would wait for the device.
    """
    values = values.to(like.dtype)
    return values if values.ndim == 0 else values.reshape(-1, *(1,) * (like.ndim - 1))


def whole_batch(value: float, like: Tensor) -> Tensor:
    """The same number for each item of ``like`` (B, ...): (B,) of its dtype, on its device."""
    return torch.full((like.shape[0],), value, dtype=like.dtype, device=like.device)


def add_noise(schedule: Schedule, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = alpha x_0 + sigma epsilon.

    Args:
        clean, noise: (B, ...).
        t: (B,) or a scalar.
    """
    return per_item(schedule.alpha(t), clean) * clean + per_item(schedule.sigma(t), clean) * noise


def training_target(
    schedule: Schedule, prediction: Prediction, clean: Tensor, noise: Tensor, t: Tensor
) -> Tensor:
    """Training target: epsilon, or v = alpha epsilon - sigma x_0 (Salimans and Ho, 2022)."""
    if prediction == "epsilon":
        return noise
    return per_item(schedule.alpha(t), clean) * noise - per_item(schedule.sigma(t), clean) * clean


def to_clean(
    schedule: Schedule, prediction: Prediction, predicted: Tensor, noisy: Tensor, t: Tensor
) -> Tensor:
    """Estimate of x_0 from the predicted epsilon or v at x_t."""
    alpha, sigma = per_item(schedule.alpha(t), noisy), per_item(schedule.sigma(t), noisy)
    if prediction == "epsilon":
        return (noisy - sigma * predicted) / alpha
    return alpha * noisy - sigma * predicted


def to_epsilon(schedule: Schedule, clean: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
    """Noise epsilon that belongs to an estimate of x_0 at x_t."""
    return (noisy - per_item(schedule.alpha(t), noisy) * clean) / per_item(schedule.sigma(t), noisy)
