"""A campaign that starts from a model, as users run it: the model is that of the smoke campaign."""

import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from gcd_hpc.config.loader import load_campaign
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.stages.explore import explore_chunk
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.chaos import candidates, same
from tests.integration.conftest import COMMAND, line
from tests.integration.test_campaign import OVERLAPPING

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]
NUM_SEARCHED, NUM_SAMPLED, NUM_EXPLORED = 4, 6, 8


@pytest.mark.slow
def test_the_model_is_sampled_and_makes_moves_before_the_first_training(started):
    rows = candidates(started / "run").values()
    counted = Counter((row.source, row.round) for row in rows)
    assert counted == {
        ("search", 0): NUM_SEARCHED,
        ("model", 0): NUM_SAMPLED,
        ("explore", 0): NUM_EXPLORED,
        ("model", 1): NUM_SAMPLED,
        ("explore", 1): NUM_EXPLORED,
    }
    run = RunDirectory(started / "run")
    _, card = load_model(started / "model.safetensors")
    by_model = [row for row in rows if row.round == 0 and row.model_sha256]
    assert {row.model_sha256 for row in by_model} == {card.sha256}
    # The file was model 2 of another run, and is model 0 of this one.
    assert (card.version, {row.version for row in by_model}) == (2, {0})
    assert run.model_file(0).read_bytes() == (started / "model.safetensors").read_bytes()
    assert "model 00" in (started / "printed").read_text()


@pytest.mark.slow
def test_the_first_training_starts_from_the_model_and_keeps_its_network_and_units(started):
    run = RunDirectory(started / "run")
    weights, card = load_model(run.model_file(0))
    trained, new = load_model(run.model_file(1))
    assert new.network == card.network == load_campaign(run.config).network.model_dump()
    moved = [float((trained[name] - weights[name]).abs().mean()) for name in weights]
    size = [float(weights[name].abs().mean()) for name in weights]
    # Four steps at the smallest learning rates move weights by percents; random ones share nothing.
    assert sum(moved) < 0.1 * sum(size)
    assert json.loads(run.promotion(1).read_text())["old_canaries"]["sha256"] == card.sha256


@pytest.mark.slow
def test_in_painting_of_round_0_is_the_same_in_another_process(started, tmp_path):
    run_dir = Path(shutil.copytree(started / "run", tmp_path / "run"))
    parts = RunDirectory(run_dir).explored_parts(0)
    expected = [row for part in parts for row in read_part(part)]
    for number, part in enumerate(parts):
        part.unlink()
        explore_chunk(str(run_dir), 0, number)
    worker_child(str(run_dir)).close()
    found = [row for part in RunDirectory(run_dir).explored_parts(0) for row in read_part(part)]
    assert all(same(one, other) for one, other in zip(expected, found, strict=True))


@pytest.mark.slow
def test_a_driver_killed_while_the_model_is_sampled_ends_with_the_same_candidates(
    started, tmp_path
):
    run_dir = tmp_path / "run"
    run = RunDirectory(run_dir)
    moments = {
        "sample": lambda: bool(run.sampled_parts(0)),
        "relax": lambda: bool(run.relaxed_parts(0)),
        "explore": lambda: bool(run.explored_parts(0)),
        "train": lambda: run.training_state(1).exists(),
    }
    for stage, reached in moments.items():
        with open(tmp_path / "log", "a") as log:
            driver = subprocess.Popen(line(started, run_dir), stdout=log, stderr=log)
        while not reached() and driver.poll() is None:
            time.sleep(0.01)
        assert driver.poll() is None, f"the driver ended before it could be killed in {stage}"
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    done = subprocess.run(line(started, run_dir), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    found, undisturbed = candidates(run_dir), candidates(started / "run")
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if not same(found[name], undisturbed[name])] == []


@pytest.mark.slow
def test_stages_overlap_from_the_search_on_and_survive_a_kill(started, tmp_path):
    """How many moves fit between the relaxations depends on the machine."""
    run_dir, site = tmp_path / "run", tmp_path / "site.yaml"
    site.write_text(OVERLAPPING)
    command = [*line(started, run_dir), "--site", str(site)]
    with open(tmp_path / "log", "a") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=log)
    while not RunDirectory(run_dir).sampled_parts(0) and driver.poll() is None:
        time.sleep(0.05)
    assert driver.poll() is None, (tmp_path / "log").read_text()[-3000:]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    rows = candidates(run_dir)
    counted = Counter(row.source for row in rows.values())
    assert (counted["search"], counted["model"]) == (NUM_SEARCHED, 2 * NUM_SAMPLED)
    by_model_0 = [row for row in rows.values() if row.source == "model" and row.round == 0]
    assert by_model_0 and {row.version for row in by_model_0} == {0}
    verified = subprocess.run([*COMMAND, "verify", str(run_dir)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout


@pytest.mark.slow
def test_another_model_is_refused_on_resume_in_one_sentence(started, tmp_path, smoke):
    folder = Path(shutil.copytree(started, tmp_path / "folder"))
    (folder / "run/events.jsonl").write_text(
        "".join((started / "run/events.jsonl").read_text().splitlines(True)[:-1])
    )
    shutil.copy(RunDirectory(smoke.run_dir).model_file(1), folder / "model.safetensors")
    done = subprocess.run(line(folder, folder / "run"), capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "because the model that it starts from is not what this run was started with" in (
        done.stderr
    )


def test_a_damaged_model_is_refused_before_anything_is_written(smoke, tmp_path):
    content = bytearray(RunDirectory(smoke.run_dir).model_file(2).read_bytes())
    content[-5] ^= 0xFF
    shutil.copy(smoke.campaign, tmp_path / "smoke.yaml")
    (tmp_path / "model.safetensors").write_bytes(content)
    done = subprocess.run(line(tmp_path, tmp_path / "run"), capture_output=True, text=True)
    assert done.returncode == 2
    campaign, model = tmp_path / "smoke.yaml", tmp_path / "model.safetensors"
    assert f"{campaign}: model: {model}: damaged model file" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_damaged_copy_of_the_model_is_found_by_verify(started, tmp_path):
    run_dir = Path(shutil.copytree(started / "run", tmp_path / "run"))
    copy = RunDirectory(run_dir).model_file(0)
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    done = subprocess.run([*COMMAND, "verify", str(run_dir)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "the model that the campaign started from" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_model_alone_without_tries_and_training_finds_structures_to_explore_from(
    started, tmp_path
):
    options = ("search.num_tries=0", "budget.rounds=0", "sampling.num_candidates=4")
    done = subprocess.run(line(started, tmp_path / "run", *options), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = candidates(tmp_path / "run").values()
    assert {row.source for row in rows} == {"model", "explore"}
    verified = subprocess.run([*COMMAND, "verify", str(tmp_path / "run")], capture_output=True)
    assert verified.returncode == 0, verified.stdout
