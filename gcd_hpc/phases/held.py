"""Slabs whose ends are held, and their force constants: of a phase and of perfect crystals."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
from ase.data import atomic_masses

from gcd_hpc.engines.box import box_around
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import DisplacementJob, Minimizer
from gcd_hpc.engines.motion import force_constants
from gcd_hpc.engines.relaxation import LINE_SEARCH, Slab
from gcd_hpc.errors import SimulationError
from gcd_hpc.files import replacing
from gcd_hpc.phases.harmonic import Modes, commensurate_phases, mesh_of, mesh_phases, modes_of
from gcd_hpc.phases.slabs import bicrystal_of, thickened
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.bicrystal import Bicrystal, Side
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.grain import Grain

FULLY = Minimizer(etol=0.0, ftol=1e-6, max_evaluations=20_000, commands=LINE_SEARCH, max_force=1e-4)
"""Tolerances of the relaxation before vibrations, whose force constants need small forces."""
SAME_J_M2 = 0.002
"""Largest energy that this relaxation may gain; beyond, the structure was not a minimum."""
MAX_STACK = 60
"""Blocks of a crystal that are stacked until the last lies above the first."""
EXTENSION_A = 6.0
"""Height of the planes that are added to a slab at each end, Å."""
CRYSTAL_LENGTH = 16.0
"""Least edges of the repeated crystal whose force constants are measured, Å."""
MESH_LENGTH = 60.0
"""Wave lengths that the mesh of wave vectors of the crystal resolves, Å."""

Counter = Callable[[int], None]


@dataclass(frozen=True)
class HeldSlab:
    """A slab between held layers, in its own in-plane cell.

    positions: (N, 3) Å.
    cell: in-plane vectors (2, 2) as rows, Å.
    moving: mask (N,) of the atoms between the held layers.
    num_held: atoms of the held layers at the bottom and at the top.
    numbers: atomic numbers (N,).
    """

    positions: np.ndarray
    cell: np.ndarray
    moving: np.ndarray
    num_held: tuple[int, int]
    numbers: np.ndarray

    @classmethod
    def between(
        cls, positions: np.ndarray, cell: np.ndarray, num_held: tuple[int, int], numbers: np.ndarray
    ) -> "HeldSlab":
        """Slab whose lowest and highest atoms are held, as many as ``num_held`` says."""
        order = np.argsort(positions[:, 2], kind="stable")
        moving = np.ones(len(positions), dtype=bool)
        moving[order[: num_held[0]]] = False
        moving[order[len(order) - num_held[1] :]] = False
        return cls(positions, cell, moving, num_held, numbers)

    @property
    def masses(self) -> np.ndarray:
        """Masses of the moving atoms, atomic mass units."""
        return np.asarray(atomic_masses[self.numbers[self.moving]])

    def constants(
        self,
        child: Child,
        repeats: tuple[int, int],
        displacement: float,
        progress: Counter = lambda done: None,
    ) -> np.ndarray:
        """Force constants (M, 3, S, M, 3) of the moving atoms in the slab repeated to S cells.

        Args:
            displacement: Å.
            progress: called with the number of displaced structures evaluated since.
        """
        cells = np.array(list(product(*map(range, repeats))))  # (S, 2)
        offsets = np.zeros((len(cells), 3))
        offsets[:, :2] = cells @ self.cell
        positions = (self.positions + offsets[:, None]).reshape(-1, 3)  # (S N, 3)
        own = np.flatnonzero(self.moving)
        every = (own + len(self.positions) * np.arange(len(cells))[:, None]).ravel()
        box = box_around(positions, self.cell * np.array(repeats)[:, None])
        numbers = child.numbers_of_job(np.tile(self.numbers, len(cells)))
        job = DisplacementJob(positions, box, every, own, displacement, numbers)
        found = force_constants(child, job, progress)
        return found.reshape(len(own), 3, len(cells), len(own), 3)

    def modes(
        self, constants: np.ndarray, repeats: tuple[int, int], kept: np.ndarray | None = None
    ) -> Modes:
        """Modes of the repeated slab.

        Args:
            constants: as ``constants`` gives them.
            kept: mask (M,) of the moving atoms that move here too; all if None.
        """
        masses = self.masses
        if kept is not None:
            constants, masses = constants[kept][:, :, :, kept], masses[kept]
        factors, weights = commensurate_phases(repeats)
        return modes_of(constants, factors, masses, weights)

    def inner(self, num_held: tuple[int, int]) -> np.ndarray:
        """Mask (M,) of the moving atoms that still move if more atoms are held."""
        fewer = HeldSlab.between(self.positions, self.cell, num_held, self.numbers)
        return np.asarray(fewer.moving[self.moving])


def held_phase(child: Child, system: PhaseSystem, candidate: RunCandidate) -> HeldSlab:
    """The slab of a phase with further planes at both ends, relaxed until no forces are left.

    Raises:
        SimulationError: if the engine cannot relax it, or if it relaxes into another structure.
    """
    half = 0.5 * float(np.ptp(candidate.positions[:, 2])) + EXTENSION_A
    atoms = thickened(candidate, system, half)
    slab = Slab.of(atoms, system.bicrystal, system.bulk, system.config.relaxation)
    before = child.evaluate(slab.positions, slab.box, numbers=slab.numbers).total_ev
    result = child.relax(slab.job(FULLY, slab.positions, None))
    gain = (before - float(result.energies.sum())) / slab.bicrystal.area * J_PER_M2
    if abs(gain) > SAME_J_M2:
        raise SimulationError(
            f"{candidate.id}: no harmonic free energy, because the structure gains {gain:.4f} J/m^2"
            " when it is relaxed until no force is left, so that it is another one; relax the"
            " campaign with relaxation.preset: tight"
        )
    return HeldSlab(
        positions=result.positions,
        cell=np.array(bicrystal_of(candidate, system).cell),
        moving=~(slab.fixed | slab.rigid),
        num_held=(int(slab.fixed.sum()), int(slab.rigid.sum())),
        numbers=atoms.numbers,
    )


def held_crystal(slab: HeldSlab, bicrystal: Bicrystal, side: Side) -> HeldSlab:
    """A perfect crystal of as many planes as a phase, held at both ends as the phase is here.

    Args:
        bicrystal: in the phase's in-plane cell.
    """
    grain = bicrystal.grain(side)
    planes = round(len(slab.positions) / grain.atoms_per_plane)
    positions, numbers = bicrystal.lattice_sites(
        side, (0.0, 0.0, 0.0), 0.0, planes * grain.plane_spacing
    )
    held = slab.num_held[0 if side == "lower" else 1]
    return HeldSlab.between(positions, slab.cell, (held, held), numbers)


def crystal_modes(
    child: Child,
    grain: Grain,
    displacement: float,
    length: float = CRYSTAL_LENGTH,
    progress: Counter = lambda done: None,
) -> Modes:
    """Modes of the perfect crystal at a mesh of wave vectors, without the uniform translations.

    Args:
        length: least edges of the repeated crystal whose force constants are measured, Å.
    """
    positions, cell, numbers = upright_cell(grain)
    repeats = tuple(int(one) for one in mesh_of(cell, length))
    cells = np.array(list(product(*map(range, repeats))))  # (S, 3)
    every = (positions + (cells @ cell)[:, None]).reshape(-1, 3)
    edges = cell * np.array(repeats)[:, None]
    box = np.array([np.zeros(3), edges.diagonal()])
    if edges[1, 0]:
        box = np.vstack([box, [edges[1, 0], 0.0, 0.0]])
    own = np.arange(len(positions))
    job = DisplacementJob(
        *(every, box, np.arange(len(every)), own, displacement),
        numbers=child.numbers_of_job(np.tile(numbers, len(cells))),
        periodic_z=True,
    )
    found = force_constants(child, job, progress)
    constants = found.reshape(len(own), 3, len(cells), len(own), 3)
    mesh = mesh_of(cell, MESH_LENGTH)
    weights = np.full(int(np.prod(mesh)), 1.0 / np.prod(mesh))
    factors = mesh_phases(positions, cell, (repeats[0], repeats[1], repeats[2]), mesh)
    return modes_of(constants, factors, np.asarray(atomic_masses[numbers]), weights)


def upright_cell(grain: Grain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cell of the unstrained crystal whose third edge is normal to the boundary.

    Returns:
        Positions (M, 3) Å, vectors (3, 3) as rows, Å, and atomic numbers (M,).

    Raises:
        SimulationError: if so many planes repeat along the normal that no such cell is small.
    """
    rows = np.array(grain.cell)
    plane = rows[:2, :2]
    for number in range(1, MAX_STACK + 1):
        steps = np.linalg.solve(plane.T, number * rows[2, :2])
        if np.abs(steps - np.rint(steps)).max() < 1e-6:
            break
    else:
        raise SimulationError(
            f"the vibrations of the crystal cannot be computed, because more than {MAX_STACK} of"
            " its lattice planes repeat along the normal; take a boundary plane of lower indices"
        )
    blocks = np.array([[0.0, 0.0, one] for one in range(number)])
    positions = (grain.fractions + blocks[:, None]).reshape(-1, 3) @ rows
    cell = rows.copy()
    cell[2] = [0.0, 0.0, number * rows[2, 2]]
    return positions, cell, np.tile(grain.numbers, number)


def repeats_for(cell: np.ndarray, length: float) -> tuple[int, int]:
    """Repeats of an in-plane cell (2, 2) whose edges are this long at least, Å."""
    first, second = (ceil(length / edge - 0.01) for edge in np.linalg.norm(cell, axis=1))
    return max(1, int(first)), max(1, int(second))


def kept_array(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An intermediate array of a measurement: read if a killed one left it, else made and kept.

    A file that a power failure has cut is made again.
    """
    with suppress(OSError, ValueError, EOFError), path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False))
    made = make()
    with replacing(path, flush=False) as temporary:
        np.save(temporary, made)
    return made


def thicker(slab: HeldSlab, depth: float) -> tuple[int, int]:
    """Numbers of held atoms if the held layers reach this much further, Å."""
    z = slab.positions[:, 2]
    low, high = z[slab.moving].min(), z[slab.moving].max()
    return int((z < low + depth).sum()), int((z > high - depth).sum())
