import errno
import fcntl
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from socket import gethostname

import pytest

from gcd_hpc.campaign.events import Event, Paused
from gcd_hpc.campaign.ledger import Ledger, LedgerReader, read_state
from gcd_hpc.campaign.progress import best_so_far
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.reaper import start_time
from tests.campaign.histories import finished, opened, read_events, state_after

START = opened(Plan(1, 1, 1), pid=os.getpid())
DONE = finished("search-00000", 2.0, started=5.0, best={2: 2.5})


def write(run_dir: Path, *events: Event) -> bytes:
    """The ledger of these events, as it lies on disk."""
    with Ledger(run_dir) as ledger:
        for event in events:
            ledger.append(event)
    return RunDirectory(run_dir).ledger.read_bytes()


def test_events_come_back_as_they_were_written(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.append(START)
        ledger.append(DONE)
        assert read_events(tmp_path) == [START, DONE]  # on disk before the ledger is closed


def test_state_is_a_function_of_the_events():
    state = state_after([START, DONE])
    assert state.plan == Plan(1, 1, 1)
    assert list(state.finished) == [Task("search", 0, 0)]
    assert state.best == {0: {2: 2.5}}
    assert state.elapsed_s == 2.0
    assert state == state_after([START, DONE])


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], b"garbage\n", *lines[1:]],
        lambda lines: [lines[0], lines[1].replace(b"2.5", b"1.5"), lines[2]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[1], *lines[1:]],
        lambda lines: [lines[0], lines[2], lines[1]],
    ],
    ids=["garbage", "changed number", "missing line", "line twice", "other order"],
)
def test_a_ledger_that_was_changed_is_an_error_that_names_the_line_and_the_cure(tmp_path, damage):
    lines = write(tmp_path, START, DONE, Paused(elapsed_s=3.0)).splitlines(keepends=True)
    RunDirectory(tmp_path).ledger.write_bytes(b"".join(damage(lines)))
    with pytest.raises(RunDirectoryError, match=r"events.jsonl: line [23] .* move the file away"):
        read_state(tmp_path)


def test_a_reader_takes_in_only_what_was_added_and_begins_anew_with_another_file(tmp_path):
    write(tmp_path, START, DONE)
    reader = LedgerReader(tmp_path)
    assert reader.refresh() == state_after([START, DONE])
    write(tmp_path, Paused(elapsed_s=3.0))
    assert list(reader.new_events()) == [Paused(elapsed_s=3.0)]
    RunDirectory(tmp_path).ledger.unlink()
    write(tmp_path, START)
    assert reader.refresh() == state_after([START])


def test_a_ledger_of_version_1_can_be_read_but_not_continued(tmp_path):
    """Its lines have no checksums, and fractions where there are integers now."""
    RunDirectory(tmp_path).ledger.write_text(
        '{"kind":"opened","elapsed_s":1.0,"token":"t","pid":1,"created":5.0,"plan":'
        '{"num_search_chunks":1,"num_sample_chunks":1,"rounds":1}}\n'
        '{"kind":"finished","elapsed_s":9.0,"task":"search-00000","id":"5d","started":2.0,'
        '"cores":1,"seconds":4.0,"work_s":3.0,"num":20,"best":{"0.7":3.5},"low":[[0.7,3.5]]}\n'
        '{"kind":"failed","elapsed_s":9.5,"task":"select-01","reason":"none","retry":false}\n'
    )
    state = read_state(tmp_path)
    assert best_so_far(state) == {"0.7": (3.5, "search")}
    assert state.finished[Task("search", 0, 0)].work_s == 3.0
    assert state.account.attempts[Task("select", 1)][0].failure == "mistake"
    with pytest.raises(RunDirectoryError, match=r"was written by gcd-hpc 0\.1"), Ledger(tmp_path):
        pass


def test_a_ledger_of_a_newer_version_is_refused_by_its_number(tmp_path):
    write(tmp_path, replace(START, ledger=3))
    with pytest.raises(RunDirectoryError, match="ledger version 3, while this gcd-hpc knows 2"):
        read_state(tmp_path)


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


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_file_locks_a_driver_at_work_is_known_by_its_process(
    tmp_path, monkeypatch, capsys, number
):
    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    here = {"host": gethostname(), "created": start_time(os.getpid())}
    at_work = replace(START, pid=os.getpid(), **here)
    with Ledger(tmp_path) as ledger:
        ledger.append(at_work)
        with pytest.raises(RunDirectoryError, match="in use by another driver"), Ledger(tmp_path):
            pass
        ledger.append(Paused())
    with Ledger(tmp_path) as ledger:  # the driver has ended by itself
        ledger.append(replace(at_work, created=5.0))
    with Ledger(tmp_path) as ledger:  # its process is gone
        ledger.append(replace(at_work, host="another"))
    assert capsys.readouterr().err == ""
    with Ledger(tmp_path):
        assert "make sure that the driver on another" in capsys.readouterr().err


def test_a_lock_that_fails_for_another_reason_is_no_other_driver(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(RunDirectoryError, match=r"cannot write .*: input/output error"):
        Ledger(tmp_path).__enter__()


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
    state = state_after([START, Paused(elapsed_s=10.0), Paused(elapsed_s=3.0)])
    assert state.elapsed_s == 10.0


def test_a_full_disk_leaves_whole_lines(tmp_path):
    """The limit on file size stands for a disk that fills up in the middle of a line."""
    code = f"""
import resource, signal, sys
from pathlib import Path
from gcd_hpc.campaign.events import Opened, Stopped
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.plan import Plan
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with Ledger(Path({str(tmp_path)!r})) as ledger:
    try:
        ledger.append(Opened(plan=Plan(1, 1, 1), token="t", pid=1, created=0.0))
        for _ in range(100):
            ledger.append(Stopped(reason="x" * 50))
    except RunDirectoryError as error:
        print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "events.jsonl: file too large" in said
    assert RunDirectory(tmp_path).ledger.read_bytes().endswith(b"}\n")
    assert len(read_events(tmp_path)) > 5
