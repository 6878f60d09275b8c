"""The energy network is a sum of contributions of voxels, periodic in the plane and extensive."""

import pytest
import torch

from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.networks.energy import LEAST_STD, EnergyNetwork
from gcd_hpc.networks.layers import fold

LEVEL = torch.tensor([1.0])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = EnergyNetwork(NetworkConfig(width=4, num_levels=2, num_blocks=1), in_channels=2)
    # Its last layers begin at zero.
    for layer in (made.last, made.own_variance):
        torch.nn.init.normal_(layer.weight)
    return made.double()


def arrays(shape):
    return torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(1)).double()


def middle(shape):
    counted = torch.zeros(shape, dtype=torch.bool)
    counted[..., 4:12] = True
    return counted


@pytest.mark.parametrize("shape", [(8, 4, 16), (6, 5, 16)])
def test_a_cell_of_2_x_2_copies_has_four_times_the_sum_and_so_the_same_energy(network, shape):
    x, counted = arrays(shape), middle(shape)
    energy, log_variance, _ = network(x, LEVEL.double(), counted)
    larger, of_larger, _ = network(x.repeat(1, 1, 2, 2, 1), LEVEL.double(), counted.repeat(2, 2, 1))
    assert larger.item() == pytest.approx(energy.item(), rel=1e-12)
    # Independent contributions: four times the area has a quarter of their variance.
    own = torch.nn.functional.softplus(
        network.own_variance(torch.nn.functional.silu(network.noise_embedding(LEVEL)).double())
    ).item()
    own += LEAST_STD**2
    assert of_larger.exp().item() - own == pytest.approx((log_variance.exp().item() - own) / 4)


def test_the_energy_of_two_different_cells_side_by_side_is_the_mean_but_for_the_seams(network):
    first, second = arrays((48, 4, 16)), -arrays((48, 4, 16))
    one, other = (network(x, LEVEL.double(), middle((48, 4, 16)))[2] for x in (first, second))
    both = network(torch.cat([first, second], 2), LEVEL.double(), middle((96, 4, 16)))[2]
    # Four contributions from the seams and farther, each is that of its own cell.
    assert torch.allclose(both[:, 4:8], one[:, 4:8], rtol=1e-12)
    assert torch.allclose(both[:, 16:20], other[:, 4:8], rtol=1e-12)
    assert not torch.allclose(both[:, :4], one[:, :4], rtol=1e-3)


def test_rolling_by_whole_patches_along_periodic_axes_changes_nothing(network):
    x, counted = arrays((8, 8, 16)), middle((8, 8, 16))
    energy, log_variance, _ = network(x, LEVEL.double(), counted)
    rolled, of_rolled, _ = network(x.roll((4, 8), (2, 3)), LEVEL.double(), counted)
    assert rolled.item() == pytest.approx(energy.item(), rel=1e-12)
    assert of_rolled.item() == pytest.approx(log_variance.item(), rel=1e-12)


def test_voxels_that_do_not_count_contribute_nothing(network):
    x = arrays((8, 8, 16))
    energy, _, parts = network(x, LEVEL.double(), torch.zeros(8, 8, 16, dtype=torch.bool))
    assert energy.item() == 0.0
    assert not parts.any()


@pytest.mark.parametrize("shape", [(8, 4, 16), (6, 5, 16)])
def test_a_known_field_of_energies_is_pooled_to_contributions_of_the_same_sum(network, shape):
    field = arrays(shape)[:, :1]
    parts = network.pooled(field)
    energy = parts.sum() / (parts.shape[1] * parts.shape[2])
    assert energy.item() == pytest.approx(field.sum().item(), rel=1e-12)
    _, _, own = network(arrays(shape), LEVEL.double(), middle(shape))
    assert own.shape == parts.shape


def test_the_affine_maps_begin_as_the_normalisation_of_a_batch_and_the_mean_as_its_energy():
    torch.manual_seed(0)
    made = EnergyNetwork(NetworkConfig(width=4, num_levels=1, num_blocks=1), in_channels=2).double()
    x = 7.0 + 3.0 * torch.randn(4, 2, 8, 8, 16).double()
    energies = torch.tensor([2.0, 3.0, 2.5, 2.5]).double()
    made.measure(x, torch.ones(4).double(), middle((8, 8, 16)), energies)
    first = made.first(fold(x, made.patch))
    scaled = made.blocks[0][0].norm1(first)
    # A thousandth is added to the deviation, so that a constant channel stays finite.
    assert scaled.std(dim=(0, 2, 3, 4)).detach().numpy() == pytest.approx(1.0, abs=1e-2)
    assert scaled.mean(dim=(0, 2, 3, 4)).detach().numpy() == pytest.approx(0.0, abs=1e-9)
    mean, _, _ = made(x, torch.ones(4).double(), middle((8, 8, 16)))
    assert mean.detach().numpy() == pytest.approx(2.5)
