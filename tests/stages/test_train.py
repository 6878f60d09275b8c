"""Training is the same on any number of processes, interrupted or not."""

import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest
import torch

from gcd_hpc.campaign.progress import saved_share
from gcd_hpc.config.loader import dump
from gcd_hpc.errors import TrainingError
from gcd_hpc.learning.batches import FIT, TrainingBatches
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.learning.trainer import Trainer, cosine_rate
from gcd_hpc.learning.training import Process
from gcd_hpc.networks.checkpoint import load, load_state, save, save_state
from gcd_hpc.stages import train as training
from gcd_hpc.stages import training_loop
from gcd_hpc.stages.table import Task
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers import launch as launching
from gcd_hpc.workers.backend import ProcessLostError
from tests.processes import command_of, is_alive, send
from tests.stages.conftest import interrupted_at, launch, ranks_line, small_config

pytestmark = pytest.mark.lammps
TWENTY_STEPS = [
    "training.num_steps=20",
    "training.batch_size=4",
    "training.checkpoint_every=1000",
    "training.windows=0.5",
    "training.mosaics=0.3",
]


def weights_of(run_dir, version=1):
    return load(RunDirectory(run_dir).model_file(version))[0]


def assert_same_model(one, other):
    (first, first_metadata), (second, second_metadata) = (
        load(RunDirectory(one).model_file(1)),
        load(RunDirectory(other).model_file(1)),
    )
    for name, tensor in first.items():
        assert torch.equal(second[name], tensor), name
    assert first_metadata == second_metadata


def train_here(run_dir, version=1):
    training.train(run_dir, version, Process(torch.device("cpu")))


@pytest.fixture(scope="module")
def followed(searched_run, tmp_path_factory):
    """Twenty steps by one and by two processes, (run directory, losses and weights of each rank) by
    number of processes.
    """
    runs = {}
    for num in (1, 2):
        run_dir, out = tmp_path_factory.mktemp("followed") / "run", tmp_path_factory.mktemp("trace")
        shutil.copytree(searched_run, run_dir)
        RunDirectory(run_dir).config.write_text(dump(small_config(*TWENTY_STEPS)))
        launch(ranks_line(num, "tests.stages.traced_training", run_dir, out))
        runs[num] = run_dir, [torch.load(out / f"rank-{rank}.pt") for rank in range(num)]
    return runs


