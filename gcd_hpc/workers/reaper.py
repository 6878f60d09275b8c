"""Processes of a driver that is gone.

Each carries the token that its driver wrote into the ledger with its process id and start time.
"""

import os
import time
from collections.abc import Iterable, Mapping

import psutil

TOKEN_NAME = "GCD_HPC_DRIVER"
KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}
"""Parsl renames its processes with setproctitle, which writes the name over the environment that we
look for unless told not to.
"""
GRACE_S = 3.0
"""Between asking a process to end and ending it."""


def start_time(pid: int) -> float:
    """Seconds since the epoch; with the process id it names a process for good."""
    return psutil.Process(pid).create_time()


def is_alive(pid: int, created: float) -> bool:
    """Whether this very process still runs, not a later one of the same id."""
    try:
        return abs(start_time(pid) - created) < 1.0
    except psutil.Error:
        return False


def orphans(drivers: Mapping[str, tuple[int, float]]) -> list[psutil.Process]:
    """Living processes that were started for drivers which no longer run."""
    tokens = {token for token, (pid, created) in drivers.items() if not is_alive(pid, created)}
    return descendants(tokens) if tokens else []


def descendants(tokens: Iterable[str]) -> list[psutil.Process]:
    """Processes that inherited one of the tokens; not this one."""
    wanted, found = set(tokens), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(TOKEN_NAME) in wanted:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone by now, or another user's
    return found


def end(processes: list[psutil.Process], grace_s: float = GRACE_S) -> int:
    """Ask processes to end, then end them. Returns how many there were."""
    for process in processes:
        _signal(process, gentle=True)
    deadline = time.monotonic() + grace_s
    _, alive = psutil.wait_procs(processes, timeout=max(0.0, deadline - time.monotonic()))
    for process in alive:
        _signal(process, gentle=False)
    psutil.wait_procs(alive, timeout=grace_s)
    return len(processes)


def _signal(process: psutil.Process, gentle: bool) -> None:
    try:
        if gentle:
            process.terminate()
        else:
            process.kill()
    except psutil.Error:
        pass  # gone by now
