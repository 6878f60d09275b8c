"""Temporary folders of processes, removed after their process has ended."""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

PREFIX = f"gcd-hpc-lammps-{re.sub('[^A-Za-z0-9]', '_', platform.node())}-"
"""Prefix with the machine's name, because some shared file systems do not show locks of others."""


class Scratch:
    """A temporary folder that is locked while its process lives.

    The lock ends with the process, in whatever way. The maker of the next folder removes unlocked
    ones.
    """

    def __init__(self) -> None:
        remove_abandoned()
        unlocked = Path(tempfile.mkdtemp(prefix="gcd-hpc-new-"))
        self._handle = os.open(unlocked, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Only a locked folder gets the name by which abandoned ones are found.
        self.path = unlocked.rename(unlocked.with_name(PREFIX + unlocked.name.rpartition("-")[2]))

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._handle)


def remove_abandoned() -> None:
    """Delete folders of this machine whose processes have ended."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, another user's, or gone meanwhile
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)
