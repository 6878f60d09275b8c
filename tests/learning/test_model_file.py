"""The card of a model, and the elements that it is used for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.errors import CheckpointError
from gcd_hpc.learning.conditions import ConditionScale, Units
from gcd_hpc.learning.model_file import (
    LearnedBoundary,
    ModelCard,
    check_elements,
    load_model,
    save_model,
)
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.learning.painter import Painter
from gcd_hpc.learning.sampler import Model
from gcd_hpc.networks.checkpoint import load, save
from gcd_hpc.voxels.channels import Channels

NETWORK = NetworkConfig(width=4, num_blocks=1, num_levels=1)
NICKEL, ALUMINIDE = Channels.of(["Ni"]), Channels.of(["Ni", "Al"])


def saved(folder, channels):
    """File of an untrained model for these channels."""
    card = ModelCard(
        1, Units(0.1, ConditionScale(2.5, 0.3)), 0.4, 2, NETWORK.model_dump(), channels.symbols
    )
    path = folder / "model.safetensors"
    save_model(path, boundary_network(NETWORK, channels).state_dict(), card)
    return path


@pytest.mark.parametrize("channels", [NICKEL, ALUMINIDE])
def test_a_model_file_states_the_elements_of_its_channels(tmp_path, channels):
    _, card = load_model(saved(tmp_path, channels))
    assert card.elements == channels.symbols
    check_elements(tmp_path, card, channels)


@pytest.mark.parametrize(
    ("learned", "wanted", "message"),
    [
        (NICKEL, Channels.of(["Cu"]), "cannot be used for Cu, .* are those of Ni"),
        (NICKEL, ALUMINIDE, "cannot be used for Al, Ni, .* are those of Ni"),
        (ALUMINIDE, Channels.of(["Ni", "Cu"]), "cannot be used for Ni, Cu, .* those of Al, Ni"),
    ],
)
def test_a_model_of_other_elements_is_refused_by_their_names(tmp_path, learned, wanted, message):
    path = saved(tmp_path, learned)
    _, card = load_model(path)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: {message}"):
        check_elements(path, card, wanted)


def test_a_file_from_before_there_were_channels_is_of_any_one_element(tmp_path):
    weights, metadata = load(saved(tmp_path, NICKEL))
    path = tmp_path / "old.safetensors"
    save(path, weights, {k: v for k, v in metadata.items() if k not in ("elements", "sha256")})
    _, card = load_model(path)
    check_elements(path, card, NICKEL)
    with pytest.raises(CheckpointError, match="are that of one element"):
        check_elements(path, card, ALUMINIDE)


def test_a_card_of_a_file_from_before_there_were_several_boundaries_has_its_units(tmp_path):
    weights, metadata = load(saved(tmp_path, NICKEL))
    new = ("relative_std", "boundaries", "seed", "num_steps", "started_from", "sha256")
    path = tmp_path / "old.safetensors"
    save(path, weights, {key: value for key, value in metadata.items() if key not in new})
    _, card = load_model(path)
    assert card.units == Units(0.1, ConditionScale(2.5, 0.3))
    assert (card.boundaries, card.seed, card.num_steps, card.hold_out) == ((), None, None, {})


def test_a_card_of_several_boundaries_comes_back_as_it_was_written(tmp_path):
    learned = LearnedBoundary("cu_s5", "Sigma 5 twist", ("Cu",), "fcc", 40, "ab" * 32, 0.25)
    card = ModelCard(
        1, Units(0.1, None, 0.2), 0.3, 2, NETWORK.model_dump(), (), (learned, learned), 7, 100, "cd"
    )
    path = tmp_path / "several.safetensors"
    save_model(path, boundary_network(NETWORK, NICKEL).state_dict(), card)
    found = load_model(path)[1]
    assert found == replace(card, sha256=found.sha256)
    for channels in (NICKEL, Channels.of(["Cu"])):
        check_elements(path, found, channels)


@pytest.mark.parametrize("units", [(None, None), (ConditionScale(1.0, 0.1), 0.2)])
def test_energies_are_told_in_one_way_only(units):
    with pytest.raises(ValueError, match="relative to each boundary's own energy"):
        Units(0.1, *units)


def test_a_model_file_states_the_noise_process_of_its_training(tmp_path):
    card = replace(load_model(saved(tmp_path, NICKEL))[1], diffusion={"schedule": "linear"})
    save_model(tmp_path / "other", boundary_network(NETWORK, NICKEL).state_dict(), card)
    assert load_model(tmp_path / "other")[1].diffusion == {"schedule": "linear"}
    assert load_model(saved(tmp_path, NICKEL))[1].diffusion == {}


def test_moves_of_a_model_of_several_boundaries_count_energies_from_the_lowest_known_by_now():
    network = boundary_network(NETWORK, NICKEL)
    card = ModelCard(0, Units(0.1, None, 0.1), 0.4, 2, NETWORK.model_dump())
    model, cpu = Model(network, card), torch.device("cpu")
    painter = Painter(None, model, card.units.conditions({0.2: 2.9}), None, cpu)
    later = painter.knowing({0.2: 2.3, 0.8: 3.2})
    # Before, 2.2 J/m^2 was more than two units below anything; now it is half a unit below.
    assert painter.conditions(2.2, 0.2)[0] == pytest.approx(-0.7 / 0.29)
    assert later.conditions(2.2, 0.2)[0] == pytest.approx(-0.1 / 0.23)
    assert np.isfinite(painter.knowing({}).conditions(float("nan"), 0.0)).all()
