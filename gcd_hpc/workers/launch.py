"""Execution of a launch line in its own process group, with errors read from its log."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gcd_hpc.config.shipped import install_command
from gcd_hpc.errors import LaunchError
from gcd_hpc.processor import RunningClock
from gcd_hpc.stages.launched import ERROR_NAME, PAUSED, STARTED_NAME, reported_error
from gcd_hpc.workers import reaper
from gcd_hpc.workers.backend import PausedError, ProcessLostError
from gcd_hpc.workers.reaper import HAS_SAFE_PATH

LOOK_S = 0.1
"""Interval between two checks of a launch."""
MIN_SILENT_S = 120.0
SILENT_GAPS = 20.0
"""A launch hangs after MIN_SILENT_S and this many times its longest silence so far."""
START_S = 900.0
"""Limit of silence until all processes of a launch have started.

Containers and imports from a busy parallel file system can take minutes.
"""
FIRST_WORK_S = 2 * 3600.0
"""Limit of silence from then to the first output, which may include training of the decoder."""
GRACE_S = 10.0
"""Time that a hanging launch has to exit before it is killed."""
FULL_BYTES = 2**20
"""Free disk space below which a disk counts as full."""
NUM_LINES = 15
"""Number of log lines that an error repeats."""

LAUNCHER_REPORT = re.compile(r"[EW]\d{4} .*torch/distributed|=+$|Abort\(|\[\d+\]\d+:Return code")
ROOT_CAUSE = re.compile(r"^Root Cause.*?exitcode\s*: (-?\d+)", re.MULTILINE | re.DOTALL)
FORKER_END = re.compile(r"^\[\d+\]\d+:Return code = \d+, signaled with (?!Quit)", re.MULTILINE)
"""Line with which gforker reports a killed rank. It ends the others with SIGQUIT and returns 0."""
EXIT_STRING = re.compile(r"EXIT STRING: .*\(signal \d+\)")
SIGNALLED = re.compile(r"^\S*SignalException: Process \d+ got signal: \d+", re.MULTILINE)
"""Last line of a torchrun that received a signal."""
NODE_LOST = re.compile(r"^srun: error: Node failure on |DUE TO NODE FAILURE", re.MULTILINE)
SRUN_END = re.compile(r"^srun: error: \S+: tasks? \S+: (.*)$", re.MULTILINE)


def find_mpiexec(name: str = "mpiexec") -> str:
    """Absolute path of mpiexec: beside the running Python, as installed by mpich, or on PATH.

    Raises:
        LaunchError: if there is none.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) and beside.is_file() else shutil.which(name)
    if found is None:
        cure = f"install one with: {install_command('local')}"
        raise LaunchError(
            f"there is no MPI launcher {name!r} beside {sys.executable} or on PATH; {cure}"
        )
    return os.path.abspath(found)


def local_mpiexec(mpiexec: str) -> str:
    """Program for MPI ranks on one machine: MPICH's gforker if installed, which opens no socket.

    MPICH's own mpiexec listens on all network interfaces.
    """
    forker = f"{mpiexec}.gforker"
    return forker if os.access(forker, os.X_OK) else mpiexec


class Silence:
    """Detector of hanging launches: silence much longer than any gap in the output so far.

    A stopped process, or one that waits for a stopped process, writes nothing any more.
    """

    def __init__(self, started: Path, log: Path, work: Path) -> None:
        """Watch a launch.

        Args:
            started: file that exists once all processes have started.
            log: file that grows from time to time.
            work: file that changes with every unit of work; may be the log.
        """
        self._started = started
        self.has_started = False
        """True once all processes have started."""
        self._log, self._work = log, work
        self._state = self._look()
        self._clock = RunningClock()
        self._changed_s = 0.0
        """Reading of the clock at the last change of a file."""
        self._gaps: list[float] = []
        """Seconds without any change before each unit of work."""

    def too_long_s(self) -> float | None:
        """Time since the last change, if it exceeds the limit; otherwise None."""
        now_s, state = self._clock.read(), self._look()
        if state != self._state:
            if self.has_started and state[self._work] != self._state[self._work]:
                self._gaps.append(now_s - self._changed_s)
            self._state, self._changed_s = state, now_s
        if not self.has_started and self._started.exists():
            self.has_started, self._changed_s = True, now_s
        silent_s = now_s - self._changed_s
        return silent_s if silent_s > self._limit_s() else None

    def _limit_s(self) -> float:
        if not self.has_started:
            return START_S
        if not self._gaps:
            return FIRST_WORK_S
        # The first gap includes reading of the input, so it counts only until there is another.
        return max(MIN_SILENT_S, SILENT_GAPS * max(self._gaps[1:] or self._gaps))

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = dict.fromkeys((self._log, self._work), (0, 0))
        for path in found:
            with suppress(OSError):
                status = path.stat()
                found[path] = status.st_mtime_ns, status.st_size
        return found


