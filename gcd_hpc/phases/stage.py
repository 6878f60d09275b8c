"""The slab in which a phase is held at a temperature: repeated, cut open or with point defects."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from gcd_hpc.engines.box import box_around, cell_of
from gcd_hpc.engines.jobs import DynamicsJob, Minimizer, RelaxJob
from gcd_hpc.engines.relaxation import Slab
from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.slabs import bicrystal_of
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.fingerprint import Fingerprint, energy_weights, fingerprint
from gcd_hpc.structures.periodic import Neighbors, area, in_plane, wrap

GAP_A = 5.0
"""Empty space between the free surfaces beyond the reach of the potential, Å."""
MARGIN_A = 6.0
"""Width beyond the reach at the free surfaces, or of a reservoir, that is left out of the
fingerprint, Å."""
MIN_WINDOW_A = 12.0
"""Least width of the boundary whose fingerprint is taken, Å."""
STRIP_A = 6.0
"""Width of the strip in which the point defects of a reservoir are made, Å."""
NUM_PLACES = 4000
"""Random places in a strip, of which the one furthest from all atoms takes an atom."""


@dataclass(frozen=True)
class Stage:
    """A repeated phase with held layers, and the part of its boundary that is looked at.

    slab: as input of the engine.
    window: lowest and highest x of the part whose fingerprint is taken, Å; None for all of it.
    is_open: whether the slab ends at free surfaces along x.
    """

    slab: Slab
    window: tuple[float, float] | None = None
    is_open: bool = False

    @classmethod
    def of(
        cls,
        system: PhaseSystem,
        candidate: RunCandidate,
        replicas: tuple[int, int],
        is_open: bool,
        has_reservoir: bool,
    ) -> "Stage":
        """The repeated slab of a phase.

        Args:
            is_open: cut the cell open along x, so that the boundary ends at free surfaces.
            has_reservoir: leave the strip of point defects out of the window.

        Raises:
            SimulationError: if too little of the boundary remains between the surfaces.
        """
        atoms = candidate.to_atoms()
        single = Slab.of(atoms, system.bicrystal, system.bulk, system.config.relaxation)
        own = bicrystal_of(candidate, system)
        cell = np.array(own.cell)
        copies = np.zeros((replicas[0] * replicas[1], 3))
        copies[:, :2] = np.array(list(product(*map(range, replicas)))) @ cell
        positions = (single.positions + copies[:, None]).reshape(-1, 3)
        whole = cell * np.array(replicas)[:, None]
        fixed, rigid = (np.tile(one, len(copies)) for one in (single.fixed, single.rigid))
        bicrystal = own.replicated(*replicas)
        numbers = None if single.numbers is None else np.tile(atoms.numbers, len(copies))
        slab = Slab(
            wrap(positions, whole), box_around(positions, whole), fixed, rigid, bicrystal,
            system.bulk, numbers,
        )  # fmt: skip
        window = _window(float(whole[0, 0]), system.bulk.reach, is_open, has_reservoir)
        if not is_open:
            return cls(slab, window)
        box = slab.box.copy()
        box[1, 0] += system.bulk.reach + GAP_A
        return cls(replace(slab, box=box), window, True)

    def with_atoms(self, change: int, energies: np.ndarray, rng: np.random.Generator) -> "Stage":
        """The stage with atoms put into, or taken from, the boundary in a strip at x = 0.

        Atoms are put where they are furthest from all others; those of highest energy are taken.

        Args:
            change: number of atoms, negative if they are taken.
            energies: (N,) of the atoms, eV.
        """
        slab = self.slab
        positions = slab.positions
        fixed, rigid = slab.fixed, slab.rigid
        weights = energy_weights(energies, slab.bulk.cohesive_ev)
        weights = np.where(self._inside(positions), weights, 0.0)
        middle = float(np.average(positions[:, 2], weights=weights + 1e-12))
        if change < 0:
            near = (positions[:, 0] < STRIP_A) & (np.abs(positions[:, 2] - middle) < STRIP_A)
            free = np.flatnonzero(near & ~(fixed | rigid))
            taken = free[np.argsort(-energies[free], kind="stable")[:-change]]
            keep = np.ones(len(positions), dtype=bool)
            keep[taken] = False
            changed = replace(slab, positions=positions[keep], fixed=fixed[keep], rigid=rigid[keep])
            return replace(self, slab=changed)
        for _ in range(change):
            places = rng.uniform(-1, 1, (NUM_PLACES, 3)) * [0, 0, 3.0] + [0, 0, middle]
            places[:, 0] = rng.uniform(0, STRIP_A, NUM_PLACES)
            places[:, 1] = rng.uniform(0, slab.box[1, 1], NUM_PLACES)
            distances, _ = Neighbors(positions, in_plane(cell_of(slab.box))).nearest(places)
            positions = np.vstack([positions, places[np.argmax(distances)]])
            fixed, rigid = np.append(fixed, False), np.append(rigid, False)
        return replace(self, slab=replace(slab, positions=positions, fixed=fixed, rigid=rigid))

    def relaxation(self, positions: np.ndarray, minimizer: Minimizer) -> RelaxJob:
        """Quench of a snapshot (N, 3) Å."""
        return self.slab.job(minimizer, positions, None)

    def dynamics(
        self,
        positions: np.ndarray,
        velocities: np.ndarray | None,
        temperature_k: float,
        num_steps: int,
        timestep_ps: float,
        seed: int,
    ) -> DynamicsJob:
        """A stretch of dynamics from a snapshot (N, 3) Å, as ``DynamicsJob``."""
        slab = self.slab
        return DynamicsJob(
            *(positions, slab.box, slab.fixed, slab.rigid, temperature_k, num_steps, timestep_ps),
            seed=seed,
            velocities=velocities,
            numbers=slab.numbers,
        )

    def mark(self, positions: np.ndarray, energies: np.ndarray) -> Fingerprint:
        """Fingerprint of the boundary in the window, per area.

        Args:
            positions, energies: (N, 3) Å and (N,) eV of a quenched snapshot.
        """
        slab = self.slab
        weights = self._weights(positions, energies)
        cell = cell_of(slab.box)
        found = fingerprint(positions, cell, weights, slab.bicrystal.nearest_neighbor)
        if self.window is None:
            return found
        width = self.window[1] - self.window[0]
        return np.asarray(found * area(cell) / (width * slab.box[1, 1]))

    def height(self, positions: np.ndarray, energies: np.ndarray) -> float:
        """Mean height of the boundary, Å."""
        weights = self._weights(positions, energies) + 1e-12
        return float(np.average(positions[:, 2], weights=weights))

    def _weights(self, positions: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """Share (N,) of each atom in the boundary of the window."""
        weights = energy_weights(energies, self.slab.bulk.cohesive_ev)
        return np.where(self._inside(positions), weights, 0.0)

    def _inside(self, positions: np.ndarray) -> np.ndarray:
        """Mask (N,) of the atoms in the window and out of reach of the free surfaces."""
        z, reach = positions[:, 2], self.slab.bulk.reach
        inside = (z > z.min() + reach) & (z < z.max() - reach)
        if self.window is not None:
            low, high = self.window
            inside &= (positions[:, 0] > low) & (positions[:, 0] < high)
        return np.asarray(inside)


def _window(
    length: float, reach: float, is_open: bool, has_reservoir: bool
) -> tuple[float, float] | None:
    """Part of the boundary along x that is looked at, Å; None for all of it."""
    if not (is_open or has_reservoir):
        return None
    margin = reach + MARGIN_A if is_open else MARGIN_A
    low, high = margin + (STRIP_A if has_reservoir else 0.0), length - margin
    if high - low < MIN_WINDOW_A:
        needed = length + MIN_WINDOW_A - (high - low)
        raise SimulationError(
            f"the boundary is {length:.0f} Å long along x, and {needed:.0f} Å are needed for free"
            " surfaces or a reservoir with undisturbed boundary between them; raise --replicas"
        )
    return low, high
