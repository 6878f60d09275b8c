"""Imported by the process from which the workers of a pool are forked, so that they end with it."""

import functools
import os

from gcd_hpc.processes import die_with_parent

FORKING = os.getpid()


@functools.cache
def _end_with_parent() -> None:
    """Called once in each worker: what a worker forks in its turn inherits the cache."""
    die_with_parent(FORKING)


os.register_at_fork(after_in_child=_end_with_parent)
