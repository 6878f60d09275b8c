"""Processes of other programs, which may end at any moment: between two calls that look at one
process it may be gone, or a zombie without a command line.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from gcd_hpc.campaign.events import Opened
from gcd_hpc.workers.reaper import descendants
from tests.campaign.histories import read_events


def processes_of(run_dir: Path) -> list[psutil.Process]:
    """Living processes that the drivers of a run directory started."""
    return descendants(event.token for event in read_events(run_dir) if isinstance(event, Opened))


def command_of(process: psutil.Process) -> str:
    """Name and command line of a process; empty if it has ended."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.Error:
        return ""


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; return False if the process has ended."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def suspend(
    driver: psutil.Process, others: Callable[[], list[psutil.Process]], seconds: float
) -> None:
    """Stop a driver and all processes of its campaign, as a suspended machine does; later let all
    go on.
    """
    stopped: dict[int, psutil.Process] = {}
    for _ in range(2):  # a process may have started others before it was stopped itself
        for process in [driver, *others()]:
            stopped[process.pid] = process
            send(process, signal.SIGSTOP)
    time.sleep(seconds)
    for process in stopped.values():
        send(process, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    """True until a process has ended; a zombie, which only waits to be reaped, has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
