"""Solvers against a Gaussian, for which denoiser and trajectory are known in closed form."""

import math
from itertools import pairwise

import pytest
import torch

from gcd_hpc.config.learning import EVALUATIONS_PER_STEP
from gcd_hpc.diffusion.process import Schedule, to_clean, to_epsilon
from gcd_hpc.diffusion.solvers import solve
from tests.diffusion.test_process import to_v

MEAN, STD = 1.3, 0.7


class GaussianDenoiser:
    """The posterior mean of x_0 ~ N(MEAN, STD^2) given x_t; counts its calls."""

    def __init__(self, schedule):
        self.schedule, self.num_calls = schedule, 0

    def __call__(self, x, t):
        self.num_calls += 1
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)

    def exact(self, noise):
        """End of the probability flow from the noise: quantiles stay quantiles."""
        start, stop = (
            torch.tensor(t, dtype=torch.float64) for t in (self.schedule.t_max, self.schedule.t_min)
        )
        width = [
            torch.sqrt(self.schedule.alpha(t) ** 2 * STD**2 + self.schedule.sigma(t) ** 2)
            for t in (start, stop)
        ]
        return self.schedule.alpha(stop) * MEAN + width[1] / width[0] * (
            noise - self.schedule.alpha(start) * MEAN
        )


@pytest.fixture
def noise():
    return torch.randn(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize(("solver", "order"), [("dpm-solver-3", 3), ("dpm-solver++2m", 2)])
def test_the_error_falls_with_the_order_of_the_solver(kind, solver, order, noise):
    denoise = GaussianDenoiser(Schedule(kind))
    errors = [
        (solve(denoise, noise, denoise.schedule, num, solver) - denoise.exact(noise))
        .abs()
        .max()
        .item()
        for num in (80, 160, 320)
    ]
    slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert slopes == pytest.approx(
        [order] * 2, abs=0.12
    )  # 3.07 and 3.04, 1.995 and 1.999: not yet quite in the limit


def test_twenty_third_order_steps_cost_sixty_evaluations(noise):
    denoise = GaussianDenoiser(Schedule("linear"))
    solve(denoise, noise, denoise.schedule, 20, "dpm-solver-3")
    assert denoise.num_calls == 60


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_the_stated_number_of_evaluations_a_step_is_true(solver, noise):
    denoise = GaussianDenoiser(Schedule("cosine"))
    solve(denoise, noise, denoise.schedule, 7, solver)
    assert denoise.num_calls == 7 * EVALUATIONS_PER_STEP[solver]


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_samples_have_the_mean_and_the_width_of_the_data(solver):
    denoise = GaussianDenoiser(Schedule("cosine"))
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = solve(denoise, noise, denoise.schedule, 30, solver)
    # The start leaves out the signal that is left at t_max, alpha = 0.0067; the solver's own error
    # is 0.01 at most.
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert samples.std().item() == pytest.approx(STD, abs=0.02)


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_epsilon_and_v_predictions_of_one_denoiser_give_the_same_samples(solver, noise):
    denoise = GaussianDenoiser(Schedule("cosine"))
    schedule = denoise.schedule
    samples = []
    for prediction, convert in (("epsilon", to_epsilon), ("v", to_v)):

        def through_prediction(x, t, prediction=prediction, convert=convert):
            return to_clean(schedule, prediction, convert(schedule, denoise(x, t), x, t), x, t)

        samples.append(solve(through_prediction, noise, schedule, 20, solver))
    torch.testing.assert_close(samples[0], samples[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_samples_of_a_batch_do_not_depend_on_one_another(solver, noise):
    denoise = GaussianDenoiser(Schedule("cosine"))
    together = solve(denoise, noise, denoise.schedule, 10, solver)
    assert torch.equal(solve(denoise, noise[7:8], denoise.schedule, 10, solver), together[7:8])
