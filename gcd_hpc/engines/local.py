"""Relaxation of the surroundings of a local change, at a cost that does not grow with the cell.

A move changes a few atoms of a relaxed slab. Only the atoms around them are relaxed, in a job that
holds just the atoms which act on these: a ``Cluster``. One evaluation after it gives the exact
energies of all atoms near the change; the others keep those they had before.
"""

from dataclasses import dataclass, replace

import numpy as np

from gcd_hpc.engines.box import cell_of
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Part, RelaxJob, RelaxResult
from gcd_hpc.structures.energetics import MIN_PAIR
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import Neighbors, in_plane, minimum_image, wrap

MARGIN = 3.0
"""Atoms this near to a changed one are relaxed, Å. See docs/science.md#local."""
CLOSE = 1.6
"""Atoms this near to a relaxed one act on it strongly, in nearest-neighbour distances."""
SHELL = 1.3
"""Further atoms of the cluster around the close ones, in nearest-neighbour distances."""
LARGEST_SHARE = 0.45
"""Largest share of close atoms in the slab. With more, the screen of the slab costs no more."""
TOLERANCE_EV = 0.05
"""The minimiser stops when a step lowers the energy by less. benchmarks/RESULTS.md has others."""
MAX_EVALUATIONS = 40
ODD_NUMBERS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64
)
"""Factors of a sum modulo 2^64 by which different coordinates get different codes.

If they ever get the same, an atom counts as changed, which only costs time.
"""


@dataclass(frozen=True)
class Origin:
    """The relaxed slab that a local change was made to.

    positions: (M, 3) Å.
    energies: (M,) of its atoms, eV.
    numbers: (M,) atomic numbers; None if there is one element.
    layer: lowest and highest height in Å of the atoms that are annealed besides those around the
        change, or alone if there is none; None if there is no such layer.
    """

    positions: np.ndarray
    energies: np.ndarray
    numbers: np.ndarray | None = None
    layer: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cluster:
    """The atoms that a local relaxation computes.

    indices: (n,) of these atoms in the slab, the relaxed ones first.
    part: the relaxed atoms among them and those that act on these strongly.
    vanished: (k, 3) places at which the change left no atom, Å.
    energies: (N,) of the slab's atoms before the change, eV; NaN for changed ones.
    """

    indices: np.ndarray
    part: Part
    vanished: Positions
    energies: np.ndarray

    @classmethod
    def around_change(
        cls, job: RelaxJob, origin: Origin, cutoff: float, nearest_neighbor: float
    ) -> "Cluster | None":
        """Cluster around the atoms by which a slab differs from its origin, and its layer's atoms.

        None if it would hold so much of the slab that relaxing all of it costs no more. That does
        not hold for annealing, which costs many times as much.

        Args:
            job: relaxation of the whole slab, whose atoms must be finite and lie in its box.
            cutoff: of the potential, Å.
            nearest_neighbor: distance in the crystal, Å.
        """
        cell = in_plane(cell_of(job.box))
        energies, vanished = _energies_before(job, origin, cell)
        changed = np.concatenate([job.positions[np.isnan(energies)], vanished])  # (k, 3) Å
        if len(changed) > LARGEST_SHARE * len(job.positions):
            return None
        # The relaxed atoms are those around a change, apart from the layers at the ends.
        touched = _distances(job.positions, changed, cell, MARGIN) <= MARGIN
        if origin.layer is not None:
            lowest, highest = origin.layer
            touched |= (job.positions[:, 2] >= lowest) & (job.positions[:, 2] <= highest)
        mobile = touched & ~(job.fixed | job.rigid)
        # Relaxed atoms need all atoms in their range. The others next to them need their nearest
        # neighbours: in an embedded-atom potential these make most of the density around them.
        strong = min(CLOSE * nearest_neighbor, cutoff)
        reach = max(strong + SHELL * nearest_neighbor, cutoff)
        sources = np.concatenate([job.positions[mobile], changed])
        distances = _distances(job.positions, sources, cell, reach)
        close = distances <= strong
        is_large = job.anneal is None and close.sum() > LARGEST_SHARE * len(close)
        if is_large or not mobile.any():
            return None
        # Relaxed, close and further atoms are ranges of the job's atoms.
        needed = np.flatnonzero(distances <= reach)
        order = -(mobile.astype(int) + close)[needed]
        indices = needed[np.argsort(order, kind="stable")]
        return cls(indices, Part(mobile[indices], close[indices]), vanished, energies)

    @property
    def relaxed(self) -> np.ndarray:
        """Indices of the relaxed atoms in the slab."""
        return np.asarray(self.indices[self.part.mobile])

    @property
    def close(self) -> np.ndarray:
        """Indices of the changed and relaxed atoms, and of all that touch them, in the slab."""
        return np.asarray(self.indices[self.part.close])

    def relax(
        self,
        mover: Child,
        child: Child,
        job: RelaxJob,
        bulk: Bulk,
        nearest_neighbor: float,
    ) -> tuple[RelaxResult, np.ndarray]:
        """Relax the cluster of a slab.

        Args:
            mover: moves the atoms.
            child: evaluates their energies after that.
            job: relaxation of the whole slab; its annealing acts on the relaxed atoms only.
            nearest_neighbor: distance in the crystal, Å.

        Returns:
            The result with positions, energies and forces of the whole slab, and the indices of all
            atoms among which two may have come too near to each other.

        Raises:
            SimulationError: as ``Child.relax``.
        """
        none = np.zeros(len(self.indices), dtype=bool)
        # LAMMPS takes the tolerance relative to the energy, most of which is that of close atoms.
        minimizer = replace(
            job.minimizer,
            etol=TOLERANCE_EV / (int(self.part.close.sum()) * abs(bulk.cohesive_ev)),
            ftol=0.0,
            max_evaluations=MAX_EVALUATIONS,
        )
        inside = RelaxJob(
            job.positions[self.indices],
            job.box,
            none,
            none,
            minimizer,
            job.anneal,
            self.part,
            None if job.numbers is None else job.numbers[self.indices],
        )
        result = mover.relax(inside)
        positions = job.positions.copy()
        positions[self.relaxed] = result.positions[self.part.mobile]
        return self._evaluated(child, job, positions, result, bulk.cutoff, nearest_neighbor)

    def _evaluated(
        self,
        child: Child,
        job: RelaxJob,
        positions: Positions,
        result: RelaxResult,
        cutoff: float,
        nearest_neighbor: float,
    ) -> tuple[RelaxResult, np.ndarray]:
        """Exact energies of the slab with its relaxed cluster, as ``relax``."""
        cell = in_plane(cell_of(job.box))
        # Atoms get another energy if one in their range came, went or moved. Each needs all of its
        # own neighbours for it, and so does each neighbour that it shares energy with.
        spread = child.potential.num_cutoffs
        reach, complete = spread * cutoff, (2 * spread - 1) * cutoff
        moved = np.isnan(self.energies)
        left = self.relaxed[~moved[self.relaxed]]
        moved[left] = True
        sources = np.concatenate([positions[moved], job.positions[left], self.vanished])
        distances = _distances(positions, sources, cell, complete)
        needed = np.flatnonzero(_may_be_near(positions, sources, cell, complete + cutoff))
        needed = needed[np.argsort(distances[needed] > complete, kind="stable")]
        evaluation = child.evaluate(
            positions[needed],
            job.box,
            near=distances[needed] <= complete,
            numbers=None if job.numbers is None else job.numbers[needed],
        )
        near = distances[needed] <= reach
        energies = self.energies.copy()
        energies[needed[near]] = evaluation.energies[near]
        exact, forces = np.zeros_like(positions), np.zeros_like(positions)
        exact[needed] = evaluation.forces
        forces[self.relaxed] = exact[self.relaxed]
        whole = replace(
            result,
            positions=positions,
            energies=energies,
            forces=forces,
            atom_evaluations=result.atom_evaluations + int((distances <= complete).sum()),
            seconds=result.seconds + evaluation.seconds,
            cpu_s=result.cpu_s + evaluation.cpu_s,
        )
        return whole, np.flatnonzero(distances < MIN_PAIR * nearest_neighbor)


