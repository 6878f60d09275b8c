"""Guidance by the number of atoms, where the posterior is known in closed form."""

import pytest
import torch

from gcd_hpc.diffusion.guidance import guided_denoiser
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.diffusion.solvers import solve
from gcd_hpc.learning.atom_count import AtomCount, count_variance

SCHEDULE = Schedule("cosine")
SCALE, PERIOD = 0.5, 6
SITES = (0, 5, 9, 14)
"""Places of the atoms; the last one is in doubt."""
MASK = torch.zeros(4, 4, 4, dtype=torch.bool)
MASK[:, :, 0] = True


def structures() -> torch.Tensor:
    """Arrays (2, 1, 4, 4, 4) of three atoms and of the same ones with a fourth."""
    arrays = torch.zeros(2, 1, 4, 4, 4)
    flat = arrays[..., 1:].reshape(2, -1).clone()
    flat[:, list(SITES[:3])] = 1 / SCALE
    flat[1, SITES[3]] = 1 / SCALE
    arrays[..., 1:] = flat.reshape(2, 1, 4, 4, 3)
    return arrays


def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Exact posterior mean where both structures are equally frequent."""
    alpha, sigma = float(SCHEDULE.alpha(t)), float(SCHEDULE.sigma(t))
    both = structures()
    distance = (x[:, None] - alpha * both).square().flatten(2).sum(2)
    weights = torch.softmax(-distance / (2 * sigma**2), 1)
    return torch.einsum("bk,kcxyz->bcxyz", weights, both)


def term(wanted: list[int], strength: float = 10.0) -> AtomCount:
    """What asks for these [n]; the decoder rounds the sum."""
    return AtomCount(
        torch.tensor(wanted, dtype=torch.float32),
        PERIOD,
        [lambda array: round(float(array.sum()))] * len(wanted),
        torch.zeros(len(wanted)),
        MASK,
        SCALE,
        strength,
    )


def sample(terms: list[AtomCount], num: int) -> torch.Tensor:
    noise = torch.randn(num, 1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    guided = guided_denoiser(denoise, SCHEDULE, terms, MASK)
    return solve(guided, noise, SCHEDULE, 12, "dpm-solver++2m") * SCALE


def test_the_one_atom_in_doubt_is_put_in_or_left_out_as_asked():
    """Half of the samples have what is wanted without guidance, at least nine in ten with it."""
    wanted = torch.tensor([3, 4] * 50)
    unguided = sample([], 100).flatten(1).sum(1).round()
    assert 35 <= int((unguided == wanted).sum()) <= 65  # three standard deviations
    arrays = sample([term(wanted.tolist())], 100)
    numbers = arrays.flatten(1).sum(1).round()
    assert int((numbers == wanted).sum()) >= 90
    # Solvers end at a hundredth of the noise; no other place is brightened.
    expected = structures()[(numbers == 4).long()] * SCALE
    torch.testing.assert_close(arrays, expected, rtol=0, atol=0.03)


def test_fractions_are_circular():
    arrays = sample([term([3 + PERIOD, 4 - PERIOD])], 2)
    assert arrays.flatten(1).sum(1).round().tolist() == [3, 4]


def test_the_gradient_goes_to_the_atom_in_doubt_only():
    t = SCHEDULE.time(torch.tensor(0.5, dtype=torch.float64))
    alpha, sigma = float(SCHEDULE.alpha(t)), float(SCHEDULE.sigma(t))
    without, with_it = structures()[:, None]
    x = (alpha * (0.6 * without + 0.4 * with_it)).requires_grad_(True)
    term([4]).log_probability(denoise(x, t), sigma / alpha).sum().backward()
    assert x.grad is not None
    place = (structures()[1] - structures()[0])[0] != 0
    assert float(x.grad[0, 0][place]) > 0
    assert float(x.grad[0, 0][~place].abs().max()) == 0


def test_an_estimate_from_noise_alone_says_nothing():
    assert term([4]).log_probability(torch.ones(1, 1, 4, 4, 4), 50.0).tolist() == [0.0]


@pytest.mark.parametrize(("noise", "expected"), [(1e-3, 2e-6), (1e4, 2.4)])
def test_the_variance_of_the_count_is_that_of_the_data_or_of_the_measurement(noise, expected):
    """With little noise the noise of the sum, with much the variance of structures, 0.4 P."""
    variance = count_variance(noise, PERIOD, torch.tensor(2.0))
    assert float(variance) == pytest.approx(expected, rel=1e-5)
