"""Slabs of a phase with more crystal at both ends, so that free surfaces are out of reach."""

from dataclasses import replace

import numpy as np
from ase import Atoms

from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.alloys import compared_energies
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.bicrystal import BORDER, Bicrystal, Side
from gcd_hpc.structures.fingerprint import boundary_height, slab_weights
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import Neighbors

_WINDOW = 5.0
"""Height of the outer layers by which a grain's lattice is found, Å."""
_FIT = 0.02
"""Largest distance of held atoms from the sites of their grain, Å."""
_VACUUM = 10.0
"""Height of a box above the highest atom, Å."""


def thickened(candidate: RunCandidate, system: PhaseSystem, half_height: float) -> Atoms:
    """A relaxed slab that reaches at least ``half_height`` Å below and above its boundary.

    Whole planes of the perfect grains are added; the atoms of the candidate come first and keep
    their positions up to one shift along z.

    Raises:
        SimulationError: if the outer layers of the slab are not those of its grains.
    """
    bicrystal = bicrystal_of(candidate, system)
    positions = candidate.positions
    numbers = _numbers(candidate, bicrystal)
    energies = compared_energies(vars(candidate))
    weights = slab_weights(positions, energies, candidate.cohesive_ev, system.outer)
    middle = boundary_height(positions, weights)
    bottom, top = float(positions[:, 2].min()), float(positions[:, 2].max())
    lower_origin = _origin(candidate, bicrystal, "lower")
    upper_origin = _origin(candidate, bicrystal, "upper")
    below, below_numbers = bicrystal.lattice_sites(
        "lower", lower_origin, min(middle - half_height, bottom), bottom - _FIT
    )
    above, above_numbers = bicrystal.lattice_sites(
        "upper", upper_origin, top + _FIT, max(middle + half_height, top + 2 * _FIT)
    )
    every = np.concatenate([positions, below, above])
    every[:, 2] += _VACUUM - every[:, 2].min()
    cell = np.zeros((3, 3))
    cell[:2, :2] = bicrystal.cell
    cell[2, 2] = every[:, 2].max() + _VACUUM
    kinds = np.concatenate([numbers, below_numbers, above_numbers])
    return Atoms(kinds, positions=every, cell=cell, pbc=(True, True, False))


def bicrystal_of(candidate: RunCandidate, system: PhaseSystem) -> Bicrystal:
    """The boundary's bicrystal in the in-plane cell of a candidate.

    Raises:
        SimulationError: if the cell of the candidate is no multiple of the boundary's.
    """
    (ax, _), (_, by) = system.bicrystal.cell
    ratios = np.array([candidate.cell[0] / ax, candidate.cell[1] / by])
    counts = np.rint(ratios).astype(int)
    if (counts < 1).any() or np.abs(ratios - counts).max() > 1e-6:
        raise SimulationError(
            f"{candidate.id}: its in-plane cell of {candidate.cell[0]:.4f} x"
            f" {candidate.cell[1]:.4f} Å is no multiple of the boundary's, {ax:.4f} x {by:.4f} Å"
        )
    repeated = system.bicrystal.replicated(*counts.tolist())
    box = candidate.box
    # The second edge of a larger cell may be stored with another multiple of the first one.
    return replace(repeated, cell=((float(box[0, 0]), 0.0), (float(box[1, 0]), float(box[1, 1]))))


def _numbers(candidate: RunCandidate, bicrystal: Bicrystal) -> np.ndarray:
    """Atomic numbers (N,), which files of one element may leave out."""
    return np.where(candidate.numbers > 0, candidate.numbers, bicrystal.numbers[0])


def _origin(candidate: RunCandidate, bicrystal: Bicrystal, side: Side) -> Positions:
    """A lattice point (3,) of one grain among the outer atoms, which are held on its sites, Å.

    Raises:
        SimulationError: if no atom is one.
    """
    positions, z = candidate.positions, candidate.positions[:, 2]
    if side == "lower":
        low, high = float(z.min()) - BORDER, float(z.min()) + _WINDOW
    else:
        low, high = float(z.max()) - _WINDOW, float(z.max()) + 2 * BORDER
    outer = np.flatnonzero((z >= low) & (z <= high))
    numbers = _numbers(candidate, bicrystal)
    neighbors = Neighbors(positions, candidate.box, (True, True, False))
    for atom in outer.tolist():
        # Half a spacing aside, so that rounding of heights moves no plane over a cut.
        sites, kinds = bicrystal.lattice_sites(side, positions[atom], low + _FIT, high - _FIT)
        distances, nearest = neighbors.nearest(sites, _FIT)
        if np.isfinite(distances).all() and (numbers[nearest] == kinds).all():
            return np.asarray(positions[atom])
    raise SimulationError(
        f"{candidate.id}: the outer layers of its {side} grain are not on the sites of that grain,"
        " so that no crystal can be added to them"
    )
