"""Relaxation of one bicrystal, and its energy, excess volume and shift."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.engines.box import box_around, cell_of
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Anneal, Minimizer, RelaxJob, RelaxResult
from gcd_hpc.engines.local import Cluster, Origin
from gcd_hpc.engines.start_checks import check_distances, check_slab
from gcd_hpc.engines.surfaces import shared_energies, surface_energies
from gcd_hpc.errors import SimulationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import composition_energies
from gcd_hpc.structures.energetics import (
    J_PER_M2,
    excess_volume,
    gb_energy,
    n_fraction,
    n_index,
    physical_fault,
)
from gcd_hpc.structures.grain import Response
from gcd_hpc.structures.periodic import area, in_plane, minimum_image, wrap

LINE_SEARCH = ("min_modify line quadratic dmax 0.1",)
PRESETS: dict[Literal["paper", "tight"], Minimizer] = {
    "paper": Minimizer(
        etol=1e-5, ftol=1e-5, max_evaluations=100_000, commands=LINE_SEARCH, max_force=0.05
    ),
    "tight": Minimizer(etol=1e-10, ftol=1e-3, max_evaluations=100_000, commands=LINE_SEARCH),
}
SCREEN = PRESETS["paper"]
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
    composition_energies_j_m2: part of the energy that atoms beyond the ratio of the crystal have,
    at the chosen chemical potentials and at both limits, as ``composition_energies``.
    strain_energy_j_m2, strain_volume: of the strained upper grain; not part of the boundary's
    energy and excess volume.
    shift: (3,) displacement of the upper grain, Å.
    max_force: largest force component on atoms that the last relaxation moved, eV/Å.
    converged: whether the minimiser met a tolerance.
    preset: of the last relaxation; "local" or "screen" if the configured preset was not run.
    evaluations: of all minimisations.
    atom_evaluations: cost in a unit that does not depend on the machine: evaluations and steps of
    molecular dynamics of all relaxations, times the atoms that each computed.
    seconds: wall time of the engine.
    cpu_s: processor time of the engine and this process, s.
    energies_from: "atoms" if the engine gave the energies of single atoms, else "surfaces".
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
    atom_evaluations: int
    max_force: float
    seconds: float
    cpu_s: float
    energies_from: str
    composition_energies_j_m2: tuple[float, float, float] = (0.0, np.nan, np.nan)


def relax_boundary(
    child: Child,
    atoms: Atoms,
    bicrystal: Bicrystal,
    bulk: Bulk,
    config: RelaxationConfig,
    finish: bool | Callable[[int, float], bool] = True,
    anneal: Anneal | None = None,
    origin: Origin | None = None,
    quick: bool = False,
) -> Relaxed:
    """Relax a bicrystal slab with its bottom held and its top moving as one rigid body.

    Args:
        atoms: any slab of this boundary, also higher or with in-plane replicas; not changed.
        finish: whether the preset follows the loose screen: True, False, or a function of (n_index,
            screened energy in J/m^2).
        anneal: molecular dynamics before the screen.
        origin: relaxed slab that a local change has made ``atoms`` of. Only the surroundings of
            changed atoms, and its layer if it has one, are then annealed and relaxed first, and
            ``finish`` is asked before the screen too. Ignored if the change reaches through most of
            the slab.
        quick: leave a negligible tail of the potential out while atoms move, and evaluate the
            result with all of it. Trajectories then differ from those without, as they do on
            another processor.

    Raises:
        SimulationError: if LAMMPS cannot evaluate the structure, or if the result cannot be a
            boundary of this crystal.
    """
    started_s = time.process_time()
    check_slab(atoms, bulk, config)
    slab = Slab.of(atoms, bicrystal, bulk, config)
    cluster = None
    if origin is not None and child.potential.is_local:
        whole = slab.job(SCREEN, slab.positions, anneal)
        cluster = Cluster.around_change(whole, origin, bulk.cutoff, bicrystal.nearest_neighbor)
    # The distances between unchanged atoms were checked when their slab was relaxed.
    touched = slab.positions if cluster is None else slab.positions[cluster.close]
    check_distances(touched, cell_of(slab.box), bicrystal.nearest_neighbor)
    stages = Stages(child, slab, config, finish, quick, bicrystal)
    try:
        stages.run(anneal, cluster)
    except SimulationError as error:
        error.atom_evaluations = sum(one.atom_evaluations for one in stages.results)
        raise
    own_s = time.process_time() - started_s
    return slab.relaxed(stages.results, stages.energies, stages.preset, own_s)


@dataclass
class Stages:
    """The relaxations of one slab, one after another; each begins where the one before ended."""

    child: Child
    slab: "Slab"
    config: RelaxationConfig
    finish: bool | Callable[[int, float], bool]
    quick: bool
    bicrystal: Bicrystal
    """The boundary in its own cell, which is no larger than the slab's."""
    results: list[RelaxResult] = field(default_factory=list)
    energies: dict[str, float] = field(default_factory=dict)
    """E_gb after each relaxation, J/m^2, by its preset."""
    preset: str = ""
    """Preset whose tolerances the last relaxation had."""

    def run(self, anneal: Anneal | None, cluster: Cluster | None) -> None:
        """Run the local relaxation, the loose screen and the preset, as far as they are wanted."""
        config, slab = self.config, self.slab
        if cluster is not None:
            job = slab.job(SCREEN, slab.positions, anneal)
            nearest = slab.bicrystal.nearest_neighbor
            result, touched = cluster.relax(self._mover, self.child, job, slab.bulk, nearest)
            self._add("local", result, touched)
            anneal = None
            if not self._is_worth_finishing():
                return
        if config.screen or self.finish is not True or anneal is not None:
            self._add("screen", self._mover.relax(slab.job(SCREEN, self._positions(), anneal)))
        if self._is_worth_finishing():
            if "screen" not in self.energies or config.preset != "paper":
                job = slab.job(PRESETS[config.preset], self._positions(), None)
                self._add(config.preset, self._mover.relax(job))
            self._evaluate_last()
            self.preset = config.preset  # the screen has the paper's tolerances
        elif self.preset == "screen":
            self._evaluate_last()

    @property
    def _mover(self) -> Child:
        """Child that moves the atoms."""
        return self.child.quick if self.quick else self.child

    def _evaluate_last(self) -> None:
        """Give the last result the energies of the whole potential."""
        if self._mover is self.child:
            return
        last = self.results[-1]
        evaluation = self.child.evaluate(last.positions, self.slab.box, numbers=self.slab.numbers)
        exact = replace(
            last,
            energies=evaluation.energies,
            atom_evaluations=last.atom_evaluations + len(last.positions),
            seconds=last.seconds + evaluation.seconds,
            cpu_s=last.cpu_s + evaluation.cpu_s,
        )
        del self.results[-1]
        self._add(self.preset, exact)

    def _add(self, preset: str, result: RelaxResult, touched: np.ndarray | None = None) -> None:
        if not result.has_energies:
            result = self.slab.shared(result, self.child, self.bicrystal)
        self.results.append(result)
        self.energies[preset] = self.slab.energy(result, touched)
        self.preset = preset

    def _positions(self) -> np.ndarray:
        return self.results[-1].positions if self.results else self.slab.positions

    def _is_worth_finishing(self) -> bool:
        if not callable(self.finish):
            return self.finish
        plane = self.slab.bicrystal.atoms_per_plane
        energy = self.energies.get(self.preset, np.nan)
        return self.finish(n_index(len(self.slab.positions), plane), energy)


