"""Runs a launch line to its end in its own process group and reads the end from its log."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gcd_hpc.config.shipped import install_command
from gcd_hpc.errors import LaunchError
from gcd_hpc.workers.backend import PausedError, ProcessLostError
from gcd_hpc.workers.reaper import HAS_SAFE_PATH

FULL_BYTES = 2**20
"""A disk with less space than this is full."""
NUM_LINES = 15
"""Lines of the log that an error repeats."""

SAID = re.compile(r"^error: (.+)$", re.MULTILINE)
"""How a stage tells a mistake that the user can mend before it ends."""
LAUNCHER_REPORT = re.compile(r"[EW]\d{4} .*torch/distributed|=+$|Abort\(|\[\d+\]\d+:Return code")
ROOT_CAUSE = re.compile(r"^Root Cause.*?exitcode\s*: (-?\d+)", re.MULTILINE | re.DOTALL)
FORKER_END = re.compile(r"^\[\d+\]\d+:Return code = \d+, signaled with (?!Quit)", re.MULTILINE)
"""How gforker names a rank that was killed; it ends the others with SIGQUIT, and itself with 0."""
EXIT_STRING = re.compile(r"EXIT STRING: .*\(signal \d+\)")
SIGNALLED = re.compile(r"^\S*SignalException: Process \d+ got signal: \d+", re.MULTILINE)
"""Last words of a torchrun that was told to end itself."""
NODE_LOST = re.compile(r"^srun: error: Node failure on |DUE TO NODE FAILURE", re.MULTILINE)
SRUN_END = re.compile(r"^srun: error: \S+: tasks? \S+: (.*)$", re.MULTILINE)
PAUSED = os.EX_TEMPFAIL
"""Exit code of a stage that was asked to stop."""


def find_mpiexec(name: str = "mpiexec") -> str:
    """Absolute path of the MPI launcher: beside the running Python (where the mpich package puts
    it), else on PATH.

    Raises:
        LaunchError: if there is none.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) and beside.is_file() else shutil.which(name)
    if found is None:
        cure = f"install one with: {install_command('local')}"
        raise LaunchError(
            f"no MPI launcher: expected {name!r} beside {sys.executable} or on PATH; {cure}"
        )
    return os.path.abspath(found)


def local_mpiexec(mpiexec: str) -> str:
    """What starts MPI ranks on this machine: MPICH's gforker if it lies beside ``mpiexec``, for it
    opens no socket. MPICH's own mpiexec listens on all network interfaces.
    """
    forker = f"{mpiexec}.gforker"
    return forker if os.access(forker, os.X_OK) else mpiexec


def run(line: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """Run a launch line in a process group of its own, with its output in ``log``.

    Raises:
        LaunchError: if it cannot be started or ends with an error; the message ends with the last
            lines of the log.
        ProcessLostError: if one of its processes was killed.
        PausedError: if it was asked to stop and kept its state.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        start = output.tell()
        try:
            # A session of its own: a Ctrl-C for the driver must not reach the ranks before the
            # driver has decided.
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                cwd=None if HAS_SAFE_PATH else log.parent,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"{line[0]} cannot be started: {error.strerror}") from error
        try:
            code = process.wait()
        finally:
            _end_group(process)
    with open(log, "rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    if code or FORKER_END.search(text):
        raise _error(text, log, code)


def _end_group(process: subprocess.Popen) -> None:
    """No process of the group outlives its leader."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    process.wait()


def _error(text: str, log: Path, code: int) -> LaunchError:
    """What a launch ended with, from its exit code and from what it wrote."""
    if code == PAUSED or any(int(cause) == PAUSED for cause in ROOT_CAUSE.findall(text)):
        return PausedError(f"the launch was paused; see {log}")
    said = SAID.search(text)
    if said is not None:
        return LaunchError(f"{said[1]} (see {log})")
    if text.strip():
        end = f"the end of {log}:\n{_tail(text)}"
    elif shutil.disk_usage(log.parent).free < FULL_BYTES:
        end = f"no space is left on the device of {log}"
    else:
        end = f"it wrote nothing to {log}"
    if _was_killed(text, code):
        return ProcessLostError(f"a process of the launch was killed; {end}")
    return LaunchError(f"the launch ended with exit code {code}; {end}")


def _tail(text: str) -> str:
    """The last lines that the ranks wrote; what the launcher says about itself comes after them and
    is longer.
    """
    lines = text.splitlines()
    own = next(
        (number for number, one in enumerate(lines) if LAUNCHER_REPORT.match(one)), len(lines)
    )
    return "\n".join(lines[max(0, own - NUM_LINES) : own] or lines[-NUM_LINES:])


def _was_killed(text: str, code: int) -> bool:
    """Whether a signal ended a rank, as exit codes, torchrun (exitcode : -9) and mpiexec (EXIT
    STRING: Killed (signal 9)) say it.
    """
    if code < 0 or code > 128:
        return True
    if any(words.search(text) for words in (FORKER_END, EXIT_STRING, NODE_LOST, SIGNALLED)):
        return True
    # srun kills the others once one has ended badly, and says so of each: only the first counts.
    ended = SRUN_END.search(text)
    if ended is not None and ended[1].startswith("Killed"):
        return True
    # Ranks that torchrun ends because another one failed are listed with a signal too: only the
    # first failure counts.
    first = ROOT_CAUSE.search(text)
    return first is not None and int(first[1]) < 0
