"""Guidance of a diffusion model towards measured properties.

The score of the posterior is the score of the prior plus the gradient of the likelihood:
grad log p(x_t | y) = grad log p(x_t) + sum_k w_k grad log p_k(y_k | x_t). Each property k is a
``Likelihood`` with a spread of its own, so that the terms weigh themselves, and strength w_k = 1 is
Bayes' rule. A guided denoiser or score takes the place of the unguided one in any sampler, so every
evaluation is guided, those after a restart included.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from gcd_hpc.diffusion.exploding import Exploding, Score
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.diffusion.solvers import Denoiser

MAX_CORRECTION = 1.0
"""Largest root mean square of an item's correction sigma grad log p: that of the noise itself."""


class Likelihood(Protocol):
    """Likelihood p(y | x) of one measured property, with the spread of its own prediction."""

    @property
    def estimator(self) -> Literal["noisy", "clean"]:
        """What ``log_probability`` takes: "noisy" is x_t, "clean" the estimate of x_0 at x_t.

        A clean term is differentiated through the network. Its spread must contain that of x_0
        about the estimate, e.g. by ``clean_variance``.
        """

    @property
    def strength(self) -> float:
        """Factor of log p; 1 is Bayes' rule, 0 leaves the term out."""

    def log_probability(self, x: Tensor, noise: float) -> Tensor:
        """log p(y | x) up to a constant, (B, ...) -> (B,).

        Args:
            x: x_t or the estimate of x_0, as ``estimator`` says. An item's value must not depend on
                the other items.
            noise: sigma / alpha, the noise of x_t / alpha in the unit of x_0. lambda is
                -log(noise); in the variance-exploding process it is sigma.
        """


def clean_variance(noise: float, data_variance: float = 1.0) -> float:
    """Variance of x_0 about its estimate at x_t for normal data, r_t^2 = v n^2 / (v + n^2).

    With unit variance this is sigma^2 / (alpha^2 + sigma^2).

    Args:
        noise: n = sigma / alpha, in the unit of x_0.
        data_variance: v, in the square of this unit.

    Source: Song et al. (2023), pseudo-inverse guidance, section 3.
    """
    return data_variance * noise**2 / (data_variance + noise**2)


def guided_denoiser(
    denoise: Denoiser,
    schedule: Schedule,
    terms: Sequence[Likelihood],
    mask: Tensor | None = None,
) -> Denoiser:
    """Denoiser of the variance-preserving process with x_0 moved by sigma^2 / alpha grad log p.

    This is epsilon moved by -sigma grad log p.

    Args:
        denoise: called once for each call of the guided one.
        terms: without any, or with strengths of 0 alone, ``denoise`` itself is returned.
        mask: bool, True where known, broadcastable to x (B, ...); known places are not moved.
    """
    active = [term for term in terms if term.strength != 0.0]
    if not active:
        return denoise

    def guided(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        clean, gradient = _gradient(
            active, lambda x: denoise(x, t), lambda _, clean: clean, x, sigma / alpha
        )
        return clean + sigma / alpha * _clipped(sigma * gradient, mask)

    return guided


def guided_score(score: Score, process: Exploding, terms: Sequence[Likelihood]) -> Score:
    """Score of the variance-exploding process with grad log p added.

    Args:
        score: called once for each call of the guided one, which needs the same t for all items.
        terms: without any, or with strengths of 0 alone, ``score`` itself is returned.
    """
    active = [term for term in terms if term.strength != 0.0]
    if not active:
        return score

    def guided(x: Tensor, t: Tensor) -> Tensor:
        assert bool((t == t[0]).all()), "guidance needs one noise level for the whole batch"
        sigma = float(process.sigma(t[0]))
        value, gradient = _gradient(
            active, lambda x: score(x, t), lambda x, value: x + sigma**2 * value, x, sigma
        )
        return value + _clipped(sigma * gradient, None) / sigma

    return guided


def _gradient(
    terms: Sequence[Likelihood],
    network: Callable[[Tensor], Tensor],
    to_clean: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    noise: float,
) -> tuple[Tensor, Tensor]:
    """Output of the network at x_t, and the gradient of sum_k w_k log p_k with respect to x_t.

    The terms are computed in the precision of x, whatever autocast says of the network.

    Args:
        network: x_t -> its output, both (B, ...); part of the gradient only if a term is "clean".
        to_clean: (x_t, output) -> estimate of x_0.
    """
    assert not torch.is_inference_mode_enabled(), "guidance needs gradients: use torch.no_grad"
    through_network = any(term.estimator == "clean" for term in terms)
    with torch.enable_grad():
        noisy = x.detach().requires_grad_(True)
        with torch.set_grad_enabled(through_network):
            output = network(noisy)
        with torch.autocast(x.device.type, enabled=False):
            total = x.new_zeros(len(x))
            for term in terms:
                at = noisy if term.estimator == "noisy" else to_clean(noisy, output)
                total = total + term.strength * term.log_probability(at, noise)
        if not total.requires_grad:  # all terms are constant at this noise
            return output.detach(), torch.zeros_like(x)
        (gradient,) = torch.autograd.grad(total.sum(), noisy, materialize_grads=True)
    return output.detach(), gradient


def _clipped(correction: Tensor, mask: Tensor | None) -> Tensor:
    """Correction with zero at known places and an RMS of at most 1 over the others, per item."""
    if mask is None:
        mean_square = correction.flatten(1).square().mean(1)
    else:
        known = mask.expand_as(correction)
        correction = correction.masked_fill(known, 0.0)
        num_unknown = (~known).flatten(1).sum(1)
        mean_square = correction.flatten(1).square().sum(1) / num_unknown.clamp(min=1)
    factor = MAX_CORRECTION / mean_square.sqrt().clamp(min=MAX_CORRECTION)
    return correction * factor.reshape(-1, *(1,) * (correction.ndim - 1))
