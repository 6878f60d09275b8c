"""The model that comes with the package: its card says what it has learned from."""

from gcd_hpc.config.loader import load_campaign_or_set
from gcd_hpc.config.shipped import shipped, shipped_folder
from gcd_hpc.config.starting import BUILTIN_FILE
from gcd_hpc.learning.model_file import load_model

MAX_BYTES = 8_000_000
"""Size up to which a model may come with the package."""


def test_the_built_in_model_has_learned_from_the_boundaries_of_its_campaign_files_alone():
    _, card = load_model(BUILTIN_FILE)
    files = sorted((shipped_folder() / "campaigns/builtin").glob("*.yaml"))
    listed = {
        f"builtin_{file.stem}/{name}"
        for file in files
        for name in load_campaign_or_set(file).members()
    }
    tilts = load_campaign_or_set(shipped("campaigns/cu_001_tilts.yaml")).members()
    listed |= {f"cu_001_tilts/{name}" for name in tilts}
    assert {one.name for one in card.boundaries} == listed
    # Boundaries of the transfer experiment are held out.
    assert "builtin_w/s5_001_twist" not in listed
    held_out = {one.name for one in card.boundaries if one.is_held_out}
    assert held_out == {f"cu_001_tilts/{name}" for name in ("s5_310", "s13_320", "s17_410")}


def test_the_built_in_model_is_small_serves_any_element_and_has_the_network_of_its_campaigns():
    _, card = load_model(BUILTIN_FILE)
    assert BUILTIN_FILE.stat().st_size <= MAX_BYTES
    assert card.elements == ()
    file = shipped("campaigns/builtin/w.yaml")
    (config, *_) = load_campaign_or_set(file).members().values()
    assert card.network == config.network.model_dump()
    assert card.num_steps == config.training.num_steps
