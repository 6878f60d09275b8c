"""RunStore: the parts are the truth, index and merged file are copies."""

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.store.synthetic import CONFIG, assert_same, make_candidate


@pytest.fixture(scope="module")
def written(tmp_path_factory, provenance):
    """Two chunks of search, one of a model; a sampled part that does not count."""
    run = tmp_path_factory.mktemp("written") / "run"
    for chunk in range(2):
        found = [make_candidate(2 * chunk + i, num_atoms=30 + i) for i in range(2)]
        write_part(run / f"parts/search/part-{chunk:05d}.h5", found, provenance)
    relaxed = [
        make_candidate(0, "model", 1, num_atoms=33),
        make_candidate(1, "model", 1, num_atoms=20, status="failed"),
    ]
    write_part(run / "parts/model-01/relaxed/part-00000.h5", relaxed, provenance)
    write_part(
        run / "parts/model-01/sampled/part-00000.h5",
        [make_candidate(0, "model", 1, status="sampled")],
        provenance,
    )
    return run


@pytest.fixture
def run_dir(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "run"))


IDS = [
    "search-000000",
    "search-000001",
    "search-000002",
    "search-000003",
    "model-01-000000",
    "model-01-000001",
]


def test_columns_hold_every_relaxed_candidate_once(run_dir):
    assert open_run(run_dir).columns(["id"])["id"].tolist() == IDS


def test_candidates_are_found_by_id_in_the_order_asked_for(run_dir):
    found = open_run(run_dir)[["model-01-000000", "search-000003", "model-01-000000"]]
    assert [candidate.id for candidate in found] == [
        "model-01-000000",
        "search-000003",
        "model-01-000000",
    ]
    assert_same(found[1:2], [make_candidate(3, num_atoms=31)])


def test_an_unknown_id_is_named(run_dir):
    with pytest.raises(StoreError, match="none of the 6 candidates has the id model-09-000000"):
        open_run(run_dir)[["model-09-000000"]]


def test_candidates_that_come_later_are_found(run_dir, provenance):
    store = RunStore(run_dir)
    open_run(store.path)[["search-000000"]]
    write_part(run_dir / "parts/search/part-00002.h5", [make_candidate(9)], provenance)
    assert open_run(store.path)[["search-000009"]][0].index == 9


def test_the_index_answers_as_the_parts_do(run_dir):
    store = RunStore(run_dir)
    names = ["id", "gb_energy_j_m2", "registry", "converged"]
    before = open_run(store.path).columns(names)
    store.build_index()
    after = open_run(store.path).columns(names)
    for name in names:
        np.testing.assert_array_equal(before[name], after[name])


def test_the_index_spares_opening_the_parts(run_dir):
    store = RunStore(run_dir)
    store.build_index()
    for path in store.part_paths():
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_run(store.path).columns(["id"])["id"].tolist() == IDS


@pytest.mark.parametrize("part", ["model-01/relaxed/part-00001.h5", "search/part-00002.h5"])
def test_parts_that_are_newer_than_the_index_are_seen(run_dir, provenance, part):
    store = RunStore(run_dir)
    store.build_index()
    write_part(run_dir / "parts" / part, [make_candidate(77)], provenance)
    ids = open_run(store.path).columns(["id"])["id"].tolist()
    assert sorted(ids) == sorted([*IDS, "search-000077"])


def test_a_part_that_was_written_again_is_not_read_from_the_index(run_dir, provenance):
    store = RunStore(run_dir)
    store.build_index()
    write_part(run_dir / "parts/search/part-00001.h5", [make_candidate(88)], provenance)
    assert "search-000088" in open_run(store.path).columns(["id"])["id"]


def test_a_damaged_index_is_passed_over(run_dir):
    RunStore(run_dir).build_index()
    RunStore(run_dir).index_path.write_bytes(b"nonsense")
    assert open_run(run_dir).columns(["id"])["id"].tolist() == IDS


def test_the_merged_file_holds_the_same_candidates(run_dir):
    store = RunStore(run_dir)
    merged = store.merge()
    assert_same(
        read_part(merged),
        [candidate for path in store.part_paths() for candidate in read_part(path)],
    )
    assert open_run(merged).provenance["config"] == CONFIG


def test_the_merged_file_alone_serves_as_the_run(run_dir):
    merged = RunStore(run_dir).merge()
    assert open_run(merged).columns(["id"])["id"].tolist() == IDS
    assert_same(open_run(merged)[["search-000001"]], [make_candidate(1, num_atoms=31)])
    shutil.rmtree(run_dir / "parts")
    assert open_run(run_dir).columns(["id"])["id"].tolist() == IDS


def test_a_truncated_part_stops_the_merge_with_its_name_and_leaves_nothing(run_dir):
    part = run_dir / "parts/search/part-00001.h5"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"part-00001\.h5"):
        RunStore(run_dir).merge()
    assert sorted(path.name for path in run_dir.iterdir()) == ["parts"]


def test_a_run_without_candidates_is_empty(tmp_path):
    (tmp_path / "parts").mkdir()
    store = RunStore(tmp_path)
    assert len(open_run(store.path).columns(["id"])["id"]) == 0
    assert open_run(store.path).provenance == {}
    with pytest.raises(StoreError, match="nothing to merge"):
        store.merge()


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere: holds no results \(no such file\)"):
        RunStore(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"\(a folder without a run\)"):
        RunStore(tmp_path)
    with pytest.raises(StoreError, match=r"\(something that is no file\)"):
        RunStore("/dev/zero")


def test_leftovers_of_killed_writers_are_removed_and_never_read(run_dir):
    leftover = run_dir / "parts/search/.part-00009.0123456789ab.tmp.h5"
    leftover.write_bytes(b"half")
    assert open_run(run_dir).columns(["id"])["id"].tolist() == IDS
    assert RunDirectory(run_dir).remove_leftovers() == 1
    assert not leftover.exists()


def test_hidden_files_of_other_people_stay_where_a_run_directory_is_made(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    theirs = [tmp_path / ".thesis.tmp", tmp_path / ".x.tmpl", notes / ".draft.tmp.txt"]
    theirs.append(notes / ".draft.0123456789ab.tmp.txt")  # not in a folder of the run
    for path in theirs:
        path.write_text("mine")
    (tmp_path / ".folder.0123456789ab.tmp").mkdir()
    (tmp_path / ".bulk.0123456789ab.tmp.json").write_text("half")
    assert RunDirectory(tmp_path).remove_leftovers() == 1
    assert all(path.read_text() == "mine" for path in theirs)


@pytest.mark.parametrize("copy", ["merge", "build_index"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(run_dir, copy):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, limits[1]))
    try:
        with pytest.raises(RunDirectoryError, match=r"cannot write .*\.h5: file too large"):
            getattr(RunStore(run_dir), copy)()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in run_dir.iterdir()) == ["parts"]
