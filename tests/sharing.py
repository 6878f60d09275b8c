"""What many tests look at and is expensive to make: once in a session, whichever of its processes
needs it first.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` has filled. Do not write to it: copy from it.

    The first process that asks for it fills it, all others wait meanwhile. What was left by a
    ``make`` that failed is thrown away, and the next one who asks tries again.
    """
    # Every process of pytest-xdist has a folder of its own in that of the session.
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    session = factory.getbasetemp() if alone else factory.getbasetemp().parent
    folder, mark = session / name, session / f"{name}.made"
    with open(session / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                mark.touch()
        finally:
            # Closing the file is not enough if a process was forked meanwhile and still lives.
            fcntl.flock(lock, fcntl.LOCK_UN)
    return folder
