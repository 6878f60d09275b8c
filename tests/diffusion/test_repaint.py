"""RePaint: what is known stays, and going back makes what is unknown fit it, measured on a Gaussian
whose denoiser is exact.
"""

import pytest
import torch

from gcd_hpc.config.learning import EVALUATIONS_PER_STEP
from gcd_hpc.diffusion.process import Schedule, add_noise
from gcd_hpc.diffusion.repaint import back, noised, repaint
from gcd_hpc.diffusion.solvers import uniform_log_snrs

SCHEDULE = Schedule("cosine")
MEAN = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)
COVARIANCE = torch.tensor(
    [[0.8 ** abs(i - j) for j in range(6)] for i in range(6)], dtype=torch.float64
)
MASK = torch.tensor([True, False, False, False, False, True])
KNOWN = torch.tensor(
    [1.5, float("nan"), float("nan"), float("nan"), float("nan"), -1.0], dtype=torch.float64
)
NUM = 2000
SOLVERS = ["dpm-solver-3", "dpm-solver++2m"]


def denoise(x, t):
    """The posterior mean of x_0 ~ N(MEAN, COVARIANCE) given x_t."""
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    noisy = alpha**2 * COVARIANCE + sigma**2 * torch.eye(6, dtype=torch.float64)
    return MEAN + (x - alpha * MEAN) @ torch.linalg.solve(noisy, alpha * COVARIANCE)


def exact():
    """Mean and covariance of the unknown numbers given the known ones."""
    across = COVARIANCE[~MASK][:, MASK] @ torch.linalg.inv(COVARIANCE[MASK][:, MASK])
    mean = MEAN[~MASK] + across @ (KNOWN[MASK] - MEAN[MASK])
    return mean, COVARIANCE[~MASK][:, ~MASK] - across @ COVARIANCE[MASK][:, ~MASK]


def normal(seed):
    stream = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(NUM, 6, generator=stream, dtype=torch.float64)


def sample(solver, num_steps, num_resamples, denoiser=denoise):
    draw = normal(0)
    return repaint(
        denoiser,
        draw(),
        KNOWN.expand(NUM, 6),
        MASK,
        SCHEDULE,
        num_steps,
        solver,
        num_resamples,
        draw,
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_known_values_come_back_unchanged(solver):
    x = sample(solver, 4, 2)
    assert torch.equal(x[:, MASK], KNOWN[MASK].expand(NUM, 2))
    assert x.isfinite().all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_more_often_each_step_is_taken_the_nearer_is_the_conditional_mean(solver):
    mean, _ = exact()
    errors = [
        (sample(solver, 20, num)[:, ~MASK].mean(dim=0) - mean).abs().max().item()
        for num in (1, 3, 10)
    ]
    # Seen are 0.94, 0.51 and 0.18, where the unconditional mean is 1.53 off; sampling noise is
    # 0.02.
    assert errors[2] < 0.25 < 0.4 < errors[1] < 0.6 < 0.85 < errors[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_with_many_resamples_samples_have_the_conditional_mean_and_spread(solver):
    x = sample(solver, 60, 20)[:, ~MASK]
    mean, covariance = exact()
    # Sampling noise is 0.02; the rest is of the width of the steps and of the number of resamples.
    torch.testing.assert_close(x.mean(dim=0), mean, rtol=0, atol=0.12)
    torch.testing.assert_close(torch.cov(x.T), covariance, rtol=0, atol=0.08)


def test_the_known_values_have_the_noise_of_the_level_that_the_denoiser_is_told():
    seen = []

    def recorder(x, t):
        seen.append((x[:, MASK], t))
        return denoise(x, t)

    sample("dpm-solver++2m", 5, 2, recorder)
    for x, t in seen[2:]:  # before the first step is taken all is noise
        rest = (x - SCHEDULE.alpha(t) * KNOWN[MASK]) / SCHEDULE.sigma(t)
        # Of 2000 normal numbers the mean scatters by 0.022, the spread by 0.016.
        torch.testing.assert_close(
            rest.mean(dim=0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=0.1
        )
        torch.testing.assert_close(
            rest.std(dim=0), torch.ones(2, dtype=torch.float64), rtol=0, atol=0.07
        )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("num_resamples", [1, 4])
def test_the_stated_number_of_evaluations_is_true(solver, num_resamples):
    times = []

    def counting(x, t):
        times.append(t)
        return denoise(x, t)

    sample(solver, 3, num_resamples, counting)
    assert len(times) == 3 * num_resamples * EVALUATIONS_PER_STEP[solver]


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_going_back_from_a_noised_array_gives_the_noised_array_of_that_level(kind):
    schedule, clean = Schedule(kind), MEAN.expand(NUM, 6)
    lower, _, upper, _ = uniform_log_snrs(schedule, 3)
    draw = normal(1)
    x = back(noised(clean, upper, draw()), upper, lower, draw())
    t = schedule.time(torch.tensor(lower, dtype=torch.float64))
    rest = (x - schedule.alpha(t) * clean) / schedule.sigma(t)
    assert rest.mean().abs().item() < 0.04  # of 12,000 normal numbers it scatters by 0.009
    assert rest.std().item() == pytest.approx(1.0, abs=0.03)


def test_noise_by_lambda_is_noise_by_time():
    noise = normal(2)()
    t = SCHEDULE.time(torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(
        noised(MEAN.expand(NUM, 6), 0.3, noise), add_noise(SCHEDULE, MEAN.expand(NUM, 6), noise, t)
    )
