"""Excess properties of a phase: energy, volume, and stress by two independent routes.

Equations and the sign convention: docs/science.md#excess-stress.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Minimizer, RelaxResult
from gcd_hpc.engines.relaxation import LINE_SEARCH, Slab
from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.measuring import (
    Measurements,
    Progress,
    Results,
    Settings,
    Subject,
    measure,
)
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.slabs import bicrystal_of, thickened
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.run import Run
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import J_PER_M2, SAME_ENERGY_J_M2
from gcd_hpc.structures.fingerprint import boundary_height, slab_weights
from gcd_hpc.structures.periodic import in_plane, minimum_image

Array = NDArray[np.float64]

KIND = "excess"
"""Kind of these measurements in a run."""
STRAIN = 1e-3
"""In-plane strain, each way, by which the energy is differentiated."""
MINIMIZER = Minimizer(
    etol=0.0, ftol=1e-6, max_evaluations=20_000, commands=LINE_SEARCH, max_force=1e-3
)
CORE_A, WINDOW_A = 4.0, 4.0
"""Heights of the boundary to either side, and of the layers of crystal that it is compared with, Å.

In between lie two reaches of the potential: the virial of an atom depends on the density at its
neighbours, which depends on theirs.
"""
BUFFER_A = 16.0
"""Height of crystal that may relax between this region and the held layers, Å.

Under strain the held layers keep their spacing and the crystal does not. Where one meets the other,
layers are displaced in proportion to the strain, and so are the energies of single atoms.
"""
_JUMP_A = 0.3
"""Farthest that an atom may move when a strained slab relaxes, Å."""
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Components of the stress in the order of the engine's virials."""
STRAINS = {"xx": (1.0, 0.0, 0.0), "yy": (0.0, 1.0, 0.0), "xy": (0.0, 0.0, 1.0)}
"""In-plane strains: along x, along y, and displacement along x per unit of y."""


@dataclass(frozen=True)
class Region:
    """Atoms over which excesses are summed, and the crystal of each grain beside the boundary.

    inside, in_lower, in_upper: masks (N,) of all atoms, and of the outermost layers of each grain.
    num_lower, num_upper: atoms inside on either side of the boundary.
    """

    inside: NDArray[np.bool_]
    in_lower: NDArray[np.bool_]
    in_upper: NDArray[np.bool_]
    num_lower: int
    num_upper: int

    @classmethod
    def around(cls, heights: Array, middle: float, half_height: float) -> "Region":
        """Region of atoms at heights (N,) about the height of the boundary, Å."""
        above = heights - middle
        inside = np.abs(above) < half_height
        outermost = inside & (np.abs(above) > half_height - WINDOW_A)
        return cls(
            inside,
            outermost & (above < 0),
            outermost & (above > 0),
            int((inside & (above < 0)).sum()),
            int((inside & (above >= 0)).sum()),
        )

    def excess(self, values: Array) -> Array:
        """Sum (...) of values (N, ...) beyond what as many atoms of the crystals have."""
        lower = self.num_lower * values[self.in_lower].mean(axis=0)
        upper = self.num_upper * values[self.in_upper].mean(axis=0)
        return np.asarray(values[self.inside].sum(axis=0) - lower - upper)


def excess_of(
    run: Run,
    phases: Sequence[Phase],
    strain: float = STRAIN,
    workers: int = 1,
    progress: Progress = lambda num, total, name: None,
) -> Measurements:
    """Excess properties of phases, stored in the run; errors and arguments as ``measure``.

    Args:
        strain: in-plane strain, each way, by which the energy is differentiated.
    """
    settings = {"strain": strain}
    return measure(run, phases, KIND, settings, measure_excess, workers, progress)


def measure_excess(subject: Subject, settings: Settings) -> Results:
    """Excess energy, volume and stress of a phase.

    The slab is thickened, so that nothing that is summed feels a free surface, and relaxed to a
    smaller force than in the campaign.

    Args:
        settings: ``strain``, by which the energy is differentiated.

    Returns:
        Plain values: ``gb_energy_j_m2``, ``excess_volume_a``; ``excess_stress_n_m``, from the
        virials of the atoms, and ``excess_stress_by_strain_n_m``, from the change of energy with
        strain, (xx, yy, xy) each; ``normal_stress_n_m``, (zz, yz, xz), which is zero in
        equilibrium.

    Raises:
        SimulationError: if the slab cannot be relaxed, relaxes to another structure, or has several
            elements.
    """
    system, candidate = subject.system, subject.candidate
    start = thickened(candidate, system, slab_half_height(system))
    slab = ExcessSlab.relaxed(subject.child, system, bicrystal_of(candidate, system), start)
    energy = slab.slab.energy(slab.result)
    if abs(energy - candidate.gb_energy_j_m2) > SAME_ENERGY_J_M2:
        raise SimulationError(
            f"the energy of the thicker slab is {energy:.4f} J/m^2 after relaxation, but that of"
            f" the candidate {candidate.gb_energy_j_m2:.4f} J/m^2, so that they are not one"
            " structure"
        )
    stress = slab.stress_n_m()
    strain = float(settings["strain"])
    return Results(
        {
            "gb_energy_j_m2": energy,
            "excess_volume_a": slab.slab.excess_volume(slab.result),
            "excess_stress_n_m": [stress[name] for name in STRAINS],
            "excess_stress_by_strain_n_m": [slab.derivative_n_m(one, strain) for one in STRAINS],
            "normal_stress_n_m": [stress[name] for name in ("zz", "yz", "xz")],
            "area_a2": slab.slab.bicrystal.area,
            "stored_gb_energy_j_m2": candidate.gb_energy_j_m2,
            "stored_excess_volume_a": candidate.excess_volume_a,
            "max_force_ev_a": float(np.abs(slab.result.forces).max()),
        }
    )


