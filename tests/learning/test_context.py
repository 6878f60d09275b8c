"""The network is shown some of the known layers only, and nothing else changes."""

import pytest
import torch

from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.shipped import shipped
from gcd_hpc.learning.context import num_computed, num_computed_of, seen_layers, shown
from gcd_hpc.networks.unet import UNet
from gcd_hpc.voxels.grid import Grid

SMALL = NetworkConfig(width=8, num_blocks=1)


def campaign(context):
    given = "null" if context is None else str(context)
    return load_campaign(shipped("campaigns/smoke.yaml"), [f"network.context={given}"])


@pytest.mark.parametrize(
    ("context", "expected"), [(None, (0, 80)), (8, (16, 64)), (5, (20, 60)), (40, (0, 80))]
)
def test_layers_beside_the_generated_ones_are_shown_in_whole_multiples(context, expected):
    config = campaign(context)
    assert seen_layers(80, 26, config) == slice(*expected)


def test_voxels_that_are_repeated_or_not_shown_are_counted_as_they_are_computed():
    grid = Grid.build((3, 10, 80), (3.0, 10.0))
    # 3 are repeated four times and 10 twice; 48 of 80 layers are shown.
    assert num_computed_of(grid, 26, campaign(None)) == 12 * 20 * 80
    assert num_computed_of(grid, 26, campaign(8)) == 12 * 20 * 48
    assert num_computed((12, 12, 60), campaign(None)) == 12 * 12 * 60


def test_repaint_shows_the_network_all_layers():
    diffusion = {"diffusion": campaign(8).diffusion.model_copy(update={"inpainting": "repaint"})}
    assert seen_layers(80, 26, campaign(8).model_copy(update=diffusion)) == slice(0, 80)


def test_a_network_predicts_only_from_the_layers_that_it_is_shown():
    torch.manual_seed(0)
    network = UNet(SMALL, 0)
    torch.nn.init.normal_(network.last.conv.weight)  # it begins as zero
    arrays = torch.randn(1, 3, 8, 8, 32)
    log_snr = torch.zeros(1)
    layers = slice(8, 24)
    predicted = shown(network, layers)(arrays, log_snr)
    alone = network(arrays[..., layers], log_snr)
    assert torch.equal(predicted[..., layers], alone)
    assert not predicted[..., :8].any() and not predicted[..., 24:].any()


def test_a_network_that_is_shown_all_layers_is_the_network():
    torch.manual_seed(0)
    network = UNet(SMALL, 0)
    torch.nn.init.normal_(network.last.conv.weight)
    arrays = torch.randn(1, 3, 8, 8, 16)
    log_snr = torch.zeros(1)
    assert torch.equal(shown(network, slice(0, 16))(arrays, log_snr), network(arrays, log_snr))
