"""A bug of ours on one candidate: kept with its input, and the others of the chunk go on."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import LaunchError, RunDirectoryError, StructureError
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.stages import relaxing, search
from gcd_hpc.stages.quarantine import set_aside
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory

pytestmark = pytest.mark.lammps
TRIES = ["search.num_tries=3", "search.chunk_size=3", "relaxation.preset=paper"]
BAD = 1


@pytest.fixture
def three_tries(run_copy) -> Iterator[Path]:
    """A run directory before a search of three tries."""
    run_dir = run_copy("three", *TRIES)
    RunDirectory(run_dir).search_part(0).unlink()
    yield run_dir
    worker_child(str(run_dir)).close()


def on_the_second_call(
    monkeypatch: pytest.MonkeyPatch, module, name: str, error: BaseException
) -> None:
    """The function of that name raises ``error`` for the second candidate."""
    real, calls = getattr(module, name), []

    def function(*arguments, **named):
        calls.append(None)
        if len(calls) == BAD + 1:
            raise error
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, function)


def test_a_bug_on_one_candidate_keeps_its_input_and_traceback_and_the_others_are_relaxed(
    three_tries, monkeypatch
):
    expected_report = search_chunk(str(three_tries), 0)
    undisturbed = read_part(RunDirectory(three_tries).search_part(0))
    on_the_second_call(monkeypatch, relaxing, "relax_boundary", ZeroDivisionError("area is 0"))
    report = search_chunk(str(three_tries), 0)
    rows = read_part(RunDirectory(three_tries).search_part(0))
    assert [(row.status, row.failure) for row in rows] == [
        ("ok", ""),
        ("failed", "bug"),
        ("ok", ""),
    ]
    assert rows[BAD].reason == "bug: ZeroDivisionError: area is 0"
    for row in (0, 2):
        np.testing.assert_array_equal(rows[row].positions, undisturbed[row].positions)
    assert (expected_report.failed, expected_report.quarantined) == (0, 0)
    assert (report.num, report.ok, report.failed, report.quarantined) == (3, 2, 1, 1)
    folder = three_tries / "quarantine" / rows[BAD].id
    np.testing.assert_allclose(
        ase.io.read(folder / "structure.extxyz").positions, rows[BAD].unrelaxed_positions, atol=1e-8
    )
    text = (folder / "traceback.txt").read_text()
    assert text.startswith(f"{rows[BAD].id} package_version=")
    assert "Traceback" in text and text.endswith("ZeroDivisionError: area is 0\n")
    assert len(list(folder.parent.iterdir())) == 1


def test_a_bug_while_a_try_is_made_is_its_own_too_and_leaves_no_structure(three_tries, monkeypatch):
    on_the_second_call(monkeypatch, search, "search_start", IndexError("no such plane"))
    search_chunk(str(three_tries), 0)
    rows = read_part(RunDirectory(three_tries).search_part(0))
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert (rows[BAD].failure, rows[BAD].reason, rows[BAD].num_atoms) == (
        "bug",
        "bug: IndexError: no such plane",
        0,
    )
    assert [path.name for path in (three_tries / "quarantine" / rows[BAD].id).iterdir()] == [
        "traceback.txt"
    ]


def test_positions_that_no_boundary_can_have_are_bad_input_and_set_aside(three_tries, monkeypatch):
    on_the_second_call(
        monkeypatch, relaxing, "relax_boundary", StructureError("expected an orthorhombic cell")
    )
    assert search_chunk(str(three_tries), 0).quarantined == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
        LaunchError("LAMMPS cannot be started"),
        RunDirectoryError("full"),
    ],
)
def test_what_the_next_candidate_would_meet_too_ends_the_task(three_tries, monkeypatch, error):
    on_the_second_call(monkeypatch, relaxing, "relax_boundary", error)
    with pytest.raises(type(error)):
        search_chunk(str(three_tries), 0)
    assert not RunDirectory(three_tries).search_part(0).exists()
    assert not (three_tries / "quarantine").exists()


def test_lammps_that_cannot_start_ends_the_task_with_its_sentence(
    three_tries, tmp_path, monkeypatch
):
    load_boundary_system(str(three_tries))
    (tmp_path / "lammps.py").write_text(
        "raise OSError('libmpi.so.12: cannot open shared object file')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"LAMMPS cannot be started .* libmpi.so.12"):
        search_chunk(str(three_tries), 0)
    assert not RunDirectory(three_tries).search_part(0).exists()


def failing(message: str) -> Exception:
    """An error with a traceback."""
    try:
        raise KeyError(message)
    except KeyError as error:
        return error


def test_whatever_the_positions_are_they_are_kept(tmp_path):
    atoms = Atoms(
        "W3",
        positions=[[0.0, 0.0, np.nan], [np.inf, 0.0, 0.0], [1e12, 0.0, 1.0]],
        cell=[5.0, 5.0, 9.0],
        pbc=(True, True, False),
    )
    set_aside(tmp_path / "model-01-000004", failing("x"), atoms)
    kept = ase.io.read(tmp_path / "model-01-000004" / "structure.extxyz")
    np.testing.assert_array_equal(kept.positions, atoms.positions)


def test_the_reason_is_one_line_whatever_the_error_says(tmp_path):
    assert set_aside(tmp_path / "one", failing("a\nb"), None) == "bug: KeyError: 'a\\nb'"
    assert (
        set_aside(tmp_path / "two", RuntimeError("first\nsecond"), None)
        == "bug: RuntimeError: first"
    )
    assert set_aside(tmp_path / "three", AssertionError(), None) == "bug: AssertionError: "


def test_a_second_attempt_replaces_what_the_first_left(tmp_path):
    for message in ("first", "second"):
        set_aside(tmp_path / "one", failing(message), Atoms("W", positions=[[1.0, 2.0, 3.0]]))
    assert (tmp_path / "one" / "traceback.txt").read_text().endswith("KeyError: 'second'\n")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "structure.extxyz",
        "traceback.txt",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_bug_that_cannot_be_kept_because_the_disk_is_full_is_an_error(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    try:
        (disk / "ballast").write_bytes(bytes(56_000))
        atoms = Atoms("W2000", positions=np.zeros((2000, 3)))
        with pytest.raises(
            RunDirectoryError,
            match=(r"cannot write .*quarantine/one/structure.extxyz: no space left"),
        ):
            set_aside(disk / "quarantine" / "one", failing("x"), atoms)
        assert list((disk / "quarantine" / "one").iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_without_a_run_directory_a_bug_is_raised(three_tries, monkeypatch):
    search_chunk(str(three_tries), 0)
    row = read_part(RunDirectory(three_tries).search_part(0))[0]
    system = load_boundary_system(str(three_tries))
    assert relaxing.relax_boundary is relax_boundary
    on_the_second_call(monkeypatch, relaxing, "relax_boundary", ZeroDivisionError())
    child = worker_child(str(three_tries))
    relaxing.relax_candidate(system, child, row, relaxing.ScreenWindow(1.0, {}))
    with pytest.raises(ZeroDivisionError):
        relaxing.relax_candidate(system, child, row, relaxing.ScreenWindow(1.0, {}))
