"""Jobs of the process that computes energies and forces, and their results.

They are the same for every engine (LAMMPS, ASE): lengths in Å, energies in eV.
"""

from dataclasses import dataclass

import numpy as np

MAX_SEED = 900_000_000
"""Seeds of dynamics are less than this, as LAMMPS demands."""


@dataclass(frozen=True)
class Minimizer:
    """Tolerances of a minimiser.

    etol, ftol: of LAMMPS' minimize: relative change of the energy, and norm of all forces, eV/Å.
    max_force: largest force on an atom at which other engines stop, eV/Å.
    commands: LAMMPS' commands for the line search.
    """

    etol: float
    ftol: float
    max_evaluations: int
    commands: tuple[str, ...] = ()
    max_force: float = 0.005


@dataclass(frozen=True)
class Anneal:
    """Molecular dynamics before the minimisation.

    cooled_to: share of the temperature to which it falls linearly until the last step.
    """

    temperature_k: float
    num_steps: int
    timestep_ps: float
    seed: int
    cooled_to: float = 1.0


@dataclass(frozen=True)
class Part:
    """Part of a structure that is relaxed while the rest is held, as masks (N,).

    mobile: atoms that move.
    close: mobile atoms and those near enough to act on them strongly. Interactions among all others
    are left out.
    """

    mobile: np.ndarray
    close: np.ndarray


@dataclass(frozen=True)
class RelaxJob:
    """A relaxation: positions (N, 3) and box in Å, masks (N,) of fixed and rigid atoms.

    box: (2, 3), or (3, 3) if it leans, as of ``box.box_around``.
    numbers: atomic numbers (N,); None if all atoms are of the engine's first element.
    part: relaxed alone, if given. Energies are then not those of the structure, and forces are
    right only as far as the atoms left out do not act on the mobile ones.
    upright: atoms that move along z only, also where they belong to the rigid ones; none if None.
    """

    positions: np.ndarray
    box: np.ndarray
    fixed: np.ndarray
    rigid: np.ndarray
    minimizer: Minimizer
    anneal: Anneal | None = None
    part: Part | None = None
    numbers: np.ndarray | None = None
    upright: np.ndarray | None = None

    @property
    def num_steps(self) -> int:
        """Number of steps of molecular dynamics."""
        return 0 if self.anneal is None else self.anneal.num_steps


@dataclass(frozen=True)
class Leg:
    """Molecular dynamics with a linear temperature ramp, K."""

    start_k: float
    end_k: float
    num_steps: int


@dataclass(frozen=True)
class QuenchJob:
    """A quench of one periodic structure, all atoms free: dynamics leg by leg, then minimisation.

    Positions (N, 3) and box (2, 3) are in Å. Without legs it is a minimisation.
    numbers: as for ``RelaxJob``.
    """

    positions: np.ndarray
    box: np.ndarray
    legs: tuple[Leg, ...]
    timestep_ps: float
    seed: int
    minimizer: Minimizer
    numbers: np.ndarray | None = None


@dataclass(frozen=True)
class QuenchResult:
    """Result of a quench.

    Positions (N, 3) in Å, wrapped into the box; energies (N,) in eV; forces (N, 3) in eV/Å;
    temperatures_k at the end of each leg.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    temperatures_k: tuple[float, ...]
    stop_reason: str
    seconds: float


@dataclass(frozen=True)
class RelaxResult:
    """Result of a relaxation: positions (N, 3) in Å, energies (N,) in eV, forces (N, 3) in eV/Å.

    Forces are zero on fixed atoms, their mean on rigid ones, and along z on upright ones.
    evaluations: of the minimiser.
    atom_evaluations: evaluations and steps of molecular dynamics, times atoms whose energies they
    computed.
    seconds: wall time.
    cpu_s: processor time of the engine, s.
    has_energies: whether the engine gave the energies of single atoms. If not, each has the mean.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    stop_reason: str
    evaluations: int
    atom_evaluations: int
    seconds: float
    cpu_s: float
    has_energies: bool = True


@dataclass(frozen=True)
class Evaluation:
    """Energies (N,) in eV, forces (N, 3) in eV/Å, pressure and cutoff if they are stated.

    total_ev: energy of the structure, eV; the engine's own, and not a sum over atoms.
    seconds: wall time.
    cpu_s: processor time of LAMMPS, s.
    virials_ev: virials (N, 6) xx yy zz yz xz xy in eV, if the job wanted them: stress times volume
    of each atom, positive under tension. Their sum is -pressure times volume of the structure.
    """

    energies: np.ndarray
    forces: np.ndarray
    pressure_bar: float | None
    cutoff: float | None
    total_ev: float
    seconds: float
    cpu_s: float
    virials_ev: np.ndarray | None = None


@dataclass(frozen=True)
class DisplacementJob:
    """Forces on some atoms while single ones of them are displaced, one after another.

    Positions (N, 3) and box are in Å, as for ``RelaxJob``.
    moving: indices (M,) of the atoms whose forces are wanted.
    displaced: indices (K,) of the atoms that are displaced, each along x, y and z, both ways.
    displacement: Å.
    """

    positions: np.ndarray
    box: np.ndarray
    moving: np.ndarray
    displaced: np.ndarray
    displacement: float
    numbers: np.ndarray | None = None
    periodic_z: bool = False


@dataclass(frozen=True)
class DynamicsJob:
    """A stretch of molecular dynamics at one temperature with a Langevin thermostat.

    Positions (N, 3), box, masks and numbers as for ``RelaxJob``: fixed atoms stay where they are,
    and rigid ones move as one body along the mean of their forces.
    velocities: (N, 3) Å/ps with which it goes on; drawn for twice the temperature if None, because
    half of that becomes potential energy.
    """

    positions: np.ndarray
    box: np.ndarray
    fixed: np.ndarray
    rigid: np.ndarray
    temperature_k: float
    num_steps: int
    timestep_ps: float
    seed: int
    velocities: np.ndarray | None = None
    numbers: np.ndarray | None = None


@dataclass(frozen=True)
class Stretch:
    """End of a stretch of molecular dynamics.

    Positions (N, 3) in Å, wrapped into the box; velocities (N, 3) in Å/ps.
    temperature_k, potential_ev: means over the stretch, of the mobile atoms and of the structure.
    """

    positions: np.ndarray
    velocities: np.ndarray
    temperature_k: float
    potential_ev: float
    seconds: float
    cpu_s: float