def half_height(bulk: Bulk) -> float:
    """Height above and below the boundary over which excesses are summed, Å."""
    return CORE_A + 2 * bulk.reach + WINDOW_A


def slab_half_height(system: PhaseSystem) -> float:
    """Height of a slab above and below its boundary, Å: no surface is in reach of the region."""
    beyond = max(BUFFER_A + system.outer, 2 * system.bulk.reach)
    return half_height(system.bulk) + beyond


@dataclass(frozen=True)
class ExcessSlab:
    """A relaxed slab whose free surfaces are out of reach of all that is summed."""

    child: Child
    system: PhaseSystem
    slab: Slab
    result: RelaxResult
    region: Region

    @classmethod
    def relaxed(
        cls, child: Child, system: PhaseSystem, bicrystal: Bicrystal, start: Atoms
    ) -> "ExcessSlab":
        """Relax a slab that is as high as ``slab_half_height`` to both sides of its boundary.

        Raises:
            SimulationError: if the slab cannot be relaxed, or has several elements.
        """
        bulk = system.bulk
        if bulk.chemistry is not None:
            raise SimulationError(
                "the excess stress is measured for one element only, because that of a compound"
                " depends on how virials are shared among its elements"
            )
        if not system.potential.has_energies:
            raise SimulationError(
                f"{system.potential} has no energies of single atoms, which excess properties need"
            )
        slab = Slab.of(start, bicrystal, bulk, system.config.relaxation)
        result = child.relax(slab.job(MINIMIZER, slab.positions, None))
        positions = result.positions
        weights = slab_weights(positions, result.energies, bulk.cohesive_ev, bulk.reach)
        middle = boundary_height(positions, weights)
        region = Region.around(positions[:, 2], middle, half_height(bulk))
        return cls(child, system, slab, result, region)

    def stress_n_m(self) -> dict[str, float]:
        """Excess stress from the virials of the atoms, N/m, by its component, such as ``xx``."""
        evaluation = self.child.evaluate(self.result.positions, self.slab.box, virials=True)
        assert evaluation.virials_ev is not None  # they were asked for
        excess = self.region.excess(evaluation.virials_ev) / self.slab.bicrystal.area
        return dict(zip(VOIGT, (excess * J_PER_M2).tolist(), strict=True))

    def derivative_n_m(self, name: str, strain: float) -> float:
        """Change of the excess energy with a component of strain, per unstrained area, N/m."""
        there, back = (self._energy_ev(sign * strain * np.array(STRAINS[name])) for sign in (1, -1))
        return (there - back) / (2 * strain * self.slab.bicrystal.area) * J_PER_M2

    def _energy_ev(self, strain: Array) -> float:
        """Excess energy under strain (xx, yy, xy), free along z, eV.

        Raises:
            SimulationError: if the slab falls into another structure.
        """
        deformation = np.eye(3)
        deformation[0, 0] += strain[0]
        deformation[1, 1] += strain[1]
        deformation[0, 1] = strain[2]
        cell = np.zeros((3, 3))
        cell[:2, :2] = self.slab.bicrystal.cell
        cell[2, 2] = np.ptp(self.result.positions[:, 2])
        (number,) = self.slab.bicrystal.numbers
        atoms = Atoms(
            np.full(len(self.result.positions), number),
            positions=self.result.positions @ deformation.T,
            cell=cell @ deformation.T,
            pbc=(True, True, False),
        )
        system = self.system
        slab = Slab.of(atoms, self.slab.bicrystal, system.bulk, system.config.relaxation)
        result = self.child.relax(slab.job(MINIMIZER, slab.positions, None))
        moved = minimum_image(result.positions - slab.positions, in_plane(atoms.cell))
        if np.abs(moved).max() > _JUMP_A:
            raise SimulationError(
                f"under a strain of {np.abs(strain).max():g} it falls into another structure;"
                " choose a smaller strain"
            )
        return float(self.region.excess(result.energies))
