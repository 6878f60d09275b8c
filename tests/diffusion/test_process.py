"""The noise process and the conversions between what networks predict."""

import pytest
import torch

from gcd_hpc.diffusion.process import (
    Schedule,
    add_noise,
    per_item,
    to_clean,
    to_epsilon,
    training_target,
)


@pytest.fixture(params=["linear", "cosine"])
def schedule(request):
    return Schedule(request.param)


@pytest.fixture
def times(schedule):
    return torch.linspace(schedule.t_min, schedule.t_max, 101, dtype=torch.float64)


def test_signal_and_noise_keep_unit_variance(schedule, times):
    torch.testing.assert_close(
        schedule.alpha(times) ** 2 + schedule.sigma(times) ** 2, torch.ones_like(times)
    )


def test_log_snr_is_the_logarithm_of_alpha_over_sigma(schedule, times):
    torch.testing.assert_close(
        schedule.log_snr(times), torch.log(schedule.alpha(times) / schedule.sigma(times))
    )


def test_log_snr_falls_with_time(schedule, times):
    assert (schedule.log_snr(times).diff() < 0).all()


def test_time_inverts_log_snr(schedule, times):
    torch.testing.assert_close(schedule.time(schedule.log_snr(times)), times)


def test_the_ends_hold_almost_only_signal_and_almost_only_noise(schedule):
    ends = torch.tensor([schedule.t_min, schedule.t_max], dtype=torch.float64)
    assert schedule.sigma(ends)[0] < 0.011 and schedule.alpha(ends)[1] < 0.01


def test_training_times_fill_the_range(schedule):
    drawn = schedule.draw_times(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    torch.testing.assert_close(
        drawn,
        torch.tensor(
            [schedule.t_min, (schedule.t_min + schedule.t_max) / 2, schedule.t_max]
        ).double(),
    )


def test_the_linear_schedule_has_the_published_beta():
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(-2.0 * torch.log(Schedule("linear").alpha(t)), t)
    assert slope.item() == pytest.approx(0.1 + 19.9 * 0.3)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_the_training_target_converts_back_to_the_clean_array(schedule, prediction):
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 1, 4, 4, 4, generator=generator, dtype=torch.float64)
    t = schedule.draw_times(torch.rand(5, generator=generator, dtype=torch.float64))
    noisy = add_noise(schedule, clean, noise, t)
    target = training_target(schedule, prediction, clean, noise, t)
    torch.testing.assert_close(
        to_clean(schedule, prediction, target, noisy, t), clean, rtol=0, atol=1e-11
    )  # epsilon: times 1 / alpha


def to_v(schedule, clean, noisy, t):
    """The v that goes with an estimate of x_0 at x_t."""
    alpha, sigma = per_item(schedule.alpha(t), noisy), per_item(schedule.sigma(t), noisy)
    return (alpha * noisy - clean) / sigma


def test_clean_epsilon_and_v_are_one_another(schedule):
    generator = torch.Generator().manual_seed(1)
    clean, noisy = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    t = schedule.draw_times(torch.rand(5, generator=generator, dtype=torch.float64))
    for prediction, convert in (("epsilon", to_epsilon), ("v", to_v)):
        predicted = convert(schedule, clean, noisy, t)
        torch.testing.assert_close(
            to_clean(schedule, prediction, predicted, noisy, t), clean, rtol=0, atol=1e-10
        )
