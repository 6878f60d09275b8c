"""A LAMMPS process that lives over many candidates and may die on any of them."""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
from ase.data import atomic_masses, atomic_numbers

from gcd_hpc.config.shipped import install_command
from gcd_hpc.engines.messages import LENGTH, pack, unpack
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.scratch import Scratch
from gcd_hpc.errors import LaunchError, SimulationError

START_TIMEOUT_S = 120.0
"""Loading MPI and LAMMPS takes 0.3 s on a local disk and far longer on a busy parallel file system.
"""
NUM_STARTS = 2
"""Times that LAMMPS is started before it counts as broken, which is nobody's structure's fault."""
NUM_TRIES = 3
"""Times that a job is tried whose process somebody else killed."""
NUM_TIMEOUTS = 2
"""Times that a job is tried that exceeds its time."""
PATIENCE = 20.0
"""Seconds on the clock for each second of processor time that a job may take. A process that waits
longer than this does not wait for a busy processor: it hangs.
"""
GLANCE_S = 0.5
"""Time between two looks at the processor time that a job has used."""
OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""No structure sends these: they come from a scheduler, an operator, or the kernel when memory runs
out.
"""
ATOMS_PER_TIMEOUT = 1000
SECONDS_PER_ATOM_STEP = 1e-5
"""Added to the timeout for molecular dynamics: ten times what an embedded-atom potential takes on
one core.
"""
LAUNCHER_VARIABLES = ("PMI", "PMIX", "OMPI", "MPI", "SLURM", "HYDRA", "HYDI", "PALS", "FLUX")


@dataclass(frozen=True)
class Minimizer:
    """Tolerances of LAMMPS' minimize, and how it searches along a line."""

    etol: float
    ftol: float
    max_evaluations: int
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Anneal:
    """Molecular dynamics before the minimisation."""

    temperature_k: float
    num_steps: int
    timestep_ps: float
    seed: int


@dataclass(frozen=True)
class RelaxJob:
    """One structure for the child: positions (N, 3) and box (2, 3) in Å, masks (N,)."""

    positions: np.ndarray
    box: np.ndarray
    fixed: np.ndarray
    rigid: np.ndarray
    minimizer: Minimizer
    anneal: Anneal | None = None


@dataclass(frozen=True)
class Leg:
    """A stretch of molecular dynamics in which the temperature goes straight from one value to
    another, K.
    """

    start_k: float
    end_k: float
    num_steps: int


@dataclass(frozen=True)
class QuenchJob:
    """One periodic structure, all atoms free: positions (N, 3) and box (2, 3) in Å. Dynamics leg by
    leg, if any, then the minimiser.
    """

    positions: np.ndarray
    box: np.ndarray
    legs: tuple[Leg, ...]
    timestep_ps: float
    seed: int
    minimizer: Minimizer


