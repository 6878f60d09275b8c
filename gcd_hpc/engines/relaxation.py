"""Relaxation of one bicrystal, and its energy, excess volume and shift."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Anneal, LammpsChild, Minimizer, RelaxJob, RelaxResult
from gcd_hpc.errors import SimulationError
from gcd_hpc.structures.bicrystal import Bicrystal, Response
from gcd_hpc.structures.energetics import (
    J_PER_M2,
    closest_pair,
    excess_volume,
    gb_energy,
    n_fraction,
    n_index,
    physical_fault,
)
from gcd_hpc.structures.frame import MIN_REGION
from gcd_hpc.structures.periodic import minimum_image, wrap

LINE_SEARCH = ("min_modify line quadratic dmax 0.1",)
PRESETS: dict[Literal["paper", "tight"], Minimizer] = {
    "paper": Minimizer(etol=1e-5, ftol=1e-5, max_evaluations=100_000, commands=LINE_SEARCH),
    "tight": Minimizer(etol=1e-10, ftol=1e-3, max_evaluations=100_000, commands=LINE_SEARCH),
}
SCREEN = PRESETS["paper"]
FREE = 10.0
"""Empty space above and below the slab in LAMMPS' box, Å: room for the upper grain to shift."""
MIN_PAIR = 0.3
"""Shortest distance that is relaxed, in nearest-neighbour distances; below, minimisers fail."""


DISTURBED = 0.005
"""Energy deviation of disturbed atoms, in cohesive energies, beyond three strain energies."""


@dataclass(frozen=True)
class Relaxed:
    """A relaxed bicrystal.

    positions: (N, 3) Å, in the order of the given atoms.
    energies: (N,) eV.
    gb_energy_j_m2: of the last relaxation.
    screen_gb_energy_j_m2: of the loose screen, NaN without one.
    excess_volume: Å.
    strain_energy_j_m2, strain_volume: of the strained upper grain; not part of the boundary's
    energy and excess volume.
    shift: (3,) displacement of the upper grain, Å.
    max_force: largest force component on atoms free to move, eV/Å.
    converged: whether the minimiser met a tolerance.
    preset: "screen" if the configured preset was not run.
    """

    positions: np.ndarray
    energies: np.ndarray
    gb_energy_j_m2: float
    screen_gb_energy_j_m2: float
    n_index: int
    n_fraction: float
    excess_volume: float
    strain_energy_j_m2: float
    strain_volume: float
    shift: np.ndarray
    preset: str
    converged: bool
    stop_reason: str
    evaluations: int
    max_force: float
    seconds: float


def relax_boundary(
    child: LammpsChild,
    atoms: Atoms,
    bicrystal: Bicrystal,
    bulk: Bulk,
    config: RelaxationConfig,
    finish: bool | Callable[[int, float], bool] = True,
    anneal: Anneal | None = None,
) -> Relaxed:
    """Relax a bicrystal slab with its bottom held and its top moving as one rigid body.

    Args:
        atoms: any slab of this boundary, also higher or with in-plane replicas; not changed.
        finish: whether the preset follows the loose screen: True, False, or a function of (n_index,
            screened energy in J/m^2).
        anneal: molecular dynamics before the screen.

    Raises:
        SimulationError: if LAMMPS cannot evaluate the structure, or if the result cannot be a
            boundary of this crystal.
    """
    check_start(atoms, bicrystal, bulk, config)
    slab = Slab.of(atoms, bicrystal, bulk, config)
    screen_energy = np.nan
    evaluations = 0
    seconds = 0.0
    preset: str = config.preset
    # Loose screen, after the annealing if there is one.
    if config.screen or finish is not True or anneal is not None:
        result = child.relax(slab.job(SCREEN, slab.positions, anneal))
        screen_energy = slab.energy(result)
        evaluations = result.evaluations
        seconds = result.seconds
        start, preset = result.positions, "screen"
    else:
        start = slab.positions
    # The preset follows if ``finish`` accepts this [n] and energy.
    plane = slab.bicrystal.atoms_per_plane
    wanted = finish(n_index(len(atoms), plane), screen_energy) if callable(finish) else finish
    if wanted and not (preset == "screen" and config.preset == "paper"):
        result = child.relax(slab.job(PRESETS[config.preset], start, None))
        evaluations += result.evaluations
        seconds += result.seconds
        preset = config.preset
    elif wanted:
        preset = config.preset  # the screen has the paper's tolerances
    return slab.relaxed(result, preset, screen_energy, evaluations, seconds)


