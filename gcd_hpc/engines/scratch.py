"""Folders of a process in the temporary directory that do not outlive it for long."""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = f"gcd-hpc-lammps-{re.sub('[^A-Za-z0-9]', '_', platform.node())}-"
"""With the machine's name: not all shared file systems show one machine another's locks."""
_YOUNGEST_S = 60.0
"""A folder younger than this may not have been locked yet by the process that made it."""


class Scratch:
    """A folder that is locked while its process lives.

    The lock ends with the process, however that ends. Whoever makes the next folder removes those
    that nobody locks.
    """

    def __init__(self) -> None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._handle = os.open(self.path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._handle)


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            if path.is_symlink() or time.time() - path.stat().st_mtime < _YOUNGEST_S:
                continue
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)
