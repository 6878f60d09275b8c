"""A process of an engine that is kept for many jobs."""

from typing import TypeVar

from gcd_hpc.engines.process import EngineProcess

NUM_TRIES = 3
"""Attempts at a job whose process is killed from outside."""
PATIENCE = 20.0
"""Wall-clock seconds allowed per second of processor time; a slower process counts as hung."""

_Own = TypeVar("_Own", bound="KeptProcess")


class KeptProcess:
    """Holds a process from one job to the next, and ends it with the block of a ``with``.

    Linux kills the process when the thread that started it ends: use one engine in one thread only.
    """

    _process: EngineProcess | None = None

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running child, or None."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the child with its processes and remove its folder."""
        if self._process is not None:
            self._process.end()
        self._process = None