@pytest.fixture(scope="module")
def whole_run(searched_run, tmp_path_factory):
    """A short training that nobody disturbed. Do not write to it."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(searched_run, run_dir)
    train_here(run_dir)
    return run_dir


def test_two_processes_with_half_the_batch_each_follow_one_with_all_of_it(followed):
    (_, [one]), (_, [two, _]) = followed[1], followed[2]
    assert len(one["losses"]) == 20
    # The gradients of the two halves are summed in another order: seen are 2e-7 of a loss and 7e-6
    # of what the weights have moved.
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=0)
    moved = (one["weights"] - one["weights"][0]).norm(dim=1)
    apart = (two["weights"] - one["weights"]).norm(dim=1)
    assert apart[0] == 0
    assert torch.all(moved[1:] > 0)
    assert torch.all(apart[1:] < 1e-4 * moved[1:])


def test_all_processes_hold_the_same_weights_after_every_step(followed):
    _, (first, second) = followed[2]
    assert torch.equal(first["weights"], second["weights"])
    assert torch.equal(first["losses"], second["losses"])


def test_interrupted_training_ends_with_the_same_model_bit_for_bit(
    whole_run, run_copy, monkeypatch
):
    broken = run_copy("broken")

    with interrupted_at(4, monkeypatch):
        train_here(broken)
    assert (RunDirectory(broken).training_state(1)).exists()
    assert not RunDirectory(broken).model_file(1).exists()
    train_here(broken)
    assert_same_model(whole_run, broken)


def test_training_killed_between_its_last_step_and_its_model_file_keeps_its_loss(
    whole_run, run_copy, monkeypatch
):
    broken = run_copy("broken")
    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "save_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_here(broken)
    train_here(broken)
    assert_same_model(whole_run, broken)


@pytest.mark.slow
def test_a_pause_file_ends_training_with_a_checkpoint_and_code_75(whole_run, run_copy):
    run_dir = run_copy("run", "training.checkpoint_every=1000")
    line = [sys.executable, "-m", "gcd_hpc.stages.train", str(run_dir), "1"]
    (run_dir / "pause").touch()
    for step in (1, 2):
        done = subprocess.run(line, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (75, "")
        assert done.stdout.endswith(f"paused at step {step} of 6\n")
    (run_dir / "pause").unlink()
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "resumed at step 2\n")
    for name, tensor in weights_of(whole_run).items():
        assert torch.equal(weights_of(run_dir)[name], tensor), name
    assert not (RunDirectory(run_dir).training_state(1)).exists()


@pytest.mark.slow
def test_a_signal_to_one_process_or_to_the_launcher_pauses_all_and_the_rest_is_the_same(
    followed, run_copy, tmp_path
):
    run_dir, log = run_copy("run", *TWENTY_STEPS), tmp_path / "log"

    pause_while_at_work(
        run_dir, log, lambda process: ranks_of(process.pid)[1].send_signal(signal.SIGUSR1)
    )
    first = steps_paused_at(log)
    assert saved_share(run_dir, Task("train", 1), 1) == first[0] / 20
    pause_while_at_work(run_dir, log, lambda process: process.send_signal(signal.SIGTERM))
    assert len(first) == 1
    assert len(steps_paused_at(log)) == 2
    assert 0 < first[0] < steps_paused_at(log)[1] < 20
    assert f"resumed at step {first[0]}\n" in log.read_text()
    launch(ranks_line(2, "gcd_hpc.stages.train", run_dir, 1))
    assert_same_model(followed[2][0], run_dir)


def ranks_of(launcher: int) -> list[psutil.Process]:
    """Processes of a training by their ranks, in the order in which they are started."""
    return sorted(psutil.Process(launcher).children(), key=lambda process: process.pid)


def pause_while_at_work(run_dir, log, send):
    """Train on two processes and ``send`` a signal as soon as a step is done."""
    progress = RunDirectory(run_dir).training_progress(1)
    progress.unlink(missing_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with open(log, "a") as output:
        process = subprocess.Popen(
            ranks_line(2, "gcd_hpc.stages.train", run_dir, 1),
            stdout=output,
            stderr=output,
            env=environment,
        )
        try:
            limit = time.monotonic() + 60
            while not progress.exists():
                assert process.poll() is None and time.monotonic() < limit, log.read_text()
                time.sleep(0.02)
            send(process)
            assert process.wait(60) != 0
        finally:
            end_with_children(process)


def end_with_children(process):
    if process.poll() is None:
        for child in [*psutil.Process(process.pid).children(recursive=True), process]:
            send(child, signal.SIGKILL)
        process.wait()


def steps_paused_at(log):
    return [
        int(line.split()[3])
        for line in log.read_text().splitlines()
        if line.startswith("paused at step ")
    ]


@pytest.mark.parametrize("damage", ["cut short", "empty", "a flipped bit"])
def test_a_damaged_checkpoint_is_named_in_one_line_and_training_begins_again(
    whole_run, run_copy, capsys, damage
):
    run_dir = run_copy("run")
    checkpoint = RunDirectory(run_dir).training_state(1)
    save_state(checkpoint, {"step": 4, "network": torch.zeros(1000)})
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(
        {"cut short": content[:1000], "empty": b"", "a flipped bit": content}[damage]
    )
    train_here(run_dir)
    (line,) = capsys.readouterr().out.splitlines()
    assert (
        line
        == f"{checkpoint}: damaged training state: its content hash does not fit; training begins"
        " again at step 0"
    )
    assert_same_model(whole_run, run_dir)


def test_the_second_model_starts_from_the_first(run_copy):
    run_dir = run_copy(
        "run",
        "training.retrain_steps=1",
        "training.learning_rate=1e-9",
        "training.min_learning_rate=1e-9",
    )
    train_here(run_dir)
    RunDirectory(run_dir).model_dir(2).mkdir()
    (RunDirectory(run_dir).training_set(2)).write_bytes(
        (RunDirectory(run_dir).training_set(1)).read_bytes()
    )
    train_here(run_dir, 2)
    first, second = weights_of(run_dir, 1), weights_of(run_dir, 2)
    assert all(torch.allclose(second[name], first[name], atol=1e-6) for name in first)


def test_the_first_model_of_a_campaign_that_began_with_a_model_starts_from_it(whole_run, run_copy):
    run_dir = run_copy(
        "run",
        "training.retrain_steps=1",
        "training.learning_rate=1e-9",
        "training.min_learning_rate=1e-9",
    )
    files = RunDirectory(run_dir)
    files.model_dir(0).mkdir(parents=True)
    files.model_file(0).write_bytes(RunDirectory(whole_run).model_file(1).read_bytes())
    assert model_in_use(files, 0) == 0
    train_here(run_dir)
    begun, trained = weights_of(run_dir, 0), weights_of(run_dir)
    assert all(torch.allclose(trained[name], begun[name], atol=1e-6) for name in begun)
    card = load_model(files.model_file(1))[1]
    assert card.started_from == load_model(files.model_file(0))[1].sha256
    assert card.num_steps == 1


def test_learning_lowers_the_loss(run_copy):
    run_dir = run_copy(
        "run",
        "training.num_steps=60",
        "training.checkpoint_every=60",
        "training.learning_rate=5e-3",
        "network.width=16",
    )
    losses = []
    step = Trainer.advance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "advance", lambda self: losses.append(step(self)) or losses[-1])
        train_here(run_dir)
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])


def test_training_whose_loss_is_not_finite_ends_with_a_sentence_and_without_a_model(
    run_copy, monkeypatch
):
    run_dir = run_copy("run")
    monkeypatch.setattr(TrainingBatches, "batch", with_a_nan_from_step_3(TrainingBatches.batch))
    with pytest.raises(TrainingError, match="model 1: step 4 of the training gave a loss of nan"):
        train_here(run_dir)
    assert not RunDirectory(run_dir).model_file(1).exists()
    saved = load_state(RunDirectory(run_dir).training_state(1))
    assert saved["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in saved["network"].values())


def with_a_nan_from_step_3(batch):
    def broken(self, purpose, step, slots, size, source=None):
        made = batch(self, purpose, step, slots, size, source)
        if purpose == FIT and step >= 3:
            made.clean[0, 0, 0, 0, 40] = math.nan
        return made

    return broken


def test_a_model_that_is_not_finite_is_trained_anew_by_the_same_command(
    whole_run, run_copy, capsys
):
    run_dir = run_copy("run")
    weights = weights_of(whole_run)
    next(iter(weights.values()))[0] = math.nan
    save(RunDirectory(run_dir).model_file(1), weights, {"version": 1})
    line = [sys.executable, "-m", "gcd_hpc.stages.train", str(run_dir), "1"]
    first = subprocess.run(line, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert "a weight is NaN or infinite" in first.stdout
    assert_same_model(whole_run, run_dir)
    second = subprocess.run(line, capture_output=True, text=True)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")


@pytest.mark.slow
def test_training_that_lost_a_core_goes_on_with_the_sums_of_two_processes(
    followed, run_copy, tmp_path
):
    run_dir, log = run_copy("run", *TWENTY_STEPS), tmp_path / "log"
    pause_while_at_work(run_dir, log, lambda process: process.send_signal(signal.SIGTERM))
    launch(ranks_line(1, "gcd_hpc.stages.train", run_dir, 1))
    assert_same_model(followed[2][0], run_dir)


def test_more_processes_than_before_are_told_that_the_model_will_differ(capsys):
    process = Process(torch.device("cpu"), rank=0, world=3, num_parts=3)
    assert training_loop.keep_parts(process, 2) == process
    assert "trained by 2 processes before, now by 3" in capsys.readouterr().out
    assert training_loop.keep_parts(replace(process, world=2, num_parts=2), 4).num_parts == 4
    assert training_loop.keep_parts(process, None) == process
    assert not capsys.readouterr().out


def test_the_cosine_rate_warms_up_and_ends_at_the_lowest():
    rates = [cosine_rate(step, 1000, 6e-4, 1e-5) for step in range(1001)]
    assert rates[0] < 6e-4 / 40
    assert max(rates) == pytest.approx(6e-4, rel=0.02)
    assert rates[-1] == pytest.approx(1e-5)
    assert rates[60:] == sorted(rates[60:], reverse=True)


@pytest.mark.slow
def test_a_training_with_a_process_that_hangs_is_ended_by_its_own_pace_and_the_next_try_goes_on(
    followed, run_copy, tmp_path, monkeypatch
):
    # Of seconds instead of minutes: a step of this training takes 0.1 s.
    monkeypatch.setattr(launching, "MIN_SILENT_S", 8.0)
    monkeypatch.setattr(launching, "SILENT_GAPS", 4.0)
    monkeypatch.setattr(launching, "GRACE_S", 1.0)
    run = RunDirectory(run_copy("run", *TWENTY_STEPS, "training.checkpoint_every=5"))
    line, log = ranks_line(2, "gcd_hpc.stages.train", run.path, 1), tmp_path / "log"
    environment = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    stopped = []

    def stop_one_rank() -> None:
        while not run.training_state(1).exists():
            time.sleep(0.01)
        for child in psutil.Process().children():
            if "gcd_hpc.workers.ranks" in command_of(child):
                rank = ranks_of(child.pid)[1]
                assert send(rank, signal.SIGSTOP)
                stopped.append(rank.pid)

    thread = threading.Thread(target=stop_one_rank, daemon=True)
    thread.start()
    with pytest.raises(ProcessLostError, match=r"made no progress for \d+ s, .* and was ended"):
        launching.run(line, log, environment, run.training_progress(1))
    thread.join(5)
    (pid,) = stopped
    limit = time.monotonic() + 10.0
    while is_alive(pid):
        assert time.monotonic() < limit
        time.sleep(0.05)
    launching.run(line, log, environment, run.training_progress(1))
    assert "resumed at step" in log.read_text()
    (expected, _), (found, _) = (
        load(RunDirectory(followed[2][0]).model_file(1)),
        load(run.model_file(1)),
    )
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
