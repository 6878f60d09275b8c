"""Processor time, the measure of all core-seconds of this package."""

import os
import time
from contextlib import suppress

import psutil


def processor_s() -> float:
    """Processor time of this process and its children so far, user and system, s.

    Counted are this process with all its threads, ended children that were waited for, with their
    own descendants, and running children such as LAMMPS. The cost of some work is the difference of
    two values. Unlike wall time it does not grow when other processes use the same cores.
    """
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended meanwhile
            times = child.cpu_times()
            total += times.user + times.system
    return total
