"""Times that neither a busy nor a suspended machine distorts."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_THREADS = Path("/proc/self/task")


class RunningClock:
    """Clock that stands still while this process is suspended, for limits of wall time.

    It has to be read often: of a longer interval between two readings, only ``max_step_s`` counts.
    A process that waits for others uses it because all of them are suspended together.
    """

    def __init__(self, max_step_s: float = 5.0) -> None:
        self._max_step_s = max_step_s
        self._seconds = 0.0
        self._read = time.monotonic()

    def read(self) -> float:
        """Seconds since this clock was made."""
        now = time.monotonic()
        self._seconds += min(now - self._read, self._max_step_s)
        self._read = now
        return self._seconds


def processor_s() -> float:
    """Processor time of this process and its children so far, user and system, s.

    Counted are this process with all its threads, ended children that were waited for, with their
    own descendants, and running children such as LAMMPS. The cost of some work is the difference of
    two values. Unlike wall time it does not grow when other processes use the same cores.
    """
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    for pid in _children():
        with suppress(psutil.Error):  # it has ended meanwhile
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def spent_s(work: Callable[[], object]) -> float:
    """Processor time that some work takes in this process and its children, s."""
    before_s = processor_s()
    work()
    return max(0.0, processor_s() - before_s)


def _children() -> list[int]:
    """Process ids of the running children.

    Most Linux kernels list them in a file for each thread, which takes a tenth of a millisecond.
    psutil looks at all processes of the machine, which takes some milliseconds.
    """
    files = list(_THREADS.glob("*/children"))
    if not files:
        return [child.pid for child in psutil.Process().children()]
    found: list[str] = []
    for children in files:
        with suppress(OSError):  # the thread has ended meanwhile
            found += children.read_text().split()
    return [int(pid) for pid in found]