def check_start(atoms: Atoms, bicrystal: Bicrystal, bulk: Bulk, config: RelaxationConfig) -> None:
    """Refuse structures that LAMMPS would evaluate wrongly without an error.

    It drops atoms that are not finite and stops at once on overlapping ones.

    Raises:
        SimulationError: if the structure is such a one, or if the slab is too thin.
    """
    positions, lengths = atoms.positions, atoms.cell.lengths()
    if not np.isfinite(positions).all():
        raise SimulationError(
            f"{np.sum(~np.isfinite(positions).all(axis=1))} of {len(positions)} positions are not"
            " finite"
        )
    outside = np.flatnonzero((positions[:, 2] < -1.0) | (positions[:, 2] > lengths[2] + 1.0))
    if len(outside):
        index = outside[0]
        raise SimulationError(
            f"atom {index} lies outside the box: expected 0 <= z <= {lengths[2]:.2f} Å, got"
            f" {positions[index, 2]:.2f}"
        )
    if config.outer_thickness < bulk.cutoff:
        raise SimulationError(
            f"relaxation.outer_thickness is {config.outer_thickness:g} Å, less than the potential's"
            f" cutoff of {bulk.cutoff:.3f} Å; raise it"
        )
    height = np.ptp(positions[:, 2]) if len(positions) else 0.0
    if height < MIN_REGION + 2 * config.outer_thickness:
        raise SimulationError(
            f"expected a slab of at least {MIN_REGION + 2 * config.outer_thickness:.1f} Å, got"
            f" {height:.1f} Å"
        )
    closest, allowed = closest_pair(positions, lengths), MIN_PAIR * bicrystal.nearest_neighbor
    if closest < allowed:
        raise SimulationError(
            f"atoms overlap: expected at least {allowed:.2f} Å between two, got {closest:.2f} Å"
        )


