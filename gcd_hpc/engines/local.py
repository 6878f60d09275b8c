"""Relaxation of the surroundings of a local change, at a cost that does not grow with the cell.

A move changes a few atoms of a relaxed slab. Only the atoms around them are relaxed, in a job that
holds just the atoms which these need: a ``Cluster``. Its atoms near the change have exact energies,
and all others keep those they had before.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from gcd_hpc.engines.child import LammpsChild, Part, RelaxJob, RelaxResult
from gcd_hpc.structures.bicrystal import Positions
from gcd_hpc.structures.periodic import minimum_image, wrap

MARGIN = 3.0
"""Atoms this near to a changed one are relaxed, Å. See docs/science.md#local."""
CLOSE = 1.6
"""Atoms this near to a relaxed one act on it strongly, in nearest-neighbour distances."""
SLACK = 1.0
"""Distance up to which a relaxed atom may move in a cluster with exact energies, Å."""
LARGEST_SHARE = 0.35
"""Largest share of close atoms in the slab. With more, the screen of the slab costs no more."""
TOLERANCE_EV = 0.1
"""The minimiser stops when a step lowers the energy by less. benchmarks/RESULTS.md has others."""
MAX_EVALUATIONS = 40


@dataclass(frozen=True)
class Origin:
    """The relaxed slab that a local change was made to.

    positions: (M, 3) Å.
    energies: (M,) of its atoms, eV.
    """

    positions: np.ndarray
    energies: np.ndarray


@dataclass(frozen=True)
class Cluster:
    """The atoms that a local relaxation computes.

    indices: (n,) of these atoms in the slab, the relaxed ones first.
    part: relaxed atoms and those with exact energies, as masks (n,).
    energies: (N,) of the slab's atoms before the change, eV; NaN for changed ones.
    """

    indices: np.ndarray
    part: Part
    energies: np.ndarray

    @classmethod
    def around_change(
        cls, job: RelaxJob, origin: Origin, cutoff: float, nearest_neighbor: float
    ) -> "Cluster | None":
        """Cluster around the atoms by which a slab differs from its origin.

        None if it would hold so much of the slab that relaxing all of it costs no more.

        Args:
            job: relaxation of the whole slab, whose atoms must be finite.
            cutoff: of the potential, Å.
            nearest_neighbor: distance in the crystal, Å.
        """
        lengths = np.diff(job.box, axis=0)[0, :2]
        energies, vanished = _energies_before(job.positions, origin, lengths)
        changed = np.concatenate([job.positions[np.isnan(energies)], vanished])  # (k, 3) Å
        if not len(changed) or len(changed) > LARGEST_SHARE * len(job.positions):
            return None
        # The relaxed atoms are those around a change, apart from the layers at the ends.
        free = ~(job.fixed | job.rigid)
        mobile = free & (_distances(job.positions, changed, lengths, MARGIN) <= MARGIN)
        # An atom within the cutoff of a relaxed or changed one gets another energy, and needs all
        # of its own neighbours for it.
        reach = cutoff + SLACK
        sources = np.concatenate([job.positions[mobile], changed])
        distances = _distances(job.positions, sources, lengths, reach + cutoff)
        near = distances <= reach
        close = distances <= min(CLOSE * nearest_neighbor, cutoff)
        if close.sum() > LARGEST_SHARE * len(close) or not mobile.any():
            return None
        # Each group of atoms is a range of the job's atoms.
        needed = np.flatnonzero(distances <= reach + cutoff)
        order = -(mobile.astype(int) + close + near)[needed]
        indices = needed[np.argsort(order, kind="stable")]
        return cls(indices, Part(mobile[indices], close[indices], near[indices]), energies)

    @property
    def near(self) -> np.ndarray:
        """Indices of the atoms in the slab whose energies and distances may change."""
        return np.asarray(self.indices[self.part.near])

    def relax(self, child: LammpsChild, job: RelaxJob, cohesive_ev: float) -> RelaxResult:
        """Relax the cluster of a slab; the result has positions and energies of the whole slab.

        Args:
            job: relaxation of the whole slab; its annealing acts on the relaxed atoms only.
            cohesive_ev: energy of an atom of the crystal, eV.

        Raises:
            SimulationError: as ``LammpsChild.relax``.
        """
        none = np.zeros(len(self.indices), dtype=bool)
        # LAMMPS takes the tolerance relative to the total energy.
        minimizer = replace(
            job.minimizer,
            etol=TOLERANCE_EV / (len(self.indices) * abs(cohesive_ev)),
            ftol=0.0,
            max_evaluations=MAX_EVALUATIONS,
        )
        inside = RelaxJob(
            job.positions[self.indices], job.box, none, none, minimizer, job.anneal, self.part
        )
        result = child.relax(inside)
        return self._in_the_slab(child, job, result)

    def _in_the_slab(self, child: LammpsChild, job: RelaxJob, result: RelaxResult) -> RelaxResult:
        """Put the relaxed cluster back into its slab."""
        lengths = np.diff(job.box, axis=0)[0, :2]
        positions, forces = job.positions.copy(), np.zeros_like(job.positions)
        relaxed = self.indices[self.part.mobile]
        positions[relaxed] = result.positions[self.part.mobile]
        forces[relaxed] = result.forces[self.part.mobile]
        energies = self.energies.copy()
        energies[self.near] = result.energies[self.part.near]
        computed = result.atom_evaluations
        # Atoms that moved out of the slack have neighbours whose energies the cluster lacks.
        moved = _moved(positions[relaxed], job.positions[relaxed], lengths)
        if moved > SLACK:
            energies = child.evaluate(positions, job.box).energies
            computed += len(positions)
        return replace(
            result,
            positions=positions,
            energies=energies,
            forces=forces,
            atom_evaluations=computed,
        )


def _energies_before(
    positions: Positions, origin: Origin, lengths: np.ndarray
) -> tuple[np.ndarray, Positions]:
    """Energies before the change (N,), NaN for changed atoms, and places of vanished atoms (k, 3).

    Unchanged atoms have the same coordinates to the last bit.
    """
    before = wrap(origin.positions, lengths)
    energy_at = dict(zip(_keys(before), origin.energies.tolist(), strict=True))
    now = _keys(positions)
    energies = np.array([energy_at.get(key, np.nan) for key in now])
    kept = set(now)
    return energies, before[[key not in kept for key in _keys(before)]]


def _keys(positions: Positions) -> list[bytes]:
    """Coordinates of each atom as bytes; adding zero makes -0.0 and 0.0 equal."""
    rows = np.ascontiguousarray(positions + 0.0)
    keys: list[bytes] = rows.view("V24").ravel().tolist()
    return keys


def _distances(
    positions: Positions, sources: Positions, lengths: np.ndarray, limit: float
) -> np.ndarray:
    """Distance of each atom from the nearest source, periodic in x and y, (N,) Å.

    Distances above the limit are infinite.
    """
    box = np.array([*lengths, 0.0])
    tree = cKDTree(wrap(sources, lengths), boxsize=box)
    distances, _ = tree.query(wrap(positions, lengths), distance_upper_bound=limit * (1 + 1e-12))
    return np.asarray(distances)


def _moved(after: Positions, before: Positions, lengths: np.ndarray) -> float:
    """Largest displacement of an atom, Å."""
    return float(np.linalg.norm(minimum_image(after - before, lengths), axis=1).max())
