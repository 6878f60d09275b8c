"""Guided sampling against Bayes' rule: with a normal prior and a linear measurement the likelihood
of x_t, the posterior and its moments are known in closed form.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch

from gcd_hpc.config.learning import EVALUATIONS_PER_STEP
from gcd_hpc.diffusion.exploding import Exploding, denoise, num_evaluations
from gcd_hpc.diffusion.guidance import clean_variance, guided_denoiser, guided_score
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.diffusion.solvers import solve

DOUBLE = {"dtype": torch.float64}
MEAN = torch.tensor([0.5, -0.3, 0.2], **DOUBLE)
COVARIANCE = torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.8, -0.2], [0.0, -0.2, 0.6]], **DOUBLE)
IDENTITY = torch.eye(3, **DOUBLE)
SCHEDULE, PROCESS = Schedule("cosine"), Exploding(max_sigma=10.0, t_min=0.001)
NUM = 4000


@dataclass(frozen=True)
class Measurement:
    """Linear measurement y = A x_0 + noise; its likelihood given x_t is exact for this prior."""

    matrix: torch.Tensor  # (K, 3)
    value: torch.Tensor  # (K,)
    variance: float = 0.3
    estimator: Literal["noisy", "clean"] = "noisy"
    strength: float = 1.0

    def log_probability(self, x, noise):
        if self.estimator == "noisy":
            # The variance-preserving x_t is alpha times this; both tests pass what they sample.
            x = posterior_mean(x * self.scale(noise), noise)
        spread = self.matrix @ posterior_covariance(noise) @ self.matrix.T
        spread = spread + self.variance * torch.eye(len(self.value), **DOUBLE)
        error = self.value - x @ self.matrix.T  # (B, K)
        return -0.5 * (error @ torch.linalg.inv(spread) * error).sum(1)

    def scale(self, noise):
        return 1.0


class Preserving(Measurement):
    """The same measurement of x_t = alpha x_0 + sigma epsilon."""

    def scale(self, noise):
        return math.sqrt(1.0 + noise**2)  # 1 / alpha


ONE = Measurement(torch.tensor([[1.0, 1.0, 0.0]], **DOUBLE), torch.tensor([1.2], **DOUBLE))
TWO = Measurement(torch.tensor([[0.0, 0.5, 1.0]], **DOUBLE), torch.tensor([0.4], **DOUBLE), 0.2)


def preserving(measurement):
    return Preserving(**vars(measurement))


def posterior_covariance(noise):
    """Covariance of x_0 given x_0 + noise epsilon."""
    return torch.linalg.inv(torch.linalg.inv(COVARIANCE) + IDENTITY / noise**2)


def posterior_mean(x, noise):
    """E[x_0 | x = x_0 + noise epsilon], (B, 3)."""
    gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + noise**2 * IDENTITY)
    return MEAN + (x - MEAN) @ gain.T


def denoiser(x, t):
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    return posterior_mean(x / alpha, float(sigma / alpha))


def score(x, t):
    sigma = float(PROCESS.sigma(t[0]))
    return (posterior_mean(x, sigma) - x) / sigma**2


def exact(measurements):
    """Mean (3,) and covariance (3, 3) of the posterior of all measurements."""
    precision = torch.linalg.inv(COVARIANCE)
    shift = precision @ MEAN
    for term in measurements:
        precision = precision + term.matrix.T @ term.matrix / term.variance
        shift = shift + term.matrix.T @ term.value / term.variance
    covariance = torch.linalg.inv(precision)
    return covariance @ shift, covariance


def noise_of(num=NUM, seed=0):
    return torch.randn(num, 3, generator=torch.Generator().manual_seed(seed), **DOUBLE)


def drawing(num=NUM, seed=1):
    stream = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(num, 3, generator=stream, **DOUBLE)


def assert_moments(sample, mean, covariance, discretization):
    """Within 4.5 standard errors and the given share of the spread from finite steps.

    The standard error of a mean is sqrt(C_ii / M), that of a covariance
    sqrt((C_ii C_jj + C_ij^2) / M).
    """
    spread = covariance.diagonal().sqrt()
    scale = spread[:, None] * spread
    allowed_mean = 4.5 * spread / math.sqrt(len(sample)) + discretization * spread
    allowed = 4.5 * torch.sqrt((scale**2 + covariance**2) / len(sample)) + discretization * scale
    assert ((sample.mean(0) - mean).abs() < allowed_mean).all()
    assert ((torch.cov(sample.T) - covariance).abs() < allowed).all()


def guided_solution(terms, noise, num_steps=60):
    guided = guided_denoiser(denoiser, SCHEDULE, terms)
    return solve(guided, noise, SCHEDULE, num_steps, "dpm-solver++2m")


def guided_walk(terms, sampler="sde", num_steps=200, seed=0):
    start = MEAN + PROCESS.max_sigma * noise_of(seed=seed)
    return denoise(
        guided_score(score, PROCESS, terms), start, PROCESS, sampler, num_steps, drawing()
    )


@pytest.mark.parametrize("estimator", ["noisy", "clean"])
def test_the_guided_solver_samples_the_exact_posterior_of_a_normal_prior(estimator):
    term = preserving(replace(ONE, estimator=estimator))
    assert_moments(guided_solution([term], noise_of()), *exact([ONE]), discretization=0.01)


@pytest.mark.parametrize("sampler", ["sde", "restart"])
@pytest.mark.parametrize("estimator", ["noisy", "clean"])
def test_the_guided_walk_samples_the_exact_posterior_of_a_normal_prior(estimator, sampler):
    # Finite steps narrow the ancestral walk; restarts that were not guided would end at the prior.
    sample = guided_walk([replace(ONE, estimator=estimator)], sampler)
    assert_moments(sample, *exact([ONE]), discretization=0.03)


def test_independent_measurements_add_up_whatever_their_estimators():
    # Along two axes of the prior the errors of the measurements given x_t are uncorrelated, so
    # that their joint likelihood is the product.
    axes = torch.linalg.eigh(COVARIANCE).eigenvectors
    first, second = replace(ONE, matrix=axes[:, :1].T), replace(TWO, matrix=axes[:, 2:].T)
    terms = [preserving(first), preserving(replace(second, estimator="clean"))]
    sample = guided_solution(terms, noise_of())
    assert_moments(sample, *exact([first, second]), discretization=0.01)


def test_one_term_of_two_measurements_is_exact():
    both = replace(
        ONE, matrix=torch.cat([ONE.matrix, TWO.matrix]), value=torch.cat([ONE.value, TWO.value])
    )
    expected = exact([ONE, replace(TWO, variance=ONE.variance)])
    assert_moments(guided_solution([preserving(both)], noise_of()), *expected, discretization=0.01)


def test_a_gradient_is_the_sum_of_the_terms_and_grows_with_their_strength():
    x, t = noise_of(8), torch.tensor(0.4, **DOUBLE)
    first, second = replace(ONE, strength=0.1), replace(TWO, strength=0.1)  # below the clip

    def moved(*terms):
        return guided_denoiser(denoiser, SCHEDULE, [preserving(term) for term in terms])(x, t)

    free = denoiser(x, t)
    parts = (moved(first) - free) + (moved(second) - free)
    torch.testing.assert_close(moved(first, second) - free, parts)
    twice = moved(replace(first, strength=0.2)) - free
    torch.testing.assert_close(twice, 2.0 * (moved(first) - free))


def test_strength_zero_gives_the_unguided_numbers_bit_for_bit():
    off = replace(ONE, strength=0.0)
    noise = noise_of(16)
    unguided = solve(denoiser, noise, SCHEDULE, 20, "dpm-solver-3")
    silent = guided_denoiser(denoiser, SCHEDULE, [preserving(off)])
    assert torch.equal(solve(silent, noise, SCHEDULE, 20, "dpm-solver-3"), unguided)
    t = torch.full((16,), 0.5, **DOUBLE)
    assert torch.equal(guided_score(score, PROCESS, [off])(noise, t), score(noise, t))


def test_the_correction_is_at_most_as_large_as_the_noise_for_each_item():
    x, t = noise_of(32), torch.tensor(0.4, **DOUBLE)
    alpha, sigma = float(SCHEDULE.alpha(t)), float(SCHEDULE.sigma(t))
    strong = replace(ONE, strength=1e6)
    moved = guided_denoiser(denoiser, SCHEDULE, [preserving(strong)])(x, t) - denoiser(x, t)
    torch.testing.assert_close(
        (moved * alpha / sigma).square().mean(1).sqrt(), torch.ones(32, **DOUBLE)
    )
    times = torch.full((32,), 0.1, **DOUBLE)
    moved = guided_score(score, PROCESS, [strong])(x, times) - score(x, times)
    torch.testing.assert_close(
        (moved * PROCESS.max_sigma * 0.1).square().mean(1).sqrt(), torch.ones(32, **DOUBLE)
    )


def test_known_places_are_not_moved_and_do_not_count_in_the_clip():
    x, t = noise_of(32), torch.tensor(0.4, **DOUBLE)
    alpha, sigma = float(SCHEDULE.alpha(t)), float(SCHEDULE.sigma(t))
    known = torch.tensor([True, False, False])
    term = preserving(replace(ONE, strength=1e6))
    moved = guided_denoiser(denoiser, SCHEDULE, [term], known)(x, t) - denoiser(x, t)
    assert (moved[:, 0] == 0.0).all()
    torch.testing.assert_close(
        (moved[:, 1:] * alpha / sigma).square().mean(1).sqrt(), torch.ones(32, **DOUBLE)
    )


def test_the_items_of_a_batch_do_not_influence_each_other():
    term = preserving(replace(ONE, estimator="clean"))
    noise = noise_of(6)
    together = guided_solution([term], noise, 20)
    alone = torch.cat([guided_solution([term], item[None], 20) for item in noise])
    # Matrix products of other sizes round differently.
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    other = noise.clone()
    other[1:] = 50.0
    assert torch.equal(guided_solution([term], other, 20)[0], together[0])


@pytest.mark.parametrize("sampler", ["ode", "sde", "restart"])
def test_every_evaluation_of_a_sampler_is_guided(sampler):
    seen = []

    @dataclass(frozen=True)
    class Counting(Measurement):
        def log_probability(self, x, noise):
            seen.append(noise)
            return super().log_probability(x, noise)

    guided = guided_score(score, PROCESS, [Counting(ONE.matrix, ONE.value)])
    denoise(guided, noise_of(2), PROCESS, sampler, 30, drawing(2))
    assert len(seen) == num_evaluations(PROCESS, sampler, 30)
    assert (max(seen), min(seen)) == pytest.approx(
        (10.0, 0.01), rel=1e-9 if sampler == "ode" else 1
    )


def test_every_stage_of_a_solver_is_guided():
    seen = []

    class Counting(Preserving):
        def log_probability(self, x, noise):
            seen.append(noise)
            return super().log_probability(x, noise)

    guided = guided_denoiser(denoiser, SCHEDULE, [Counting(ONE.matrix, ONE.value)])
    solve(guided, noise_of(2), SCHEDULE, 10, "dpm-solver-3")
    assert len(seen) == 10 * EVALUATIONS_PER_STEP["dpm-solver-3"]


def test_a_noisy_term_alone_does_not_differentiate_the_network():
    inside = []

    def watched(x, t):
        inside.append(torch.is_grad_enabled())
        return denoiser(x, t)

    x, t = noise_of(2), torch.tensor(0.4, **DOUBLE)
    with torch.no_grad():
        for estimator in ("noisy", "clean"):
            term = preserving(replace(ONE, estimator=estimator))
            assert not guided_denoiser(watched, SCHEDULE, [term])(x, t).requires_grad
    assert inside == [False, True]


def test_a_term_that_is_constant_at_high_noise_moves_nothing_there():
    class Late(Preserving):
        def log_probability(self, x, noise):
            return x.new_zeros(len(x)) if noise > 1.0 else super().log_probability(x, noise)

    guided = guided_denoiser(denoiser, SCHEDULE, [Late(ONE.matrix, ONE.value)])
    x = noise_of(2)
    early, late = torch.tensor(0.9, **DOUBLE), torch.tensor(0.1, **DOUBLE)
    assert torch.equal(guided(x, early), denoiser(x, early))
    assert not torch.equal(guided(x, late), denoiser(x, late))


def test_the_variance_about_the_clean_estimate_is_that_of_normal_data():
    # 1 / (1 / v + 1 / n^2); with v = 1 it is sigma^2 of the variance-preserving process.
    assert clean_variance(0.5, 2.0) == pytest.approx(1.0 / (0.5 + 4.0))
    t = torch.tensor(0.3, **DOUBLE)
    noise = float(SCHEDULE.sigma(t) / SCHEDULE.alpha(t))
    assert clean_variance(noise) == pytest.approx(float(SCHEDULE.sigma(t) ** 2))
