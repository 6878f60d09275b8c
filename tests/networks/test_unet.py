"""The U-Net's symmetries and inputs.

Its last convolution starts at zero, so tests give it weights first.
"""

import pytest
import torch

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.networks.layers import PeriodicConv3d, film_norm, fold, unfold, wrap
from gcd_hpc.networks.unet import UNet

torch.set_num_threads(1)
CONFIGS = [
    NetworkConfig(width=8, num_levels=2, num_blocks=2, patch=2),
    NetworkConfig(width=8, num_levels=3, num_blocks=1, patch=1),
    NetworkConfig(width=4, num_levels=1, num_blocks=1, patch=1),
]


def make(config, num_conditions=2, **options):
    torch.manual_seed(0)
    network = UNet(config, num_conditions, **options)
    torch.nn.init.normal_(network.last.conv.weight, std=0.1)
    return network.eval()


@pytest.fixture(params=CONFIGS, ids=lambda config: f"levels{config.num_levels}-patch{config.patch}")
def config(request):
    return request.param


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 3, 8, 12, 16, generator=generator),
        torch.tensor([1.5, -2.0]),
        torch.randn(2, 2, generator=generator),
    )


# Sums of a few hundred float32 products of order one in another order: 1e-5 is a hundred roundings.
CLOSE = {"rtol": 0.0, "atol": 1e-5}


@pytest.mark.parametrize("axis", [2, 3])
def test_rolling_the_input_in_the_plane_rolls_the_output(config, axis, inputs):
    network, (x, *others) = make(config), inputs
    stride = config.patch * 2 ** (config.num_levels - 1)
    with torch.no_grad():
        torch.testing.assert_close(
            network(x.roll(stride, axis), *others), network(x, *others).roll(stride, axis), **CLOSE
        )


@pytest.mark.parametrize(("shape", "shift"), [((6, 12), 2), ((3, 4), 1), ((5, 6), 1)])
def test_numbers_that_the_levels_cannot_divide_are_repeated_and_averaged(shape, shift):
    network, generator = make(CONFIGS[0]), torch.Generator().manual_seed(2)
    assert network.multiple == 4
    x = torch.randn(2, 3, *shape, 16, generator=generator)
    others = torch.tensor([1.5, -2.0]), torch.randn(2, 2, generator=generator)
    with torch.no_grad():
        made = network(x, *others)
        assert made.shape == (2, 1, *shape, 16)
        # The same array, repeated by hand four times along both axes, is divisible.
        whole = network(x.repeat(1, 1, 4, 4, 1), *others)
        x_size, y_size = shape
        parts = whole.reshape(2, 1, 4, x_size, 4, y_size, 16).mean(dim=(2, 4))
        torch.testing.assert_close(made, parts, **CLOSE)
        # Rolling by what a number and the multiple share rolls the output.
        rolled = network(x.roll(shift, 2), *others)
        torch.testing.assert_close(rolled, made.roll(shift, 2), **CLOSE)


def test_the_open_axis_is_not_periodic(config, inputs):
    network, (x, *others) = make(config), inputs
    stride = config.patch * 2 ** (config.num_levels - 1)
    with torch.no_grad():
        difference = network(x.roll(stride, 4), *others) - network(x, *others).roll(stride, 4)
    assert difference.abs().max() > 1e-2


def test_a_crystal_is_periodic_along_all_axes(inputs):
    network, (x, *others) = make(CONFIGS[0], periodic=(True, True, True)), inputs
    with torch.no_grad():
        torch.testing.assert_close(
            network(x.roll(4, 4), *others), network(x, *others).roll(4, 4), **CLOSE
        )


def test_every_wide_convolution_pads_by_periodicity(config):
    network = make(config)
    wide = {
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv3d) and module.kernel_size == (3, 3, 3)
    }
    padded = {
        f"{name}.conv"
        for name, module in network.named_modules()
        if isinstance(module, PeriodicConv3d)
    }
    assert wide == padded
    assert all(
        module.conv.padding == (0, 0, 1)
        for module in network.modules()
        if isinstance(module, PeriodicConv3d)
    )


