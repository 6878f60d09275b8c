"""Runs a launch line to its end in its own process group and reads the end from its log."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gcd_hpc.config.shipped import install_command
from gcd_hpc.errors import LaunchError
from gcd_hpc.stages.launched import ERROR_NAME, reported_error
from gcd_hpc.workers.backend import PausedError, ProcessLostError
from gcd_hpc.workers.reaper import HAS_SAFE_PATH

LOOK_S = 0.5
"""Between looks at a launch."""
MAX_LOOK_S = 5.0
"""The longest time between two looks that counts as silence of the launch."""
MIN_SILENT_S = 120.0
SILENT_GAPS = 20.0
"""A launch hangs when it is silent for so long, and for so many times its longest silence before.
"""
FIRST_SIGN_S = 2 * 3600.0
"""Until its first sign: it may have to train the learned decoder first."""
GRACE_S = 10.0
"""Until a launch that hangs is killed."""
FULL_BYTES = 2**20
"""A disk with less space than this is full."""
NUM_LINES = 15
"""Lines of the log that an error repeats."""

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


class Silence:
    """Tells a launch that hangs from one that is slow, by the pace that it had so far.

    A process that is stopped or that waits for one which never answers writes nothing any more.
    """

    def __init__(self, signs: Sequence[Path]) -> None:
        """``signs`` are files that grow or are written anew while the launch works."""
        self._signs = signs
        self._state = self._look()
        self._looked = time.monotonic()
        self._silent_s = 0.0
        self._gaps: list[float] = []
        """Seconds between two changes of the files."""

    def too_long_s(self) -> float | None:
        """How long the launch has been silent, if that is far longer than ever before."""
        now, state = time.monotonic(), self._look()
        # After a pause of the whole machine the processes get their time too.
        self._silent_s += min(now - self._looked, MAX_LOOK_S)
        self._looked = now
        if state != self._state:
            self._gaps.append(self._silent_s)
            self._state, self._silent_s = state, 0.0
        return self._silent_s if self._silent_s > self._limit_s() else None

    def _limit_s(self) -> float:
        if not self._gaps:
            return FIRST_SIGN_S
        # The first gap holds the start and its imports; it counts while there is nothing better.
        return max(MIN_SILENT_S, SILENT_GAPS * max(self._gaps[1:] or self._gaps))

    def _look(self) -> list[tuple[int, int]]:
        found = []
        for sign in self._signs:
            with suppress(OSError):
                status = sign.stat()
                found.append((status.st_mtime_ns, status.st_size))
        return found


def run(
    line: Sequence[str], log: Path, environment: Mapping[str, str], progress: Path | None = None
) -> None:
    """Run a launch line in a process group of its own, with its output in ``log``.

    Args:
        progress: a file that the launch writes anew from time to time, beside its log.

    Raises:
        LaunchError: if it cannot be started or ends with an error; the message ends with the last
            lines of the log.
        ProcessLostError: if one of its processes was killed, or if it hung and was ended.
        PausedError: if it was asked to stop and kept its state.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _error_file(log).unlink(missing_ok=True)  # of an earlier try
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
                env={**os.environ, **environment, ERROR_NAME: str(_error_file(log))},
                cwd=None if HAS_SAFE_PATH else log.parent,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"{line[0]} cannot be started: {error.strerror}") from error
        try:
            code = _wait(process, Silence([log, *([progress] if progress else [])]), log)
        finally:
            _end_group(process)
    with open(log, "rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    if code or FORKER_END.search(text):
        raise _error(text, log, code)


def _wait(process: subprocess.Popen[bytes], silence: Silence, log: Path) -> int:
    """Exit code of a launch, which is ended when it hangs."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(LOOK_S)
        silent_s = silence.too_long_s()
        if silent_s is not None:
            # srun ends what it has started on other nodes.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            raise ProcessLostError(
                f"the launch made no progress for {silent_s:.0f} s, far longer than before, and was"
                f" ended; see {log}"
            )


def _end_group(process: subprocess.Popen[bytes]) -> None:
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
    said = reported_error(_error_file(log))
    if said is not None:
        return LaunchError(f"{said} (see {log})")
    if text.strip():
        end = f"the end of {log}:\n{_tail(text)}"
    elif shutil.disk_usage(log.parent).free < FULL_BYTES:
        end = f"no space is left on the device of {log}"
    else:
        end = f"it wrote nothing to {log}"
    if _was_killed(text, code):
        return ProcessLostError(f"a process of the launch was killed; {end}")
    return LaunchError(f"the launch ended with exit code {code}; {end}")


def _error_file(log: Path) -> Path:
    """Where a launched stage leaves the mistake that ended it."""
    return log.absolute().with_suffix(".error")


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
