"""Model files and training states: whole, or refused in one sentence."""

import hashlib
import io
import os

import pytest
import safetensors.torch
import torch

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.config.starting import CARD_KEY
from gcd_hpc.errors import CheckpointError, RunDirectoryError
from gcd_hpc.networks import checkpoint
from gcd_hpc.networks.unet import UNet

WEIGHTS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b.c": torch.tensor([1.5], dtype=torch.bfloat16),
    "n": torch.tensor(3),
}
METADATA = {"version": 1, "scale": 0.097, "network": {"width": 32}}


class Gadget:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (print, ("this must never run",))


def flip_byte(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_weights_and_metadata_come_back_with_their_hash(tmp_path):
    digest = checkpoint.save(tmp_path / "model.safetensors", WEIGHTS, METADATA)
    weights, metadata = checkpoint.load(tmp_path / "model.safetensors")
    assert metadata == {**METADATA, "sha256": digest}
    assert weights.keys() == WEIGHTS.keys()
    assert all(
        torch.equal(weights[name], WEIGHTS[name]) and weights[name].dtype == WEIGHTS[name].dtype
        for name in WEIGHTS
    )


def test_the_hash_belongs_to_the_content_not_to_the_file(tmp_path):
    first = checkpoint.save(tmp_path / "one", WEIGHTS, METADATA)
    assert checkpoint.save(tmp_path / "two", dict(reversed(WEIGHTS.items())), METADATA) == first
    assert (
        checkpoint.save(tmp_path / "three", {**WEIGHTS, "a": WEIGHTS["a"] + 1}, METADATA) != first
    )
    assert checkpoint.save(tmp_path / "four", WEIGHTS, {**METADATA, "version": 2}) != first


@pytest.mark.parametrize("position", [3, 40, -1])
def test_a_flipped_bit_in_a_model_file_is_noticed(tmp_path, position):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, WEIGHTS, METADATA)
    flip_byte(path, position)
    with pytest.raises(CheckpointError, match=r"model.safetensors"):
        checkpoint.load(path)


def test_a_model_file_that_is_cut_short_or_empty_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, WEIGHTS, METADATA)
    data = path.read_bytes()
    for length in (0, 5, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"model.safetensors: damaged"):
            checkpoint.load(path)


def test_a_missing_model_file_and_one_of_another_program_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such model file"):
        checkpoint.load(tmp_path / "none")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="gcd-hpc did not write this safetensors file"):
        checkpoint.load(tmp_path / "other")


def test_weights_of_another_network_are_refused(tmp_path):
    weights = UNet(NetworkConfig(width=4), 2).state_dict()
    with pytest.raises(CheckpointError, match="made for another network"):
        checkpoint.load_weights(UNet(NetworkConfig(width=8), 2), weights, "model.safetensors")
    with pytest.raises(CheckpointError, match="made for another network"):
        checkpoint.load_weights(UNet(NetworkConfig(width=4), 0), weights, "model.safetensors")


def test_a_training_state_comes_back(tmp_path):
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {
        "step": 7,
        "optimizer": optimizer.state_dict(),
        "losses": [1.0, 0.5],
        "generator": torch.get_rng_state(),
    }
    checkpoint.save_state(tmp_path / "state.pt", state)
    loaded = checkpoint.load_state(tmp_path / "state.pt")
    assert loaded["step"] == 7 and loaded["losses"] == [1.0, 0.5]
    torch.testing.assert_close(loaded["optimizer"]["state"], state["optimizer"]["state"])
    torch.optim.AdamW(module.parameters()).load_state_dict(loaded["optimizer"])


def test_a_damaged_or_missing_training_state_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    with pytest.raises(CheckpointError, match=r"state.pt: cannot read"):
        checkpoint.load_state(path)
    checkpoint.save_state(path, {"step": 1, "weights": torch.randn(100)})
    whole = path.read_bytes()
    for damaged in (b"", whole[:10], whole[:-1], whole[:200] + b"?" + whole[201:]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"state.pt: damaged"):
            checkpoint.load_state(path)


def test_a_training_state_never_runs_code(tmp_path, capsys):
    path = tmp_path / "state.pt"
    buffer = io.BytesIO()
    torch.save({"gadget": Gadget()}, buffer)
    path.write_bytes(buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())
    with pytest.raises(CheckpointError, match="more than tensors and numbers"):
        checkpoint.load_state(path)
    assert not capsys.readouterr().out


def test_a_write_that_is_cut_short_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    digest = checkpoint.save(path, WEIGHTS, METADATA)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunDirectoryError, match=r"cannot write .*model.safetensors: no space left on device"
    ):
        checkpoint.save(path, WEIGHTS, {"version": 2})
    assert checkpoint.load(path)[1]["sha256"] == digest
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "none").touch()
    with pytest.raises(RunDirectoryError, match=r"cannot write .*none/state\.pt: "):
        checkpoint.save_state(tmp_path / "none" / "state.pt", {})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_model_whose_weights_are_not_finite_is_refused(tmp_path, number):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, {"weight": torch.tensor([1.0, number])}, METADATA)
    with pytest.raises(CheckpointError, match="a weight is NaN or infinite"):
        checkpoint.load(path)


@pytest.mark.parametrize("text", ['"a"', "[1, 2]", "3", "[" * 3000 + "]" * 3000, "{" * 3000])
def test_metadata_of_another_kind_is_one_sentence(tmp_path, text):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(WEIGHTS, path, {CARD_KEY: text})
    with pytest.raises(CheckpointError, match=r"model.safetensors"):
        checkpoint.load(path)