@dataclass(frozen=True)
class QuenchResult:
    """Positions (N, 3) Å wrapped into the box, energies (N,) eV, forces (N, 3) eV/Å;
    temperatures_k: at the end of each leg.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    temperatures_k: tuple[float, ...]
    stop_reason: str
    seconds: float


@dataclass(frozen=True)
class RelaxResult:
    """Positions (N, 3) Å, energies (N,) eV, forces (N, 3) eV/Å with those on held atoms zero and on
    rigid ones their mean.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    stop_reason: str
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Energies (N,) eV and forces (N, 3) eV/Å of positions as they are, pressure, and the
    potential's cutoff
    where LAMMPS states it."""

    energies: np.ndarray
    forces: np.ndarray
    pressure_bar: float
    cutoff: float | None


class _KilledError(SimulationError):
    """The process was ended from outside."""


class _TimeoutError(SimulationError):
    """The process used up its time."""


class LammpsChild:
    """Runs jobs in a separate process, started at the first job and replaced after it dies or
    hangs.

    Linux kills the child when the thread that started it ends: keep one ``LammpsChild`` to one
    thread.

    Args:
        timeout_s: processor time of a job for every thousand atoms begun; annealing is added. A
            process that is suspended or waits for a busy processor does not lose any of it.
    """

    def __init__(self, potential: Potential, timeout_s: float) -> None:
        self.potential = potential
        self.timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Scratch | None = None

    def __enter__(self) -> "LammpsChild":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the living child."""
        return None if self._process is None else self._process.pid

    def relax(self, job: RelaxJob) -> RelaxResult:
        """Minimise one structure.

        Raises:
            SimulationError: if LAMMPS refuses it, dies, hangs, or loses an atom.
            LaunchError: if LAMMPS cannot even be started.
        """
        anneal = None if job.anneal is None else asdict(job.anneal)
        header = {"operation": "relax", "anneal": anneal} | _minimizer_words(job.minimizer)
        steps = 0 if job.anneal is None else job.anneal.num_steps
        allowance_s = steps * len(job.positions) * SECONDS_PER_ATOM_STEP
        reply, arrays = self._run(
            header,
            job.positions,
            job.box,
            {"fixed": job.fixed, "rigid": job.rigid},
            False,
            allowance_s,
        )
        return RelaxResult(
            **arrays,
            stop_reason=reply["stop_reason"],
            evaluations=reply["evaluations"],
            seconds=reply["seconds"],
        )

    def quench(self, job: QuenchJob) -> QuenchResult:
        """Molecular dynamics along the job's temperatures, then a minimisation; same errors as
        ``relax``.
        """
        legs = [asdict(leg) for leg in job.legs]
        header = {
            "operation": "quench",
            "legs": legs,
            "timestep_ps": job.timestep_ps,
            "seed": job.seed,
        } | _minimizer_words(job.minimizer)
        allowance_s = (
            sum(leg.num_steps for leg in job.legs) * len(job.positions) * SECONDS_PER_ATOM_STEP
        )
        reply, arrays = self._run(header, job.positions, job.box, {}, True, allowance_s)
        temperatures = tuple(reply["temperatures_k"])
        return QuenchResult(
            **arrays,
            temperatures_k=temperatures,
            stop_reason=reply["stop_reason"],
            seconds=reply["seconds"],
        )

    def evaluate(
        self, positions: np.ndarray, box: np.ndarray, periodic_z: bool = False
    ) -> Evaluation:
        """Energies and forces of one structure in ``box`` (2, 3); same errors as ``relax``."""
        reply, arrays = self._run({"operation": "evaluate"}, positions, box, {}, periodic_z)
        return Evaluation(
            arrays["energies"], arrays["forces"], reply["pressure_bar"], reply["cutoff"]
        )

    def close(self) -> None:
        """End the child and remove its directory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdout.close()
            with contextlib.suppress(BrokenPipeError):  # unsent rest of a job for a child that died
                self._process.stdin.close()
        if self._scratch is not None:
            self._scratch.remove()
        self._process = self._scratch = None

    def _run(
        self,
        header: dict[str, Any],
        positions: np.ndarray,
        box: np.ndarray,
        masks: dict[str, np.ndarray],
        periodic_z: bool,
        allowance_s: float = 0.0,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """One job in, one answer out; what comes back is complete and finite."""
        header |= {
            "potential": {
                "pair_style": self.potential.pair_style,
                "pair_coeff": self.potential.pair_coeff,
                "commands": self.potential.commands,
            },
            "mass": float(atomic_masses[atomic_numbers[self.potential.element]]),
            "periodic_z": periodic_z,
        }
        arrays = {
            "positions": np.asarray(positions, dtype=np.float64),
            "box": np.asarray(box, dtype=np.float64),
        } | masks
        timeout_s = (
            self.timeout_s * max(1, math.ceil(len(positions) / ATOMS_PER_TIMEOUT)) + allowance_s
        )
        reply, results = self._answer(pack(header, arrays), timeout_s)
        if "traceback" in reply:
            raise RuntimeError(f"{reply['error']} in the LAMMPS process:\n{reply['traceback']}")
        if "error" in reply:
            raise SimulationError(f"LAMMPS refused the structure: {reply['error']}")
        if len(results["positions"]) != len(positions):
            raise SimulationError(
                f"LAMMPS lost atoms: expected {len(positions)}, got {len(results['positions'])}"
            )
        for name, values in results.items():
            if not np.isfinite(values).all():
                raise SimulationError(f"LAMMPS returned {name} that are not finite")
        return reply, results

    def _answer(
        self, message: bytes, timeout_s: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The child's answer to a job.

        The job is tried again when its process was killed from outside or exceeded its time: both
        may be the machine's fault.
        """
        num_kills = num_timeouts = 0
        while True:
            try:
                self._start()
                self._send(message)
                return self._receive(timeout_s, PATIENCE * timeout_s)
            except _KilledError:
                self.close()
                num_kills += 1
                if num_kills == NUM_TRIES:
                    raise
            except _TimeoutError:
                self.close()
                num_timeouts += 1
                if num_timeouts == NUM_TIMEOUTS:
                    raise
            except BaseException:
                # also after Ctrl-C: an answer to the last job must not be taken for the next one's
                self.close()
                raise

    def _start(self) -> None:
        """A child that is ready for a job.

        Raises:
            LaunchError: if none could be had: the machine's fault, and the next structure would
                fare no better.
        """
        if self._process is not None and self._process.poll() is None:
            return
        for attempt in range(1, NUM_STARTS + 1):
            self.close()  # what is left of one that died between two jobs or while it started
            self._launch()
            try:
                self._receive(START_TIMEOUT_S, START_TIMEOUT_S)
                return
            except SimulationError as error:
                if attempt == NUM_STARTS:
                    cure = (
                        f"{install_command('local')}, or load the modules of the site's MPI and"
                        " LAMMPS; gcd-hpc doctor tells what is missing"
                    )
                    raise LaunchError(
                        f"LAMMPS cannot be started with {sys.executable}: {error}; {cure}"
                    ) from error

    def _launch(self) -> None:
        self._scratch = Scratch()
        for name, file in self.potential.files.items():
            (self._scratch.path / name).symlink_to(file)
        with open(self._scratch.path / "stderr", "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gcd_hpc.engines.lammps_worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self._scratch.path,
                env=child_environment(),
            )

    def _send(self, message: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._obituary() from error

    def _receive(
        self, processor_s: float, clock_s: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        assert self._process is not None
        limit = _TimeLimit(self._process.pid, processor_s, clock_s)
        (size,) = LENGTH.unpack(self._read(LENGTH.size, limit))
        return unpack(self._read(size, limit))

    def _read(self, size: int, limit: "_TimeLimit") -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            if not poll.poll(1000 * limit.next_look_s):
                limit.check()
                continue
            part = os.read(descriptor, size - len(data))
            if not part:
                raise self._obituary()
            data += part
        return bytes(data)

    def _obituary(self) -> SimulationError:
        """How the child ended, with the last line it wrote."""
        assert self._process is not None
        assert self._scratch is not None
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return SimulationError("the LAMMPS process closed its answers")
        lines = (self._scratch.path / "stderr").read_text(errors="replace").strip().splitlines()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        kind = _KilledError if -code in OUTSIDE_SIGNALS else SimulationError
        return kind(f"the LAMMPS process {how}" + (f": {lines[-1]}" if lines else ""))


class _TimeLimit:
    """What a process may use from now on: processor time, and more generously time on the clock.

    Time on the clock counts only while this process runs as well: a scheduler suspends both.
    """

    def __init__(self, pid: int, processor_s: float, clock_s: float) -> None:
        self._process = psutil.Process(pid)
        self._processor_s = processor_s
        self._clock_s = clock_s
        self.next_look_s = min(GLANCE_S, processor_s)
        self._started_s = self._computed_s()
        self._waited_s = 0.0
        self._looked = time.monotonic()

    def check(self) -> None:
        """Called after each wait of ``next_look_s`` without an answer.

        Raises:
            SimulationError: if the time is used up.
        """
        now = time.monotonic()
        self._waited_s += min(now - self._looked, 2 * self.next_look_s)
        self._looked = now
        computed_s = self._computed_s() - self._started_s
        if computed_s >= self._processor_s:
            raise _TimeoutError(
                f"LAMMPS gave no answer within {self._processor_s:g} s of processor time and was"
                " stopped; raise relaxation.timeout_s if the structure is sound"
            )
        if self._waited_s >= self._clock_s:
            raise _TimeoutError(
                f"LAMMPS gave no answer within {self._clock_s:g} s on the clock, of which it"
                f" computed {max(0.0, computed_s):.1f} s, and was stopped"
            )

    def _computed_s(self) -> float:
        """Processor time of the process so far; none if it has ended, which the next read finds."""
        try:
            times = self._process.cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def _minimizer_words(minimizer: Minimizer) -> dict[str, Any]:
    """What the worker needs to know of a minimiser."""
    return {
        "etol": minimizer.etol,
        "ftol": minimizer.ftol,
        "max_iterations": minimizer.max_evaluations,
        "max_evaluations": minimizer.max_evaluations,
        "minimizer": minimizer.commands,
    }


def child_environment() -> dict[str, str]:
    """This process's environment without anything by which an MPI library could take the child for
    one of its ranks.
    """
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
