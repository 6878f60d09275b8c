"""A set of two small boundaries as users run it, with LAMMPS and Parsl."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import gcd_hpc
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.store.run_directory import RunDirectory
from tests.chaos import candidates, same
from tests.cli.test_set_readers import call

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]
SHARED = """\
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} Cu", file: Cu_mishin1.eam.alloy}
search: {num_tries: 6, chunk_size: 3}
explore:
  generations: 2
  chains: 2
  chains_per_task: 1
  chain_length: 2
  md: {temperature_k: [400, 700], num_steps: [20, 40]}
sampling: {num_candidates: 1}
budget: {rounds: 0}
"""
KEYS = {
    "s5_210": "sigma: 5, plane: [2, 1, 0], replicas: [2, 1]",
    "s5_310": "sigma: 5, plane: [3, 1, 0], replicas: [2, 1]",
}
COMMON = "element: Cu, lattice: fcc, axis: [0, 0, 1]"


def write_files(folder: Path) -> None:
    """set.yaml with both boundaries, and a file of each alone."""
    entries = "\n".join(f"  - {{name: {name}, {keys}}}" for name, keys in KEYS.items())
    head = f"name: set\nboundary: {{{COMMON}}}\nboundaries:\n{entries}\n"
    (folder / "set.yaml").write_text(head + SHARED)
    for name, keys in KEYS.items():
        alone = f"name: {name}\nboundary: {{{COMMON}, {keys}}}\n"
        (folder / f"{name}.yaml").write_text(alone + SHARED)


def line(
    folder: Path, file: str, run_dir: str, cores: int, changes: Sequence[str] = ()
) -> list[str]:
    """Command that runs a campaign on so many cores, with keys changed."""
    (folder / f"cores-{cores}.yaml").write_text(f"cores: {cores}\n")
    words = ["campaign", file, "--run-dir", run_dir, "--site", f"cores-{cores}.yaml"]
    sets = [word for one in changes for word in ("--set", one)]
    return [sys.executable, "-m", "gcd_hpc.cli", *words, *sets]


def run(folder: Path, file: str, run_dir: str, cores: int = 2, changes: Sequence[str] = ()) -> str:
    """Output of a campaign on so many cores."""
    done = subprocess.run(
        line(folder, file, run_dir, cores, changes),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
        timeout=400,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The set on two cores, in "two"."""
    folder = tmp_path_factory.mktemp("set")
    write_files(folder)
    (folder / "said").write_text(run(folder, "set.yaml", "two"))
    return folder


def assert_same_rows(one: Path, other: Path) -> None:
    expected, found = candidates(one), candidates(other)
    assert len(expected) == 14
    assert found.keys() == expected.keys()
    assert all(same(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("name", [pytest.param("s5_210", marks=pytest.mark.slow), "s5_310"])
def test_a_member_has_bit_for_bit_the_candidates_of_a_single_campaign(folder, name):
    run(folder, f"{name}.yaml", f"alone-{name}")
    assert_same_rows(folder / f"alone-{name}", RunDirectory(folder / "two").member(name).path)


@pytest.mark.slow
def test_candidates_of_a_set_do_not_depend_on_the_number_of_workers(folder):
    run(folder, "set.yaml", "one", cores=1)
    for name in KEYS:
        one, two = (RunDirectory(folder / run_dir).member(name) for run_dir in ("one", "two"))
        assert_same_rows(one.path, two.path)


def test_the_crystal_is_measured_once_and_each_member_is_a_whole_run(folder):
    first, second = (RunDirectory(folder / "two").member(name) for name in KEYS)
    assert os.path.samefile(first.bulk, second.bulk)
    for member in (first, second):
        assert member.results.exists() and member.summary.exists()
        line = [sys.executable, "-m", "gcd_hpc.cli", "top", str(member.path), "--json"]
        found = subprocess.run(line, check=True, capture_output=True, text=True)
        assert json.loads(found.stdout)


def test_a_worker_has_one_process_of_lammps_for_all_boundaries(folder):
    first, second = (RunDirectory(folder / "two").member(name).path for name in KEYS)
    assert worker_child(str(first)) is worker_child(str(second))


def test_a_notebook_runs_a_set_as_the_command_does(folder):
    outcome = gcd_hpc.run_campaign(folder / "set.yaml", folder / "two")
    assert (outcome.status, outcome.did_nothing) == ("complete", True)
    assert list(outcome.states) == list(KEYS)


def test_a_set_says_how_it_ended_and_the_same_command_does_nothing(folder):
    assert "2 of 2 boundaries are complete (ended by: rounds)" in (folder / "said").read_text()
    assert "all 2 boundaries are complete" in run(folder, "set.yaml", "two")


def test_every_reader_shows_the_finished_set(folder):
    def rows(command: str) -> Any:
        code, text, error = call(folder, command, "two", "--json")
        assert (code, error) == (0, "")
        return json.loads(text)

    assert (folder / "two" / "overview.png").stat().st_size > 4000
    status = rows("status")
    assert (status["status"], status["statuses"]) == ("complete", {"complete": 2})
    assert [(row["status"], row["tries"]) for row in rows("overview")] == [("complete", 14)] * 2
    report = rows("report")
    assert report["pools"]["relaxation"]["num_workers"] == 2
    assert {one["boundary"]: one["tries"] for one in report["boundaries"]} == dict.fromkeys(
        KEYS, 14
    )
    assert [row["boundary"] for row in rows("top")] == list(KEYS)
    assert rows("verify")["ok"]
