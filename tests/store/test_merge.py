"""Runs of one boundary in one file: three real structures, relaxed by LAMMPS
(tests/store/golden.py), and what others find again.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.store.crystal import boundary_of
from gcd_hpc.store.findings import Report
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.merge import merge
from gcd_hpc.store.parts import read_part, read_provenance, write_part
from gcd_hpc.store.schema import FIELDS, candidate_id
from gcd_hpc.store.verify import verify_file
from gcd_hpc.structures.naming import orientations

GOLDEN = Path(__file__).parent / "golden_v4.h5"
CONFIG = read_provenance(GOLDEN)["config"]
ROWS = read_part(GOLDEN)
LOWER = yaml.safe_load(CONFIG)["boundary"]["lower"]


def write_run(folder: Path, rows, config: str = CONFIG, size: int = 2) -> Path:
    """A run directory with a model's rows in parts of ``size``."""
    for number, first in enumerate(range(0, len(rows), size)):
        write_part(
            folder / f"parts/model-01/relaxed/part-{number:05d}.h5",
            rows[first : first + size],
            {"config": config},
        )
    return folder


def as_model(row, index: int, **changes):
    """The structure as the candidate of a model."""
    name = candidate_id("model", 1, index)
    return replace(row, id=name, source="model", version=1, round=1, index=index, seed=5, **changes)


