"""One pool of Parsl's workers: ``python -m gcd_hpc.workers.pool_process`` with Parsl's options.

By itself Parsl starts each worker as a new interpreter, which takes most of a second to import
Parsl. Where a process may fork, all workers of a pool are forked from one that has imported it
already. They end with that one, because the pool learns of its workers' ends through it alone and
would start others beside them.
"""

import multiprocessing
import runpy
import sys

import parsl.multiprocessing

from gcd_hpc.processes import CAN_FORK

POOL = "parsl.executors.high_throughput.process_worker_pool"
# Other versions let every user of the machine reach the process that forks (CVE-2022-42919).
IS_CLOSED = sys.version_info >= (3, 10, 9) and sys.version_info[:3] != (3, 11, 0)


def main() -> None:
    """Run Parsl's own program of a pool."""
    if CAN_FORK and IS_CLOSED:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([POOL, "gcd_hpc.workers.forking"])
        # The only place from which Parsl's program takes its context.
        parsl.multiprocessing.SpawnContext = context  # type: ignore[assignment]
    runpy.run_module(POOL, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
