"""Damaged and hostile model files and training states: the sound content or one sentence."""

import hashlib
import io
import json
from itertools import product
from pathlib import Path

import torch

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.learning.conditions import ConditionScale, Units
from gcd_hpc.learning.model_file import ModelCard, load_model, save_model
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.learning.trainer import seeded
from gcd_hpc.networks.checkpoint import load, load_state, load_weights, save, save_state
from gcd_hpc.voxels.channels import Channels
from tests.fuzz.harness import drawn, few_and_all, few_and_many, mutations, outcome, write

NETWORK = NetworkConfig(width=4, num_blocks=1, num_levels=1)
CARD = ModelCard(1, Units(0.1, ConditionScale(2.5, 0.3)), 0.4, 2, NETWORK.model_dump(), ("W",))
KEYS = (
    *("version", "scale", "condition_scale", "num_parts", "network", "elements"),
    *("relative_std", "boundaries", "seed", "num_steps", "started_from"),
)
MISSING = object()
NASTY = (None, "a", [], {}, [1], -1, 0, "1e999", True, 10**400, "\x1b[31m", {"mean_j_m2": {}})


def network() -> torch.nn.Module:
    return seeded(lambda: boundary_network(NETWORK, Channels.of(["W"])), 0)


def model_content(path: Path) -> str:
    """A digest of what a model file gives, put into a network."""
    torch.set_num_threads(1)  # the threads of the parent are not there after a fork
    weights, card = load_model(path)
    target = network()
    load_weights(target, weights, path)
    return digest(target.state_dict(), card.version, card.units.scale, card.validation_loss)


def state_content(path: Path) -> str:
    torch.set_num_threads(1)
    state = load_state(path)
    return digest(state["network"], state["step"])


def digest(weights: dict[str, torch.Tensor], *numbers: float) -> str:
    found = hashlib.sha256(repr(numbers).encode())
    for name in sorted(weights):
        found.update(name.encode() + weights[name].numpy().tobytes())
    return found.hexdigest()


def sound_model(folder: Path) -> Path:
    path = folder / "sound.safetensors"
    save_model(path, network().state_dict(), CARD)
    return path


@few_and_many(250)
def test_a_damaged_model_file_is_refused_or_as_it_was(tmp_path, num):
    path = sound_model(tmp_path)
    expected = model_content(path)
    for index, content in enumerate(mutations(path.read_bytes(), num, 1, is_text=False)):
        damaged = write(tmp_path, "model.safetensors", content)
        found = outcome(lambda damaged=damaged: model_content(damaged), f"model file {index}")
        assert found.kind == "refused" or found.value == expected, index


@few_and_many(250)
def test_a_damaged_training_state_is_refused_or_as_it_was(tmp_path, num):
    path = tmp_path / "sound.pt"
    save_state(path, {"step": 7, "network": network().state_dict()})
    expected = state_content(path)
    for index, content in enumerate(mutations(path.read_bytes(), num, 2, is_text=False)):
        damaged = write(tmp_path, "state.pt", content)
        found = outcome(lambda damaged=damaged: state_content(damaged), f"state {index}")
        assert found.kind == "refused" or found.value == expected, index


@few_and_all()
def test_a_hostile_card_with_the_right_hash_is_refused_or_read_as_it_is(tmp_path, num):
    weights, metadata = load(sound_model(tmp_path))
    metadata.pop("sha256")
    path = tmp_path / "model.safetensors"
    for key, value in drawn(product(KEYS, (*NASTY, MISSING)), num, 3):
        changed = {name: old for name, old in metadata.items() if name != key}
        save(path, weights, changed if value is MISSING else changed | {key: value})
        outcome(lambda: model_content(path), (key, value))


def test_a_training_state_of_another_kind_with_the_right_hash_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    for value in ([1], "text", 3, {"step": 1, "code": json.loads}):
        buffer = io.BytesIO()
        torch.save(value, buffer)
        content = buffer.getvalue()
        path.write_bytes(content + hashlib.sha256(content).digest())
        found = outcome(lambda: str(load_state(path)), value)
        assert found.kind == "refused", value
