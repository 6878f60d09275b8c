"""Which model a round samples with."""

import json

import pytest

from gcd_hpc.errors import CheckpointError
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.run_directory import RunDirectory


def judge(run_dir, version, content):
    path = RunDirectory(run_dir).promotion(version)
    path.parent.mkdir(parents=True)
    path.write_text(content)


def test_the_first_model_is_in_use_without_a_verdict(tmp_path):
    assert model_in_use(RunDirectory(tmp_path), 1) == 1


def test_a_round_uses_the_model_that_its_verdict_names(tmp_path):
    judge(tmp_path, 2, json.dumps({"model": 2, "promoted": True}))
    judge(tmp_path, 3, json.dumps({"model": 2, "promoted": False}))
    assert [model_in_use(RunDirectory(tmp_path), version) for version in (1, 2, 3)] == [1, 2, 2]


def test_a_later_model_without_a_verdict_is_not_used(tmp_path):
    with pytest.raises(
        CheckpointError,
        match=r"02/promotion\.json: there is no verdict on model 2",
    ):
        model_in_use(RunDirectory(tmp_path), 2)


@pytest.mark.parametrize("content", ["", '{"model": 2', "{}", "[]", '{"model": null}'])
def test_a_verdict_that_cannot_be_read_is_named(tmp_path, content):
    judge(tmp_path, 2, content)
    with pytest.raises(CheckpointError, match=r"promotion\.json"):
        model_in_use(RunDirectory(tmp_path), 2)
