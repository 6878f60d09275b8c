"""Jobs of the LAMMPS process in which atoms are displaced or move: forces on displaced atoms,
stretches of molecular dynamics, and quenches.
"""

from typing import Any, Protocol

import numpy as np

from gcd_hpc.engines.serving import Arrays

SAMPLE_STEPS = 10
"""Steps from one sample of temperature and energy to the next in a stretch of dynamics."""


class Instance(Protocol):
    """What these jobs use of ``lammps_worker.Worker``."""

    lammps: Any

    def minimize(self, header: dict[str, Any]) -> None: ...
    def minimizer_report(self) -> dict[str, Any]: ...
    def commands(self, *lines: str) -> None: ...
    def state(self) -> Arrays: ...
    def order(self) -> np.ndarray: ...
    def constrain(self, arrays: Arrays) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def unconstrain(self) -> None: ...


def displaced_forces(
    worker: Instance, header: dict[str, Any], arrays: Arrays
) -> tuple[dict[str, Any], Arrays]:
    """Force constants (K, 3, M, 3) of K displaced and M moving atoms by central differences.

    Each step of a run without integrator evaluates the forces once. A callback reads them and
    displaces the next atom, which saves the set-up of a run for each displacement.
    """
    moving, displaced = arrays["moving"], arrays["displaced"]
    step_a = header["displacement"]
    num_steps = 6 * len(displaced)
    forces = np.empty((num_steps, len(moving), 3))
    # Places of the job's atoms in LAMMPS' arrays, which do not change while no list is rebuilt.
    order = worker.order()

    def move(step: int, sign: int) -> None:
        """Displace the atom of a step by +-1 displacements, or back."""
        atom, direction = divmod(step, 6)
        amount = sign * (step_a if direction % 2 == 0 else -step_a)
        places = worker.lammps.numpy.extract_atom("x")
        places[order[displaced[atom]], direction // 2] += amount

    def each_step(_caller: Any, step: int, *_rest: Any) -> None:
        if step > 0:
            forces[step - 1] = worker.lammps.numpy.extract_atom("f")[order[moving]]
            move(step - 1, -1)
        if step < num_steps:
            move(step, +1)

    worker.commands("fix displacing all external pf/callback 1 1")
    worker.lammps.set_fix_external_callback("displacing", each_step, None)
    worker.commands(f"run {num_steps} post no", "unfix displacing")
    pairs = forces.reshape(len(displaced), 3, 2, len(moving), 3)
    constants = (pairs[:, :, 1] - pairs[:, :, 0]) / (2 * step_a)
    return {}, {"positions": arrays["positions"], "constants": constants}


def dynamics(
    worker: Instance, header: dict[str, Any], arrays: Arrays
) -> tuple[dict[str, Any], Arrays]:
    """Langevin dynamics of the mobile atoms; the rigid layers follow their mean force."""
    timestep, temperature = header["timestep_ps"], header["temperature_k"]
    seed, num_steps = header["seed"], header["num_steps"]
    worker.constrain(arrays)
    worker.commands(
        f"timestep {timestep:.17g}",
        f"velocity mobile create {2 * temperature:.17g} {seed} mom yes rot no dist gaussian",
    )
    if "velocities" in arrays:
        worker.lammps.numpy.extract_atom("v")[worker.order()] = arrays["velocities"]
    else:
        worker.commands("velocity fixed set 0 0 0", "velocity rigid set 0 0 0")
    every = SAMPLE_STEPS if num_steps % SAMPLE_STEPS == 0 else 1
    worker.commands(
        "compute mobile_temperature mobile temp",
        # The thermostat acts on the centre of mass too.
        "compute_modify mobile_temperature extra/dof 0",
        f"fix means all ave/time {every} {num_steps // every} {num_steps} c_mobile_temperature"
        " c_thermo_pe",
        f"fix thermostat mobile langevin {temperature:.17g} {temperature:.17g}"
        f" {50 * timestep:.17g} {seed}",
        "fix move all nve",
    )
    worker.hold()
    worker.commands(f"run {num_steps} post no")
    means = [float(worker.lammps.extract_fix("means", 0, 1, place)) for place in range(2)]
    velocities = np.array(worker.lammps.numpy.extract_atom("v")[worker.order()])
    results = {"positions": worker.state()["positions"], "velocities": velocities}
    worker.release()
    worker.commands("unfix thermostat", "unfix move", "unfix means")
    worker.commands("uncompute mobile_temperature")
    worker.unconstrain()
    return {"temperature_k": means[0], "potential_ev": means[1]}, results


def quench(
    worker: Instance, header: dict[str, Any], arrays: Arrays
) -> tuple[dict[str, Any], Arrays]:
    """Langevin dynamics of all atoms along the job's temperatures, then minimisation."""
    timestep = header["timestep_ps"]
    seed = header["seed"]
    legs = header["legs"]
    worker.commands(f"timestep {timestep:.17g}", "fix move all nve")
    if legs:
        worker.commands(
            f"velocity all create {legs[0]['start_k']:.17g} {seed} mom yes rot no dist gaussian"
        )
    # One thermostat a leg, whose target goes linearly from the start to the end temperature.
    temperatures = []
    for number, leg in enumerate(legs):
        worker.commands(
            f"fix thermostat all langevin {leg['start_k']:.17g} {leg['end_k']:.17g}"
            f" {50 * timestep:.17g} {seed + number} zero yes",
            f"run {leg['num_steps']}",
        )
        temperatures.append(float(worker.lammps.get_thermo("temp")))
        worker.commands("unfix thermostat")
    worker.commands("unfix move")
    worker.minimize(header)
    return worker.minimizer_report() | {"temperatures_k": temperatures}, worker.state()
