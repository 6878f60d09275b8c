"""The one training loop, on networks of one line."""

import math

import pytest
import torch
from torch import nn

from gcd_hpc.errors import TrainingError
from gcd_hpc.learning.trainer import Trainer, seeded, set_rate

X = torch.linspace(-1.0, 1.0, 8)[:, None]


def trainer(parts=1, break_at=None, **options) -> Trainer:
    """Learns y = 3 x; ``break_at`` puts a NaN into the data of that step."""
    network = seeded(lambda: nn.Linear(1, 1), 0)

    def losses(step):
        y = 3 * X + (math.nan if step == break_at else 0.0)

        def loss(rows):
            return (network(X[rows]) - y[rows]).square().mean()

        size = 8 // parts
        return [lambda n=n: loss(slice(n * size, (n + 1) * size)) for n in range(parts)]

    optimizer = torch.optim.AdamW(network.parameters(), 0.1, weight_decay=0.0)
    return Trainer(network, optimizer, losses, **options)


def weight_of(state: Trainer) -> float:
    return float(state.network.weight.detach())


def test_a_line_is_learned():
    state = trainer()
    losses = list(state.steps(200))
    assert len(losses) == 200
    assert losses[-1] < 1e-3 < losses[0]
    assert weight_of(state) == pytest.approx(3.0, abs=0.05)


def test_a_step_that_is_not_finite_changes_no_weight():
    state, undisturbed = trainer(break_at=5), trainer()
    with pytest.raises(TrainingError, match="step 6 of the training gave a loss of nan"):
        list(state.steps(10))
    list(undisturbed.steps(5))
    assert state.step == 5
    assert weight_of(state) == weight_of(undisturbed)
    assert all(torch.isfinite(tensor).all() for tensor in state.average.weights.values())


def test_an_infinite_gradient_of_a_finite_loss_changes_no_weight():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    state = Trainer(network, optimizer, lambda _: [lambda: network(torch.ones(1)).sqrt().sum()])
    with pytest.raises(TrainingError, match="loss of 0 and a gradient of norm inf"):
        state.advance()
    assert weight_of(state) == 0.0


def test_parts_of_a_batch_have_the_gradient_of_the_whole():
    whole, halves = trainer(), trainer(parts=2)
    one, two = list(whole.steps(20)), list(halves.steps(20))
    # Sums of eight numbers in another order.
    assert two == pytest.approx(one, rel=1e-5)
    assert weight_of(halves) == pytest.approx(weight_of(whole), rel=1e-5)


def test_steps_go_on_from_a_saved_state():
    whole, first, second = trainer(ema_decay=0.9), trainer(ema_decay=0.9), trainer(ema_decay=0.9)
    list(whole.steps(10))
    list(first.steps(4))
    second.restore(first.state())
    list(second.steps(10))
    assert second.step == 10
    assert weight_of(second) == weight_of(whole)
    assert torch.equal(second.average.weights["weight"], whole.average.weights["weight"])
    assert torch.equal(second.averaged(X), whole.averaged(X))


def test_the_rate_is_set_before_each_step_and_long_gradients_are_cut():
    state = trainer(
        before_step=lambda step: set_rate(state.optimizer, 0.0 if step == 0 else 0.1),
        max_gradient_norm=1e-3,
    )
    before = weight_of(state)
    state.advance()
    assert weight_of(state) == before
    state.advance()
    assert weight_of(state) != before
    norm = torch.cat([p.grad.reshape(-1) for p in state.network.parameters()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_initial_weights_follow_from_their_seed_and_leave_torchs_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = seeded(lambda: nn.Linear(2, 2), 7), seeded(lambda: nn.Linear(2, 2), 7)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.rand(3), expected)
