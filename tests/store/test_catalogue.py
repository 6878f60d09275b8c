"""The index file: who makes it when, what it believes, and that nobody ever depends on it."""

import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from gcd_hpc.errors import StoreError
from gcd_hpc.store import catalogue, index
from gcd_hpc.store.catalogue import open_catalogue
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_columns, write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import ROW_FIELDS
from gcd_hpc.store.selection import ordered
from tests.store.synthetic import assert_same, make_candidate

NAMES = [field.name for field in ROW_FIELDS]
LATE_PARTS = 6
"""Parts that readers put up with in these tests; writing and reading more takes longer."""


@pytest.fixture(autouse=True)
def _seven_parts_are_many(monkeypatch):
    monkeypatch.setattr(index, "LATE_PARTS", LATE_PARTS)


def write_chunk(run, chunk, provenance, **more):
    found = [
        make_candidate(10 * chunk + i, num_atoms=2 + i, reason=f"Ø {i}" if i else "", **more)
        for i in range(3)
    ]
    write_part(run / f"parts/search/part-{chunk:05d}.h5", found, provenance)


def spoil(path):
    """Make a part unreadable without a trace."""
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """One part more than readers put up with."""
    run = tmp_path_factory.mktemp("large") / "run"
    for chunk in range(LATE_PARTS + 1):
        write_chunk(run, chunk, {"config": ""})
    return run


@pytest.fixture
def run(large, tmp_path):
    return Path(shutil.copytree(large, tmp_path / "run"))


