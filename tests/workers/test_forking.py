"""The process from which the workers of a pool are forked."""

import subprocess
import sys
import time

import psutil
import pytest

from gcd_hpc.processes import CAN_FORK
from tests.processes import is_alive

POOL = """
import multiprocessing, multiprocessing.forkserver, sys, time

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gcd_hpc.workers.forking"])
    workers = [context.Process(target=time.sleep, args=(60,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    print(*(worker.pid for worker in workers), flush=True)
    for worker in workers:
        worker.join()
"""


@pytest.mark.skipif(not CAN_FORK, reason="workers are forked on Linux only")
def test_workers_end_with_the_process_from_which_they_are_forked(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    with subprocess.Popen(
        [sys.executable, tmp_path / "pool.py"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as pool:
        assert pool.stdout is not None
        pids = [int(word) for word in pool.stdout.readline().split()]
        assert len(pids) == 2 and all(map(is_alive, pids))
        (forking,) = {psutil.Process(pid).ppid() for pid in pids}
        assert forking != pool.pid
        psutil.Process(forking).kill()
        deadline = time.monotonic() + 10.0
        while any(map(is_alive, pids)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pool.kill()
