"""One process of an engine: its start, messages, time limits and end."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from gcd_hpc.engines.engine import Program
from gcd_hpc.engines.messages import unpack
from gcd_hpc.engines.scratch import Scratch
from gcd_hpc.errors import SimulationError
from gcd_hpc.processor import RunningClock

OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals from outside: a scheduler, an operator, or the kernel when memory runs out."""
LAUNCHER_VARIABLES = ("PMI", "PMIX", "OMPI", "MPI", "SLURM", "HYDRA", "HYDI", "PALS", "FLUX")
GLANCE_S = 0.5
"""Interval between two checks of the processor time of a job."""


class KilledError(SimulationError):
    """The process was killed from outside."""


class OutOfTimeError(SimulationError):
    """The process exceeded its time limit."""


class HungError(OutOfTimeError):
    """The process let the clock run out while it computed next to nothing."""


class EngineProcess:
    """A process that runs an engine's worker. Its first message says that the engine is loaded.

    Args:
        program: what it runs.
        starts_others: whether the worker starts processes of its own. They form a group with it:
            their time counts, and they end with it. The worker must ``serve`` so too.
        cure: what the user can do if a sound structure exceeds its time.
    """

    def __init__(
        self,
        program: Program,
        starts_others: bool = False,
        cure: str = "raise relaxation.timeout_s if the structure is sound",
    ) -> None:
        self._program = program.program
        self._starts_others = starts_others
        self._cure = cure
        self._scratch = Scratch()
        for name, file in program.files.items():
            (self._scratch.path / name).symlink_to(file.absolute())
        for name, content in program.made.items():
            (self._scratch.path / name).write_bytes(content)
        self._connection, theirs = Pipe()
        with open(self._scratch.path / "stderr", "wb") as errors, theirs:
            arguments = [str(os.getpid()), str(theirs.fileno())]
            self._process = subprocess.Popen(
                [sys.executable, "-m", program.worker, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd=self._scratch.path,
                env=child_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=starts_others,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: bytes) -> None:
        """Send a message to the process.

        Raises:
            SimulationError: if the process has ended; the message says how.
        """
        try:
            self._connection.send_bytes(message)
        except OSError as error:
            raise self._obituary() from error

    def receive(
        self, processor_s: float, clock_s: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Receive the next message of the process: its header and arrays.

        Args:
            processor_s: limit of its processor time.
            clock_s: limit of the wall-clock time, counted only while this process runs too, because
                a scheduler suspends both.

        Raises:
            SimulationError: if the process ends or exceeds a limit.
        """
        limit = _TimeLimit(
            self._program, self.pid, processor_s, clock_s, self._starts_others, self._cure
        )
        try:
            while not self._connection.poll(limit.next_look_s):
                limit.check()
            return unpack(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._obituary() from error

    def end(self) -> None:
        """Kill the process, with those that it started, and remove its folder."""
        if self._starts_others:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._connection.close()
        self._scratch.remove()

    def _obituary(self) -> SimulationError:
        """Error that states how the process ended, with its last line of output."""
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return SimulationError(f"the {self._program} process closed its answers")
        lines = (self._scratch.path / "stderr").read_text(errors="replace").strip().splitlines()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        kind = KilledError if -code in OUTSIDE_SIGNALS else SimulationError
        return kind(f"the {self._program} process {how}" + (f": {lines[-1]}" if lines else ""))


class _TimeLimit:
    """Limits of processor and wall-clock time; the latter counts only while this process runs."""

    def __init__(
        self,
        program: str,
        pid: int,
        processor_s: float,
        clock_s: float,
        starts_others: bool,
        cure: str,
    ) -> None:
        self._program = program
        self._starts_others = starts_others
        self._cure = cure
        self._process = psutil.Process(pid)
        self._processor_s = processor_s
        self._clock_s = clock_s
        self.next_look_s = min(GLANCE_S, processor_s)
        self._started_s = self._computed_s()
        # At most twice the wait between two looks: more would be a suspension.
        self._clock = RunningClock(2 * self.next_look_s)

    def check(self) -> None:
        """Check the limits; called after each wait of ``next_look_s`` without an answer.

        Raises:
            SimulationError: if a limit is exceeded.
        """
        waited_s = self._clock.read()
        computed_s = self._computed_s() - self._started_s
        if computed_s >= self._processor_s:
            raise OutOfTimeError(
                f"{self._program} gave no answer within {self._processor_s:g} s of processor"
                f" time and was stopped; {self._cure}"
            )
        if waited_s >= self._clock_s:
            raise HungError(
                f"{self._program} gave no answer within {self._clock_s:g} s on the clock, of which"
                f" it computed {max(0.0, computed_s):.1f} s, and was stopped"
            )

    def _computed_s(self) -> float:
        """Processor time of the process and of those that it started, s; zero if it has ended."""
        try:
            times = self._process.cpu_times()
            total = float(times.user + times.system)
            if self._starts_others:
                total += float(times.children_user + times.children_system)
                total += sum(map(_processor_s, self._process.children(recursive=True)))
        except psutil.Error:
            return 0.0
        return total


def _processor_s(process: psutil.Process) -> float:
    """Processor time of a running process, s; zero if it has ended meanwhile."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(sum(times[:4]))  # user, system, and both of its ended children


def child_environment() -> dict[str, str]:
    """Environment without launcher variables, so that MPI does not take the child for a rank."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(LAUNCHER_VARIABLES)
    }
    package_root = str(Path(__file__).parents[2])
    paths = [package_root, *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {
        "OMP_NUM_THREADS": "1",
        "UCX_TLS": "self,sm",
        "PYTHONPATH": os.pathsep.join(paths),
    }
