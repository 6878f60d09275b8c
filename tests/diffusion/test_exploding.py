"""Samplers of the variance-exploding process against a Gaussian, whose score and flow are known in
closed form.
"""

import math
from itertools import pairwise, product

import pytest
import torch

from gcd_hpc.diffusion.exploding import (
    FOCUS,
    Anneal,
    Exploding,
    anneal,
    denoise,
    num_evaluations,
    score_matching_loss,
)

MEAN, STD = 1.3, 0.7
PROCESS = Exploding(max_sigma=3.0)


def gaussian_score(x, t):
    """Of x_0 ~ N(MEAN, STD^2), whose x_t ~ N(MEAN, STD^2 + sigma_t^2)."""
    sigma = PROCESS.sigma(t).reshape(-1, 1)
    return (MEAN - x) / (STD**2 + sigma**2)


def width(t):
    return math.hypot(STD, PROCESS.max_sigma * t)


def random(num=200, seed=0):
    return torch.randn(num, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawing(num, seed=1):
    stream = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(num, 1, generator=stream, dtype=torch.float64)


def no_draw():
    raise AssertionError("the ODE needs no random numbers")


def test_the_error_of_the_ode_falls_with_the_square_of_the_step():
    start = MEAN + width(1.0) * random()
    exact = MEAN + width(PROCESS.t_min) / width(1.0) * (start - MEAN)
    errors = [
        (denoise(gaussian_score, start, PROCESS, "ode", num, no_draw) - exact).abs().max().item()
        for num in (40, 80, 160)
    ]
    assert [math.log2(coarse / fine) for coarse, fine in pairwise(errors)] == pytest.approx(
        [2.0, 2.0], abs=0.1
    )


def test_the_variance_of_the_sde_falls_towards_the_exact_one_with_the_step():
    """Its steps are linear in the start and in each noise: one row of the batch answers to one of
    them, and their squares add up.
    """
    errors = []
    for num in (100, 200, 400):
        rows = torch.eye(num + 1, dtype=torch.float64)
        noises = iter(rows.T[:, :, None])
        ends = denoise(
            gaussian_score, MEAN + width(1.0) * rows[:, -1:], PROCESS, "sde", num, noises.__next__
        )
        errors.append(abs((ends - MEAN).square().sum().item() - width(PROCESS.t_min) ** 2))
    assert [math.log2(coarse / fine) for coarse, fine in pairwise(errors)] == pytest.approx(
        [1.0, 1.0], abs=0.15
    )


@pytest.mark.parametrize(
    ("sampler", "t_start"), list(product(("ode", "sde", "restart"), (1.0, 0.3)))
)
def test_samples_have_the_mean_and_the_width_of_the_data(sampler, t_start):
    start = MEAN + width(t_start) * random(20000)
    samples = denoise(gaussian_score, start, PROCESS, sampler, 100, drawing(20000), t_start)
    # 20,000 draws know mean and width to 0.005 and 0.0035; the ancestral steps of this size add
    # 0.01.
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert samples.std().item() == pytest.approx(width(PROCESS.t_min), abs=0.02)


@pytest.mark.parametrize(
    ("sampler", "is_random"), [("ode", False), ("sde", True), ("restart", True)]
)
def test_one_start_has_many_ends_where_the_sampler_is_random(sampler, is_random):
    ends = denoise(
        gaussian_score,
        torch.full((50, 1), 3.0, dtype=torch.float64),
        PROCESS,
        sampler,
        20,
        drawing(50),
    )
    assert (ends.std().item() > 0.1) is is_random


def test_from_less_noise_than_is_left_at_the_end_nothing_moves():
    start = random()
    for sampler in ("ode", "sde"):
        assert torch.equal(
            denoise(gaussian_score, start, PROCESS, sampler, 5, drawing(200), t_start=0.0), start
        )


def test_evaluations_are_two_a_step_of_the_ode_and_one_of_the_sde():
    assert num_evaluations(PROCESS, "ode", 20) == 40
    assert num_evaluations(PROCESS, "sde", 20) == 20


def test_restarts_repeat_a_part_of_the_steps():
    assert num_evaluations(PROCESS, "restart", 50) > 2 * num_evaluations(PROCESS, "ode", 50)


def test_the_loss_is_least_for_the_exact_score_and_one_for_none():
    clean, noise = MEAN + STD * random(20000), random(20000, seed=1)
    t = torch.full((20000,), 0.2, dtype=torch.float64)
    losses = [
        score_matching_loss(
            lambda x, t, factor=factor: factor * gaussian_score(x, t), PROCESS, clean, t, noise
        ).item()
        for factor in (0.0, 0.9, 1.0, 1.1)
    ]
    assert losses[0] == pytest.approx(1.0, abs=0.03)
    assert losses[2] == pytest.approx(
        STD**2 / width(0.2) ** 2, abs=0.02
    )  # what is left to chance: var(epsilon | x_t)
    assert losses[2] < min(losses[1], losses[3])


def test_noise_grows_in_proportion_to_time_and_stops_at_one():
    assert PROCESS.sigma(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx([0.0, 1.5, 3.0])
    assert PROCESS.time_of(0.6) == pytest.approx(0.2)
    assert PROCESS.time_of(100.0) == 1.0


@pytest.mark.parametrize(("num_restarts", "t_start"), [(0, 1.0), (3, 1.0), (3, 0.3)])
def test_annealed_samples_have_the_mean_and_the_width_of_the_data(num_restarts, t_start):
    start = MEAN + width(t_start) * random(20000)
    plan = Anneal(num_restarts, low=0.1, high=1.5, num_descent_steps=100, num_restart_steps=100)
    samples = anneal(gaussian_score, start, PROCESS, plan, drawing(20000), t_start)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert samples.std().item() == pytest.approx(STD, abs=0.02)  # x_0, without noise


def test_annealing_ends_at_the_posterior_mean_of_its_last_noise_level():
    """The exact score of one point sends all samples there, at any number of steps."""
    point = lambda x, t: (MEAN - x) / PROCESS.sigma(t).reshape(-1, 1) ** 2  # noqa: E731
    plan = Anneal(1, num_descent_steps=3, num_restart_steps=2, num_final_steps=2)
    samples = anneal(point, random(), PROCESS, plan, drawing(200))
    torch.testing.assert_close(samples, torch.full_like(samples, MEAN), rtol=0, atol=1e-12)


def test_annealing_calls_the_score_at_each_step_and_at_the_end():
    levels = []

    def zero(x, t):
        levels.append(PROCESS.sigma(t[0]).item())
        return torch.zeros_like(x)

    plan = Anneal(num_restarts=2, low=0.1, high=0.45)
    anneal(zero, random(), PROCESS, plan, drawing(200))
    assert len(levels) == plan.num_evaluations == 60 + 2 * 30 + 10 + 1
    assert levels[0] == pytest.approx(3.0)
    assert levels[60] == levels[90] == pytest.approx(0.45)
    assert levels[120] == pytest.approx(0.1)
    assert levels[-1] == pytest.approx(PROCESS.max_sigma * PROCESS.t_min)


def test_half_of_the_focused_times_lie_where_the_network_learns_most():
    process = Exploding(0.9, 0.02 / 0.9)
    uniform = torch.arange(0.0, 1.0, 1e-4)
    sigma = process.sigma(process.draw_focused_times(uniform))
    assert sigma.min().item() == pytest.approx(0.02, rel=1e-3)
    assert sigma.max().item() == pytest.approx(0.9, rel=1e-3)
    low, high = FOCUS
    inside = ((sigma >= low) & (sigma <= high)).float().mean().item()
    wide = math.log(high / low) / math.log(0.9 / 0.02)
    assert inside == pytest.approx(0.5 + 0.5 * wide, abs=2e-3)
    # Each half is uniform in log sigma.
    median = sigma[uniform < 0.5].median().item()
    assert median == pytest.approx(math.sqrt(0.02 * 0.9), rel=1e-2)
