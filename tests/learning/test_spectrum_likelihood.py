"""Likelihood of a target spectrum: a normal density with the calibrated covariance, the energy
shift integrated out, and the same pull on an atom in a cell of any size.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from gcd_hpc.diffusion.exploding import Exploding
from gcd_hpc.diffusion.guidance import guided_score
from gcd_hpc.errors import CheckpointError, StructureError
from gcd_hpc.learning.calibration import Calibration
from gcd_hpc.learning.property_network import (
    PropertyCard,
    PropertyConfig,
    PropertyModel,
    PropertyNetwork,
)
from gcd_hpc.learning.spectrum_likelihood import REFERENCE_ATOMS, SpectrumLikelihood
from gcd_hpc.learning.trainer import seeded

NUM_ATOMS, CHANNELS, NOISE = 30, 4, 0.2
LENGTHS = torch.full((3,), 5.0)
CONFIG = PropertyConfig("meshgraphnet", cutoff=1.6, width=16, num_layers=2, max_sigma=0.5)
CARD = PropertyCard("spectrum", "C", "C K", None, ("a",), ("b",))


def calibration():
    """Covariances of two noise levels in two components of four channels, plus a floor."""
    rng = np.random.default_rng(1)
    components = np.linalg.qr(rng.standard_normal((CHANNELS, 2)))[0]
    inner = np.array([[0.02, 0.005], [0.005, 0.01]])
    floor = np.full(CHANNELS, 0.003)
    parts = [np.stack([part, 2.0 * part]) for part in (inner, floor, 3.0 * inner, 3.0 * floor)]
    tensors = [torch.from_numpy(part) for part in (np.array([0.02, 0.5]), components, *parts)]
    return Calibration(*tensors)


@pytest.fixture(scope="module")
def model():
    """A network whose weights are random in all layers: a fresh one gives a constant."""
    network = seeded(lambda: PropertyNetwork(CONFIG, torch.ones(CHANNELS)), 3)
    stream = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.3 * torch.randn(weights.shape, generator=stream)
    return PropertyModel(network.eval(), CARD, calibration())


@pytest.fixture(scope="module")
def positions():
    stream = torch.Generator().manual_seed(2)
    return 5.0 * torch.rand(2, NUM_ATOMS, 3, generator=stream)


def target_of(model, positions, error):
    """One row (1, K): the prediction of the first structure plus an error."""
    with torch.no_grad():
        mean = model.mean(positions[:1], LENGTHS, torch.tensor([NOISE]))
    return mean + torch.tensor(error)


def pull(term, x):
    """Gradient of log p (B, N, 3)."""
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(term.log_probability(x, NOISE).sum(), x)[0]


def test_it_is_the_normal_density_of_the_calibrated_covariance(model, positions):
    target = target_of(model, positions, [0.1, -0.2, 0.05, 0.0])
    own = torch.diag(torch.tensor([0.01, 0.02, 0.03, 0.04]).double())
    term = SpectrumLikelihood(model, LENGTHS, target, own, covariance="full")
    with torch.no_grad():
        found = term.log_probability(positions, NOISE)
        means = model.mean(positions, LENGTHS, torch.full((2,), NOISE)).double().numpy()
    covariance = model.calibration.covariance(NOISE, NUM_ATOMS, own).numpy()
    density = multivariate_normal(cov=covariance)
    expected = density.logpdf(target.double().numpy() - means)
    # The constant of the density is left out.
    assert found.numpy() - expected == pytest.approx(np.full(2, CHANNELS / 2 * np.log(2 * np.pi)))


def test_the_isotropic_density_has_the_mean_variance_in_each_leading_component(model, positions):
    target = target_of(model, positions, [0.1, -0.2, 0.05, 0.0])
    term = SpectrumLikelihood(model, LENGTHS, target)
    with torch.no_grad():
        found = term.log_probability(positions, NOISE)
        means = model.mean(positions, LENGTHS, torch.full((2,), NOISE)).double().numpy()
    components = model.calibration.components.numpy()  # (K, 2)
    inner = components.T @ model.calibration.covariance(NOISE, NUM_ATOMS).numpy() @ components
    density = multivariate_normal(cov=np.trace(inner) / 2 * np.eye(2))
    expected = density.logpdf((target.double().numpy() - means) @ components) + np.log(2 * np.pi)
    assert found.numpy() == pytest.approx(expected)


def test_an_unknown_energy_shift_is_averaged_over(model, positions):
    rows = target_of(model, positions, np.eye(3, CHANNELS, dtype=np.float32).tolist())
    alone = [SpectrumLikelihood(model, LENGTHS, row[None]) for row in rows]
    with torch.no_grad():
        each = torch.stack([term.log_probability(positions, NOISE) for term in alone]).exp()
        together = SpectrumLikelihood(model, LENGTHS, rows).log_probability(positions, NOISE)
    torch.testing.assert_close(together.exp(), each.mean(dim=0))


def test_atoms_that_do_not_absorb_do_not_count(model, positions):
    target = target_of(model, positions, [0.1, 0.0, 0.0, 0.0])
    half = torch.arange(NUM_ATOMS) < NUM_ATOMS // 2
    term = SpectrumLikelihood(model, LENGTHS, target, absorbers=half, covariance="full")
    with torch.no_grad():
        found = term.log_probability(positions, NOISE)
        atoms = model.atoms(positions, LENGTHS, torch.full((2,), NOISE))
    errors = (target - atoms[:, half].mean(dim=1)).double().numpy()
    covariance = model.calibration.covariance(NOISE, NUM_ATOMS // 2).numpy()
    squares = [error @ np.linalg.solve(covariance, error) for error in errors]
    expected = -0.5 * np.array(squares) - 0.5 * np.linalg.slogdet(covariance)[1]
    assert found.numpy() == pytest.approx(expected, rel=1e-5)


def assert_alike(found, expected):
    """Equal to float32's rounding, relative to the root mean square."""
    size = expected.square().mean().sqrt()
    assert size > 1e-6
    assert (found - expected).abs().max() < 2e-4 * size


