"""Hashes of a run's inputs."""

import hashlib
import json
from pathlib import Path

import pytest

from gcd_hpc.campaign.inputs import inputs_of, settle_inputs
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import Bulk, BulkRecord
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.conftest import make_config

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
EXPLORE = "section explore of the campaign file"


def test_a_key_that_came_later_does_not_keep_earlier_runs_from_being_resumed(tmp_path):
    plain = make_config().explore.model_dump(mode="json")
    del plain["patience"]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert inputs_of(tmp_path, make_config(), "", tmp_path)[EXPLORE] == expected
    patient = make_config(explore={"patience": 2})
    assert inputs_of(tmp_path, patient, "", tmp_path)[EXPLORE] != expected


def test_a_run_is_not_resumed_on_another_grid_than_the_one_for_which_auto_stood(
    tmp_path, monkeypatch
):
    config = load_campaign(CAMPAIGNS / "cu_sigma7_twist.yaml")
    BulkRecord("", "Cu", "fcc", None, Bulk(3.615, -3.54, 5.50679)).write(
        RunDirectory(tmp_path).bulk
    )
    before = inputs_of(tmp_path, config, "", tmp_path)
    settle_inputs(tmp_path, before)
    assert inputs_of(tmp_path, config, "", tmp_path) == before
    # As if another version had another rule.
    monkeypatch.setattr("gcd_hpc.engines.layout.VOXEL_WIDTH", 0.25)
    with pytest.raises(RunDirectoryError, match="because the voxel grid for which auto stands is"):
        settle_inputs(tmp_path, inputs_of(tmp_path, config, "", tmp_path))


@pytest.mark.parametrize(
    ("section", "value"), [("guidance", [{"property": "n_fraction"}]), ("ranking", {"tries": 7})]
)
def test_a_run_that_is_older_than_a_section_is_resumed_without_it_only(tmp_path, section, value):
    old = inputs_of(tmp_path, make_config(), "", tmp_path)
    del old[f"section {section} of the campaign file"]
    RunDirectory(tmp_path).inputs.write_text(json.dumps(old))
    (tmp_path / "energy.safetensors").touch()
    wanted = make_config(**{section: value}, energy_model="energy.safetensors")
    with pytest.raises(RunDirectoryError, match=f"because the section {section} of the campaign"):
        settle_inputs(tmp_path, inputs_of(tmp_path, wanted, "", tmp_path))
    settle_inputs(tmp_path, inputs_of(tmp_path, make_config(), "", tmp_path))
