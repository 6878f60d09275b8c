"""Files of the model that the boundaries of a set share."""

import os
from pathlib import Path

import pytest

from gcd_hpc.errors import CheckpointError
from gcd_hpc.stages.shared import hand_over, learned_runs, restore_sources, settle_sources
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.sets import make_set
from tests.store.synthetic import make_candidate

TRAIN = Task("train", 1)


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """Set whose first two boundaries have training sets, with a checkpoint of an earlier one."""
    run = RunDirectory(make_set(tmp_path))
    for name in ("s5_310", "s5_210"):
        write_part(run.member(name).training_set(1), [make_candidate(1)], {})
    run.training_state(1).parent.mkdir(parents=True)
    run.training_state(1).touch()
    return run


def names(run: RunDirectory) -> list[str]:
    return [one.path.name for one in learned_runs(run, 1)]


def test_a_training_goes_on_only_with_the_training_sets_that_it_began_with(run):
    settle_sources(run, 1, ["s5_210", "s5_310"])
    assert names(run) == ["s5_210", "s5_310"]
    assert not run.training_state(1).exists()
    run.training_state(1).touch()
    settle_sources(run, 1, ["s5_210", "s5_310"])
    assert run.training_state(1).exists()
    write_part(run.member("s5_210").training_set(1), [make_candidate(2)], {})
    settle_sources(run, 1, ["s5_210", "s5_310"])
    assert not run.training_state(1).exists()


def test_a_boundary_more_begins_the_training_anew(run):
    settle_sources(run, 1, ["s5_310"])
    run.training_state(1).touch()
    settle_sources(run, 1, ["s5_210", "s5_310"])
    assert (names(run), run.training_state(1).exists()) == (["s5_210", "s5_310"], False)


def test_a_campaign_learns_from_its_own_training_set(tmp_path):
    assert learned_runs(RunDirectory(tmp_path), 1) == [RunDirectory(tmp_path)]


@pytest.mark.parametrize("text", [None, "[1]", "{"])
def test_a_damaged_list_of_boundaries_is_refused_with_its_cure(run, text):
    if text is not None:
        run.sources(1).write_text(text)
    with pytest.raises(CheckpointError, match=r"sources.json: the list .* writes it again"):
        learned_runs(run, 1)
    restore_sources(run, 1)
    assert names(run) == ["s5_210", "s5_310"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_member_holds_the_model_of_its_set_where_links_fail_as_a_copy(
    run, monkeypatch, has_links
):
    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", fail)
    file, copy = run.model_file(1), run.member("s5_310").model_file(1)
    for content in (b"first", b"other"):
        Path(file).unlink(missing_ok=True)
        file.write_bytes(content)
        hand_over(run, run.member("s5_310"), TRAIN)
        assert copy.read_bytes() == content
        assert os.path.samefile(file, copy) == has_links
        assert [one.name for one in copy.parent.iterdir()].count(copy.name) == 1
    assert list(copy.parent.glob(".*")) == []
