"""Force constants and molecular dynamics by the process of an engine, in jobs of bounded length."""

from collections.abc import Callable

import numpy as np

from gcd_hpc.engines.child import SECONDS_PER_ATOM_STEP, Child
from gcd_hpc.engines.jobs import DisplacementJob, DynamicsJob, Stretch
from gcd_hpc.errors import SimulationError

STEPS_PER_JOB = 600
"""Largest number of displaced structures that one job evaluates, so that its time limit holds."""


def force_constants(
    child: Child, job: DisplacementJob, progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Force constants (3K, 3M) in eV/Å^2: minus the forces on moving atoms by displacement.

    Args:
        progress: called with the number of displaced structures that were evaluated since.

    Raises:
        SimulationError: if the engine cannot evaluate a displaced structure.
    """
    size = max(1, STEPS_PER_JOB // 6)
    blocks = []
    for first in range(0, len(job.displaced), size):
        some = job.displaced[first : first + size]
        blocks.append(_block(child, job, some))
        progress(6 * len(some))
    rows = np.concatenate(blocks)  # (K, 3, M, 3)
    return rows.reshape(3 * len(job.displaced), 3 * len(job.moving))


def _block(child: Child, job: DisplacementJob, displaced: np.ndarray) -> np.ndarray:
    """Force constants (k, 3, M, 3) of some displaced atoms."""
    num_steps = 6 * len(displaced)
    _, arrays = child.run(
        {"operation": "displace", "displacement": job.displacement},
        job.positions,
        job.numbers,
        job.box,
        {"moving": job.moving.astype(np.int64), "displaced": displaced.astype(np.int64)},
        job.periodic_z,
        num_steps * len(job.positions) * SECONDS_PER_ATOM_STEP,
    )
    return arrays["constants"]


def run_dynamics(child: Child, job: DynamicsJob) -> Stretch:
    """Run a stretch of molecular dynamics.

    Raises:
        SimulationError: if the engine cannot evaluate a structure on the way, or loses an atom.
    """
    masks = {"fixed": job.fixed, "rigid": job.rigid}
    if job.velocities is not None:
        masks["velocities"] = np.asarray(job.velocities, dtype=np.float64)
    header = {
        "operation": "dynamics",
        "temperature_k": job.temperature_k,
        "num_steps": job.num_steps,
        "timestep_ps": job.timestep_ps,
        "seed": job.seed,
    }
    allowance_s = job.num_steps * len(job.positions) * SECONDS_PER_ATOM_STEP
    reply, arrays = child.run(
        header, job.positions, job.numbers, job.box, masks, False, allowance_s
    )
    if not np.isfinite([reply["temperature_k"], reply["potential_ev"]]).all():
        raise SimulationError("the temperature or the energy of the dynamics is not finite")
    return Stretch(
        **arrays,
        temperature_k=reply["temperature_k"],
        potential_ev=reply["potential_ev"],
        seconds=reply["seconds"],
        cpu_s=reply["cpu_s"],
    )
