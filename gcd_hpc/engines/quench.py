"""Amorphous structures by melt-quench: a liquid in a periodic box, cooled fast and relaxed."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import MAX_SEED, Leg, Minimizer, QuenchJob, QuenchResult
from gcd_hpc.errors import SimulationError
from gcd_hpc.structures.periodic import wrap

RELAX = Minimizer(
    etol=0.0, ftol=1e-3, max_evaluations=20_000, commands=("min_modify line forcezero dmax 0.1",)
)
"""Minimisation to the force tolerance.

Near the cutoff of bonds the energy is so stiff that LAMMPS' other line searches creep or stop.
"""
RATTLE = 0.1
"""Standard deviation of the start about its grid, in grid spacings, to break its symmetry."""


@dataclass(frozen=True)
class MeltQuench:
    """Temperatures and numbers of steps of a melt-quench."""

    density_g_cm3: float = 2.5
    liquid_k: float = 7000.0
    final_k: float = 300.0
    liquid_steps: int = 5_000
    quench_steps: int = 20_000
    hold_steps: int = 2_000
    timestep_ps: float = 0.001


def box_length(element: str, num_atoms: int, density_g_cm3: float) -> float:
    """Edge of the cube that holds the atoms at a density, Å."""
    gram_per_atom = atomic_masses[atomic_numbers[element]] / units._Nav
    return float((num_atoms * gram_per_atom / density_g_cm3) ** (1 / 3) * 1e8)  # cm -> Å


def melt_quench(
    child: LammpsChild,
    num_atoms: int,
    programme: MeltQuench,
    rng: np.random.Generator,
    minimizer: Minimizer = RELAX,
) -> QuenchResult:
    """Melt atoms on a rattled grid, cool them at a constant rate, hold and relax them.

    Args:
        rng: generator of the start, its velocities and the thermostat; it fixes the structure.

    Raises:
        SimulationError: if LAMMPS refuses a job, or the relaxation stops before its force
            tolerance.
    """
    length = box_length(child.potential.elements[0], num_atoms, programme.density_g_cm3)
    legs = (
        Leg(programme.liquid_k, programme.liquid_k, programme.liquid_steps),
        Leg(programme.liquid_k, programme.final_k, programme.quench_steps),
        Leg(programme.final_k, programme.final_k, programme.hold_steps),
    )
    start = _rattled_grid(num_atoms, length, rng)
    seed = int(rng.integers(1, MAX_SEED - len(legs)))
    box = np.array([np.zeros(3), np.full(3, length)])
    job = QuenchJob(start, box, legs, programme.timestep_ps, seed, minimizer)
    result = child.quench(job)
    check_converged(result, minimizer, "the quenched structure")
    return result


def relax_periodic(
    child: LammpsChild, positions: np.ndarray, lengths: np.ndarray, minimizer: Minimizer = RELAX
) -> QuenchResult:
    """Minimise atoms (N, 3) of any origin in a periodic box (3,), as at the end of a quench.

    Raises:
        SimulationError: if LAMMPS refuses them, for instance because two atoms coincide.
    """
    box = np.array([np.zeros(3), lengths])
    job = QuenchJob(positions, box, (), timestep_ps=0.001, seed=1, minimizer=minimizer)
    return child.quench(job)


def check_converged(result: QuenchResult, minimizer: Minimizer, what: str) -> None:
    """Refuse a result that kept a force of more than ten times the tolerance of its minimiser.

    Raises:
        SimulationError: naming ``what``.
    """
    largest = float(np.linalg.norm(result.forces, axis=1).max())
    if not largest <= 10 * minimizer.ftol:
        raise SimulationError(
            f"{what} kept a force of {largest:.3g} eV/Å (minimiser: {result.stop_reason})"
        )


def _rattled_grid(num_atoms: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """Atoms (N, 3) on distinct points of the smallest sufficient cubic grid, slightly displaced."""
    side = ceil(round(num_atoms ** (1 / 3), 9))
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    chosen = points[np.sort(rng.permutation(len(points))[:num_atoms])]
    placed = chosen + 0.5 + RATTLE * rng.standard_normal((num_atoms, 3))
    return wrap(placed * (length / side), (length, length, length))