def repeated(x):
    """The cell twice along each axis, (B, 8 N, 3)."""
    shifts = 5.0 * torch.cartesian_prod(*[torch.arange(2.0)] * 3)
    return (x[:, None] + shifts[:, None]).flatten(1, 2)


def test_an_extensive_term_pulls_an_atom_alike_in_a_cell_of_any_size(model, positions):
    target = target_of(model, positions, [0.1, -0.1, 0.05, 0.0])
    small = SpectrumLikelihood(model, LENGTHS, target, extensive=True)
    large = replace(small, lengths=2.0 * LENGTHS)
    expected = pull(small, positions).repeat(1, 8, 1)
    assert_alike(pull(large, repeated(positions)), expected)


def test_without_it_the_pull_falls_with_the_number_of_atoms(model, positions):
    target = target_of(model, positions, [0.1, -0.1, 0.05, 0.0])
    # The part of the covariance that averages out would hide the plain factor.
    common = replace(model.calibration, environment=torch.zeros(2, 2, 2).double())
    common = replace(common, environment_floor=torch.zeros(2, CHANNELS).double())
    alone = replace(model, calibration=common)
    small = SpectrumLikelihood(alone, LENGTHS, target)
    large = replace(small, lengths=2.0 * LENGTHS)
    expected = pull(small, positions).repeat(1, 8, 1) / 8
    assert_alike(pull(large, repeated(positions)), expected)


def test_it_is_unchanged_by_being_extensive_at_the_reference_size(model):
    stream = torch.Generator().manual_seed(5)
    cell = 9.0 * torch.rand(1, REFERENCE_ATOMS, 3, generator=stream)
    target = torch.ones(1, CHANNELS)
    term = SpectrumLikelihood(model, torch.full((3,), 9.0), target)
    with torch.no_grad():
        assert torch.equal(
            term.log_probability(cell, NOISE),
            replace(term, extensive=True).log_probability(cell, NOISE),
        )


def test_following_its_gradient_makes_the_target_more_probable(model, positions):
    target = target_of(model, positions, [1.0, -1.0, 0.5, 0.0])
    term = SpectrumLikelihood(model, LENGTHS, target)
    process = Exploding(max_sigma=1.0)
    guided = guided_score(lambda x, _: torch.zeros_like(x), process, [term])
    t = torch.full((2,), NOISE)
    direction = guided(positions, t)
    step = positions + 0.01 * direction / direction.square().mean().sqrt()
    with torch.no_grad():
        before, after = (term.log_probability(x, NOISE) for x in (positions, step))
    assert (after > before).all()


def test_networks_without_calibration_or_noise_and_other_channels_are_refused(model):
    target = torch.ones(1, CHANNELS)
    with pytest.raises(CheckpointError, match="covariance of its error was not measured"):
        SpectrumLikelihood(replace(model, calibration=None), LENGTHS, target)
    clean = seeded(lambda: PropertyNetwork(replace(CONFIG, max_sigma=0.0), torch.ones(CHANNELS)), 3)
    with pytest.raises(CheckpointError, match="trained on clean positions alone"):
        SpectrumLikelihood(replace(model, network=clean), LENGTHS, target)
    with pytest.raises(StructureError, match=r"expected \(shifts, 4\) .* got \(1, 5\)"):
        SpectrumLikelihood(model, LENGTHS, torch.ones(1, 5))
