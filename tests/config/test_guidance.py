"""The list guidance of a campaign file: kinds of entries by their property."""

import pytest

from gcd_hpc.config.guidance import CountGuidance, ImageGuidance, asked_n_index
from gcd_hpc.config.loader import dump, parse_campaign
from gcd_hpc.errors import ConfigError
from tests.config.conftest import MINIMAL

IMAGE = "{file: a.png, axis: x, pixel_a: 0.2, blur_a: 0.8, noise: 0.1}"


def test_entries_are_of_the_kind_that_their_property_says(load):
    config = load(
        MINIMAL, f"guidance=[{{property: n_fraction}}, {{property: image, target: {IMAGE}}}]"
    )
    count, image = config.guidance
    assert isinstance(count, CountGuidance)
    assert isinstance(image, ImageGuidance)
    assert (count.target, image.target.axis) == ("asked", "x")
    assert parse_campaign(dump(config), "copy") == config


@pytest.mark.parametrize(
    ("guidance", "expected"),
    [
        (
            "[{property: n_fractoin}]",
            "guidance[0].property: must be one of n_fraction, image, gb_energy, got 'n_fractoin';"
            " did you mean n_fraction?",
        ),
        ("[{strength: 2}]", "guidance[0].property: is required but missing"),
        (
            "[{property: n_fraction, strenght: 2}]",
            "guidance[0].strenght: unknown key, did you mean strength?",
        ),
        ("{property: n_fraction}", "guidance: must be a list, got"),
        ("[n_fraction]", "guidance[0]: must be a section of keys, got 'n_fraction'"),
        (
            "[{property: n_fraction, target: 1.5}]",
            "guidance[0].target: must be 'asked' or less than 1, got 1.5",
        ),
        (
            "[{property: image, target: {file: a.png, axis: z, pixel_a: 0.2, blur_a: 1}}]",
            "guidance[0].target.axis: must be 'x' or 'y', got 'z'",
        ),
        (
            "[{property: image, target: {axis: x, pixel_a: 0.2, blur_a: 1}}]",
            "guidance[0].target.file: is required but missing",
        ),
        (
            "[{property: image, target: {file: a.png, axis: x, pixel_a: -1, blur_a: 1}}]",
            "guidance[0].target.pixel_a: must be at least 0.001, got -1",
        ),
    ],
)
def test_a_wrong_entry_is_refused_with_its_key(message, guidance, expected):
    assert expected in message(MINIMAL, f"guidance={guidance}")


def test_samples_of_repaint_cannot_restart(message):
    guidance = f"guidance=[{{property: image, restarts: 2, target: {IMAGE}}}]"
    text = message(MINIMAL, guidance, "diffusion.inpainting=repaint")
    assert "guidance[0].restarts: must be 0 with diffusion.inpainting: repaint" in text
    assert "got 2" in text


def test_a_number_takes_the_place_of_the_fraction_that_a_candidate_is_asked_for(load):
    asked, fixed = (
        load(MINIMAL, f"guidance=[{{property: n_fraction, target: {target}}}]").guidance
        for target in ("asked", "0.4")
    )
    assert asked_n_index(asked, 7, 10) == 7
    assert asked_n_index(fixed, 7, 10) == 4


def test_energies_are_only_asked_for_or_ranked_by_with_an_energy_model(load):
    for use, what in (
        ("guidance=[{property: gb_energy}]", "guidance by gb_energy"),
        ("ranking.tries=2", "ranking.tries or ranking.moves greater than 1"),
        ("ranking.moves=2", "ranking.tries or ranking.moves greater than 1"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(MINIMAL, use)
        assert f"energy_model: is required for {what}, but missing; train one" in str(caught.value)
        load(MINIMAL, use, "energy_model=e.safetensors")
