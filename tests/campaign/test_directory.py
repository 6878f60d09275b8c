import os

import pytest

from gcd_hpc.campaign import directory
from gcd_hpc.campaign.directory import (
    check_config,
    has_results,
    opened_run_directory,
    write_config,
)
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.conftest import make_config


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


def open_and_close(run: RunDirectory) -> None:
    with opened_run_directory(run):
        pass


def test_the_resolved_config_is_kept_in_the_run_directory(run):
    write_config(run, make_config(seed=3))
    assert load_campaign(run.config) == make_config(seed=3)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 1}, "seed = 1, because it was started with 0"),
        (
            {"sampling": {"num_candidates": 6, "chunk_size": 2}},
            r"sampling.num_candidates = 6, because it was started with 4",
        ),
        (
            {"voxels": {"shape": (12, 12, 80)}},
            r"voxels.shape = \[12, 12, 80\], because .* \[12, 12, 72\]",
        ),
    ],
)
def test_a_changed_key_is_refused_by_name(run, changes, key):
    write_config(run, make_config())
    with pytest.raises(RunDirectoryError, match=key):
        check_config(run, make_config(**changes))


def test_the_budget_may_grow(run):
    write_config(run, make_config())
    check_config(run, make_config(budget={"rounds": 5}))
    write_config(run, make_config(budget={"rounds": 5}))
    assert load_campaign(run.config).budget.rounds == 5


def test_a_damaged_config_is_an_error_that_names_the_file(run):
    run.path.mkdir()
    run.config.write_text("name: [")
    with pytest.raises(RunDirectoryError, match=run.config.name):
        check_config(run, make_config())


def test_a_config_edited_together_with_the_option_is_refused(run):
    """The candidates on disk say what they were made with."""
    from gcd_hpc.store.parts import write_part

    write_part(run.search_part(0), [], campaign_provenance(make_config(seed=1)))
    write_config(run, make_config(seed=2))
    with pytest.raises(RunDirectoryError, match=r"were made with 1"):
        check_config(run, make_config(seed=2))


def test_only_what_was_computed_binds_a_run_to_its_config(run):
    run.path.mkdir()
    for name in ("campaign.yaml", "bulk.json", "events.jsonl", "tasks/a.begun", "logs/search.log"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("")
    assert not has_results(run)
    run.search_part(0).parent.mkdir(parents=True)
    run.search_part(0).write_text("")
    assert has_results(run)


def test_a_file_in_place_of_the_run_directory_is_refused(run):
    run.path.write_text("")
    with pytest.raises(RunDirectoryError, match=r"cannot make the run directory .*: file exists"):
        open_and_close(run)


def test_a_read_only_run_directory_is_refused(run, monkeypatch):
    # root may write anywhere, so that the answer of the system is put in its mouth
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RunDirectoryError, match="read-only"):
        open_and_close(run)


def test_a_full_disk_is_refused_before_anything_is_written(run, monkeypatch):
    monkeypatch.setattr(directory, "MIN_FREE_BYTES", 2**62)
    with pytest.raises(RunDirectoryError, match="MiB of disk space are free"):
        open_and_close(run)


def test_a_new_folder_goes_away_with_a_campaign_that_cannot_start(run):
    def fail() -> None:
        with opened_run_directory(run):
            run.ledger.touch()
            raise RunDirectoryError("the potential is not there")

    with pytest.raises(RunDirectoryError, match="not there"):
        fail()
    assert not run.path.exists()


def test_files_of_others_stay_whatever_they_are_called(run):
    """Names like those of temporary files, outside and inside the folders of a run."""
    foreign = [
        ".thesis.tmp",
        "notes/.draft.tmp.txt",
        ".x.tmpl",
        "parts/.mine.tmp",
        "parts/.y.tmp.h5",
    ]
    for name in foreign:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("mine")
    (run.path / "parts" / ".folder.0123456789ab.tmp").mkdir()
    ours = run.path / "parts" / "search" / ".part-00009.0123456789ab.tmp.h5"
    ours.parent.mkdir()
    ours.write_text("half")
    run.remove_leftovers()
    assert not ours.exists()
    assert all((run.path / name).read_text() == "mine" for name in foreign)
    assert (run.path / "parts" / ".folder.0123456789ab.tmp").is_dir()


def test_a_folder_with_other_files_may_hold_a_run(run):
    run.path.mkdir()
    (run.path / "slurm-17.out").write_text("mine")
    open_and_close(run)
    assert (run.path / "slurm-17.out").read_text() == "mine"


@pytest.mark.parametrize("name", ["campaign.yaml", "results.h5", "parts", "models", "tasks"])
def test_a_folder_with_files_of_a_runs_names_that_is_no_run_is_refused(run, name):
    run.path.mkdir()
    (run.path / name).mkdir()
    with pytest.raises(RunDirectoryError, match=rf"holds {name} but no events\.jsonl"):
        open_and_close(run)
    run.ledger.touch()
    open_and_close(run)
