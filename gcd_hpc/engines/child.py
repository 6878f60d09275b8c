"""Client of an engine's process that is reused for many jobs and restarted when it fails."""

import math
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.jobs import (
    Evaluation,
    Minimizer,
    QuenchJob,
    QuenchResult,
    RelaxJob,
    RelaxResult,
)
from gcd_hpc.engines.kept import NUM_TRIES, PATIENCE, KeptProcess
from gcd_hpc.engines.messages import pack
from gcd_hpc.engines.process import EngineProcess, HungError, KilledError, OutOfTimeError
from gcd_hpc.errors import LaunchError, PotentialError, SimulationError

START_TIMEOUT_S = 120.0
"""Limit for loading LAMMPS (0.3 s on a local disk) or a calculator (several seconds), far more on a
busy parallel file system."""
NUM_STARTS = 2
"""Start attempts before an engine counts as broken (LaunchError, not a failed candidate)."""
NUM_TIMEOUTS = 2
"""Attempts at a job that exceeds its time limit."""
ATOMS_PER_TIMEOUT = 1000
SECONDS_PER_ATOM_STEP = 1e-5
"""Allowance for molecular dynamics: ten times what an embedded-atom potential takes on one core."""
USUAL_S = 3e-6
"""Processor time of an evaluation for each atom, beyond which a potential counts as slow. That of
embedded-atom potentials is 1e-6 to 2.5e-6 s.
"""


