"""The process from which the workers of a pool are forked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gcd_hpc.processes import CAN_FORK
from gcd_hpc.workers.pool_process import IS_CLOSED
from tests.processes import is_alive

pytestmark = pytest.mark.skipif(
    not (CAN_FORK and IS_CLOSED), reason="workers are not forked by this system or Python"
)

# What Parsl's program does with its workers, in its place.
BODY = """
import time
from parsl.multiprocessing import SpawnContext

if __name__ == "__main__":
    workers = [SpawnContext.Process(target=time.sleep, args=(60,), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    print(*(worker.pid for worker in workers), flush=True)
    for worker in workers:
        worker.join()
"""
START = "from gcd_hpc.workers import pool_process; pool_process.POOL = 'body'; pool_process.main()"


@pytest.fixture
def forked(tmp_path):
    """Process ids of two workers, and the process from which they were forked."""
    (tmp_path / "body.py").write_text(BODY)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-c", START],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as pool:
        assert pool.stdout is not None
        pids = [int(word) for word in pool.stdout.readline().split()]
        (parent,) = {psutil.Process(pid).ppid() for pid in pids}
        assert parent != pool.pid
        yield pids, psutil.Process(parent)
        # Ended so, it removes its temporary folder.
        pool.send_signal(signal.SIGINT)


def test_workers_end_with_the_process_from_which_they_are_forked(forked):
    pids, parent = forked
    assert len(pids) == 2 and all(map(is_alive, pids))
    parent.kill()
    deadline = time.monotonic() + 10.0
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_process_that_forks_is_reached_through_a_folder_of_its_user_alone(forked):
    _, parent = forked
    (address,) = {one.laddr for one in parent.net_connections("unix") if one.laddr}
    assert Path(address).parent.stat().st_mode & 0o777 == 0o700