@dataclass(frozen=True)
class Slab:
    """One structure as input of LAMMPS, and the evaluation of its results."""

    positions: np.ndarray
    box: np.ndarray
    fixed: np.ndarray
    rigid: np.ndarray
    bicrystal: Bicrystal
    bulk: Bulk
    numbers: np.ndarray | None = None
    """Atomic numbers (N,); None if all atoms are of the one element of the crystal."""

    @classmethod
    def of(cls, atoms: Atoms, bicrystal: Bicrystal, bulk: Bulk, config: RelaxationConfig) -> "Slab":
        """Slab of given atoms; its regions are measured from its lowest and highest atom."""
        cell = in_plane(atoms.cell)
        positions = wrap(atoms.positions, cell)
        z = positions[:, 2]
        # Held and rigid layers at the ends, and the bicrystal repeated to this in-plane cell.
        outer = outer_layers(config.outer_thickness, bulk.reach)
        fixed, rigid = z < z.min() + outer, z > z.max() - outer
        copies = round(area(cell) / bicrystal.area)
        repeated = replace(
            bicrystal,
            cell=((float(cell[0, 0]), 0.0), (float(cell[1, 0]), float(cell[1, 1]))),
            atoms_per_plane=copies * bicrystal.atoms_per_plane,
        )
        numbers = None if bulk.chemistry is None else atoms.numbers
        return cls(positions, box_around(positions, cell), fixed, rigid, repeated, bulk, numbers)

    def job(self, minimizer: Minimizer, positions: np.ndarray, anneal: Anneal | None) -> RelaxJob:
        groups = self.fixed, self.rigid
        return RelaxJob(positions, self.box, *groups, minimizer, anneal, None, self.numbers)

    def energy(self, result: RelaxResult, touched: np.ndarray | None = None) -> float:
        """E_gb in J/m^2 over all atoms out of range of the free surfaces.

        Args:
            touched: indices of the atoms between which distances below the crystal's nearest one
                may be new; all if None.

        Raises:
            SimulationError: if the result cannot be a boundary of this crystal.
        """
        if result.positions.shape != self.positions.shape:
            raise SimulationError(
                f"{len(self.positions)} atoms went into the relaxation, {len(result.positions)}"
                " came out"
            )
        inside, energies = self._is_summed(result), self._compared(result.energies)
        energy = gb_energy(
            float(energies[inside].sum()),
            int(inside.sum()),
            self.bulk.cohesive_ev,
            self.bicrystal.area,
        ) - self.strain_energy(result)
        if self.numbers is not None:
            energy += self._composition[0]
        fault = physical_fault(
            result.positions if touched is None else result.positions[touched],
            energies,
            cell_of(self.box),
            energy,
            self.excess_volume(result),
            self.bulk.cohesive_ev,
            self.bicrystal.nearest_neighbor,
        )
        if fault:
            raise SimulationError(fault)
        return float(energy)

    def shared(self, result: RelaxResult, child: Child, bicrystal: Bicrystal) -> RelaxResult:
        """The result with shares of its total energy as energies of single atoms.

        Args:
            bicrystal: the boundary in its own cell.
        """
        if self.numbers is not None:
            raise SimulationError("several elements need an engine with energies of single atoms")
        total, cohesive = float(result.energies.sum()), self.bulk.cohesive_ev
        surfaces = surface_energies(child, bicrystal, cohesive)
        held = self.fixed | self.rigid
        energies = shared_energies(
            result.positions, total, self.box, bicrystal, cohesive, surfaces, held
        )
        return replace(result, energies=energies)

    @property
    def _composition(self) -> tuple[float, float, float]:
        return composition_energies(self.bulk.chemistry, self.bicrystal, self.numbers)

    def _compared(self, energies: np.ndarray) -> np.ndarray:
        """Energies (N,) of the atoms, eV, moved so that each element has the crystal's mean."""
        if self.bulk.chemistry is None or self.numbers is None:
            return energies
        return self.bulk.chemistry.compared(energies, self.numbers, self.bulk.cohesive_ev)

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
        return np.asarray((z > z.min() + self.bulk.reach) & (z < z.max() - self.bulk.reach))

    def _is_strained(self, result: RelaxResult) -> np.ndarray:
        """Mask (N,) of the atoms of the upper grain; empty if it is not strained.

        The upper grain begins at the mean height of the disturbed atoms. Strain energies are small,
        so an error of 1 Å does not matter (1 mJ/m^2 at 1 %).
        """
        if not any(self.bicrystal.upper.strain):
            return np.zeros(len(result.positions), dtype=bool)
        z, crystal = result.positions[:, 2], self.bulk.cohesive_ev
        excess = np.abs(self._compared(result.energies) - crystal)
        strain_ev = abs(self.bicrystal.upper.response.energy_ev)
        disturbed = self._is_summed(result) & (excess > DISTURBED * abs(crystal) + 3 * strain_ev)
        if not disturbed.any():
            return np.asarray(z > z.mean())
        return np.asarray(z > np.average(z[disturbed], weights=excess[disturbed]))

    def relaxed(
        self,
        results: Sequence[RelaxResult],
        energies: Mapping[str, float],
        preset: str,
        own_s: float,
    ) -> Relaxed:
        """Evaluate the last of some relaxations.

        Args:
            energies: E_gb in J/m^2 by the preset of a relaxation, in their order.
            own_s: processor time of this process, s.
        """
        result = results[-1]
        moved = result.positions[self.rigid] - self.positions[self.rigid]  # (num_rigid, 3)
        moved = minimum_image(moved, in_plane(cell_of(self.box)))
        return Relaxed(
            positions=result.positions,
            energies=result.energies,
            gb_energy_j_m2=list(energies.values())[-1],
            screen_gb_energy_j_m2=energies.get("screen", np.nan),
            n_index=n_index(len(self.positions), self.bicrystal.atoms_per_plane),
            n_fraction=n_fraction(len(self.positions), self.bicrystal.atoms_per_plane),
            excess_volume=self.excess_volume(result),
            strain_energy_j_m2=self.strain_energy(result),
            strain_volume=self.strain_volume(result),
            shift=moved[0],
            preset=preset,
            converged="max" not in result.stop_reason,
            stop_reason=result.stop_reason,
            evaluations=sum(one.evaluations for one in results),
            atom_evaluations=sum(one.atom_evaluations for one in results),
            max_force=float(np.abs(result.forces).max()),
            seconds=sum(one.seconds for one in results),
            cpu_s=own_s + sum(one.cpu_s for one in results),
            energies_from="atoms" if result.has_energies else "surfaces",
            composition_energies_j_m2=self._composition,
        )