def run(
    line: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    progress: Path | None = None,
    closing: threading.Event | None = None,
) -> float:
    """Run a launch line in a process group of its own, with its output in ``log``.

    Args:
        progress: a second file, beside the log, that the launch updates while it works.
        closing: ends the launch when it is set.

    Returns:
        Processor time of its processes on this node, s.

    Raises:
        LaunchError: if it cannot be started or ends with an error; the message ends with the last
            lines of the log.
        ProcessLostError: if one of its processes was killed, or if it was ended because it hung or
            the workers close.
        PausedError: if it paused with a checkpoint.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    error_file, started = _error_file(log), _started_file(log)
    for left in (error_file, started):  # by an earlier attempt
        left.unlink(missing_ok=True)
    reports = {ERROR_NAME: str(error_file), STARTED_NAME: str(started)}
    with open(log, "ab") as output:
        start = output.tell()
        try:
            # A session of its own, so that Ctrl-C reaches the driver but not the ranks.
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, **reports},
                cwd=None if HAS_SAFE_PATH else log.parent,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"{line[0]} cannot be started: {error.strerror}") from error
        try:
            silence = Silence(started, log, progress or log)
            code, spent_s = _wait(process, silence, log, closing or threading.Event())
        finally:
            _end_group(process)
            started.unlink(missing_ok=True)
    with open(log, "rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    if code or FORKER_END.search(text):
        raise _error(text, log, code)
    return spent_s


def _wait(
    process: subprocess.Popen[bytes], silence: Silence, log: Path, closing: threading.Event
) -> tuple[int, float]:
    """Wait for a launch and end it if it hangs; return its exit code and processor time in s."""
    while (ended := _ended(process)) is None:
        if closing.wait(LOOK_S):
            _ask_to_end(process, reaper.GRACE_S)
            raise ProcessLostError(f"the launch was ended with the workers; see {log}")
        silent_s = silence.too_long_s()
        if silent_s is not None:
            _ask_to_end(process, GRACE_S)
            what = (
                "made no progress for {:.0f} s, far longer than before,"
                if silence.has_started
                else "did not start all its processes within {:.0f} s"
            )
            raise ProcessLostError(f"the launch {what.format(silent_s)} and was ended; see {log}")
    return ended


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, float] | None:
    """Exit code and processor time in s, with all descendants that were waited for; None before the
    end.
    """
    pid, status, used = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime


def _ask_to_end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End a launch by SIGTERM, so that srun ends its processes on other nodes as well."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the processes of the group that outlive its leader."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    process.wait()


def _error(text: str, log: Path, code: int) -> LaunchError:
    """Error that describes how a launch ended, from its exit code and log."""
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
    """File in which a launched stage reports its error."""
    return log.absolute().with_suffix(".error")


def _started_file(log: Path) -> Path:
    """File that a launched stage makes once all its processes run."""
    return log.absolute().with_suffix(".started")


def _tail(text: str) -> str:
    """Last lines written by the ranks, without the longer report of the launcher after them."""
    lines = text.splitlines()
    own = next(
        (number for number, one in enumerate(lines) if LAUNCHER_REPORT.match(one)), len(lines)
    )
    return "\n".join(lines[max(0, own - NUM_LINES) : own] or lines[-NUM_LINES:])


def _was_killed(text: str, code: int) -> bool:
    """True if a signal killed a rank, by the exit code or the reports of the launchers."""
    if code < 0 or code > 128:
        return True
    if any(words.search(text) for words in (FORKER_END, EXIT_STRING, NODE_LOST, SIGNALLED)):
        return True
    # srun kills the other ranks after the first failure, so only the first report counts.
    ended = SRUN_END.search(text)
    if ended is not None and ended[1].startswith("Killed"):
        return True
    # torchrun also reports ranks that it ended itself, so only the first failure counts.
    first = ROOT_CAUSE.search(text)
    return first is not None and int(first[1]) < 0
