"""Sets of toy campaigns that share a model, with real Parsl, torchrun and kills."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gcd_hpc.campaign.driver import prepare_run
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.set_driver import SetOutcome, run_set
from gcd_hpc.errors import ConfigError, SimulationError
from gcd_hpc.stages.table import Task
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.conftest import ROOT
from tests.campaign.test_resume import marks, num_finished, results, wait_for
from tests.campaign.toy_set import NAMES, make_set
from tests.processes import processes_of

pytestmark = pytest.mark.mpi
LEARNED = {"budget": {"rounds": 1}}
MODEL = Counter(["train-01", "promote-01"])
MEMBER = Counter(
    [
        *(f"search-{chunk:05d}" for chunk in range(3)),
        *(f"explore-{round:02d}-{chunk:05d}" for round in range(2) for chunk in range(6)),
        *(f"{stage}-01" for stage in ("select", "train", "promote", "sample")),
        *(f"relax-01-{chunk:05d}" for chunk in range(2)),
    ]
)
"""Each task is finished once. Patience ends both explorations after the third generation."""


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


@pytest.fixture
def carry_out(run, stages, site):
    """Run a toy set of one round in RUN = tmp_path / "run"."""

    def carry_out(on=site, **options) -> SetOutcome:
        config = make_set(**(LEARNED | options.pop("changes", {})))
        return run_set(config, on, run.path, run.path.parent, **(stages | options))

    return carry_out


def assert_whole(run: RunDirectory) -> None:
    """Each task was counted once, in the ledger of its run."""
    assert num_finished(run.path) == MODEL
    for name in NAMES:
        assert num_finished(run.member(name).path) == MEMBER


def test_a_set_trains_one_model_and_every_boundary_samples_it(run, carry_out):
    assert carry_out().status == "complete"
    assert_whole(run)
    for name in NAMES:
        member = run.member(name)
        assert os.path.samefile(run.model_file(1), member.model_file(1))
        assert model_in_use(member, 1) == 1
        assert not marks(member.path, "train") and not marks(member.path, "promote")
    assert len(marks(run.path, "train")) == 1
    assert carry_out().did_nothing


@pytest.mark.slow
def test_the_cost_of_the_model_is_counted_once_in_the_ledger_of_the_set(run, carry_out):
    carry_out()
    whole, member = read_state(run.path), read_state(run.member("a").path)
    task = Task("train", 1)
    assert whole.finished[task].core_s > 0
    assert (member.finished[task].core_s, member.finished[task].is_shared) == (0.0, True)


def start(run_dir: Path) -> subprocess.Popen:
    with open(run_dir.parent / "driver.log", "a") as log:
        line = [sys.executable, "-m", "tests.campaign.toy_set", str(run_dir), "1"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            line, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def interrupt(run: RunDirectory, stage: str, number: int) -> None:
    """Start the set, and send its driver a signal while the shared model is at work on a stage."""
    slow = run.path.parent / f"slow-{stage}"
    slow.write_text("30")
    driver = start(run.path)
    wait_for(lambda: marks(run.path, stage) or driver.poll() is not None, f"{stage} begins")
    driver.send_signal(number)
    driver.wait(timeout=30)
    slow.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_set_that_was_killed_or_paused_at_its_model_goes_on_and_counts_nothing_twice(
    run, carry_out, number, tmp_path
):
    for stage in ("train", "promote"):
        interrupt(run, stage, number)
        assert num_finished(run.member("a").path)["select-01"] == 1
        assert num_finished(run.member("a").path)["promote-01"] == 0
    assert carry_out().status == "complete"
    assert_whole(run)
    # What the first boundary has is what an undisturbed campaign of the same toy has.
    assert results(run.member("a").path) == results(run.member("c").path)
    assert processes_of(run.path) == []


@pytest.mark.slow
def test_a_boundary_that_is_new_takes_the_model_as_it_is(run, carry_out):
    carry_out(changes={"names": ("a", "b")})
    carry_out()
    assert_whole(run)
    assert list(run.sources(1).read_text().split('"'))[1::4] == ["a", "b"]
    # The next version learns from it, too.
    carry_out(changes={"budget": {"rounds": 2}})
    assert list(run.sources(2).read_text().split('"'))[1::4] == ["a", "b", "c"]


@pytest.mark.slow
def test_a_boundary_that_fails_does_not_keep_the_others_from_their_model(run, carry_out):
    (run.path.parent / "b").mkdir()
    (run.path.parent / "b" / "trouble-explore-00-00001").write_text("mistake")
    outcome = carry_out()
    assert outcome.failures == {"b": "the toy was told to fail"}
    assert num_finished(run.member("c").path) == MEMBER
    assert carry_out().failures == {}
    assert_whole(run)


@pytest.mark.slow
def test_a_training_that_fails_ends_the_set_and_the_same_call_goes_on(run, carry_out):
    (run.path.parent / "trouble-promote-01").write_text("mistake")
    with pytest.raises(SimulationError, match="the toy was told to fail"):
        carry_out()
    assert read_state(run.path).failed
    assert carry_out().status == "complete"
    assert_whole(run)


@pytest.mark.slow
def test_a_lost_model_and_its_lost_list_are_made_again_from_the_same_training_sets(run, carry_out):
    carry_out()
    run.model_file(1).unlink()
    sources = run.sources(1).read_bytes()
    run.sources(1).unlink()
    carry_out(changes={"budget": {"rounds": 2}})
    assert num_finished(run.path) == MODEL + Counter(["train-01", "train-02", "promote-02"])
    assert run.sources(1).read_bytes() == sources


@pytest.mark.slow
def test_the_boundaries_of_an_asynchronous_set_wait_for_the_model_too(
    run, carry_out, separate_pools
):
    # The toy queues each sampled chunk in two batches.
    sampling = {"num_candidates": 4, "chunk_size": 2, "relax_batch": 1}
    outcome = carry_out(on=separate_pools, changes={"sampling": sampling})
    assert outcome.status == "complete" and not outcome.failures
    assert num_finished(run.path) == MODEL
    for name in NAMES:
        found = num_finished(run.member(name).path)
        assert set(found.values()) == {1}
        batches = {f"relax-01-{chunk:05d}" for chunk in range(4)}
        assert {"train-01", "promote-01", "sample-01-00001"} | batches < found.keys()


def test_a_learned_decoder_is_refused_because_it_belongs_to_one_boundary(run, carry_out):
    with pytest.raises(ConfigError, match=r"decoder.kind: must be moment in a set with rounds"):
        carry_out(changes={"decoder": {"kind": "learned"}}, prepare=prepare_run)
    assert not run.path.exists()
