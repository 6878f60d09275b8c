"""A set of two small boundaries that share a model, with LAMMPS, torch, Parsl and a kill."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from gcd_hpc.campaign.events import Finished
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.histories import read_events
from tests.chaos import candidates, same
from tests.cli.test_set_readers import call
from tests.integration.test_sets import KEYS, line, run, write_files
from tests.processes import processes_of

pytestmark = [pytest.mark.lammps, pytest.mark.mpi, pytest.mark.slow]
CHANGES = (
    "budget.rounds=1",
    "explore.generations=1",
    "sampling.num_candidates=3",
    "sampling.num_steps=4",
    "sampling.chunk_size=3",
    "selection.energy_window_j_m2=2.0",
    "network.width=8",
    "network.num_blocks=1",
    "training.num_steps=30",
    "training.batch_size=1",
    "training.checkpoint_every=2",
    "promotion.num_canaries=2",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The set on two cores, in "two". Its training has one process, as on one core."""
    folder = tmp_path_factory.mktemp("shared")
    write_files(folder)
    (folder / "said").write_text(run(folder, "set.yaml", "two", 2, CHANGES))
    return folder


def finished(run_dir: Path) -> Counter[str]:
    return Counter(event.task.name for event in read_events(run_dir) if isinstance(event, Finished))


def test_one_model_has_learned_from_all_boundaries_and_each_has_its_candidates(folder):
    whole = RunDirectory(folder / "two")
    _, card = load_model(whole.model_file(1))
    assert [one.name for one in card.boundaries] == list(KEYS)
    assert card.units.of_one is None
    assert finished(whole.path) == Counter(["train-01", "promote-01"])
    verdict = json.loads(whole.promotion(1).read_text())
    assert (verdict["promoted"], verdict["canaries"]["num"]) == (True, 4)
    for name in KEYS:
        member = whole.member(name)
        made = [row for row in candidates(member.path).values() if row.source == "model"]
        assert len(made) == 3
        assert {row.model_sha256 for row in made} == {card.sha256}
        assert os.path.samefile(member.model_file(1), whole.model_file(1))


def test_the_readers_show_what_the_set_did_for_all(folder):
    def record(*words: str) -> Any:
        code, text, error = call(folder, *words, "--json")
        assert (code, error) == (0, "")
        return json.loads(text)

    own = read_state(folder / "two")
    shared_s = sum(done.core_s for done in own.finished.values())
    report = record("report", "two")
    assert report["shared_core_s"] == pytest.approx(shared_s)
    assert report["pools"]["training"]["num_tasks"] == 1
    status = record("status", "two")
    assert (status["model"], status["doing"], status["failed_attempts"]) == (1, "", 0)
    assert record("verify", "two")["ok"]
    assert record("model", "show", "two/models/01/model.safetensors")["num_steps"] == 30
    code, text, _ = call(folder, "plot", "two", "--what", "timeline", "--out", "timeline.svg")
    assert (code, text.strip()) == (0, "timeline.svg")
    assert "model 1" in (folder / "timeline.svg").read_text()


def test_verify_finds_a_damaged_model_of_the_set(folder):
    file = RunDirectory(folder / "two").model_file(1)
    sound = file.read_bytes()
    other = file.with_name("sound")
    os.rename(file, other)
    file.write_bytes(sound[:-8])
    code, text, _ = call(folder, "verify", "two")
    os.replace(other, file)
    assert (code, "as train-01 left it" in text) == (1, True)


def test_a_set_that_was_killed_in_training_and_goes_on_with_one_worker_has_the_same_candidates(
    folder,
):
    whole = RunDirectory(folder / "one")
    with open(folder / "driver.log", "w") as log:
        driver = subprocess.Popen(
            line(folder, "set.yaml", "one", 1, CHANGES),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not whole.training_state(1).exists() and driver.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    # As if the machine had been lost: nothing of the training goes on.
    for orphan in processes_of(whole.path):
        with suppress(psutil.NoSuchProcess):
            orphan.kill()
    assert not whole.model_file(1).exists()
    run(folder, "set.yaml", "one", 1, CHANGES)
    assert finished(whole.path) == Counter(["train-01", "promote-01"])
    assert "resumed at step" in whole.log("train-01").read_text()
    for name in KEYS:
        assert set(finished(whole.member(name).path).values()) == {1}
        expected = candidates(RunDirectory(folder / "two").member(name).path)
        found = candidates(whole.member(name).path)
        assert found.keys() == expected.keys()
        assert all(same(expected[one], found[one]) for one in expected)
