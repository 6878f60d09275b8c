"""The processes of a driver, and those of a driver that is gone.

Each carries the token that its driver wrote into the ledger with its process id and start time.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import psutil

TOKEN_NAME = "GCD_HPC_DRIVER"
FOR_ALL = {
    # Parsl renames its processes with setproctitle, which would write the name over the environment
    # that we look for.
    "SPT_NOENV": "1",
    # A random.py or queue.py in the working directory is not imported. Python 3.10 does not know
    # the variable: see HAS_SAFE_PATH.
    "PYTHONSAFEPATH": "1",
}
HAS_SAFE_PATH = sys.version_info >= (3, 11)
"""Whether PYTHONSAFEPATH keeps the working directory off the path of imports. Without it processes
are started in folders that hold no modules.
"""
GRACE_S = 3.0
"""Between asking a process to end and ending it."""


@contextmanager
def marked(token: str, is_one_machine: bool) -> Iterator[None]:
    """Let every process that is started meanwhile carry the token of this driver.

    Args:
        is_one_machine: give them a temporary folder of their own too, which is removed at the end.
            On several nodes the jobs of the scheduler have theirs.
    """
    variables = {TOKEN_NAME: token, **FOR_ALL}
    folder = temporary_folder(token)
    if is_one_machine:
        folder.mkdir(mode=0o700)
        variables["TMPDIR"] = str(folder)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def temporary_folder(token: str) -> Path:
    """Folder for the temporary files of a driver's processes. Its name is short: paths of sockets
    end after 107 bytes.
    """
    return Path(tempfile.gettempdir()) / f"gcd-hpc-{sha256(token.encode()).hexdigest()[:8]}"


def clear_up(drivers: Mapping[str, tuple[int, float]]) -> None:
    """End what drivers that no longer run have left running, and remove their temporary folders.

    Args:
        drivers: process id and start time by token.
    """
    tokens = gone(drivers)
    if tokens:
        end(descendants(tokens))
    for token in tokens:
        folder = temporary_folder(token)
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


def start_time(pid: int) -> float:
    """Seconds since the epoch; with the process id it names a process for good."""
    return float(psutil.Process(pid).create_time())


def is_alive(pid: int, created: float) -> bool:
    """Whether this very process still runs, not a later one of the same id."""
    try:
        return abs(start_time(pid) - created) < 1.0
    except psutil.Error:
        return False


def gone(drivers: Mapping[str, tuple[int, float]]) -> set[str]:
    """Tokens of drivers that no longer run."""
    return {token for token, (pid, created) in drivers.items() if not is_alive(pid, created)}


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
