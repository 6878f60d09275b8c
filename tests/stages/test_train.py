"""Training is the same on any number of processes, and the same whether it was interrupted or not."""

import pytest
import torch

from gcd_hpc.networks.checkpoint import load, save_state
from gcd_hpc.stages import train as training
from gcd_hpc.stages.layout import model_dir, model_file
from tests.stages.conftest import train_with

pytestmark = pytest.mark.lammps


def weights_of(run_dir, version=1):
    return load(model_file(run_dir, version))[0]


def train_here(run_dir, version=1):
    training.train(run_dir, version, training.Process(0, 1, torch.device("cpu")))


def test_two_processes_follow_one_to_float_tolerance(run_copy):
    one, two = run_copy("one"), run_copy("two")
    train_with(1, one)
    train_with(2, two)
    expected, found = weights_of(one), weights_of(two)
    # The gradients of the two halves are summed in another order; AdamW turns the last bit of a near-zero gradient into a step.
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-4, msg=name)


def test_interrupted_training_ends_with_the_same_weights_bit_for_bit(run_copy, monkeypatch):
    whole, broken = run_copy("whole"), run_copy("broken")
    train_here(whole)

    class Interrupted(Exception):
        pass

    def save_and_die(path, state):
        save_state(path, state)
        if state["step"] == 4:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_state", save_and_die)
        with pytest.raises(Interrupted):
            train_here(broken)
    assert (model_dir(broken, 1) / "state.pt").exists()
    assert not model_file(broken, 1).exists()
    train_here(broken)
    for name, tensor in weights_of(whole).items():
        assert torch.equal(weights_of(broken)[name], tensor), name


def test_the_second_model_starts_from_the_first(run_copy):
    run_dir = run_copy("run", "training.retrain_steps=1", "training.learning_rate=1e-9", "training.min_learning_rate=1e-9")
    train_here(run_dir)
    model_dir(run_dir, 2).mkdir()
    (model_dir(run_dir, 2) / "training.h5").write_bytes((model_dir(run_dir, 1) / "training.h5").read_bytes())
    train_here(run_dir, 2)
    first, second = weights_of(run_dir, 1), weights_of(run_dir, 2)
    assert all(torch.allclose(second[name], first[name], atol=1e-6) for name in first)


def test_learning_lowers_the_loss(run_copy):
    run_dir = run_copy("run", "training.num_steps=60", "training.checkpoint_every=60", "training.learning_rate=5e-3", "network.width=16")
    losses = []
    step = training.Training.advance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "advance", lambda self: losses.append(step(self)) or losses[-1])
        train_here(run_dir)
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])


def test_the_cosine_rate_warms_up_and_ends_at_the_lowest():
    rates = [training.cosine_rate(step, 1000, 6e-4, 1e-5) for step in range(1001)]
    assert rates[0] < 6e-4 / 40
    assert max(rates) == pytest.approx(6e-4, rel=0.02)
    assert rates[-1] == pytest.approx(1e-5)
    assert rates[60:] == sorted(rates[60:], reverse=True)
