import os
import signal
import subprocess
import sys

import pytest

from gcd_hpc.campaign.ledger import Event, Ledger, opened, read_events, replay
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.tasks import Plan, Task
from gcd_hpc.store.run_directory import RunDirectory

START = opened(Plan(1, 1, 1), "token", os.getpid(), 0.0, 0.0)
DONE = Event(
    "finished",
    2.0,
    {
        "task": "search-00000",
        "started": 5.0,
        "seconds": 1.5,
        "work_s": 1.0,
        "cores": 1,
        "best": {"0.2": 2.5},
    },
)


def test_events_come_back_as_they_were_written(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.append(START)
        ledger.append(DONE)
        assert read_events(tmp_path) == [START, DONE]  # on disk before the ledger is closed


def test_state_is_a_function_of_the_events():
    state = replay([START, DONE])
    assert state.plan == Plan(1, 1, 1)
    assert list(state.finished) == [Task("search", 0, 0)]
    assert state.best == {0: {"0.2": 2.5}}
    assert state.elapsed_s == 2.0
    assert state == replay([START, DONE])


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_last_line_is_dropped_and_then_overwritten(tmp_path, cut):
    with Ledger(tmp_path) as ledger:
        ledger.append(START)
        ledger.append(DONE)
    path = RunDirectory(tmp_path).ledger
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_events(tmp_path) == [START]
    with Ledger(tmp_path) as ledger:
        ledger.append(DONE)
    assert read_events(tmp_path) == [START, DONE]


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path):
    RunDirectory(tmp_path).ledger.write_text(f"{START.line()}garbage\n{DONE.line()}")
    with pytest.raises(RunDirectoryError, match="line 2 must be an event"):
        read_events(tmp_path)


def test_a_second_writer_is_refused_and_told_who_holds_the_ledger(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.append(START)
        with (
            pytest.raises(
                RunDirectoryError, match=f"in use by another driver \\(process {os.getpid()}\\)"
            ),
            Ledger(tmp_path),
        ):
            pass
    with Ledger(tmp_path):
        pass  # free again


def test_the_lock_of_a_killed_writer_is_gone(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from gcd_hpc.campaign.ledger import Ledger
with Ledger(Path({str(tmp_path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    with Ledger(tmp_path) as ledger:
        ledger.append(START)
    assert read_events(tmp_path) == [START]


def test_elapsed_time_does_not_fall_when_a_clock_goes_backwards():
    assert replay([START, Event("tick", 10.0), Event("tick", 3.0)]).elapsed_s == 10.0


def test_a_full_disk_leaves_whole_lines(tmp_path):
    """The limit on file size stands for a disk that fills up in the middle of a line."""
    code = f"""
import resource, signal, sys
from pathlib import Path
from gcd_hpc.campaign.ledger import Event, Ledger
from gcd_hpc.errors import RunDirectoryError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with Ledger(Path({str(tmp_path)!r})) as ledger:
    try:
        for _ in range(100):
            ledger.append(Event("tick", 1.0, {{"filler": "x" * 50}}))
    except RunDirectoryError as error:
        print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "events.jsonl: file too large" in said
    assert RunDirectory(tmp_path).ledger.read_bytes().endswith(b"}\n")
    assert len(read_events(tmp_path)) > 5
