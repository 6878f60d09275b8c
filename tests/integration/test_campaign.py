"""A smoke campaign as users run it: LAMMPS, torchrun, mpiexec and Parsl, with a driver that is
killed in each stage.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from gcd_hpc.stages.explore import explore_chunk
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.chaos import candidates, same
from tests.commands import call
from tests.smoke import NUM_EXPLORED, NUM_SAMPLED, NUM_SEARCHED, ROUNDS, Smoke

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]
COMMAND = [sys.executable, "-m", "gcd_hpc.cli"]


def start(smoke: Smoke, run_dir: Path, *options: str) -> subprocess.Popen:
    # To a file: a pipe would be held open by whatever outlives a killed driver.
    with open(run_dir.with_suffix(".log"), "a") as log:
        return subprocess.Popen(
            [*COMMAND, "campaign", str(smoke.campaign), "--run-dir", str(run_dir), *options],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def test_two_rounds_leave_results_a_figure_a_summary_and_two_models(smoke):
    for version in range(1, ROUNDS + 1):
        assert RunDirectory(smoke.run_dir).model_file(version).exists()
    for name in ("results.h5", "egb_vs_n.png", "summary.md", "events.jsonl"):
        assert (smoke.run_dir / name).stat().st_size > 100, name
    rows = candidates(smoke.run_dir)
    assert Counter(row.source for row in rows.values()) == {
        "search": NUM_SEARCHED,
        "model": ROUNDS * NUM_SAMPLED,
        "explore": (1 + ROUNDS) * NUM_EXPLORED,
    }
    assert {row.round for row in rows.values()} == set(range(1 + ROUNDS))
    assert candidates(smoke.run_dir / "results.h5").keys() == rows.keys()


def test_candidates_of_the_model_are_relaxed(smoke):
    relaxed = [
        row
        for row in candidates(smoke.run_dir).values()
        if row.source == "model" and row.status == "ok"
    ]
    assert relaxed
    assert all(
        np.isfinite(row.gb_energy_j_m2) and np.isfinite(row.positions).all() for row in relaxed
    )


def test_a_complete_campaign_says_so_at_once(smoke, tmp_path):
    run_dir = Path(shutil.copytree(smoke.run_dir, tmp_path / "run"))
    line = ["campaign", str(smoke.campaign), "--run-dir", str(run_dir)]
    assert "the campaign is complete" in call(*line, hidden=("lammps", "torch", "parsl"))


def test_top_and_csv_hold_what_was_tried(smoke, tmp_path):
    line = [*COMMAND, "top", str(smoke.run_dir), "--per-n", "--json"]
    rows = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    assert all({"id", "source", "n_fraction", "gb_energy_j_m2"} <= row.keys() for row in rows)
    export = ["export", str(smoke.run_dir), "--format", "csv", "--out", str(tmp_path / "all.csv")]
    subprocess.run([*COMMAND, *export], check=True, capture_output=True)
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert len(lines) == 1 + len(candidates(smoke.run_dir))


@pytest.mark.parametrize("round", [0, 1])
def test_one_process_explores_in_another_order_what_two_workers_explored_bit_for_bit(
    smoke, tmp_path, round
):
    """Round 1 in-paints with a model."""
    run_dir = Path(shutil.copytree(smoke.run_dir, tmp_path / "run"))
    parts = RunDirectory(run_dir).explored_parts(round)
    expected = [row for part in parts for row in read_part(part)]
    for part in parts:
        part.unlink()
    # A generation begins with what the one before it has found; the order within one is free.
    per_generation = len(parts) // 2
    for generation in range(2):
        for chunk in reversed(range(per_generation)):
            explore_chunk(str(run_dir), round, generation * per_generation + chunk)
    worker_child(str(run_dir)).close()
    found = [row for part in RunDirectory(run_dir).explored_parts(round) for row in read_part(part)]
    assert len(expected) == NUM_EXPLORED
    assert all(same(one, other) for one, other in zip(expected, found, strict=True))


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
def test_a_driver_killed_in_every_stage_ends_with_the_same_candidates_none_twice(smoke, tmp_path):
    run_dir = tmp_path / "run"
    for stage, reached in moments(run_dir).items():
        driver = start(smoke, run_dir)
        while not reached() and driver.poll() is None:
            time.sleep(0.01)
        assert driver.poll() is None, (
            f"the driver ended before it could be killed in the stage {stage}"
        )
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    code = start(smoke, run_dir).wait(timeout=400)
    assert code == 0, run_dir.with_suffix(".log").read_text()[-3000:]
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(run_dir) in " ".join(process.info["cmdline"] or [])
    ]
    found, undisturbed = candidates(run_dir), candidates(smoke.run_dir)
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if not same(found[name], undisturbed[name])] == []


OVERLAPPING = """
name: overlapping
mode: asynchronous
cores: 4
training: {processes_per_node: 1}
sampling: {processes_per_node: 1}
relaxation: {processes_per_node: 2}
"""
"""A site whose stages share no cores, or are told so."""


@pytest.mark.slow
def test_stages_that_overlap_with_exploration_survive_a_kill_and_count_everything_once(
    smoke, tmp_path
):
    """Relaxations, explorations and samplings of the first model are in flight when it is killed.
    How many moves fit between them depends on the machine, and their number is not compared.
    """
    run_dir, site = tmp_path / "run", tmp_path / "site.yaml"
    site.write_text(OVERLAPPING)
    driver = start(smoke, run_dir, "--site", str(site))
    while not RunDirectory(run_dir).explored_parts(1) and driver.poll() is None:
        time.sleep(0.05)
    assert driver.poll() is None, run_dir.with_suffix(".log").read_text()[-3000:]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    code = start(smoke, run_dir, "--site", str(site)).wait(timeout=400)
    assert code == 0, run_dir.with_suffix(".log").read_text()[-3000:]
    rows = candidates(run_dir)
    counted = Counter(row.source for row in rows.values())
    assert (counted["search"], counted["model"]) == (NUM_SEARCHED, ROUNDS * NUM_SAMPLED)
    assert {row.round for row in rows.values() if row.source == "explore"} >= {0, 1}
    # Exactly once: no task is finished twice in the ledger.
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    finished = [one["task"] for one in events if one["kind"] in ("finished", "adopted")]
    assert len(finished) == len(set(finished))
    verified = subprocess.run([*COMMAND, "verify", str(run_dir)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout
