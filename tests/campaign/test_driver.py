"""Whole campaigns with real Parsl, torchrun and mpiexec; only the stages are toys."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import parsl
import pytest

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.campaign.display import Progress
from gcd_hpc.campaign.driver import Outcome, run_campaign
from gcd_hpc.campaign.events import Failed, Finished, Quarantined, Submitted
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.campaign.policy import MAX_RETRIES
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import (
    GcdError,
    LaunchError,
    PotentialError,
    QuarantineError,
    RunDirectoryError,
    SimulationError,
)
from gcd_hpc.stages.table import Task
from gcd_hpc.workers import parsl_pools, watch
from tests.campaign.conftest import make_config
from tests.campaign.histories import read_events
from tests.processes import command_of, processes_of, send

pytestmark = pytest.mark.mpi


@pytest.fixture
def carry_out(tmp_path, stages, site):
    """Run a toy campaign in RUN = tmp_path / "run"."""

    def run(run_dir: Path = tmp_path / "run", **options: object) -> Outcome:
        changes = options.pop("changes", {})
        return run_campaign(
            make_config(**changes),
            options.pop("site", site),
            run_dir,
            tmp_path,
            **{**stages, **options},
        )

    return run


def finished(run_dir: Path) -> list[str]:
    return [event.task.name for event in read_events(run_dir) if isinstance(event, Finished)]


def executed(run_dir: Path) -> list[str]:
    """Tasks as often as they were executed."""
    return sorted(path.name.split(".")[0] for path in (run_dir / "executed").iterdir())


class Notes(Progress):
    """What a driver notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_campaign_notes_at_its_start_which_cores_its_batch_leaves_idle(carry_out):
    def prepare(*_: object) -> str:
        raise PotentialError("no further")

    progress = Notes()
    with pytest.raises(PotentialError):
        carry_out(site=SiteConfig(cores=6), prepare=prepare, progress=progress)
    assert [text[:30] for text in progress.texts] == ["Training uses 4 of 6 cores, fo"]


def test_a_campaign_runs_every_task_once_and_the_same_call_says_that_it_is_complete(
    tmp_path, carry_out
):
    reports = []
    outcome = carry_out(
        changes={"budget": {"rounds": 2}}, report=lambda run_dir, state: reports.append(run_dir)
    )
    run_dir = tmp_path / "run"
    assert (outcome.status, outcome.reason, outcome.did_nothing) == ("complete", "rounds", False)
    assert repr(outcome) == "Outcome(status='complete', reason='rounds', did_nothing=False)"
    one_round = [
        "promote-{0}",
        "relax-{0}-00000",
        "relax-{0}-00001",
        "sample-{0}",
        "select-{0}",
        "train-{0}",
    ]
    expected = sorted(
        [f"search-{chunk:05d}" for chunk in range(3)]
        + [name.format(v) for v in ("01", "02") for name in one_round]
    )
    assert sorted(finished(run_dir)) == executed(run_dir) == expected
    assert outcome.state.best[2][1] == pytest.approx(2.799)
    assert 0 < cost_of(outcome.state).overhead_s < outcome.state.elapsed_s
    assert processes_of(run_dir) == []
    again = carry_out(
        changes={"budget": {"rounds": 2}}, report=lambda run_dir, state: reports.append(run_dir)
    )
    assert again.did_nothing
    assert reports == [run_dir]


def test_a_larger_budget_continues_a_complete_search(searched, carry_out):
    assert carry_out(until="search").did_nothing
    assert [name for name in finished(searched) if not name.startswith("search")] == []
    carry_out()
    assert len(finished(searched)) == len(executed(searched)) == 9


def test_a_run_in_which_nothing_was_computed_takes_the_corrected_campaign(tmp_path, carry_out):
    """Its first tasks failed for a mistake in the file: 3 chunks become 2 of other sizes."""
    troubles = [tmp_path / f"trouble-search-0000{chunk}" for chunk in range(3)]
    for trouble in troubles:
        trouble.write_text("mistake")
    with pytest.raises(GcdError, match="told to fail"):
        carry_out(until="search")
    for trouble in troubles:
        trouble.unlink()
    assert carry_out(changes={"search": {"num_tries": 6, "chunk_size": 3}}, until="search")
    assert sorted(finished(tmp_path / "run")) == ["search-00000", "search-00001"]


