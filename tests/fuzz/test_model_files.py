"""Damaged and hostile files of energy models, property networks and particle models, and of models
that a campaign starts from: the sound content or one sentence.
"""

from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import torch

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.learning import AtomicConfig, EnergyModelConfig, NetworkConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.starting import check_energy_model, starting_model
from gcd_hpc.learning.atom_energies import AtomEnergies, atomic_network
from gcd_hpc.learning.calibration import Calibration
from gcd_hpc.learning.energy_network import EnergyCard, EnergyModel, energy_network
from gcd_hpc.learning.particles import ParticleConfig, _network, load_particles
from gcd_hpc.learning.property_network import (
    PropertyCard,
    PropertyConfig,
    PropertyNetwork,
    load_property,
    save_property,
)
from gcd_hpc.learning.trainer import seeded
from gcd_hpc.networks.checkpoint import load, save
from tests.fuzz.harness import drawn, few_and_all, few_and_many, mutations, outcome, write
from tests.fuzz.test_checkpoints import NASTY, digest, sound_model

SMOKE = Path(__file__).parents[2] / "campaigns/smoke.yaml"
MODEL = "model.safetensors"
ENERGY = EnergyModelConfig(
    network=NetworkConfig(width=4, num_levels=1, num_blocks=1), atoms=AtomicConfig(width=4)
)
PROPERTY = PropertyConfig("meshgraphnet", cutoff=1.6, width=8, num_layers=1, max_sigma=0.5)


def energy_file(path: Path) -> None:
    card = EnergyCard(ENERGY, ("W",), 0.1, "ab" * 32, ("a run",), 20, 3)
    network = seeded(lambda: energy_network(ENERGY, 1), 0)
    atoms = seeded(lambda: atomic_network(ENERGY.atoms, 1), 1)
    EnergyModel(network, card, AtomEnergies(atoms)).save(path)


def energy_content(path: Path) -> str:
    model = EnergyModel.load(path)
    weights = model.network.state_dict() | {
        f"atoms {name}": one for name, one in model.atoms.network.state_dict().items()
    }
    return digest(weights, model.card.scale, *model.card.spread)


def property_file(path: Path) -> None:
    network = seeded(lambda: PropertyNetwork(PROPERTY, torch.ones(3)), 0)
    eye = torch.eye(3, dtype=torch.float64)
    sigmas = torch.tensor([0.02, 0.5], dtype=torch.float64)
    matrices = [torch.stack([eye, eye]) for _ in range(2)]
    floors = [torch.ones(2, 3, dtype=torch.float64) for _ in range(2)]
    calibration = Calibration(sigmas, eye, matrices[0], floors[0], matrices[1], floors[1])
    card = PropertyCard("spectrum", "C", "K", (280.0, 281.0, 282.0), ("a", "b"), ("c",))
    save_property(path, network, card, calibration)


def property_content(path: Path) -> str:
    model = load_property(path)
    tensors = {} if model.calibration is None else model.calibration.tensors()
    return digest({**model.network.state_dict(), **tensors}, *(model.card.energies_ev or ()))


def particle_file(path: Path) -> None:
    config = ParticleConfig(1.6, 0.5, width=8, num_layers=1, num_steps=10, batch_size=2)
    save(path, seeded(lambda: _network(config), 0).state_dict(), {"particle": asdict(config)})


def particle_content(path: Path) -> str:
    model = load_particles(path)
    return digest(model.network.state_dict(), model.config.cutoff)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], str]]] = {
    "energy": (energy_file, energy_content),
    "property": (property_file, property_content),
    "particle": (particle_file, particle_content),
}


def made(kind: str, folder: Path) -> tuple[Path, Callable[[Path], str]]:
    """A sound file of a kind, and what reads one on one thread: others end with a fork."""
    write_file, read = KINDS[kind]
    write_file(folder / "sound.safetensors")

    def content(path: Path) -> str:
        torch.set_num_threads(1)
        return read(path)

    return folder / "sound.safetensors", content


@pytest.mark.parametrize("kind", KINDS)
@few_and_many(250)
def test_a_damaged_model_file_is_refused_or_as_it_was(kind, num, tmp_path):
    path, content = made(kind, tmp_path)
    expected = content(path)
    for index, changed in enumerate(mutations(path.read_bytes(), num, 41, is_text=False)):
        damaged = write(tmp_path, MODEL, changed)
        found = outcome(lambda damaged=damaged: content(damaged), f"{kind} {index}")
        assert found.kind == "refused" or found.value == expected, index


def places(card: dict, depth: int = 3) -> list[tuple[str, ...]]:
    """Paths of all keys of a card, at most so deep."""
    found = []
    for key, value in card.items():
        found.append((key,))
        if isinstance(value, dict) and depth > 1:
            found += [(key, *more) for more in places(value, depth - 1)]
    return found


def replaced(card: dict, path: tuple[str, ...], value: object) -> dict:
    first, *rest = path
    return card | {first: replaced(card[first], tuple(rest), value) if rest else value}


@pytest.mark.parametrize("kind", KINDS)
@few_and_all()
def test_a_hostile_card_with_the_right_hash_is_refused_or_read_as_it_is(kind, num, tmp_path):
    path, content = made(kind, tmp_path)
    weights, card = load(path)
    card.pop("sha256")
    changed = tmp_path / MODEL
    for place, value in drawn(product(places(card), NASTY), num, 43):
        save(changed, weights, replaced(card, place, value))
        outcome(lambda: content(changed), (kind, place, value))


def started_from(folder: Path) -> list[str]:
    """What ``check`` says of the models that a campaign names."""
    config = load_campaign(SMOKE).model_copy(update={"model": MODEL})
    found = starting_model(config, folder, "smoke.yaml")
    assert found is not None
    return [found.line()]


def ranked_by(folder: Path) -> None:
    config: CampaignConfig = load_campaign(SMOKE).model_copy(update={"energy_model": MODEL})
    check_energy_model(config, folder, "smoke.yaml")


@pytest.mark.parametrize("kind", ["starting", "energy"])
@few_and_many(250)
def test_a_damaged_model_that_a_campaign_names_is_checked_or_refused(kind, num, tmp_path):
    """Only its header is read. The campaign reads the rest, and its hash, when it starts."""
    path = sound_model(tmp_path) if kind == "starting" else made("energy", tmp_path)[0]
    read = started_from if kind == "starting" else ranked_by
    for index, changed in enumerate(mutations(path.read_bytes(), num, 42, is_text=False)):
        write(tmp_path, MODEL, changed)
        outcome(lambda: read(tmp_path), f"{kind} {index}")


@pytest.mark.parametrize("kind", ["starting", "energy"])
@few_and_all()
def test_a_hostile_card_of_a_model_that_a_campaign_names_is_checked_or_refused(kind, num, tmp_path):
    path = sound_model(tmp_path) if kind == "starting" else made("energy", tmp_path)[0]
    read = started_from if kind == "starting" else ranked_by
    weights, card = load(path)
    for place, value in drawn(product(places(card), NASTY), num, 44):
        save(tmp_path / MODEL, weights, replaced(card, place, value))
        outcome(lambda: read(tmp_path), (kind, place, value))