@dataclass(frozen=True)
class Slab:
    """One structure as input of LAMMPS, and the evaluation of its results."""

    positions: np.ndarray
    box: np.ndarray
    fixed: np.ndarray
    rigid: np.ndarray
    bicrystal: Bicrystal
    bulk: Bulk

    @classmethod
    def of(cls, atoms: Atoms, bicrystal: Bicrystal, bulk: Bulk, config: RelaxationConfig) -> "Slab":
        """Slab of given atoms; its regions are measured from its lowest and highest atom."""
        lengths = atoms.cell.lengths()
        positions = wrap(atoms.positions, lengths[:2])
        z = positions[:, 2]
        box = np.array([[0.0, 0.0, z.min() - FREE], [lengths[0], lengths[1], z.max() + FREE]])
        # Held and rigid layers at the ends, and the bicrystal repeated to this in-plane cell.
        fixed, rigid = z < z.min() + config.outer_thickness, z > z.max() - config.outer_thickness
        copies = round(lengths[0] * lengths[1] / bicrystal.area)
        cell = replace(
            bicrystal,
            lengths=(lengths[0], lengths[1]),
            atoms_per_plane=copies * bicrystal.atoms_per_plane,
        )
        return cls(positions, box, fixed, rigid, cell, bulk)

    def job(self, minimizer: Minimizer, positions: np.ndarray, anneal: Anneal | None) -> RelaxJob:
        return RelaxJob(positions, self.box, self.fixed, self.rigid, minimizer, anneal)

    def energy(self, result: RelaxResult) -> float:
        """E_gb in J/m^2 over all atoms out of range of the free surfaces.

        Raises:
            SimulationError: if the result cannot be a boundary of this crystal.
        """
        if result.positions.shape != self.positions.shape:
            raise SimulationError(
                f"{len(self.positions)} atoms went into the relaxation, {len(result.positions)}"
                " came out"
            )
        inside = self._is_summed(result)
        energy = gb_energy(
            float(result.energies[inside].sum()),
            int(inside.sum()),
            self.bulk.cohesive_ev,
            self.bicrystal.area,
        ) - self.strain_energy(result)
        fault = physical_fault(
            result.positions,
            result.energies,
            self.box[1] - self.box[0],
            energy,
            self.excess_volume(result),
            self.bulk.cohesive_ev,
            self.bicrystal.nearest_neighbor,
        )
        if fault:
            raise SimulationError(fault)
        return float(energy)

    def excess_volume(self, result: RelaxResult) -> float:
        """Excess volume of the boundary relative to both grains as strained, Å."""
        return excess_volume(result.positions, self.bicrystal, int(self._is_strained(result).sum()))

    def strain_volume(self, result: RelaxResult) -> float:
        """Excess volume relative to unstrained crystals minus that relative to strained ones, Å."""
        crystal = self.bicrystal.relaxed(Response())
        return excess_volume(result.positions, crystal) - self.excess_volume(result)

    def strain_energy(self, result: RelaxResult) -> float:
        """Strain energy of the upper grain in the atoms that E_gb is summed over, J/m^2."""
        num_strained = int((self._is_strained(result) & self._is_summed(result)).sum())
        strain_ev = self.bicrystal.upper.response.energy_ev
        return float(num_strained * strain_ev / self.bicrystal.area * J_PER_M2)

    def _is_summed(self, result: RelaxResult) -> np.ndarray:
        """Mask (N,) of the atoms out of range of the free surfaces."""
        z = result.positions[:, 2]
        return np.asarray((z > z.min() + self.bulk.cutoff) & (z < z.max() - self.bulk.cutoff))

    def _is_strained(self, result: RelaxResult) -> np.ndarray:
        """Mask (N,) of the atoms of the upper grain; empty if it is not strained.

        The upper grain begins at the mean height of the disturbed atoms. Strain energies are small,
        so an error of 1 Å does not matter (1 mJ/m^2 at 1 %).
        """
        if not any(self.bicrystal.upper.strain):
            return np.zeros(len(result.positions), dtype=bool)
        z, crystal = result.positions[:, 2], self.bulk.cohesive_ev
        excess = np.abs(result.energies - crystal)
        strain_ev = abs(self.bicrystal.upper.response.energy_ev)
        disturbed = self._is_summed(result) & (excess > DISTURBED * abs(crystal) + 3 * strain_ev)
        if not disturbed.any():
            return np.asarray(z > z.mean())
        return np.asarray(z > np.average(z[disturbed], weights=excess[disturbed]))

    def relaxed(
        self,
        result: RelaxResult,
        preset: str,
        screen_energy: float,
        evaluations: int,
        seconds: float,
    ) -> Relaxed:
        """Evaluate the result of the last relaxation."""
        moved = result.positions[self.rigid] - self.positions[self.rigid]  # (num_rigid, 3)
        moved = minimum_image(moved, self.bicrystal.lengths)
        return Relaxed(
            positions=result.positions,
            energies=result.energies,
            gb_energy_j_m2=self.energy(result),
            screen_gb_energy_j_m2=float(screen_energy),
            n_index=n_index(len(self.positions), self.bicrystal.atoms_per_plane),
            n_fraction=n_fraction(len(self.positions), self.bicrystal.atoms_per_plane),
            excess_volume=self.excess_volume(result),
            strain_energy_j_m2=self.strain_energy(result),
            strain_volume=self.strain_volume(result),
            shift=moved[0],
            preset=preset,
            converged="max" not in result.stop_reason,
            stop_reason=result.stop_reason,
            evaluations=evaluations,
            max_force=float(np.abs(result.forces).max()),
            seconds=seconds,
        )