def assert_same_columns(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_every_column_comes_from_the_index_as_from_the_parts(run):
    store = RunStore(run)
    expected = read_columns(store.part_paths(), NAMES)
    store.build_index()
    assert_same_columns(open_run(store.path).columns(NAMES), expected)


@pytest.mark.parametrize("few", [0, 1000])
def test_texts_are_the_same_whether_all_or_some_are_decoded(run, monkeypatch, few):
    monkeypatch.setattr(catalogue, "_FEW_TEXTS", few)
    store = RunStore(run)
    expected = read_columns(store.part_paths(), ["id", "reason"])
    store.build_index()
    rows = store.rows()
    for chosen in (np.arange(len(rows)), np.array([7, 2, 2]), np.array([], dtype=int)):
        found = rows.take(["id", "reason"], chosen)
        assert_same_columns(found, {name: column[chosen] for name, column in expected.items()})


def test_a_row_is_found_by_its_whole_id(run):
    store = RunStore(run)
    names = read_columns(store.part_paths(), ["id"])["id"].tolist()
    store.build_index()
    write_chunk(run, LATE_PARTS + 1, {"config": ""})
    rows = store.rows()
    names += rows.columns(["id"])["id"].tolist()[len(names) :]
    assert len(names) == len(rows) == 3 * (LATE_PARTS + 2)
    for number, name in enumerate(names):
        assert rows.numbers_of("id", name).tolist() == [number]
        # Neither a part of an id nor two of them are one.
        for other in (name[1:], name[:-1]):
            assert not len(rows.numbers_of("id", other))
    for other in ("\0".join(names[:2]), ""):
        assert not len(rows.numbers_of("id", other))


@pytest.mark.parametrize(
    ("selection", "places"),
    [
        ("reason=''", [0]),
        ("reason='Ø 1'", [1]),
        ("reason='Ø 1','Ø 2'", [1, 2]),
        ("reason!='Ø 1'", [0, 2]),
        ("reason=Ø", []),
        ("reason=\udcff", []),
        ("source=search", [0, 1, 2]),
        ("move=''", [0, 1, 2]),
        ("move!=''", []),
    ],
)
def test_texts_select_the_same_rows_from_the_index_and_from_a_part(run, selection, places):
    RunStore(run).build_index()
    write_chunk(run, LATE_PARTS + 1, {"config": ""})  # which the index does not cover
    chunks = range(LATE_PARTS + 2)
    expected = [f"search-{10 * chunk + place:06d}" for chunk in chunks for place in places]
    assert open_run(run).select(selection).columns(["id"])["id"].tolist() == expected


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", ["id", "reason", "source"])
def test_texts_are_sorted_alike_with_the_index_and_with_a_part_that_it_does_not_cover(
    run, name, descending
):
    store = RunStore(run)
    store.build_index()
    for _ in range(2):
        texts = read_columns(store.part_paths(), [name])[name].tolist()
        expected = sorted(range(len(texts)), key=texts.__getitem__, reverse=descending)
        every = np.arange(len(texts))
        assert ordered(store.rows(), every, name, descending).tolist() == expected
        write_chunk(run, LATE_PARTS + 1, {"config": ""})


def test_a_reader_of_many_parts_makes_the_index(run):
    open_run(run).columns(["id"])
    assert RunStore(run).index_path.exists()


def test_a_reader_of_few_parts_makes_none(run):
    (run / "parts/search/part-00000.h5").unlink()
    open_run(run).columns(["id"])
    assert not RunStore(run).index_path.exists()


def test_a_reader_renews_the_index_when_many_parts_are_not_in_it(run, provenance):
    store = RunStore(run)
    store.build_index()
    before = RunStore(run).index_path.stat().st_mtime_ns
    for chunk in range(100, 100 + LATE_PARTS):
        write_chunk(run, chunk, provenance)
    open_run(store.path).columns(["id"])
    assert RunStore(run).index_path.stat().st_mtime_ns == before
    write_chunk(run, 200, provenance)
    open_run(store.path).columns(["id"])
    assert RunStore(run).index_path.stat().st_mtime_ns > before


def test_only_new_parts_are_read_for_a_new_index(run, provenance):
    store = RunStore(run)
    store.build_index()
    expected = open_run(store.path).columns(NAMES)
    for path in store.part_paths():
        spoil(path)
    write_chunk(run, 99, provenance)
    store.build_index(open_catalogue(store.index_path))
    spoil(run / "parts/search/part-00099.h5")
    found = open_run(store.path).columns(NAMES)
    assert found["id"].tolist() == [
        *expected["id"],
        "search-000990",
        "search-000991",
        "search-000992",
    ]
    assert found["reason"].tolist()[-3:] == ["", "Ø 1", "Ø 2"]


def test_a_part_that_disappears_takes_only_its_own_rows_along(run):
    store = RunStore(run)
    store.build_index()
    expected = open_run(store.path).columns(["id"])["id"].tolist()
    (run / "parts/search/part-00004.h5").unlink()
    for path in store.part_paths():
        spoil(path)
    assert open_run(store.path).columns(["id"])["id"].tolist() == expected[:12] + expected[15:]
    store.build_index(open_catalogue(store.index_path))
    assert open_run(store.path).columns(["id"])["id"].tolist() == expected[:12] + expected[15:]


def test_a_part_that_changes_is_read_again_and_no_other(run, provenance):
    store = RunStore(run)
    store.build_index()
    for path in store.part_paths():
        spoil(path)
    write_part(run / "parts/search/part-00004.h5", [make_candidate(777)], provenance)
    assert open_run(store.path).columns(["id"])["id"].tolist()[11:14] == [
        "search-000032",
        "search-000777",
        "search-000050",
    ]


def test_a_part_between_those_of_the_index_keeps_its_place(run, provenance):
    path = run / "parts/search/part-00005.h5"
    kept = path.read_bytes()
    path.unlink()
    store = RunStore(run)
    store.build_index()
    path.write_bytes(kept)
    expected = read_columns(store.part_paths(), NAMES)
    assert_same_columns(open_run(store.path).columns(NAMES), expected)


@pytest.mark.parametrize("late", [[], [0], [4, 5], [LATE_PARTS]])
def test_single_rows_are_those_of_the_whole_columns(run, late):
    paths = RunStore(run).part_paths()
    hidden = {path: path.read_bytes() for path in (paths[number] for number in late)}
    for path in hidden:
        path.unlink()
    RunStore(run).build_index()
    for path, image in hidden.items():
        path.write_bytes(image)
    expected = read_columns(paths, NAMES)
    chosen = np.array([0, 1, 13, 14, 15, 18, 20])
    rows = RunStore(run).rows()
    assert_same_columns(
        rows.take(NAMES, chosen), {name: values[chosen] for name, values in expected.items()}
    )
    assert rows.take(["id"], chosen[:0])["id"].tolist() == []


def test_row_numbers_hold_while_parts_and_index_change(run, provenance):
    store = RunStore(run)
    store.build_index()
    rows = store.rows()
    before = rows.columns(["id"])["id"]
    write_part(run / "parts/search/part-00000.h5", [make_candidate(888)], provenance)
    store.build_index()
    assert rows.take(["id"], np.array([4]))["id"].tolist() == [before[4]]


def test_a_truncated_part_is_named_by_the_reader_that_makes_the_index(run):
    part = run / "parts/search/part-00006.h5"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"part-00006\.h5: expected a complete HDF5 file"):
        open_run(run).columns(["id"])
    assert sorted(path.name for path in run.iterdir()) == ["parts"]


