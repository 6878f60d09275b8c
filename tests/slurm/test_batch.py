"""The batch scripts on a real Slurm with two nodes: a lost node, the signal before the end, the
same candidates as without Slurm.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.networks.checkpoint import load
from gcd_hpc.stages.relax import main, relax_chunk
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.slurm.conftest import ROOT, copy_with_model
from tests.smoke import NUM_CHUNKS, NUM_SAMPLED

pytestmark = [pytest.mark.slurm, pytest.mark.lammps, pytest.mark.mpi]


def rows_of(run_dir, part):
    run = RunDirectory(run_dir)
    return [row for chunk in range(NUM_CHUNKS) for row in read_part(part(run, 1, chunk))]


def forget_model(run_dir):
    RunDirectory(run_dir).model_file(1).unlink()
    (RunDirectory(run_dir).training_progress(1)).unlink()


def same_weights(one, other):
    (first, _), (second, _) = (
        load(RunDirectory(one).model_file(1)),
        load(RunDirectory(other).model_file(1)),
    )
    return all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_training_goes_on_from_its_checkpoint_after_a_node_was_lost(trained, smoke):
    assert not trained.had_finished_when_the_node_was_lost
    # Once for the loss. Again if a try is still at work a minute after it: then Slurm repeats the
    # signal that the lost node did not take, before or after that try has gone on training.
    restarts = int(trained.job["Restarts"])
    assert 1 <= restarts <= 3
    steps = [
        int(step) for step in re.findall(r"^resumed at step (\d+)$", trained.log, re.MULTILINE)
    ]
    assert 1 <= len(steps) <= restarts
    assert steps == sorted(steps)
    # Saved every ten steps, and wherever such a signal paused a try.
    paused = re.findall(r"^paused at step (\d+) of 40$", trained.log, re.MULTILINE)
    assert set(steps) <= {10, 20, 30, *map(int, paused)}
    _, metadata = load(RunDirectory(trained.run_dir).model_file(1))
    assert np.isfinite(metadata["validation_loss"])
    assert not (RunDirectory(trained.run_dir).training_state(1)).exists()
    assert same_weights(trained.run_dir, smoke.run_dir)


@pytest.mark.slow
def test_the_signal_before_the_end_of_the_time_saves_and_queues_training_again(
    slurm, submit, trained, trained_copy
):
    run_dir = trained_copy("run")
    forget_model(run_dir)
    job = submit(run_dir, "train_ddp.sh")
    job.wait_for_file(RunDirectory(run_dir).training_progress(1), timeout_s=60)
    slurm.call("scancel", "--batch", "--signal=USR1", str(job.number))
    ended = job.finish(timeout_s=120)
    assert ended["Restarts"] == "1"
    (paused,) = re.findall(r"^paused at step (\d+) of 40$", job.log, re.MULTILINE)
    assert re.findall(r"^resumed at step (\d+)$", job.log, re.MULTILINE) == [paused]
    assert 0 < int(paused) < 40
    # Stopped at other steps and in another way than the first training: neither shows.
    assert same_weights(run_dir, trained.run_dir)


@pytest.mark.slow
def test_the_signal_during_the_search_lets_its_driver_end_before_the_job_is_queued_again(
    slurm, submit, tmp_path
):
    job = submit(tmp_path / "run", "train_ddp.sh")
    job.wait_for_file(tmp_path / "run" / "parts" / "search", timeout_s=60)
    slurm.call("scancel", "--batch", "--signal=USR1", str(job.number))
    slurm.wait_for(job.number, "PENDING", timeout_s=60)
    slurm.call("scancel", str(job.number))
    # Else the next try would find the run directory in use.
    assert f"{job.run_dir}: paused by SIGUSR1; resume it in this folder with: " in job.log
    assert "in use" not in job.log


def test_two_nodes_make_the_same_candidates_as_one_rank_without_slurm_bit_for_bit(sampled):
    job, alone = sampled
    assert {"rank 0 of 2", "rank 1 of 2"} == set(re.findall(r"rank \d of \d", job.log))
    part = RunDirectory.sampled_part
    pairs = list(zip(rows_of(job.run_dir, part), rows_of(alone, part), strict=True))
    assert len(pairs) == NUM_SAMPLED
    for first, second in pairs:
        assert (first.id, first.status, first.target_n_fraction) == (
            second.id,
            second.status,
            second.target_n_fraction,
        )
        assert np.array_equal(first.unrelaxed_positions, second.unrelaxed_positions)
        assert np.array_equal(first.registry, second.registry)


def test_two_nodes_relax_what_one_process_relaxes_and_another_call_only_what_is_missing(
    submit, sampled, tmp_path, capsys
):
    on_nodes, alone = (
        Path(shutil.copytree(sampled[1], tmp_path / name)) for name in ("nodes", "alone")
    )
    job = submit(on_nodes, "relax.sh")
    for chunk in range(NUM_CHUNKS):
        relax_chunk(str(alone), 1, chunk)
    job.finish(timeout_s=60)
    assert sorted(re.findall(r"chunk (\d) by process (\d) of 2", job.log)) == [
        ("0", "0"),
        ("1", "1"),
        ("2", "0"),
    ]
    part = RunDirectory.relaxed_part
    for one, two in zip(rows_of(alone, part), rows_of(on_nodes, part), strict=True):
        assert (one.id, one.status, one.reason) == (two.id, two.status, two.reason)
        np.testing.assert_array_equal(one.gb_energy_j_m2, two.gb_energy_j_m2)
    RunDirectory(on_nodes).relaxed_part(1, 1).unlink()
    capsys.readouterr()
    assert main([str(on_nodes), "1"]) == 0
    assert re.findall(r"chunk \d by process \d of \d", capsys.readouterr().out) == [
        "chunk 1 by process 0 of 1"
    ]


def test_ranks_that_srun_started_without_mpi_are_refused_with_the_cure(
    slurm, submit, smoke, tmp_path
):
    run_dir = copy_with_model(smoke, tmp_path / "run")
    job = submit(run_dir, "sample_mpi.sh", MPI="none")
    slurm.wait_for(job.number, "FAILED", timeout_s=60)
    assert (
        "error: 2 processes were started, but MPI takes each for a single rank; try srun"
        " --mpi=pmi2 or pmix" in job.log
    )
    assert not RunDirectory(run_dir).sampled_part(1, 0).exists()


PLANS = {
    "train_ddp.sh": [
        (
            "gcd-hpc campaign campaigns/smoke.yaml --run-dir runs/smoke --site"
            " campaigns/sites/local.yaml --until select-02"
        ),
        (
            "srun --kill-on-bad-exit=1 --cpu-bind=none torchrun --nnodes=2 --nproc-per-node=1"
            " --rdzv-backend=c10d --rdzv-id=1-0 --rdzv-endpoint=FIRST_NODE:20001 -m"
            " gcd_hpc.stages.train runs/smoke 2"
        ),
    ],
    "sample_mpi.sh": [
        "srun --kill-on-bad-exit=1 --mpi=pmi2 python -m gcd_hpc.stages.sample runs/smoke 2"
    ],
    "relax.sh": ["srun python -m gcd_hpc.stages.relax runs/smoke 2"],
    "campaign.sh": ["gcd-hpc campaign campaigns/smoke.yaml --run-dir runs/smoke"],
}


@pytest.mark.parametrize("script", PLANS)
def test_a_plan_is_shown_without_slurm_and_nothing_is_done(script, tmp_path):
    line = ["bash", str(ROOT / "batch" / script), "--plan", "campaigns/smoke.yaml"]
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in ("RUN", "SITE") and not name.startswith("SLURM_")
    }
    done = subprocess.run(
        line, cwd=tmp_path, env={**variables, "VERSION": "2"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [text.strip() for text in done.stdout.splitlines()] == PLANS[script]
    assert list(tmp_path.iterdir()) == []


def test_every_batch_script_has_a_plan_that_is_tested():
    assert {path.name for path in Path(ROOT / "batch").iterdir()} == set(PLANS)
