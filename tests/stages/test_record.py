"""Records of finished tasks, in the products themselves."""

import json
import os

import pytest
import safetensors.numpy

from gcd_hpc.errors import CheckpointError, RunDirectoryError
from gcd_hpc.stages.record import (
    RECORD,
    Record,
    begin,
    damage,
    discard,
    find_record,
    product_bytes,
    record_of,
)
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.tasks import TaskRequest, carry_out
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory

RESULT = StageResult(
    num=2,
    ok=2,
    atoms_per_plane=10,
    best={0: 3.1, 2: 2.297},
    low=((2, 2.297),),
    queue=(((2, 2.5),),),
)
SEARCH = Task("search", 0, 1)


def write(run_dir, task, result=RESULT, path=None):
    """The product of a task, as its stage writes it."""
    run, entries = RunDirectory(run_dir), begin(task).attribute(result)
    if task.stage == "train":
        path = path or run.model_file(task.round)
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file({}, path, entries)
    elif task.stage == "promote":
        path = path or run.promotion(task.round)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"model": 1} | entries))
    else:
        part = run.search_part if task.stage == "search" else run.sampled_part
        numbers = [task.chunk] if task.stage == "search" else [task.round, task.chunk]
        path = path or part(*numbers)
        write_part(path, [], {"config": ""} | entries)
    return path


@pytest.mark.parametrize("task", [SEARCH, Task("train", 1), Task("promote", 1)], ids=str)
def test_the_record_of_every_kind_of_product_comes_back_as_it_was_written(tmp_path, task):
    path = write(tmp_path, task)
    record = find_record(tmp_path, task, 1)
    assert record is not None
    assert (record.task, record.result, record.pid) == (task, RESULT, os.getpid())
    assert record_of(path, task) == record
    assert Record.parse(record.text()) == record


def test_a_task_without_a_product_has_no_record(tmp_path):
    assert find_record(tmp_path, SEARCH, 1) is None


@pytest.mark.parametrize("task", [SEARCH, Task("train", 1), Task("promote", 1)], ids=str)
def test_a_product_that_was_cut_short_is_removed_and_has_no_record(tmp_path, task):
    path = write(tmp_path, task)
    os.truncate(path, path.stat().st_size - 1)
    assert find_record(tmp_path, task, 1) is None
    assert not path.exists()


def test_a_product_in_the_place_of_another_is_no_product_of_that_task(tmp_path):
    path = write(tmp_path, SEARCH, path=RunDirectory(tmp_path).search_part(4))
    with pytest.raises(CheckpointError, match="expected the product of search-00004, got that of"):
        record_of(path, Task("search", 0, 4))


def test_results_of_earlier_versions_are_kept_and_refused_in_one_sentence(tmp_path):
    path = RunDirectory(tmp_path).search_part(1)
    write_part(path, [], {"config": ""})
    with pytest.raises(RunDirectoryError, match="an earlier version of gcd-hpc made it"):
        find_record(tmp_path, SEARCH, 1)
    assert path.exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"num":2', '"num":3'),
        ('"num":2', '"mum":2'),
        ('"num":2', '"num":"2"'),
        ('"search-00001"', '"../../thesis"'),
        ("2.297", "NaN"),
    ],
)
def test_a_changed_record_is_damage(tmp_path, before, after):
    text = begin(SEARCH).record(RESULT).text()
    assert before in text
    with pytest.raises(ValueError, match="checksum"):
        Record.parse(text.replace(before, after))


def test_a_record_with_a_right_checksum_and_wrong_types_is_damage_too(tmp_path):
    import zlib

    body = begin(SEARCH).record(RESULT).text().partition(" ")[2].replace('"num":2', '"num":[]')
    text = f"{zlib.crc32(body.encode()):08x} {body}"
    path = RunDirectory(tmp_path).search_part(1)
    write_part(path, [], {"config": "", RECORD: text})
    with pytest.raises(CheckpointError, match=r"part-00001.h5: damaged: its record has no sound"):
        record_of(path, SEARCH)


def test_a_launched_sampling_is_finished_when_all_its_chunks_are_there(tmp_path):
    whole = Task("sample", 1)
    write(tmp_path, Task("sample", 1, 0))
    assert find_record(tmp_path, whole, 2) is None
    write(tmp_path, Task("sample", 1, 1))
    record = find_record(tmp_path, whole, 2)
    assert record is not None
    assert (record.task, record.result.num, record.result.ok) == (whole, 4, 4)
    chunks = [find_record(tmp_path, Task("sample", 1, chunk), 2) for chunk in range(2)]
    assert record.cpu_s == sum(one.cpu_s for one in chunks if one is not None)


def test_a_product_of_another_size_is_damaged_and_discarded_whole(tmp_path):
    path = write(tmp_path, SEARCH)
    num_bytes = product_bytes(tmp_path, SEARCH, 1)
    assert damage(tmp_path, SEARCH, 1, num_bytes) == ""
    assert f"expected {num_bytes + 7} bytes" in damage(tmp_path, SEARCH, 1, num_bytes + 7)
    discard(tmp_path, SEARCH, 1)
    assert not path.exists()
    assert "no such file" in damage(tmp_path, SEARCH, 1, num_bytes)


def test_work_that_left_its_product_is_not_done_again(tmp_path):
    calls = []

    def work() -> float:
        calls.append(write(tmp_path, SEARCH))
        return 0.25

    request = TaskRequest(str(tmp_path), SEARCH.name, 1, 1)
    first = carry_out(request, work)
    assert first.cpu_s == 0.25
    assert carry_out(request, work).result == first.result
    assert len(calls) == 1


def test_work_that_fails_or_leaves_nothing_has_no_record(tmp_path):
    request = TaskRequest(str(tmp_path), SEARCH.name, 1, 1)
    with pytest.raises(ZeroDivisionError):
        carry_out(request, lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="search-00001 ended without its product"):
        carry_out(request, lambda: 0.0)
    assert RunDirectory(tmp_path).begun_tasks() == []