def test_where_no_index_can_be_written_the_parts_are_read(run):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert len(open_run(run).columns(["id"])["id"]) == 3 * (LATE_PARTS + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in run.iterdir()) == ["parts"]


@pytest.mark.parametrize("path", ["structures/gb_energy_j_m2", "texts/id", "structures/id"])
def test_a_damaged_column_is_read_from_the_parts_and_the_index_made_again(run, path):
    store = RunStore(run)
    store.build_index()
    expected = read_columns(store.part_paths(), NAMES)
    with h5py.File(RunStore(run).index_path, "r+") as file:
        file[path][3] += 1
    assert_same_columns(open_run(store.path).columns(NAMES), expected)
    assert not RunStore(run).index_path.exists()
    assert_same_columns(open_run(store.path).columns(NAMES), expected)
    assert RunStore(run).index_path.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_an_index_that_was_cut_short_is_made_again(run, share):
    store = RunStore(run)
    store.build_index()
    os.truncate(RunStore(run).index_path, int(share * RunStore(run).index_path.stat().st_size))
    assert len(open_run(store.path).columns(["id"])["id"]) == 3 * (LATE_PARTS + 1)
    with h5py.File(RunStore(run).index_path) as file:
        assert len(file["structures/id"]) == 3 * (LATE_PARTS + 1)


@pytest.mark.parametrize("attribute", ["index_format", "schema_version"])
def test_an_index_of_another_version_is_made_again(run, attribute):
    store = RunStore(run)
    store.build_index()
    with h5py.File(RunStore(run).index_path, "r+") as file:
        file.attrs[attribute] = 1
    expected = read_columns(store.part_paths(), ["id"])["id"].tolist()
    assert open_run(store.path).columns(["id"])["id"].tolist() == expected
    with h5py.File(RunStore(run).index_path) as file:
        assert file.attrs[attribute] > 1


def test_numbers_in_the_index_have_their_units_too(run):
    RunStore(run).build_index()
    with h5py.File(RunStore(run).index_path) as file:
        assert {
            field.name: file[field.path].attrs["units"]
            for field in ROW_FIELDS
            if field.kind != "text"
        } == {field.name: field.unit for field in ROW_FIELDS if field.kind != "text"}


def test_parts_of_version_1_are_indexed_with_the_defaults_of_younger_fields(run):
    shutil.copyfile(Path(__file__).parent / "golden_v1.h5", run / "parts/search/part-00099.h5")
    store = RunStore(run)
    store.build_index()
    found = open_run(store.path).columns(["id", "failure", "score_gb_energy_j_m2", "reason"])
    assert found["id"].tolist()[-2:] == ["search-000000", "model-01-000007"]
    assert found["failure"].tolist()[-2:] == ["", ""]
    assert found["reason"].tolist()[-1] == "Ø atoms"
    assert np.isnan(found["score_gb_energy_j_m2"][-2:]).all()


def test_many_readers_at_once_all_see_the_same(run):
    expected = read_columns(RunStore(run).part_paths(), ["id"])["id"].tolist()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: open_run(run).columns(["id"])["id"].tolist(), range(12)))
    assert found == [expected] * 12
    assert sorted(path.name for path in run.iterdir()) == ["parts"]


def test_reading_writes_nothing_into_a_run_and_needs_no_cache_folder(run, monkeypatch):
    expected = read_columns(RunStore(run).part_paths(), ["id"])["id"].tolist()
    assert open_run(run).columns(["id"])["id"].tolist() == expected
    assert RunStore(run).index_path.parent.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert open_run(run).columns(["id"])["id"].tolist() == expected
    assert sorted(path.name for path in run.iterdir()) == ["parts"]


def test_an_index_that_nobody_has_renewed_for_long_is_forgotten(run, tmp_path, large):
    open_run(run).columns(["id"])
    path = RunStore(run).index_path
    os.utime(path, (0, 0))
    open_run(shutil.copytree(large, tmp_path / "other")).columns(["id"])
    assert not path.exists()


def test_candidates_are_found_through_the_index(run):
    store = RunStore(run)
    store.build_index()
    for path in store.part_paths():
        if path.name not in ("part-00000.h5", "part-00003.h5"):  # the first has the provenance
            spoil(path)
    assert_same(
        open_run(store.path)[["search-000031"]], [make_candidate(31, num_atoms=3, reason="Ø 1")]
    )


def test_an_index_of_no_part_is_empty(tmp_path):
    (tmp_path / "parts").mkdir()
    store = RunStore(tmp_path)
    store.build_index()
    assert all(len(values) == 0 for values in open_run(store.path).columns(NAMES).values())