class Child(KeptProcess):
    """Runs jobs in a separate process, started at the first job and replaced if it dies or hangs.

    Args:
        potential: LAMMPS potential or ASE calculator.
        timeout_s: processor time of a job for every started thousand atoms; annealing is added.
            Time during which the process is suspended or waits for a processor does not count.
            Slow potentials have more, in proportion to the time of one evaluation. It is measured
            when a job has exceeded its time for the first time.
    """

    def __init__(self, potential: Engine, timeout_s: float) -> None:
        self.potential = potential
        self.timeout_s = timeout_s
        self._quick: Child | None = None
        self._introduction: dict[str, Any] = {}
        self._slowness: float | None = None

    def relax(self, job: RelaxJob) -> RelaxResult:
        """Relax one structure.

        Raises:
            SimulationError: if the engine refuses it, dies, hangs, or loses an atom.
            PotentialError: if the engine cannot read the potential, as when its file is gone.
            LaunchError: if the engine cannot be started.
        """
        anneal = None if job.anneal is None else asdict(job.anneal)
        header = {"operation": "relax", "anneal": anneal} | _minimizer_words(job.minimizer)
        num_atoms = len(job.positions)
        allowance_s = job.num_steps * num_atoms * SECONDS_PER_ATOM_STEP
        masks, num_computed = {"fixed": job.fixed, "rigid": job.rigid}, num_atoms
        if job.part is not None:
            masks |= {"held": ~job.part.mobile, "idle": ~job.part.close}
            num_computed = int(job.part.close.sum())
        if job.upright is not None:
            masks["upright"] = job.upright
        reply, arrays = self.run(
            header, job.positions, job.numbers, job.box, masks, False, allowance_s
        )
        return RelaxResult(
            **arrays,
            stop_reason=reply["stop_reason"],
            evaluations=reply["evaluations"],
            atom_evaluations=(reply["evaluations"] + job.num_steps) * num_computed,
            seconds=reply["seconds"],
            cpu_s=reply["cpu_s"],
            has_energies=self.potential.has_energies,
        )

    def evaluate(
        self,
        positions: np.ndarray,
        box: np.ndarray,
        periodic_z: bool = False,
        near: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
        virials: bool = False,
    ) -> Evaluation:
        """Energies and forces of one structure; errors as ``relax``.

        Args:
            box: as of ``box.box_around``, Å.
            near: mask (N,) of the only atoms whose energies are wanted; all if None. Interactions
                among the others are left out, so forces are right only on atoms whose neighbours
                are all near.
            numbers: as for ``RelaxJob``.
            virials: whether the virials of single atoms are wanted too. An engine that has none
                refuses that.
        """
        masks = {} if near is None else {"far": ~near}
        header: dict[str, Any] = {"operation": "evaluate", "virials": virials}
        reply, arrays = self.run(header, positions, numbers, box, masks, periodic_z)
        return Evaluation(
            energies=arrays["energies"],
            forces=arrays["forces"],
            pressure_bar=reply["pressure_bar"],
            cutoff=reply["cutoff"],
            total_ev=reply["total_ev"],
            seconds=reply["seconds"],
            cpu_s=reply["cpu_s"],
            virials_ev=arrays.get("virials"),
        )

    def numbers_of_job(self, numbers: np.ndarray) -> np.ndarray | None:
        """Atomic numbers for a job; None if the potential has one element."""
        return None if len(self.potential.elements) == 1 else numbers

    def introduction(self) -> dict[str, Any]:
        """First message of the process, which says what it runs; errors as ``relax``."""
        self._ready_process()
        return self._introduction

    @property
    def quick(self) -> "Child":
        """Child for relaxations after which energies are evaluated by this one.

        It has a process of its own with the shortened potential. If there is no such potential, it
        is this child itself.
        """
        if self._quick is None:
            short = self.potential.shortened()
            self._quick = self if short is None else Child(short, self.timeout_s)
        return self._quick

    def close(self) -> None:
        """End the child, and that of ``quick``, and remove their folders."""
        if self._quick is not None and self._quick is not self:
            self._quick.close()
        super().close()

    def run(
        self,
        header: dict[str, Any],
        positions: np.ndarray,
        numbers: np.ndarray | None,
        box: np.ndarray,
        masks: dict[str, np.ndarray],
        periodic_z: bool,
        allowance_s: float = 0.0,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Run one job, which the worker knows by its operation; its result is complete and finite.

        Args:
            header: operation and its settings.
            masks: further arrays of the job.
            allowance_s: processor time beyond that of a relaxation.

        Errors are those of ``relax``.
        """
        header |= self.potential.words() | {"periodic_z": periodic_z}
        arrays = {
            "positions": np.asarray(positions, dtype=np.float64),
            "box": np.asarray(box, dtype=np.float64),
        } | masks
        if numbers is not None:
            arrays["numbers"] = np.asarray(numbers, dtype=np.int64)
        timeout_s = (
            self.timeout_s * max(1, math.ceil(len(positions) / ATOMS_PER_TIMEOUT)) + allowance_s
        )
        program, message = self.potential.program, pack(header, arrays)
        clock = pack(header | {"operation": "evaluate", "clock": True}, arrays)
        reply, results = self._answer(message, timeout_s, clock)
        if reply.get("refused") == "potential":
            # An engine may be unable to read anything after an earlier job: a new process can tell.
            self.close()
            reply, results = self._answer(message, timeout_s, clock)
        if "traceback" in reply:
            raise RuntimeError(f"{reply['error']} in the {program} process:\n{reply['traceback']}")
        if reply.get("refused") == "potential":
            raise PotentialError(f"{self.potential}: {program} refused it: {reply['error']}")
        if "error" in reply:
            raise SimulationError(f"{program} refused the structure: {reply['error']}")
        if len(results["positions"]) != len(positions):
            raise SimulationError(
                f"{program} lost atoms: expected {len(positions)}, got {len(results['positions'])}"
            )
        for name, values in results.items():
            if not np.isfinite(values).all():
                raise SimulationError(f"{program} returned {name} that are not finite")
        return reply, results

    def _answer(
        self, message: bytes, timeout_s: float, clock: bytes
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Send a job to the child and return its answer.

        The job is retried if its process was killed from outside (OOM killer, scheduler) or
        exceeded its time: both may be caused by the machine.

        Args:
            timeout_s: limit for a potential that is not slow, s.
            clock: job that measures the time of one evaluation.
        """
        num_kills = num_timeouts = 0
        while True:
            limit_s = timeout_s * (self._slowness or 1.0)
            try:
                process = self._ready_process()
                process.send(message)
                return process.receive(limit_s, PATIENCE * limit_s)
            except KilledError:
                self.close()
                num_kills += 1
                if num_kills == NUM_TRIES:
                    raise
            except OutOfTimeError as error:
                self.close()
                num_timeouts += 1
                if num_timeouts == NUM_TIMEOUTS:
                    raise
                if self._slowness is None and not isinstance(error, HungError):
                    self._slowness = self._measured_slowness(clock, timeout_s)
            except BaseException:
                # Also after Ctrl-C: the next job must not receive the answer to this one.
                self.close()
                raise

    def _measured_slowness(self, clock: bytes, limit_s: float) -> float | None:
        """Time of one evaluation relative to that of potentials that are not slow, at least 1.

        None if the evaluation fails too, or takes longer than a whole job may.
        """
        try:
            process = self._ready_process()
            process.send(clock)
            reply, results = process.receive(limit_s, PATIENCE * limit_s)
        except SimulationError:
            self.close()
            return None
        if "error" in reply:
            return None
        taken_s = float(reply.get("evaluation_s", reply["cpu_s"]))
        return max(1.0, taken_s / (USUAL_S * len(results["positions"])))

    def _ready_process(self) -> EngineProcess:
        """A process that is ready for a job.

        Raises:
            LaunchError: if none can be started. The machine is the cause, so other structures would
                fail as well.
        """
        if self._process is not None and self._process.is_alive():
            return self._process
        attempt = 0
        while True:
            attempt += 1
            self.close()  # removes a process that died between two jobs or while it started
            self._process = process = EngineProcess(self.potential)
            try:
                introduction, _ = process.receive(START_TIMEOUT_S, START_TIMEOUT_S)
                self.potential.check(introduction)
                self._introduction = introduction
                return process
            except SimulationError as error:
                if attempt == NUM_STARTS:
                    raise LaunchError(
                        f"{self.potential.program} cannot be started with {sys.executable}:"
                        f" {error}; {self.potential.remedy}"
                    ) from error


class LammpsChild(Child):
    """Child process of LAMMPS, which also quenches periodic structures."""

    def quench(self, job: QuenchJob) -> QuenchResult:
        """Run dynamics along the job's temperatures, then minimise; errors as ``relax``."""
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
        reply, arrays = self.run(header, job.positions, job.numbers, job.box, {}, True, allowance_s)
        temperatures = tuple(reply["temperatures_k"])
        return QuenchResult(
            **arrays,
            temperatures_k=temperatures,
            stop_reason=reply["stop_reason"],
            seconds=reply["seconds"],
        )


def _minimizer_words(minimizer: Minimizer) -> dict[str, Any]:
    """Settings of a minimiser for the worker."""
    return {
        "etol": minimizer.etol,
        "ftol": minimizer.ftol,
        "max_iterations": minimizer.max_evaluations,
        "max_evaluations": minimizer.max_evaluations,
        "minimizer": minimizer.commands,
        "max_force": minimizer.max_force,
    }