def shifted(row, index: int, energy_j_m2: float):
    """The same structure somewhere else in the cell, and a bit higher in energy."""
    positions = row.positions + np.array([1.3, -0.7, 0.4])
    positions[:, :2] %= row.cell[:2]
    higher = row.energies_ev.copy()
    higher[len(higher) // 2] += energy_j_m2 * row.area_a2 / 16.02176634
    return as_model(
        row,
        index,
        positions=positions,
        energies_ev=higher,
        gb_energy_j_m2=row.gb_energy_j_m2 + energy_j_m2,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> list[Path]:
    """One file and two runs: the second run finds structure 0 again, a bit higher, and the third
    one structure 2, a bit lower.
    """
    other = replace(ROWS[1], gb_energy_j_m2=ROWS[1].gb_energy_j_m2 + 0.05)
    second = [shifted(ROWS[0], 0, 0.0005), as_model(other, 1), failed(2)]
    third = [failed(2), shifted(ROWS[2], 5, -0.0005)]
    folder = tmp_path_factory.mktemp("written")
    first = Path(shutil.copyfile(GOLDEN, folder / "first.h5"))
    return [first, write_run(folder / "second", second), write_run(folder / "third", third)]


@pytest.fixture
def runs(written, tmp_path) -> list[Path]:
    first, *folders = written
    copy = Path(shutil.copyfile(first, tmp_path / first.name))
    return [copy, *(Path(shutil.copytree(one, tmp_path / one.name)) for one in folders)]


def failed(index: int):
    nothing = np.full((ROWS[0].num_atoms, 3), np.nan)
    unknown = dict.fromkeys(("gb_energy_j_m2", "excess_volume_a", "max_force_ev_a"), np.nan)
    fate = {
        "status": "failed",
        "reason": "lost atoms",
        "failure": "physics",
        "preset": "",
        "converged": False,
        "stop_reason": "",
    }
    return as_model(ROWS[0], index, **unknown, **fate, positions=nothing, energies_ev=nothing[:, 0])


def test_parents_have_the_ids_of_the_merged_file_however_often_it_was_merged(tmp_path):
    child = replace(
        as_model(ROWS[1], 3), id=candidate_id("explore", 1, 3), source="explore", move="crossover"
    )
    child = replace(child, parents="search-000000 model-01-000002")
    write_part(tmp_path / "one.h5", [ROWS[0], child], {"config": CONFIG})
    write_part(tmp_path / "two.h5", [ROWS[2]], {"config": CONFIG})
    merge([tmp_path / "one.h5", tmp_path / "two.h5"], tmp_path / "both.h5")
    merge([tmp_path / "both.h5"], tmp_path / "again.h5")
    for name in ("both.h5", "again.h5"):
        found = {row.id: row.parents for row in read_part(tmp_path / name)}
        assert found.pop("one.explore-01-000003") == "one.search-000000 one.model-01-000002"
        assert set(found.values()) == {""}


def test_every_structure_is_kept_once_with_its_lowest_energy(runs, tmp_path):
    merged = merge(runs, tmp_path / "all.h5")
    assert (merged.num_read, merged.num_dropped, merged.num_kept) == (8, 3, 5)
    assert (merged.read, merged.kept) == (
        {"first": 3, "second": 3, "third": 2},
        {"first": 2, "second": 2, "third": 1},
    )
    found = read_part(tmp_path / "all.h5")
    # Structure 0 of the first run, structure 2 of the third; the failed candidate, which is the
    # same in two runs, once.
    assert [row.id for row in found] == [
        *[
            "first.search-000000",
            "first.search-000001",
            "second.model-01-000001",
            "second.model-01-000002",
            "third.model-01-000005",
        ]
    ]
    assert [row.run for row in found] == ["first", "first", "second", "second", "third"]


def test_what_is_kept_is_the_same_to_the_last_bit(runs, tmp_path):
    merge(runs, tmp_path / "all.h5")
    found = {row.id: row for row in read_part(tmp_path / "all.h5")}
    for name, original in {
        "first.search-000001": ROWS[1],
        "third.model-01-000005": read_part(next(runs[2].rglob("*.h5")))[1],
    }.items():
        for field in FIELDS:
            if field.name not in ("id", "run"):
                np.testing.assert_array_equal(
                    getattr(found[name], field.name),
                    getattr(original, field.name),
                    err_msg=field.name,
                )


def test_the_merged_file_says_where_each_run_comes_from(runs, tmp_path):
    merge(runs, tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5") as file:
        assert list(file["runs"]) == ["first", "second", "third"]
        assert {
            name: (group.attrs["num_read"], group.attrs["num_kept"])
            for name, group in file["runs"].items()
        } == {**{"first": (3, 2), "second": (3, 2), "third": (2, 1)}}
        assert file["runs/first"].attrs["config"] == file.attrs["config"] == CONFIG
        assert file["runs/first"].attrs["git_commit"] == read_provenance(GOLDEN)["git_commit"]
        assert file.attrs["title"] == "Candidates merged from first, second, third"


def test_nothing_is_wrong_with_a_merged_file(tmp_path):
    copy = Path(shutil.copyfile(GOLDEN, tmp_path / "copy.h5"))
    merged = merge([GOLDEN, copy], tmp_path / "all.h5")
    assert merged.num_dropped == 3
    report = Report()
    verify_file(tmp_path / "all.h5", report)
    assert list(report.findings()) == []
    assert report.outcomes["energies"].num == 3


def test_the_lowest_energy_wins_in_whatever_order_the_runs_come(runs, tmp_path):
    first, second = merge(runs, tmp_path / "a.h5"), merge(runs[::-1], tmp_path / "b.h5")
    assert first.num_kept == second.num_kept
    relaxed = [
        {row.id for row in read_part(tmp_path / name) if row.status == "ok"}
        for name in ("a.h5", "b.h5")
    ]
    assert relaxed[0] == relaxed[1]


def test_merging_again_gives_the_same_file(runs, tmp_path):
    for name in ("a.h5", "b.h5"):
        merge(runs, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_size_of_the_pieces_changes_nothing(runs, tmp_path, monkeypatch):
    merge(runs, tmp_path / "a.h5")
    monkeypatch.setattr("gcd_hpc.store.blocks._ATOMS", 1)
    merge(runs, tmp_path / "b.h5")
    assert [row.id for row in read_part(tmp_path / "a.h5")] == [
        row.id for row in read_part(tmp_path / "b.h5")
    ]


def test_a_merged_file_is_merged_with_what_came_later(runs, tmp_path):
    """The runs in it keep their names; one that is there already gets another, for its ids must not
    be taken for theirs.
    """
    merge(runs[:2], tmp_path / "before.h5")
    merged = merge([tmp_path / "before.h5", runs[2], runs[0]], tmp_path / "all.h5")
    assert merged.read == {"first": 3, "second": 2, "third": 2, "first-2": 3}
    assert merged.kept == {"first": 2, "second": 2, "third": 1, "first-2": 0}
    ids = [row.id for row in read_part(tmp_path / "all.h5")]
    assert sorted(ids) == sorted(set(ids))


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place / "run").mkdir(parents=True)
        shutil.copyfile(GOLDEN, tmp_path / place / "run" / "results.h5")
    merged = merge([tmp_path / "here/run", tmp_path / "there/run/results.h5"], tmp_path / "all.h5")
    assert merged.kept == {"run": 3, "run-2": 0}


def test_every_byte_is_gone_through_twice(runs, tmp_path):
    steps = []
    merge(runs, tmp_path / "all.h5", steps.append)
    assert sum(steps) == 2 * sum(
        path.stat().st_size for run in runs for path in RunStore(run).part_paths()
    )


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        (
            "boundary",
            "upper",
            LOWER,
            r"boundary\.upper\.x is \[3, -1, 0\] instead of \[3, 1, 0\]",
        ),
        ("boundary", "element", "Mo", r"boundary\.element is Mo instead of W"),
        ("boundary", "replicas", [2, 1], r"boundary\.replicas is \[2, 1\] instead of \[1, 1\]"),
    ],
)
def test_another_boundary_is_refused_by_the_key_that_differs(
    runs, tmp_path, section, key, value, sentence
):
    config = yaml.safe_load(CONFIG)
    config[section][key] = value
    other = write_run(tmp_path / "other", [as_model(ROWS[0], 0)], yaml.safe_dump(config))
    with pytest.raises(
        StoreError,
        match=rf"other: cannot be merged with .*, because {sentence}; only runs of one boundary",
    ):
        merge([runs[0], other], tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()


def test_runs_of_one_boundary_merge_whether_triads_or_its_name_describe_it(runs, tmp_path):
    config = yaml.safe_load(CONFIG)
    for triad in ("lower", "upper"):
        del config["boundary"][triad]
    config["boundary"] |= {"angle": 36.9, "max_sigma": 9, "axis": [0, 0, 1], "twist": True}
    named = boundary_of(yaml.safe_dump(config))
    by_name = write_run(tmp_path / "by_name", [as_model(ROWS[0], 0)], yaml.safe_dump(config))
    triads = [dict(zip("xyz", map(list, one), strict=True)) for one in orientations(named)]
    config["boundary"] = {"element": "W", "lattice": "bcc", "lower": triads[0], "upper": triads[1]}
    by_triads = write_run(tmp_path / "by_triads", [as_model(ROWS[0], 0)], yaml.safe_dump(config))
    assert merge([by_name, by_triads], tmp_path / "all.h5").read == {"by_name": 1, "by_triads": 1}


def test_another_file_of_the_same_potential_is_refused(runs, tmp_path):
    other = write_run(tmp_path / "other", [as_model(ROWS[0], 0, potential_sha256="b" * 64)])
    with pytest.raises(
        StoreError,
        match=rf"because potential_sha256 is b{{64}} instead of {ROWS[0].potential_sha256};",
    ):
        merge([runs[0], other], tmp_path / "all.h5")


def test_the_same_potential_from_a_file_at_another_path_merges(runs, tmp_path):
    config = yaml.safe_load(CONFIG)
    config["potential"] = {
        "pair_style": "eam/alloy",
        "pair_coeff": "* * /home/you/W.eam.alloy W",
    }
    other = write_run(tmp_path / "other", [as_model(ROWS[0], 0)], yaml.safe_dump(config))
    assert merge([runs[0], other], tmp_path / "all.h5").num_dropped == 1


def test_without_hashes_the_commands_of_two_potentials_have_to_be_the_same(tmp_path):
    row = as_model(ROWS[0], 0, potential_sha256="")
    config = yaml.safe_load(CONFIG)
    config["potential"]["pair_style"] = "eam/fs"
    one = write_run(tmp_path / "one", [row])
    other = write_run(tmp_path / "other", [row], yaml.safe_dump(config))
    sentence = r"other: cannot be .*, because potential\.pair_style is eam/fs instead of eam/alloy"
    with pytest.raises(StoreError, match=sentence):
        merge([one, other], tmp_path / "all.h5")


def test_a_run_with_structures_of_two_potentials_is_refused(runs, tmp_path):
    rows = [as_model(ROWS[0], 0), as_model(ROWS[1], 1, potential_sha256="b" * 64)]
    mixed = write_run(tmp_path / "mixed", rows)
    with pytest.raises(StoreError, match="mixed: cannot merge candidates of different potentials"):
        merge([runs[0], mixed], tmp_path / "all.h5")


def test_slabs_of_another_height_are_the_same_boundary(runs, tmp_path):
    config = yaml.safe_load(CONFIG)
    config["boundary"]["slab_heights"] = [30.0, 30.0]
    other = write_run(tmp_path / "other", [as_model(ROWS[1], 0)], yaml.safe_dump(config))
    assert merge([runs[0], other], tmp_path / "all.h5").num_dropped == 1


def test_a_file_of_version_2_gets_what_its_run_directory_knows(tmp_path):
    """Then E_gb can be computed again from the merged file alone."""
    golden = GOLDEN.with_name("golden_v3.h5")
    old = Path(shutil.copyfile(golden, tmp_path / "results.h5"))
    with h5py.File(old, "r+") as file:
        for field in FIELDS:
            if field.since == 3:
                del file[field.path]
        file.attrs["schema_version"] = 2
    (tmp_path / "bulk.json").write_text(
        f'{{"{ROWS[0].potential_sha256} W bcc measured": {{"cutoff": 7.8925}}}}'
    )
    merge([old], tmp_path / "merged" / "all.h5")
    assert {
        (row.surface_depth_a, row.atoms_per_plane) for row in read_part(tmp_path / "merged/all.h5")
    } == {(7.8925, 10)}


def test_a_damaged_file_is_named_and_leaves_nothing(runs, tmp_path):
    with h5py.File(runs[0], "r+") as file:
        file["atoms/positions"][0, 0] += 0.1
    with pytest.raises(
        StoreError,
        match=(
            r"first\.h5: expected a complete HDF5 file, got .*checksum of atoms/positions does"
            r" not fit"
        ),
    ):
        merge(runs, tmp_path / "all.h5")
    assert not list(tmp_path.glob("*all*"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(runs, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, limits[1]))
    try:
        with pytest.raises(RunDirectoryError, match=r"cannot write .*all\.h5: file too large"):
            merge(runs, tmp_path / "all.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob("*all*"))


def test_a_run_is_not_merged_into_its_own_file_whatever_that_is_called(runs, tmp_path):
    before = runs[0].read_bytes()
    hard, soft = tmp_path / "hard.h5", tmp_path / "soft.h5"
    os.link(runs[0], hard)
    soft.symlink_to(runs[0])
    for out in (hard, soft, runs[0].parent / "x" / ".." / runs[0].name):
        (runs[0].parent / "x").mkdir(exist_ok=True)
        with pytest.raises(StoreError, match="cannot write to a file that is being merged"):
            merge(runs, out)
    assert runs[0].read_bytes() == before


def test_mistakes_are_one_sentence(runs, tmp_path, candidates, provenance):
    with pytest.raises(
        StoreError, match="cannot write to a file that is being merged; choose another"
    ):
        merge(runs, runs[0])
    (tmp_path / "empty/parts").mkdir(parents=True)
    with pytest.raises(
        StoreError, match="empty: nothing to merge: there are no relaxed candidates"
    ):
        merge([runs[0], tmp_path / "empty"], tmp_path / "all.h5")
    write_part(tmp_path / "made_up.h5", candidates, provenance)
    with pytest.raises(
        StoreError,
        match=r"made_up\.h5: cannot be merged, because its attribute config holds no boundary",
    ):
        merge([runs[0], tmp_path / "made_up.h5"], tmp_path / "all.h5")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        merge(runs, runs[0] / "all.h5")


def test_the_command_says_how_many_were_read_dropped_and_kept(runs, tmp_path):
    line = [
        sys.executable,
        "-m",
        "gcd_hpc.cli",
        "merge",
        *map(str, runs),
        "--out",
        str(tmp_path / "all.h5"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert ["all", "8", "3", "5"] in [
        line.replace("│", " ").split() for line in done.stdout.splitlines()
    ]
    said = json.loads(
        subprocess.run(
            [*line, "--json"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    )
    assert (said["read"], said["dropped"], said["kept"]) == (8, 3, 5)
    assert said["runs"][2] == {"run": "third", "read": 2, "dropped": 1, "kept": 1}
