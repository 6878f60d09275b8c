import os
import subprocess
import sys
import tempfile
import time

import psutil
import pytest

from gcd_hpc.workers.reaper import (
    TOKEN_NAME,
    clear_up,
    descendants,
    end,
    is_alive,
    marked,
    start_time,
    temporary_folder,
)

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


def test_only_drivers_that_no_longer_run_are_cleared_up_after(start, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = start("test-token-4")
    temporary_folder("test-token-4").mkdir()
    pid, created = os.getpid(), start_time(os.getpid())
    clear_up({"test-token-4": (pid, created)})
    assert process.poll() is None and temporary_folder("test-token-4").exists()
    clear_up({"test-token-4": (pid, created - 100.0)})  # an earlier process had this id
    assert not psutil.pid_exists(process.pid)
    assert list(tmp_path.iterdir()) == []


def test_processes_of_a_driver_have_its_token_a_safe_path_and_a_folder_that_goes_with_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "random.py").write_text("print('not the library')")
    code = "import os, tempfile; tempfile.mkdtemp(); print(os.environ['GCD_HPC_DRIVER'])"
    with marked("test-token-5", is_one_machine=True):
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("test-token-5\n", "")
        (folder,) = (tmp_path / "tmp").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700 and len(list(folder.iterdir())) == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert TOKEN_NAME not in os.environ


def test_a_process_id_that_nobody_has_is_not_alive():
    assert not is_alive(2**22 + 1, 0.0)