def test_a_campaign_that_is_refused_before_its_first_task_leaves_nothing_behind(tmp_path, stages):
    def refuse(run_dir: Path, config: object, folder: Path) -> str:
        raise PotentialError("there is no such file")

    options = {**stages, "prepare": refuse}
    with pytest.raises(PotentialError):
        run_campaign(make_config(), SiteConfig(cores=1), tmp_path / "run", tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_without_its_ledger_a_campaign_runs_only_the_task_whose_result_was_deleted_again(
    complete, tmp_path, carry_out
):
    run_dir = Path(shutil.copytree(complete, tmp_path / "run"))
    once = executed(run_dir)
    (run_dir / "events.jsonl").unlink()
    (run_dir / "parts" / "search" / "part-00001.h5").unlink()
    assert carry_out().status == "complete"
    assert executed(run_dir) == sorted([*once, "search-00001"])
    assert sorted(finished(run_dir)) == once


def test_a_killed_worker_and_a_killed_rank_cost_one_more_attempt_each(tmp_path, carry_out):
    for task in ("search-00001", "train-01", "sample-01"):
        (tmp_path / f"trouble-{task}").write_text("killed")
    assert carry_out().status == "complete"
    events = read_events(tmp_path / "run")
    assert sorted(event.task.name for event in events if isinstance(event, Failed)) == [
        "sample-01",
        "search-00001",
        "train-01",
    ]
    assert len(finished(tmp_path / "run")) == len(set(finished(tmp_path / "run"))) == 9


def test_a_mistake_in_a_stage_ends_the_campaign_with_its_sentence_and_the_same_call_goes_on(
    tmp_path, carry_out
):
    (tmp_path / "trouble-search-00001").write_text("mistake")
    with pytest.raises(SimulationError, match="the toy was told to fail"):
        carry_out(until="search")
    assert processes_of(tmp_path / "run") == []
    assert carry_out(until="search").status == "complete"


def test_an_error_of_a_launched_stage_repeats_its_sentence(tmp_path, carry_out):
    (tmp_path / "trouble-train-01").write_text("mistake")
    with pytest.raises(LaunchError, match=r"^the toy was told to fail \(see"):
        carry_out()


def test_a_bug_in_a_stage_that_all_others_need_shows_itself(tmp_path, carry_out):
    (tmp_path / "trouble-select-01").write_text("bug")
    with pytest.raises(ZeroDivisionError, match="a bug of the toy"):
        carry_out(until="select-01")


def test_a_chunk_with_a_bug_is_set_aside_and_tried_again_when_the_campaign_is_resumed(
    tmp_path, carry_out
):
    (tmp_path / "trouble-search-00000").write_text("bug")
    carry_out(until="search")
    run_dir = tmp_path / "run"
    assert [
        event.task.name for event in read_events(run_dir) if isinstance(event, Quarantined)
    ] == ["search-00000"]
    assert sorted(finished(run_dir)) == ["search-00001", "search-00002"]
    carry_out(until="select-01")
    assert "search-00000" in finished(run_dir)


@pytest.mark.slow
def test_a_training_that_is_paused_more_often_than_it_may_fail_ends_if_each_pause_saved_steps(
    tmp_path, carry_out
):
    (tmp_path / "trouble-train-01").write_text("paused-later\n" * (MAX_RETRIES + 1))
    assert carry_out().status == "complete"
    assert executed(tmp_path / "run").count("train-01") == MAX_RETRIES + 2


@pytest.mark.slow
def test_a_training_that_is_paused_again_and_again_without_a_step_ends_the_campaign(
    tmp_path, carry_out
):
    (tmp_path / "trouble-train-01").write_text("paused\n" * (MAX_RETRIES + 3))
    with pytest.raises(LaunchError, match="was paused"):
        carry_out()
    assert executed(tmp_path / "run").count("train-01") == MAX_RETRIES + 1


def test_a_chunk_that_kills_every_worker_is_set_aside(tmp_path, carry_out):
    (tmp_path / "trouble-search-00001").write_text("killed\n" * 4)
    assert carry_out(until="search").status == "complete"
    assert executed(tmp_path / "run").count("search-00001") == 4
    assert [
        event.task.name for event in read_events(tmp_path / "run") if isinstance(event, Quarantined)
    ] == ["search-00001"]


def test_a_campaign_stops_when_more_is_set_aside_than_its_budget_allows(tmp_path, carry_out):
    (tmp_path / "trouble-search-00000").write_text("bug")
    with pytest.raises(
        QuarantineError,
        match=r"2 of \d candidates were set aside, more than budget.max_quarantined = 0.01",
    ):
        carry_out(until="search", changes={"budget": {"rounds": 1, "max_quarantined": 0.01}})


def test_pools_of_their_own_relax_every_candidate_once_while_the_next_model_is_trained(
    tmp_path, carry_out, separate_pools
):
    changes = {
        "sampling": {"num_candidates": 6, "chunk_size": 2, "relax_batch": 1},
        "selection": {"retrain_after": 2},
        "budget": {"rounds": 2},
    }
    (tmp_path / "slow").write_text("0.2")
    outcome = carry_out(changes=changes, site=separate_pools)
    run_dir = tmp_path / "run"
    assert (outcome.status, outcome.reason) == ("complete", "rounds")
    assert len(finished(run_dir)) == len(set(finished(run_dir))) == len(executed(run_dir))
    samples = [name for name in finished(run_dir) if name.startswith("sample")]
    assert len(samples) == 6  # chunks of both rounds, whichever model made them
    relaxed = [name for name in finished(run_dir) if name.startswith("relax")]
    expected = {
        f"relax-{name[7:9]}-{2 * int(name[10:]) + batch:05d}"
        for name in samples
        for batch in (0, 1)
    }
    assert set(relaxed) == expected
    # Relaxations of the first round end while the second model is being made.
    events = read_events(run_dir)
    ends = [event.task.name if isinstance(event, Finished) else "" for event in events]
    begun = next(
        number
        for number, event in enumerate(events)
        if isinstance(event, Submitted) and Task("select", 2) in event.tasks
    )
    assert any(name.startswith("relax-01") for name in ends[begun : ends.index("promote-02")])


def test_a_run_keeps_its_mode(searched, carry_out, separate_pools):
    with pytest.raises(
        RunDirectoryError,
        match="mode: asynchronous, because it was started in barrier mode",
    ):
        carry_out(site=separate_pools)


def kill_all(run_dir: Path, words: str) -> int:
    """Kill the processes of a campaign whose command line holds ``words``; return their number."""
    victims = [process for process in processes_of(run_dir) if words in command_of(process)]
    return sum(send(victim, signal.SIGKILL) for victim in victims)


def kill_soon(run_dir: Path, words: str, when: str) -> threading.Thread:
    """Kill a process of the campaign whose command line holds ``words`` as soon as the task
    ``when`` is at work.
    """

    def strike() -> None:
        while not list((run_dir / "executed").glob(f"{when}*")):
            time.sleep(0.05)
        assert kill_all(run_dir, words) > 0

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_killed_interchange_costs_a_new_start_of_the_pools(tmp_path, carry_out):
    (tmp_path / "slow").write_text("1")
    thread = kill_soon(tmp_path / "run", "interchange", "search-00001")
    assert carry_out(until="search").status == "complete"
    thread.join(timeout=10)
    assert sorted(finished(tmp_path / "run")) == ["search-00000", "search-00001", "search-00002"]
    assert processes_of(tmp_path / "run") == []


@pytest.mark.slow
def test_a_parsl_that_does_not_start_is_started_again(tmp_path, carry_out, monkeypatch):
    # As when its interchange is killed while it starts, which Parsl waits two minutes to find out.
    start, refusals = parsl.load, ["Interchange failed to start"] * 2

    def load(config: parsl.Config) -> parsl.DataFlowKernel:
        if refusals:
            raise Exception(refusals.pop())
        return start(config)

    monkeypatch.setattr(parsl, "load", load)
    assert carry_out(until="search").status == "complete"
    assert refusals == []


@pytest.mark.slow
def test_workers_that_start_slowly_do_not_end_the_campaign(tmp_path, carry_out, monkeypatch):
    # As on a busy machine or a slow file system: longer than their first task may take to begin.
    monkeypatch.setattr(watch, "PATIENCE", watch.Patience(first_begin_s=4.0, begin_s=4.0))
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\n"
        "if any('workers.pool_process' in word for word in sys.orig_argv):\n    time.sleep(8)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    assert carry_out(until="search").status == "complete"


@pytest.mark.slow
def test_idle_workers_that_are_killed_do_not_hang_the_campaign(tmp_path, carry_out, monkeypatch):
    # A worker that waits holds the lock of its manager's queue: no other gets a task after it.
    monkeypatch.setattr(
        watch, "PATIENCE", watch.Patience(first_begin_s=15.0, begin_s=6.0, silent_s=10.0)
    )
    (tmp_path / "slow").write_text("1")
    run_dir = tmp_path / "run"

    def strike() -> None:
        while not list((run_dir / "executed").glob("search-00002*")):
            time.sleep(0.05)
        kill_all(run_dir, "multiprocessing.forkserver")

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    assert carry_out(until="train-01").status == "complete"
    thread.join(timeout=10)
    assert "train-01" in finished(run_dir)
    assert len(finished(run_dir)) == len(set(finished(run_dir)))


def test_a_second_driver_is_refused(tmp_path, carry_out):
    (tmp_path / "run").mkdir()
    with (
        Ledger(tmp_path / "run"),
        pytest.raises(RunDirectoryError, match="in use by another driver"),
    ):
        carry_out()


def test_a_changed_campaign_is_refused_and_the_run_stays_as_it_is(searched, carry_out):
    before = (searched / "events.jsonl").read_text()
    with pytest.raises(RunDirectoryError, match="seed = 1, because it was started with 0"):
        carry_out(until="search", changes={"seed": 1})
    assert (searched / "events.jsonl").read_text() == before


def test_a_missing_launcher_is_told_before_anything_is_written(tmp_path, carry_out):
    with pytest.raises(LaunchError, match="no MPI launcher"):
        carry_out(site=SiteConfig(cores=2, mpiexec="no-such-mpi"))
    assert not (tmp_path / "run").exists()


def test_a_search_needs_no_launcher(searched):
    """Its site names one that does not exist."""
    chunks = [f"search-{chunk:05d}" for chunk in range(3)]
    assert sorted(finished(searched)) == executed(searched) == chunks


def test_the_wall_time_ends_a_campaign_whose_tasks_are_still_running(tmp_path, carry_out):
    (tmp_path / "slow").write_text("60")
    outcome = carry_out(changes={"budget": {"wall_time_s": 4.0}}, until="search")
    assert (outcome.status, outcome.reason) == ("complete", "wall time")
    assert processes_of(tmp_path / "run") == []


@pytest.mark.slow
def test_a_lost_pool_is_started_again(tmp_path, carry_out, monkeypatch):
    monkeypatch.setattr(parsl_pools, "HEARTBEAT_LIMIT_S", 3)
    (tmp_path / "slow").write_text("60")

    def kill_managers() -> None:
        while not list((tmp_path / "run").glob("executed/search-*")):
            time.sleep(0.05)
        (tmp_path / "slow").unlink()
        kill_all(tmp_path / "run", "workers.pool_process")

    killer = threading.Thread(target=kill_managers)
    killer.start()
    assert carry_out(until="search").status == "complete"
    killer.join()
    assert sorted(finished(tmp_path / "run")) == [f"search-{chunk:05d}" for chunk in range(3)]
    # Parsl tells it as a lost manager or as a bad state, whichever it sees first.
    assert any(
        isinstance(event, Failed) and event.is_retried for event in read_events(tmp_path / "run")
    )
    assert len(list((tmp_path / "run" / "runinfo").iterdir())) == 2
    assert processes_of(tmp_path / "run") == []