def _energies_before(
    job: RelaxJob, origin: Origin, cell: np.ndarray
) -> tuple[np.ndarray, Positions]:
    """Energies before the change (N,), NaN for changed atoms, and places of vanished atoms (k, 3).

    Unchanged atoms are of the same element and have the same coordinates to the last bit.
    """
    positions = job.positions
    before = wrap(origin.positions, cell)
    codes = _codes(before)
    order = np.argsort(codes)
    place = np.searchsorted(codes, _codes(positions), sorter=order)
    match = order[np.minimum(place, len(order) - 1)]
    same = (before[match] == positions).all(axis=1)
    if job.numbers is not None and origin.numbers is not None:
        same &= origin.numbers[match] == job.numbers
    vanished = np.ones(len(before), dtype=bool)
    vanished[match[same]] = False
    return np.where(same, origin.energies[match], np.nan), before[vanished]


def _codes(positions: Positions) -> np.ndarray:
    """A number (N,) for the coordinates of each atom; adding zero makes -0.0 and 0.0 equal."""
    rows = np.ascontiguousarray(positions + 0.0).view(np.uint64)
    return np.asarray((rows * ODD_NUMBERS).sum(axis=1, dtype=np.uint64))


def _distances(
    positions: Positions, sources: Positions, cell: np.ndarray, limit: float
) -> np.ndarray:
    """Distance of each atom from the nearest source, periodic in x and y, (N,) Å.

    Distances above the limit are infinite.

    Args:
        positions: (N, 3) in the box, Å.
        sources: (k, 3) Å.
    """
    if not len(sources):
        return np.full(len(positions), np.inf)
    # A search among the sources costs more than this check, which rules out most of a large slab.
    maybe = _may_be_near(positions, sources, cell, limit)
    distances = np.full(len(positions), np.inf)
    neighbors = Neighbors(sources, cell)
    distances[maybe], _ = neighbors.nearest(positions[maybe], limit * (1 + 1e-12))
    return distances


def _may_be_near(
    positions: Positions, sources: Positions, cell: np.ndarray, limit: float
) -> np.ndarray:
    """Mask (N,) of the atoms within a sphere that holds all atoms within the limit of a source."""
    middle = sources[0] + minimum_image(sources - sources[0], cell).mean(axis=0)
    radius = np.linalg.norm(minimum_image(sources - middle, cell), axis=1).max()
    offsets = minimum_image(positions - middle, cell)  # (N, 3) Å
    return np.asarray((offsets**2).sum(axis=1) <= ((radius + limit) * (1 + 1e-9)) ** 2)
