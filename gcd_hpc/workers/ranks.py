"""Local launcher: ``python -m gcd_hpc.workers.ranks NUM MODULE ARGUMENT...`` starts NUM processes.

The processes find each other through a file that only this user can read. The stores of torchrun
would listen on all network interfaces without a password and unpickle what they receive.

On Linux the module is imported once, before the processes fork: torch takes seconds to import, and
its memory is shared. The module does its work where it runs as ``__main__``.
"""

import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from gcd_hpc.processes import CAN_FORK
from gcd_hpc.stages.launched import STORE_NAME

GRACE_S = 10.0
"""Time that the other processes have to exit after one has failed, before they are killed."""
POLL_S = 0.05
FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def main(arguments: Sequence[str]) -> int:
    """Run the processes to their end, and forward signals to them.

    Returns:
        the exit code of the process that ended badly first, 128 + the signal that killed it, or 0.
    """
    num, module = int(arguments[0]), arguments[1]
    if CAN_FORK:
        importlib.import_module(module)
    fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
    make = fork.Process if CAN_FORK else spawn.Process
    with tempfile.TemporaryDirectory(prefix="gcd-hpc-ranks-") as folder:
        processes: list[BaseProcess] = []

        def forward(number: int, _: object) -> None:
            for process in processes:
                if process.pid is not None and process.is_alive():
                    os.kill(process.pid, number)

        for number in FORWARDED:
            signal.signal(number, forward)
        # A signal during the start waits until all processes are there. One that has just forked
        # would take it for the launcher's.
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        # The environment variables are those of torchrun.
        for rank in range(num):
            variables = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(num),
                STORE_NAME: str(Path(folder) / "store"),
            }
            process = make(target=_run, args=(module, arguments[2:], variables))
            process.start()
            processes.append(process)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        return _wait(processes)


def _run(module: str, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """What one process does: ``python -m MODULE ARGUMENT...``, with some environment variables."""
    for number in FORWARDED:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    os.environ.update(variables)
    sys.argv = [module, *arguments]
    # It was imported for what it imports itself, and runs under another name.
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _wait(processes: Sequence[BaseProcess]) -> int:
    """Wait for all processes; if one fails, end the others."""
    while True:
        codes = [process.exitcode for process in processes]
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if failed is not None:
            break
        if None not in codes:
            return 0
        time.sleep(POLL_S)
    # The first failure decides the exit code, because the others are ended here.
    code = codes[failed]
    assert code is not None
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    print(f"process {failed} of {len(processes)} {how}", file=sys.stderr, flush=True)
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
