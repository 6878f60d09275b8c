"""The smoke campaign as a user runs it: LAMMPS, torchrun, mpiexec and Parsl, with a driver that is
killed in each stage.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "gcd_hpc.cli", "campaign", "campaigns/smoke.yaml"]


def start(run_dir: Path) -> subprocess.Popen:
    # To a file: a pipe would be held open by whatever outlives a killed driver.
    with open(run_dir.with_suffix(".log"), "a") as log:
        return subprocess.Popen(
            [*COMMAND, "--run-dir", str(run_dir)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def finish(run_dir: Path) -> float:
    """Run to the end; seconds."""
    started = time.monotonic()
    assert start(run_dir).wait(timeout=400) == 0, run_dir.with_suffix(".log").read_text()[-3000:]
    return time.monotonic() - started


def candidates(run_dir: Path) -> dict:
    """What was found, by id; a candidate that is there twice is an error."""
    run = open_run(run_dir)
    ids = run.columns(["id"])["id"].tolist()
    assert len(set(ids)) == len(ids)
    return {row.id: row for row in run}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("campaign") / "run"
    finish(run_dir)
    return run_dir


def test_two_rounds_leave_results_a_figure_a_summary_and_two_models(undisturbed):
    assert RunDirectory(undisturbed).model_file(1).exists()
    assert RunDirectory(undisturbed).model_file(2).exists()
    for name in ("results.h5", "egb_vs_n.png", "summary.md", "events.jsonl"):
        assert (undisturbed / name).stat().st_size > 100, name
    rows = candidates(undisturbed)
    assert {row.source for row in rows.values()} == {"search", "model", "explore"}
    assert {row.round for row in rows.values()} == {0, 1, 2}
    assert candidates(undisturbed / "results.h5").keys() == rows.keys()


def test_candidates_of_the_model_are_relaxed(undisturbed):
    relaxed = [
        row
        for row in candidates(undisturbed).values()
        if row.source == "model" and row.status == "ok"
    ]
    assert relaxed
    assert all(
        np.isfinite(row.gb_energy_j_m2) and np.isfinite(row.positions).all() for row in relaxed
    )


def test_a_complete_campaign_says_so_at_once(undisturbed):
    started = time.monotonic()
    done = subprocess.run(
        [*COMMAND, "--run-dir", str(undisturbed)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "complete" in done.stdout
    assert time.monotonic() - started < 10  # no LAMMPS, no torch, no Parsl


def test_top_and_csv_hold_what_was_tried(undisturbed, tmp_path):
    line = [sys.executable, "-m", "gcd_hpc.cli", "top", str(undisturbed), "--per-n", "--json"]
    rows = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    assert all({"id", "source", "n_fraction", "gb_energy_j_m2"} <= row.keys() for row in rows)
    export = ["export", str(undisturbed), "--format", "csv", "--out", str(tmp_path / "all.csv")]
    subprocess.run([sys.executable, "-m", "gcd_hpc.cli", *export], check=True, capture_output=True)
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + len(candidates(undisturbed))


def test_exploration_gives_the_same_on_one_worker_and_on_two(tmp_path):
    found = []
    for cores in (1, 2):
        run_dir, site = tmp_path / f"run-{cores}", tmp_path / f"site-{cores}.yaml"
        site.write_text(f"name: cores-{cores}\nmode: barrier\ncores: {cores}\n")
        small = ["search.num_tries=6", "search.chunk_size=3", "budget.rounds=0"]
        options = [word for one in small for word in ("--set", one)]
        line = [*COMMAND, *options, "--run-dir", str(run_dir), "--site", str(site)]
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
        found.append(candidates(run_dir))
    assert sum(row.source == "explore" for row in found[0].values()) == 16
    assert_same(*found)


def assert_same(expected: dict, found: dict) -> None:
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        same = found[name]
        assert (same.status, same.move, same.parents) == (row.status, row.move, row.parents), name
        assert np.array_equal(same.unrelaxed_positions, row.unrelaxed_positions), name
        assert np.array_equal(same.positions, row.positions, equal_nan=True), name


def moments(run_dir: Path) -> dict[str, Callable[[], bool]]:
    """When to kill the driver: while the stage named is at work."""
    return {
        "search": lambda: any((run_dir / "parts" / "search").glob("part-*.h5")),
        "explore": lambda: bool(RunDirectory(run_dir).explored_parts(0)),
        "train": lambda: (RunDirectory(run_dir).training_state(1)).exists(),
        "sample": lambda: any(RunDirectory(run_dir).sampled_part(1, 0).parent.glob("part-*.h5")),
        "relax": lambda: any(RunDirectory(run_dir).relaxed_part(1, 0).parent.glob("part-*.h5")),
        "retrain": lambda: (RunDirectory(run_dir).training_progress(2)).exists(),
    }


@pytest.mark.slow
def test_a_driver_killed_in_every_stage_ends_with_the_same_candidates_none_twice(
    undisturbed, tmp_path
):
    run_dir = tmp_path / "run"
    for stage, reached in moments(run_dir).items():
        driver = start(run_dir)
        while not reached() and driver.poll() is None:
            time.sleep(0.01)
        assert driver.poll() is None, (
            f"the driver ended before it could be killed in the stage {stage}"
        )
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    finish(run_dir)
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(run_dir) in " ".join(process.info["cmdline"] or [])
    ]
    assert_same(candidates(undisturbed), candidates(run_dir))
