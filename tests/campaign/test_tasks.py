import json

import pytest

from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.tasks import (
    Plan,
    Record,
    Task,
    TaskIds,
    TaskRequest,
    carry_out,
    read_record,
    write_record,
)
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from tests.campaign.conftest import make_config

TASKS = [
    Task("search", 0, 3),
    Task("select", 1),
    Task("train", 1),
    Task("sample", 1),
    Task("relax", 1, 2),
    Task("select", 2),
    Task("train", 12),
]
RECORD = Record("abc", "search-00001", {"num": 2, "best": {"0.2": 2.297}}, 10.0, 2.5, 1, "host", 42)

SITE = resolve(SiteConfig())


def ids(sha256: str = "potential", **changes: object) -> dict[Task, str]:
    addresses = TaskIds(make_config(**changes), sha256)
    return {task: addresses.of(task) for task in TASKS}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_tasks_have_names_that_can_be_read_back(task):
    assert Task.parse(task.name) == task


def test_ids_are_all_different_and_the_same_every_time():
    assert len(set(ids().values())) == len(TASKS)
    assert ids() == ids()


def test_the_budget_changes_no_id():
    assert ids(budget={"rounds": 7, "wall_time_s": 60.0}) == ids()


@pytest.mark.parametrize(
    ("changes", "unchanged"),
    [
        ({"seed": 1}, set()),
        ({"search": {"num_tries": 6, "chunk_size": 2, "perturbation": 0.1}}, set()),
        ({"selection": {"max_per_n": 3}}, {"search"}),
        ({"training": {"num_steps": 7}}, {"search", "select"}),
        (
            {"sampling": {"num_candidates": 4, "chunk_size": 2, "num_steps": 7}},
            {"search", "select", "train"},
        ),
    ],
    ids=["seed", "search", "selection", "training", "sampling"],
)
def test_a_changed_section_changes_its_stage_and_what_follows_in_the_first_round(
    changes, unchanged
):
    before, after = ids(), ids(**changes)
    first_round = [task for task in TASKS if task.version <= 1]
    assert {task.stage for task in first_round if before[task] == after[task]} == unchanged


def test_another_potential_changes_every_id():
    assert not set(ids("one").values()) & set(ids("other").values())


def test_a_plan_counts_the_last_chunk_that_is_not_full():
    plan = Plan.of(
        make_config(
            search={"num_tries": 5, "chunk_size": 2},
            sampling={"num_candidates": 7, "chunk_size": 3},
        ),
        SITE,
    )
    assert (plan.num_search_chunks, plan.num_sample_chunks) == (3, 3)


def test_records_come_back_as_they_were_written(tmp_path):
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path, "abc") == RECORD
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["abc.json"]


def test_a_missing_or_damaged_record_is_no_record(tmp_path):
    assert read_record(tmp_path, "abc") is None
    write_record(tmp_path, RECORD)
    RunDirectory(tmp_path).record("abc").write_text(json.dumps({"id": "abc"})[:-4])
    assert read_record(tmp_path, "abc") is None


def test_work_that_was_recorded_is_not_done_again(tmp_path):
    calls = []

    def work() -> dict:
        calls.append(1)
        return {"num": 1}

    order = TaskRequest(str(tmp_path), "search-00000", "id", 1)
    assert carry_out(order, work) == carry_out(order, work)
    assert len(calls) == 1


def test_work_that_fails_leaves_no_record(tmp_path):
    def work() -> dict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(TaskRequest(str(tmp_path), "search-00000", "id", 1), work)
    assert read_record(tmp_path, "id") is None
