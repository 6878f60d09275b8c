"""The average of the weights in closed form."""

import pytest
import torch

from gcd_hpc.networks.ema import EMA


def train(average, module, values):
    for value in values:
        torch.nn.init.constant_(module.weight, value)
        average.update(module)


@pytest.fixture
def module():
    return torch.nn.Linear(1, 1, bias=False)


def test_the_average_of_constant_weights_approaches_them_geometrically(module):
    torch.nn.init.constant_(module.weight, 0.0)
    average = EMA(
        module, decay=0.05
    )  # below (1 + 0) / (10 + 0): the decay itself from the first update on
    train(average, module, [1.0] * 5)
    assert average.weights["weight"].item() == pytest.approx(1.0 - 0.05**5)


def test_the_first_updates_forget_faster_than_the_decay(module):
    torch.nn.init.constant_(module.weight, 0.0)
    average = EMA(module, decay=0.995)
    train(average, module, [1.0, 1.0])
    assert average.weights["weight"].item() == pytest.approx(1.0 - 1 / 10 * 2 / 11)


def test_an_average_goes_on_from_its_saved_state(module):
    torch.nn.init.constant_(module.weight, 0.0)
    straight, first, second = (EMA(module, 0.9) for _ in range(3))
    train(straight, module, [1.0, 2.0, 3.0, 4.0])
    train(first, module, [1.0, 2.0])
    second.load_state_dict(first.state_dict())
    train(second, module, [3.0, 4.0])
    assert torch.equal(second.weights["weight"], straight.weights["weight"])


def test_updating_leaves_the_module_alone(module):
    torch.nn.init.constant_(module.weight, 0.0)
    average = EMA(module, 0.9)
    train(average, module, [2.0])
    assert module.weight.item() == 2.0
