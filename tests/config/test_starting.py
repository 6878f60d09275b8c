"""The model that a campaign starts from: found, compared with the campaign, or refused."""

import json

import numpy as np
import pytest
import safetensors.numpy
import yaml

from gcd_hpc.config import starting
from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.config.starting import CARD_KEY, check_energy_model, starting_model, with_model
from gcd_hpc.errors import ConfigError

NETWORK = {"width": 8, "num_levels": 2, "num_blocks": 1, "patch": 2}
CARD = {"network": NETWORK, "elements": ["W"]}


@pytest.fixture
def model(folder):
    """Writes a file with the header of a model; nothing here looks at its weights."""

    def write(**changes: object) -> str:
        text = json.dumps({**CARD, **changes})
        safetensors.numpy.save_file(
            {"weight": np.zeros(1, np.float32)}, folder / "m.safetensors", {CARD_KEY: text}
        )
        return "m.safetensors"

    return write


@pytest.fixture
def refusal(folder, load, minimal):
    """What is said about the minimal campaign with a model and other keys."""

    def message_of(**changes: object) -> str:
        config = load(yaml.safe_dump({**yaml.safe_load(minimal), "model": "m.safetensors"}))
        sections = {
            key: getattr(config, key).model_validate(value) if isinstance(value, dict) else value
            for key, value in changes.items()
        }
        with pytest.raises(ConfigError) as caught:
            with_model(config.model_copy(update=sections), folder, "c.yaml")
        return str(caught.value).replace(f"{folder}/", "")

    return message_of


def test_the_network_of_the_model_takes_the_place_of_the_default_one(model, load, minimal, folder):
    model()
    config = with_model(load(minimal + "model: m.safetensors\n"), folder, "c.yaml")
    assert config.network == NetworkConfig(**NETWORK)
    # A copy of the campaign that was written out names this network, and is the same campaign.
    assert with_model(config, folder, "c.yaml") == config


def test_a_campaign_without_a_model_stays_as_it_is(load, minimal, folder):
    config = load(minimal)
    assert with_model(config, folder, "c.yaml") is config


def test_a_missing_model_is_refused_with_the_key(refusal):
    assert refusal() == (
        "c.yaml: model: there is no file m.safetensors; name a model file that a campaign has"
        " trained, or builtin"
    )


def test_an_installation_without_a_built_in_model_says_so(refusal, monkeypatch, folder):
    monkeypatch.setattr(starting, "BUILTIN_FILE", folder / "nothing")
    assert refusal(model="builtin") == (
        "c.yaml: model: builtin cannot be used, because this installation of gcd-hpc holds no"
        " model; name a model file or leave the key out"
    )


@pytest.mark.parametrize("content", [b"", b"name: smoke\n", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_model_is_refused(refusal, folder, content):
    (folder / "m.safetensors").write_bytes(content)
    text = refusal()
    assert text.startswith("c.yaml: model: m.safetensors is not a model of gcd-hpc (")
    assert len(text.splitlines()) == 1


def test_the_model_of_other_elements_is_refused(refusal, model):
    model(elements=["Ni", "Al"])
    assert refusal() == (
        "c.yaml: model: m.safetensors is a model of elements Ni, Al, but this boundary is of W;"
        " name a model of the same elements"
    )


def test_a_model_of_one_channel_of_any_element_fits_any_single_element(
    model, load, minimal, folder
):
    model(elements=[])
    config = load(minimal + "model: m.safetensors\n")
    assert starting_model(config, folder, "c.yaml").elements == ()


def test_another_network_is_refused_with_its_key(refusal, model):
    model()
    assert refusal(network={"width": 16}) == (
        "c.yaml: network.width: must be 8 as in the model m.safetensors, got 16; leave the section"
        " out"
    )


def test_voxels_that_the_models_network_cannot_divide_are_refused(refusal, model):
    model(network={**NETWORK, "num_levels": 4})
    assert refusal() == (
        "c.yaml: voxels.shape: must be a multiple of 16 along z for the network of the model"
        " m.safetensors, got [12, 12, 72]; auto is always one"
    )


def test_another_noise_process_is_refused_where_the_card_states_it(refusal, model):
    model(diffusion={"schedule": "linear", "prediction": "v"})
    assert refusal() == (
        "c.yaml: diffusion.schedule: must be linear as in the training of m.safetensors, got cosine"
    )


def test_a_check_says_from_what_a_model_was_trained(model, load, minimal, folder):
    names = [f"cu_{index}" for index in range(6)]
    model(elements=[], boundaries=[{"name": name, "num_structures": 300} for name in names])
    found = starting_model(load(minimal + "model: m.safetensors\n"), folder, "c.yaml")
    assert found.line().replace(f"{folder}/", "") == (
        "model: m.safetensors, network of width 8 and 2 levels for any element, trained on 1,800"
        " structures of cu_0, cu_1, cu_2, cu_3 and 2 more"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"search": {"num_tries": 0}}, "search.num_tries: must be greater than 0 without a model"),
        (
            {"model": "m", "search": {"num_tries": 0}, "sampling": {"num_candidates": 0}},
            "sampling.num_candidates: must be greater than 0 where search.num_tries is 0",
        ),
        (
            {"model": "m", "decoder": {"kind": "learned"}},
            "decoder.kind: must be moment in a campaign with a model",
        ),
    ],
)
def test_a_campaign_that_could_not_begin_is_refused(message, minimal, changes, expected):
    text = message(yaml.safe_dump({**yaml.safe_load(minimal), **changes}))
    assert text.startswith(f"c.yaml: {expected}")


def test_a_campaign_may_start_from_a_model_alone(load, minimal):
    data = {**yaml.safe_load(minimal), "model": "m", "search": {"num_tries": 0}}
    assert load(yaml.safe_dump(data)).search.num_tries == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            None,
            "there is no file m.safetensors; name a model file that gcd-hpc model energy has"
            " written",
        ),
        (
            {},
            "m.safetensors is no energy model; name a file that gcd-hpc model energy has written",
        ),
        (
            {"kind": "energy", "elements": ["Ni", "Al"]},
            "m.safetensors is an energy model of Ni, Al, but this boundary is of W; train one on"
            " runs of these elements",
        ),
        ({"kind": "energy"}, None),
    ],
)
def test_an_energy_model_is_one_of_the_elements_of_the_campaign(
    model, load, minimal, folder, changes, sentence
):
    if changes is not None:
        model(**changes)
    config = load(minimal + "energy_model: m.safetensors\n")
    if sentence is None:
        check_energy_model(config, folder, "c.yaml")
        return
    with pytest.raises(ConfigError) as caught:
        check_energy_model(config, folder, "c.yaml")
    assert str(caught.value).replace(f"{folder}/", "") == f"c.yaml: energy_model: {sentence}"
