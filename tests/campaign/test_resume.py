"""Drivers that are killed or asked to stop, in each stage, and the same command after it."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from gcd_hpc.campaign.events import Failed, Finished, Paused
from gcd_hpc.campaign.keeper import SUSPENDED_S
from gcd_hpc.campaign.policy import MAX_RETRIES
from gcd_hpc.stages.table import EXPLORE, stages_of
from tests.campaign.conftest import ROOT
from tests.campaign.histories import read_events
from tests.campaign.toy import content
from tests.processes import command_of, processes_of, suspend

pytestmark = pytest.mark.mpi
EXPECTED = Counter(
    [
        *(f"search-{chunk:05d}" for chunk in range(3)),
        *(f"{stage}-01" for stage in ("select", "train", "promote", "sample")),
        *(f"relax-01-{chunk:05d}" for chunk in range(2)),
    ]
)
"""Each task is finished once."""


def start(run_dir: Path, *words: str, **variables: str) -> subprocess.Popen:
    with open(run_dir.parent / "driver.log", "a") as log:
        line = [sys.executable, "-m", "tests.campaign.toy_driver", str(run_dir), *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} | variables
        return subprocess.Popen(
            line, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def wait_for(condition, what: str, timeout_s: float = 150.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def interrupt(run_dir: Path, stage: str, number: int, *words: str) -> subprocess.Popen:
    """Start a campaign and send its driver a signal while a task of the stage is at work."""
    slow = run_dir.parent / f"slow-{stage}"
    slow.write_text("30")
    before = marks(run_dir, stage)
    driver = start(run_dir, *words)
    wait_for(lambda: marks(run_dir, stage) > before or driver.poll() is not None, f"{stage} begins")
    # Else the tests below would look for orphans in vain.
    commands = " ".join(map(command_of, processes_of(run_dir)))
    assert "interchange" in commands and "workers.pool_process" in commands
    driver.send_signal(number)
    driver.wait(timeout=60)
    slow.unlink()
    return driver


def marks(run_dir: Path, stage: str) -> set[Path]:
    """One for each time that a task of the stage began."""
    return set((run_dir / "executed").glob(f"{stage}-*"))


def num_finished(run_dir: Path) -> Counter[str]:
    """How often each task was finished."""
    return Counter(event.task.name for event in read_events(run_dir) if isinstance(event, Finished))


def results(run_dir: Path) -> dict[str, str]:
    """Every result file with its content."""
    return {
        str(path.relative_to(run_dir)): content(path)
        for folder in ("parts", "models")
        for path in sorted((run_dir / folder).rglob("*.*"))
    }


@pytest.mark.parametrize(
    "killed_in",
    [
        # One of every kind: chunks before and after a model, torchrun and mpiexec.
        ("search", "train", "sample", "relax"),
        # The toy campaign does not explore; tests/integration and tests/chaos.py kill a real
        # exploration.
        pytest.param(
            [stage for stage in stages_of("boundary") if stage != EXPLORE], marks=pytest.mark.slow
        ),
    ],
    ids=["one of every kind", "every stage"],
)
def test_a_driver_killed_in_each_stage_loses_nothing_and_counts_nothing_twice(
    tmp_path, complete, killed_in
):
    run_dir = tmp_path / "run"
    for stage in killed_in:
        interrupt(run_dir, stage, signal.SIGKILL)
    assert start(run_dir).wait(timeout=150) == 0
    assert results(run_dir) == results(complete)
    assert num_finished(run_dir) == EXPECTED
    assert list((run_dir / "tasks").iterdir()) == []
    assert processes_of(run_dir) == []


@pytest.mark.parametrize(
    "asked",
    [
        {"train": signal.SIGUSR1},
        pytest.param(
            {"search": signal.SIGINT, "train": signal.SIGTERM, "sample": signal.SIGUSR1},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["once", "by every signal"],
)
def test_a_driver_that_is_asked_to_stop_pauses_and_leaves_no_process(tmp_path, asked):
    run_dir = tmp_path / "run"
    for stage, number in asked.items():
        driver = interrupt(run_dir, stage, number)
        assert driver.returncode == 0, stage
        assert (tmp_path / "driver.log").read_text().split()[-1] == "paused", stage
        assert isinstance(read_events(run_dir)[-1], Paused), stage
        assert processes_of(run_dir) == [], stage
    assert start(run_dir).wait(timeout=150) == 0
    assert num_finished(run_dir) == EXPECTED


def test_a_second_interrupt_stops_at_once(tmp_path):
    run_dir = tmp_path / "run"
    (tmp_path / "slow").write_text("60")
    driver = start(run_dir)
    wait_for(lambda: list((run_dir / "executed").glob("search-00001*")), "the search begins")
    driver.send_signal(signal.SIGTERM)
    wait_for(lambda: (run_dir / "pause").exists(), "the driver drains")
    driver.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert driver.wait(timeout=60) == 0
    assert time.monotonic() - began < 15
    assert processes_of(run_dir) == []


def test_an_interrupt_of_the_whole_terminal_finishes_what_runs_and_pauses(tmp_path):
    run_dir = tmp_path / "run"
    # Also the chunk that waits at a free worker ends within the 4 s that a driver waits.
    (tmp_path / "slow").write_text("1")
    driver = start(run_dir)
    wait_for(lambda: list((run_dir / "executed").glob("search-00001*")), "the search begins")
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(timeout=60) == 0
    events = read_events(run_dir)
    assert isinstance(events[-1], Paused)
    assert [event for event in events if isinstance(event, Failed)] == []
    executed = {path.name.split(".")[0] for path in (run_dir / "executed").iterdir()}
    assert {event.task.name for event in events if isinstance(event, Finished)} == executed
    assert len(executed) >= 2
    assert not any(name.startswith("select") for name in executed)
    assert processes_of(run_dir) == []


@pytest.mark.slow
def test_a_machine_that_is_suspended_more_often_than_a_task_may_fail_loses_nothing(
    tmp_path, complete
):
    run_dir = tmp_path / "run"
    (tmp_path / "slow").write_text("3")
    driver = start(run_dir, HEARTBEAT_LIMIT_S="4")
    # Longer than the limit of heartbeats, so that Parsl takes its workers for lost each time, and
    # than what the driver takes for a suspension.
    for number in range(1, MAX_RETRIES + 3):
        wait_for(
            lambda at_least=number: len(list((run_dir / "executed").glob("*"))) >= at_least,
            "a task is at work",
        )
        suspend(psutil.Process(driver.pid), lambda: processes_of(run_dir), SUSPENDED_S + 2.0)
    assert driver.wait(timeout=200) == 0
    assert results(run_dir) == results(complete)
    assert processes_of(run_dir) == []
