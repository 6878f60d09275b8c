"""The likelihood of a low energy is that of the model's normal distribution at any noise level."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import norm

from gcd_hpc.config.learning import EnergyModelConfig, NetworkConfig
from gcd_hpc.diffusion.guidance import guided_denoiser
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.atom_energies import AtomEnergies, atomic_network
from gcd_hpc.learning.energy_likelihood import EnergyLikelihood
from gcd_hpc.learning.energy_network import LEVELS, EnergyCard, EnergyModel, energy_network

SHAPE = (8, 8, 24)
NUM_KNOWN = 8
CONFIG = EnergyModelConfig(network=NetworkConfig(width=4, num_levels=2, num_blocks=1, context=4))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = energy_network(CONFIG, 1).double()
    torch.nn.init.normal_(network.last.weight, std=0.2)
    card = EnergyCard(
        CONFIG, ("W",), 0.2, "", ("run",), 1, 0, tuple(1.0 + 0.1 * k for k in range(8))
    )
    return EnergyModel(network.eval(), card, AtomEnergies(atomic_network(CONFIG.atoms, 1)))


def term(model, limit=(0.5, 0.7), scale=0.2, strength=1.0):
    generator = torch.Generator().manual_seed(1)
    known = torch.rand(2, 1, *SHAPE, generator=generator).double() / scale
    mask = known_mask(SHAPE, NUM_KNOWN)
    limits = torch.tensor(limit).double()
    return EnergyLikelihood(model, limits, known, mask, NUM_KNOWN, scale, strength)


def noisy(one, noise):
    """x_t = alpha x_0 + sigma epsilon with x_0 from ``known``."""
    epsilon = torch.randn(one.known.shape, generator=torch.Generator().manual_seed(2)).double()
    return (one.known + noise * epsilon) / (1.0 + noise**2) ** 0.5


def test_it_is_the_normal_distribution_of_the_estimate_summed_up_to_the_limit(model):
    one = term(model)
    x, noise = noisy(one, 0.5), 0.5
    arrays = torch.where(one.mask, one.known, x)
    level = -torch.log(torch.full((2,), noise)).double()
    energy, spread = model(arrays, level, one.mask, NUM_KNOWN)
    expected = norm.logcdf(((one.limit_j_m2 - energy) / spread).detach().numpy())
    assert one.log_probability(x, noise).detach().numpy() == pytest.approx(expected)


def test_arrays_in_another_unit_with_the_same_noise_in_atoms_have_the_same_likelihood(model):
    first, second = term(model, scale=0.2), term(model, scale=0.05)
    epsilon = torch.randn(first.known.shape, generator=torch.Generator().manual_seed(2)).double()
    values = []
    for one, noise in ((first, 0.3), (second, 1.2)):  # 0.06 atoms both times
        x = (one.known + noise * epsilon) / (1.0 + noise**2) ** 0.5
        values.append(one.log_probability(x, noise))
    assert values[0].tolist() == pytest.approx(values[1].tolist(), rel=1e-9)


def test_the_noise_of_known_voxels_is_not_looked_at(model):
    one = term(model)
    x = noisy(one, 1.0)
    other = torch.where(one.mask, x + 1.0, x)
    assert torch.equal(one.log_probability(x, 1.0), one.log_probability(other, 1.0))


def test_it_is_constant_above_the_noise_that_the_model_has_learned(model):
    one = term(model)
    highest = 2.718281828 ** -LEVELS[0]
    assert not one.log_probability(noisy(one, 2 * highest), 2 * highest).any()


def test_far_below_the_limit_nothing_pulls_any_more(model):
    one = term(model, limit=(1e3, 1e3))
    x = noisy(one, 0.5).requires_grad_(True)
    (gradient,) = torch.autograd.grad(one.log_probability(x, 0.5).sum(), x)
    assert not gradient.any()


def test_a_guided_denoiser_moves_to_lower_energies_and_leaves_known_voxels(model):
    one = term(model, limit=(-2.0, -2.0), strength=1.0)
    x, t = noisy(one, 1.0), Schedule("cosine").time(torch.tensor(0.0))

    def denoise(x, t):
        return x / 2**0.5

    guided = guided_denoiser(denoise, Schedule("cosine"), [one], one.mask)(x, t)
    plain = denoise(x, t)
    assert torch.equal(guided.masked_select(one.mask), plain.masked_select(one.mask))
    moved = (guided - plain) * 1e-2
    assert (one.log_probability(x + moved, 1.0) > one.log_probability(x, 1.0)).all()
    # An item does not depend on the other.
    alone = replace(one, known=one.known[:1], limit_j_m2=one.limit_j_m2[:1])
    by_itself = guided_denoiser(denoise, Schedule("cosine"), [alone], one.mask)(x[:1], t)
    assert torch.allclose(by_itself, guided[:1], rtol=1e-12)
