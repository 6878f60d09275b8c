"""The commands free-energy and hold on a run."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcd_hpc.cli.application import app
from tests.phases.copper import copper_run

pytestmark = pytest.mark.lammps


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A copy of the run, to which the commands add what they measure."""
    return shutil.copytree(copper_run(tmp_path_factory), tmp_path_factory.mktemp("cu") / "run")


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.stdout


def test_free_energies_are_measured_once_and_then_read(run: Path):
    line = ["free-energy", run, "--phase", "0-1", "--temperature", "0:0.5Tm:3", "--in-plane", 8]
    plan = call(*line, "--plan")
    assert "core-minutes" in plan and "0-1" in plan
    assert not (run / "phases").exists()
    table = call(*line)
    assert "harmonic free energy" in table and "679" in table
    record = run / "phases/free-energy/0-1.json"
    written = record.stat().st_mtime_ns
    values = json.loads(call(*line, "--json"))
    assert record.stat().st_mtime_ns == written
    found = values["phases"]["0-1"]
    assert found["free_energy_j_m2"][2] < found["gb_energy_j_m2"] == pytest.approx(0.905, abs=0.002)
    assert values["transitions"] == []


def test_a_phase_is_held_and_any_candidate_may_be(run: Path):
    short = ["--temperature", 300, "--ps", 0.2, "--snapshots", 2, "--replicas", "1x2"]
    table = call("hold", run, "--phase", "0-1", *short)
    assert "stays" in table
    values = json.loads(call("hold", run, *short, "--phase", "search-000003", "--json"))
    (record,) = values.values()
    assert record["settings"]["temperature_k"] == 300.0
    assert len(record["distances"]) == 3


@pytest.mark.slow
def test_a_command_that_is_killed_between_two_snapshots_ends_as_one_that_is_not(
    run: Path, tmp_path_factory
):
    """By SIGKILL, which no handler sees; the numbers are equal bit for bit."""
    killed = shutil.copytree(run, tmp_path_factory.mktemp("killed") / "run")
    shutil.rmtree(killed / "phases", ignore_errors=True)
    words = ["--phase", "0-1", "--temperature", "300", "--ps", "12", "--snapshots", "2"]
    line = [sys.executable, "-m", "gcd_hpc.cli", "hold", str(killed), *words]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 100
        while not list(killed.glob("phases/hold/*.unfinished/state.npz")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        process.kill()
    assert not list(killed.glob("phases/hold/*.json"))
    resumed = json.loads(call("hold", killed, *words, "--json"))
    assert not list(killed.glob("phases/hold/*.unfinished"))
    whole = json.loads(call("hold", run, *words, "--json"))
    for one in (resumed, whole):
        del one["0-1"]["cpu_s"]
    assert resumed == whole


def test_wrong_replicas_are_refused_with_an_example(run: Path):
    done = CliRunner().invoke(app, ["hold", str(run), "--replicas", "two"])
    assert "such as 2x2" in str(done.exception)
