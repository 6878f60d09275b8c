"""Processes of a driver, and clean-up after drivers that have ended.

Each process carries the token that its driver wrote into the ledger with its process id and start
time.
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
    # setproctitle, which Parsl uses to rename its processes, would overwrite the environment that
    # holds the token.
    "SPT_NOENV": "1",
    # Modules such as random.py in the working directory are not imported. Python 3.10 ignores the
    # variable; see HAS_SAFE_PATH.
    "PYTHONSAFEPATH": "1",
}
HAS_SAFE_PATH = sys.version_info >= (3, 11)
"""True if PYTHONSAFEPATH keeps the working directory out of sys.path (Python 3.11 and later).

Without it, processes are started in directories that hold no modules.
"""
GRACE_S = 3.0
"""Time between SIGTERM and SIGKILL."""


@contextmanager
def marked(token: str, is_one_machine: bool) -> Iterator[None]:
    """Context in which every process started carries the token of this driver.

    Args:
        is_one_machine: also use a temporary directory, removed at the end; on several nodes the
            scheduler's jobs have their own.
    """
    variables = {TOKEN_NAME: token, **FOR_ALL}
    folder = temporary_folder(token)
    if is_one_machine:
        folder.mkdir(mode=0o700)
        variables["TMPDIR"] = str(folder)
    try:
        with environment(variables):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Context in which this process and those it starts have these environment variables."""
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


def temporary_folder(token: str) -> Path:
    """Directory for the temporary files of a driver. Its path is short: sockets allow 107 bytes."""
    return Path(tempfile.gettempdir()) / f"gcd-hpc-{sha256(token.encode()).hexdigest()[:8]}"


def clear_up(drivers: Mapping[str, tuple[int, float]]) -> None:
    """End the processes of drivers that no longer run, and remove their temporary directories.

    Args:
        drivers: process id and start time of each driver, by token.
    """
    tokens = gone(drivers)
    if tokens:
        end(descendants(tokens))
    for token in tokens:
        folder = temporary_folder(token)
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


def start_time(pid: int) -> float:
    """Start time of a process, seconds since the epoch; with its id it identifies the process."""
    return float(psutil.Process(pid).create_time())


def is_alive(pid: int, created: float) -> bool:
    """True if this very process still runs, and not a later one with the same id."""
    try:
        return abs(start_time(pid) - created) < 1.0
    except psutil.Error:
        return False


def gone(drivers: Mapping[str, tuple[int, float]]) -> set[str]:
    """Tokens of drivers that no longer run."""
    return {token for token, (pid, created) in drivers.items() if not is_alive(pid, created)}


def descendants(tokens: Iterable[str]) -> list[psutil.Process]:
    """Processes other than this one that inherited one of the tokens."""
    wanted, found = set(tokens), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(TOKEN_NAME) in wanted:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone already, or owned by another user
    return found


def end(processes: list[psutil.Process], grace_s: float = GRACE_S) -> int:
    """End processes with SIGTERM and then SIGKILL; return their number."""
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
        pass  # gone already