def test_beyond_the_open_ends_a_convolution_sees_zeros():
    conv = PeriodicConv3d(1, 1, (True, True, False))
    x = torch.randn(1, 1, 4, 4, 6)
    padded = torch.nn.functional.pad(x, (3, 3, 0, 0, 0, 0))
    with torch.no_grad():
        torch.testing.assert_close(conv(padded)[..., 3:-3], conv(x), **CLOSE)


@pytest.mark.parametrize(
    "periodic", [(True, True, False), (True, True, True), (False, True, False)]
)
def test_wrapping_is_circular_padding_and_has_its_gradient(periodic):
    x = torch.randn(2, 3, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    expected = x
    for axis, flag in enumerate(periodic, start=2):
        if flag:
            expected = expected.index_select(
                axis, torch.arange(-1, x.shape[axis] + 1) % x.shape[axis]
            )
    wrapped, weights = wrap(x, periodic), torch.randn_like(expected)
    assert torch.equal(wrapped, expected)
    torch.testing.assert_close(
        torch.autograd.grad(wrapped, x, weights)[0], torch.autograd.grad(expected, x, weights)[0]
    )


def test_film_norm_is_a_group_norm_scaled_and_shifted_for_each_item():
    norm = torch.nn.GroupNorm(2, 6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, (scale, shift) = torch.randn(3, 6, 4, 4, 5), torch.randn(2, 3, 6)
    expected = norm(x) * (1 + scale[:, :, None, None, None]) + shift[:, :, None, None, None]
    torch.testing.assert_close(film_norm(x, norm, scale, shift), expected, **CLOSE)


def test_unfolding_inverts_folding_and_folding_keeps_blocks_together():
    x = torch.arange(2 * 3 * 4 * 6 * 8).reshape(2, 3, 4, 6, 8)
    folded = fold(x, 2)
    assert folded.shape == (2, 24, 2, 3, 4)
    assert torch.equal(unfold(folded, 2), x)
    assert set(folded[0, :8, 1, 2, 3].tolist()) == set(x[0, 0, 2:4, 4:6, 6:8].flatten().tolist())


def test_an_untrained_network_predicts_zero(inputs):
    assert not UNet(CONFIGS[0], 2)(*inputs).any()


def test_the_noise_level_changes_the_output(config, inputs):
    x, log_snr, condition = inputs
    network = make(config)
    assert not torch.allclose(
        network(x, log_snr, condition), network(x, log_snr + 0.5, condition), atol=1e-4
    )


def test_hiding_the_condition_is_the_same_as_giving_none(inputs):
    x, log_snr, condition = inputs
    network = make(CONFIGS[0])
    hidden = network(x, log_snr, condition, torch.tensor([False, True]))
    torch.testing.assert_close(hidden[0], network(x, log_snr)[0], **CLOSE)
    torch.testing.assert_close(hidden[1], network(x, log_snr, condition)[1], **CLOSE)
    assert not torch.allclose(hidden[0], network(x, log_snr, condition)[0], atol=1e-4)


def test_a_hidden_condition_may_be_nan(inputs):
    x, log_snr, _ = inputs
    network = make(CONFIGS[0])
    network(
        x, log_snr, torch.full((2, 2), float("nan")), torch.tensor([False, False])
    ).square().sum().backward()
    assert all(
        parameter.grad.isfinite().all()
        for parameter in network.parameters()
        if parameter.grad is not None
    )


def test_every_parameter_is_trained_whether_conditions_are_shown_or_hidden(inputs):
    """DistributedDataParallel waits for ever for a parameter without a gradient."""
    for shown in ([True, True], [False, False]):
        network = make(CONFIGS[0])
        network(*inputs, torch.tensor(shown)).square().sum().backward()
        assert not [
            name for name, parameter in network.named_parameters() if parameter.grad is None
        ]


def test_items_of_a_batch_do_not_see_one_another(config, inputs):
    x, log_snr, condition = inputs
    network = make(config)
    torch.testing.assert_close(
        network(x, log_snr, condition)[1:], network(x[1:], log_snr[1:], condition[1:]), **CLOSE
    )


def test_bfloat16_autocast_agrees_with_float32_to_its_precision(inputs):
    network = make(CONFIGS[0])
    with torch.no_grad():
        expected = network(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            got = network(*inputs)
    assert (
        got - expected
    ).abs().max() < 0.05 * expected.abs().max()  # 2^-8 a rounding, a dozen roundings in a row
