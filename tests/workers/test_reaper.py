import os
import subprocess
import sys
import time

import psutil
import pytest

from gcd_hpc.workers.reaper import TOKEN_NAME, descendants, end, is_alive, orphans, start_time

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    " time.sleep(60)"
)


@pytest.fixture
def start():
    """Start a process that carries a token."""
    started = []

    def begin(token: str, code: str = SLEEP) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, TOKEN_NAME: token},
            stdout=subprocess.PIPE,
        )
        started.append(process)
        while TOKEN_NAME not in psutil.Process(process.pid).environ():
            time.sleep(0.01)  # between fork and exec
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_processes_are_told_apart_by_their_token(start):
    mine, other = start("test-token-1"), start("test-token-2")
    assert [process.pid for process in descendants(["test-token-1"])] == [mine.pid]
    assert end(descendants(["test-token-1"])) == 1
    assert not psutil.pid_exists(mine.pid)
    assert other.poll() is None


def test_a_process_that_ignores_the_request_is_ended(start):
    process = start("test-token-3", STUBBORN)
    process.stdout.readline()
    end(descendants(["test-token-3"]), grace_s=0.2)
    assert not psutil.pid_exists(process.pid)


def test_only_processes_of_drivers_that_are_gone_are_orphans(start):
    start("test-token-4")
    here = (os.getpid(), start_time(os.getpid()))
    assert orphans({"test-token-4": here}) == []
    assert (
        len(orphans({"test-token-4": (here[0], here[1] - 100.0)})) == 1
    )  # an earlier process had this id


def test_a_process_id_that_nobody_has_is_not_alive():
    assert not is_alive(2**22 + 1, 0.0)
