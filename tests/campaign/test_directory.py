import os

import pytest

from gcd_hpc.campaign import directory
from gcd_hpc.campaign.directory import open_run_directory, settle_config
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.conftest import make_config


def test_the_resolved_config_is_kept_in_the_run_directory(tmp_path):
    settle_config(tmp_path, make_config(seed=3))
    assert load_campaign(RunDirectory(tmp_path).config) == make_config(seed=3)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 1}, "seed = 0, got 1"),
        (
            {"sampling": {"num_candidates": 6, "chunk_size": 2}},
            r"sampling.num_candidates = 4, got 6",
        ),
        ({"voxels": {"shape": (12, 12, 80)}}, r"voxels.shape = \[12, 12, 72\], got \[12, 12, 80\]"),
    ],
)
def test_a_changed_key_is_refused_by_name(tmp_path, changes, key):
    settle_config(tmp_path, make_config())
    with pytest.raises(RunDirectoryError, match=key):
        settle_config(tmp_path, make_config(**changes))
    assert load_campaign(RunDirectory(tmp_path).config) == make_config()


def test_the_budget_may_grow(tmp_path):
    settle_config(tmp_path, make_config())
    settle_config(tmp_path, make_config(budget={"rounds": 5}))
    assert load_campaign(RunDirectory(tmp_path).config).budget.rounds == 5


def test_a_damaged_config_is_an_error_that_names_the_file(tmp_path):
    RunDirectory(tmp_path).config.write_text("name: [")
    with pytest.raises(RunDirectoryError, match=r"campaign\.yaml"):
        settle_config(tmp_path, make_config())


def test_a_file_in_place_of_the_run_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunDirectoryError, match="expected a folder to write to"):
        open_run_directory(tmp_path / "run")


def test_a_read_only_run_directory_is_refused(tmp_path, monkeypatch):
    # root may write anywhere, so that the answer of the system is put in its mouth
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RunDirectoryError, match="read-only"):
        open_run_directory(tmp_path / "run")


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "MIN_FREE_BYTES", 2**62)
    with pytest.raises(RunDirectoryError, match="free disk space, got"):
        open_run_directory(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
