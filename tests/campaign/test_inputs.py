"""Hashes of a run's inputs."""

import hashlib
import json

from gcd_hpc.campaign.inputs import inputs_of
from tests.campaign.conftest import make_config

EXPLORE = "section explore of the campaign file"


def test_a_key_that_came_later_does_not_keep_earlier_runs_from_being_resumed(tmp_path):
    plain = make_config().explore.model_dump(mode="json")
    del plain["patience"]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert inputs_of(tmp_path, make_config(), "", tmp_path)[EXPLORE] == expected
    patient = make_config(explore={"patience": 2})
    assert inputs_of(tmp_path, patient, "", tmp_path)[EXPLORE] != expected
