"""The child process of ASE calculators: one calculator that is loaded once and used for every job.

``process.EngineProcess`` starts it as ``python -m gcd_hpc.engines.ase_worker PARENT_PID HANDLE`` in
a folder with ``calculator.json``, which ``calculators.AseCalculator`` writes.
"""

import os
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms, FixCartesian
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import LBFGS

from gcd_hpc.engines.box import cell_of
from gcd_hpc.engines.lammps_motion import SAMPLE_STEPS
from gcd_hpc.engines.loading import Loaded, LoadError, load
from gcd_hpc.engines.serving import Arrays, serve
from gcd_hpc.errors import one_line
from gcd_hpc.structures.periodic import in_plane, wrap

MAX_STEP = 0.1
"""Largest displacement of an atom in one step of the minimiser, Å."""
MEMORY = 50
"""Steps from which L-BFGS estimates the curvature."""
PATIENCE = 30
"""Steps without a lower energy after which the minimiser has reached the calculator's precision."""
PRECISION = 1e-7
"""Relative change of the energy that counts as none: that of calculators in single precision."""


class RefusalError(Exception):
    """The calculator could not compute a structure."""


class Source(Calculator):
    """A loaded calculator with energies relative to free atoms; counts its evaluations.

    Every error of the calculator becomes a ``RefusalError``, so that it is told from a bug of this
    package.
    """

    implemented_properties = [  # noqa: RUF012 - as in ASE
        "energy",
        "energies",
        "forces",
    ]

    def __init__(self, inner: Any, has_energies: bool, zeros_ev: dict[int, float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inner = inner
        self.has_energies = has_energies
        self.zeros_ev = zeros_ev
        self.num_evaluations = 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = None,
        system_changes: Any = all_changes,
    ) -> None:
        assert atoms is not None
        # ASE compares the next atoms with these.
        self.atoms = atoms.copy()
        self.num_evaluations += 1
        image = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        image.calc = self.inner
        try:
            total = float(image.get_potential_energy())
            forces = np.array(image.get_forces(), dtype=np.float64)
            energies = self.inner.results.get("energies") if self.has_energies else None
        except Exception as error:
            raise RefusalError(f"{type(error).__name__}: {error}") from error
        if not (np.isfinite(total) and np.isfinite(forces).all()):
            raise RefusalError("the energy or a force is not a finite number")
        zeros = np.array([self.zeros_ev.get(number, 0.0) for number in image.numbers])
        self.results = {"energy": total - float(zeros.sum()), "forces": forces}
        if energies is not None:
            own = np.array(energies, dtype=np.float64).reshape(len(image))
            self.results["energies"] = own - zeros

    def virials(self, atoms: Atoms) -> np.ndarray:
        """Virials (N, 6) xx yy zz yz xz xy in eV of the structure that was evaluated last.

        Calculators give per-atom stresses whose sum or whose mean is the stress of the structure;
        comparison with that stress tells which.

        Raises:
            RefusalError: if the calculator has no stresses of single atoms, or if they are not the
                stress together.
        """
        image = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        image.calc = self.inner
        try:
            each = np.array(image.calc.get_property("stresses", image), dtype=np.float64)
            whole = np.array(image.calc.get_property("stress", image), dtype=np.float64)
        except Exception as error:
            raise RefusalError(f"it gives no stresses of single atoms: {error}") from error
        volume = float(image.get_volume())
        for virials in (each * volume, each * volume / len(image)):
            if np.allclose(virials.sum(axis=0), whole * volume, rtol=1e-5, atol=1e-6 * len(image)):
                return virials
        raise RefusalError("its stresses of single atoms are not the stress of the structure")


class OneBody:
    """Constraint of ASE that moves some atoms by the mean of their displacements."""

    def __init__(self, indices: np.ndarray) -> None:
        self.indices = indices

    def adjust_positions(self, atoms: Atoms, new: np.ndarray) -> None:
        before = atoms.positions[self.indices]
        new[self.indices] = before + (new[self.indices] - before).mean(axis=0)

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        forces[self.indices] = forces[self.indices].mean(axis=0)

    def adjust_momenta(self, atoms: Atoms, momenta: np.ndarray) -> None:
        masses = atoms.get_masses()[self.indices]
        velocity = momenta[self.indices].sum(axis=0) / masses.sum()
        momenta[self.indices] = masses[:, None] * velocity

    def get_removed_dof(self, atoms: Atoms) -> int:
        return 3 * (len(self.indices) - 1)

    def copy(self) -> "OneBody":
        return OneBody(self.indices)


class Worker:
    """The calculator and its operations."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.error: LoadError | None = None
        try:
            self.loaded = load()
        except LoadError as error:
            self.error = error

    def introduction(self) -> dict[str, Any]:
        """What identifies the calculator, or the reason why it cannot be loaded."""
        if self.loaded is None:
            assert self.error is not None
            return {"problem": str(self.error), "is_installed": self.error.is_installed}
        return {"identity": self.loaded.identity, "has_energies": self.loaded.has_energies}

    def answer(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Run one job. If the calculator refuses it, the answer has the key ``error``."""
        started, begun_s = time.perf_counter(), time.process_time()
        operation = {
            "relax": self.relax,
            "evaluate": self.evaluate,
            "displace": self.displaced_forces,
            "dynamics": self.dynamics,
        }[header["operation"]]
        try:
            reply, results = operation(header, arrays)
        except RefusalError as error:
            return {"error": one_line(str(error))}, {}
        except Exception as error:
            return {
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            }, {}
        reply["seconds"] = time.perf_counter() - started
        reply["cpu_s"] = time.process_time() - begun_s
        return reply, results

    def atoms(self, header: dict[str, Any], arrays: Arrays) -> Atoms:
        """The job's atoms, shifted so that the box begins at the origin."""
        assert self.loaded is not None  # Child refuses a process that has loaded nothing
        low = arrays["box"][0]
        numbers = arrays.get("numbers", [header["first_number"]] * len(arrays["positions"]))
        atoms = Atoms(
            numbers,
            arrays["positions"] - low,
            cell=cell_of(arrays["box"]),
            pbc=(True, True, header["periodic_z"]),
        )
        zeros = {int(number): zero for number, zero in header["zeros_ev"]}
        atoms.calc = Source(self.loaded.calculator, self.loaded.has_energies, zeros)
        return atoms

    def evaluate(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Energies and forces of the unchanged structure."""
        atoms = self.atoms(header, arrays)
        atoms.get_potential_energy()
        total, results = self.state(atoms, arrays)
        if header.get("virials"):
            results["virials"] = atoms.calc.virials(atoms)
        return {"pressure_bar": None, "cutoff": None, "total_ev": total}, results

    def displaced_forces(
        self, header: dict[str, Any], arrays: Arrays
    ) -> tuple[dict[str, Any], Arrays]:
        """Force constants (K, 3, M, 3) of K displaced and M moving atoms by central differences."""
        atoms = self.atoms(header, arrays)
        step_a, start = header["displacement"], atoms.positions.copy()
        moving, displaced = arrays["moving"], arrays["displaced"]
        constants = np.zeros((len(displaced), 3, len(moving), 3))
        for number, atom in enumerate(displaced):
            for axis in range(3):
                for sign in (1, -1):
                    atoms.positions[:] = start
                    atoms.positions[atom, axis] += sign * step_a
                    constants[number, axis] -= sign * atoms.get_forces()[moving] / (2 * step_a)
        return {}, {"positions": arrays["positions"], "constants": constants}

    def dynamics(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Langevin dynamics of the mobile atoms; the rigid layers follow their mean force."""
        atoms = self.atoms(header, arrays)
        fixed, body = arrays["fixed"], arrays["rigid"]
        constraints: list[Any] = [FixAtoms(mask=fixed)]
        if body.any():
            constraints.append(OneBody(np.flatnonzero(body)))
        atoms.set_constraint(constraints)
        mobile = ~(fixed | body)
        means: list[tuple[float, float]] = []

        def sample() -> None:
            kinetic = (0.5 * atoms.get_masses()[:, None] * atoms.get_velocities() ** 2)[mobile]
            kelvin = 2 * kinetic.sum() / (3 * mobile.sum() * units.kB)
            means.append((kelvin, atoms.get_potential_energy()))

        self.move(
            *(atoms, mobile, header["temperature_k"], header["num_steps"]),
            *(header["timestep_ps"], header["seed"]),
            velocities=arrays.get("velocities"),
            sample=sample,
        )
        _, results = self.state(atoms, arrays)
        temperature, potential = np.mean(means, axis=0).tolist()
        velocities = atoms.get_velocities() * (1000 * units.fs)  # Å/ps
        return (
            {"temperature_k": temperature, "potential_ev": potential},
            {"positions": results["positions"], "velocities": velocities},
        )

    def relax(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Anneal if requested, then minimise; the bottom is fixed, the top is one rigid body."""
        atoms = self.atoms(header, arrays)
        held = arrays["fixed"] | arrays.get("held", False)
        body = arrays["rigid"] & ~held
        constraints: list[Any] = [FixAtoms(mask=held)]
        if body.any():
            constraints.append(OneBody(np.flatnonzero(body)))
        if "upright" in arrays:
            # After the body, whose mean may have components in the plane.
            constraints.append(FixCartesian(np.flatnonzero(arrays["upright"]), (True, True, False)))
        atoms.set_constraint(constraints)
        if header["anneal"] is not None:
            self.move(atoms, ~(held | body), **header["anneal"])
            atoms.calc.num_evaluations = 0
        reason = minimize(atoms, body, header["max_force"], header["max_evaluations"])
        report = {"stop_reason": reason, "evaluations": atoms.calc.num_evaluations}
        total, results = self.state(atoms, arrays)
        return report | {"total_ev": total}, results

    def move(
        self,
        atoms: Atoms,
        mobile: np.ndarray,
        temperature_k: float,
        num_steps: int,
        timestep_ps: float,
        seed: int,
        cooled_to: float = 1.0,
        velocities: np.ndarray | None = None,
        sample: Callable[[], None] | None = None,
    ) -> None:
        """Langevin dynamics of the mobile atoms; the rigid layers follow their mean force.

        Args:
            cooled_to: share of the temperature to which it falls linearly until the last step.
            velocities: (N, 3) with which it begins, Å/ps; drawn if None.
            sample: called after every tenth step.
        """
        rng = np.random.default_rng(seed)
        if velocities is None:
            # Twice the temperature: equipartition moves half of it into potential energy.
            MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature_k, rng=rng)
            atoms.set_momenta(np.where(mobile[:, None], atoms.get_momenta(), 0.0))
        else:
            atoms.set_velocities(velocities / (1000 * units.fs))
        step = 1000 * timestep_ps * units.fs
        friction = np.where(mobile, 1 / (50 * step), 0.0)[:, None]  # (N, 1)
        dynamics = Langevin(
            atoms,
            step,
            temperature_K=temperature_k,
            friction=friction,  # type: ignore[arg-type]  # ASE takes arrays too
            fixcm=False,
            rng=rng,
        )

        def cool() -> None:
            past = dynamics.nsteps / num_steps
            dynamics.set_temperature(temperature_K=temperature_k * (1 - past * (1 - cooled_to)))

        if cooled_to != 1.0:
            dynamics.attach(cool)
        if sample is not None:
            dynamics.attach(sample, interval=SAMPLE_STEPS)
        dynamics.run(num_steps)

    def state(self, atoms: Atoms, arrays: Arrays) -> tuple[float, Arrays]:
        """Total energy, and positions (wrapped into the box), energies and forces of the atoms.

        Without energies of single atoms each gets the mean.
        """
        low, cell = arrays["box"][0], cell_of(arrays["box"])
        heights, is_open = atoms.positions[:, 2], not atoms.pbc[2]
        if is_open and (heights.min() < 0 or heights.max() > cell[2, 2]):
            raise RefusalError("an atom has left the box along z")
        total = float(atoms.get_potential_energy())
        mean = np.full(len(atoms), total / len(atoms))
        energies = atoms.calc.results.get("energies", mean)
        forces = atoms.get_forces(apply_constraint=True)
        wrapped = wrap(atoms.positions, in_plane(cell) if is_open else cell) + low
        return total, {"positions": wrapped, "energies": energies, "forces": forces}


def minimize(atoms: Atoms, body: np.ndarray, max_force: float, max_evaluations: int) -> str:
    """Minimise with L-BFGS; return why it stopped.

    Args:
        body: mask (N,) of the atoms that move as one body.
        max_force: largest force on an atom, and on the body divided by the root of its number of
            atoms, eV/Å. That is the force along a displacement of the body as long as that of a
            single atom, counted over all of its atoms.
    """
    search = LBFGS(atoms, logfile=os.devnull, maxstep=MAX_STEP, memory=MEMORY)
    lowest, since = np.inf, 0
    for _ in search.irun(fmax=0.0, steps=max_evaluations):
        forces = atoms.get_forces()
        largest = np.linalg.norm(forces[~body], axis=1).max(initial=0.0)
        if body.any():
            along = np.linalg.norm(forces[body][0]) * np.sqrt(body.sum())
            largest = max(largest, along)
        if largest <= max_force:
            return "force tolerance"
        energy = atoms.get_potential_energy()
        since += 1
        if energy < lowest - PRECISION * abs(energy):
            lowest, since = energy, 0
        if since >= PATIENCE:
            return "energy is as low as the precision of the calculator allows"
        if atoms.calc.num_evaluations >= max_evaluations:
            break
    return "max force evaluations"


if __name__ == "__main__":
    serve(Worker)
