"""Checks of a slab before LAMMPS gets it."""

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.errors import SimulationError
from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.frame import MIN_REGION
from gcd_hpc.structures.grain import Positions

MIN_PAIR = 0.3
"""Shortest distance that is relaxed, in nearest-neighbour distances; below, minimisers fail."""


def check_slab(atoms: Atoms, bulk: Bulk, config: RelaxationConfig) -> None:
    """Refuse slabs with atoms that LAMMPS would drop without an error, and slabs too thin.

    Raises:
        SimulationError: if the slab is such a one.
    """
    positions, height = atoms.positions, atoms.cell[2, 2]
    if not np.isfinite(positions).all():
        raise SimulationError(
            f"{np.sum(~np.isfinite(positions).all(axis=1))} of {len(positions)} positions are not"
            " finite"
        )
    outside = np.flatnonzero((positions[:, 2] < -1.0) | (positions[:, 2] > height + 1.0))
    if len(outside):
        index = outside[0]
        raise SimulationError(
            f"atom {index} lies outside the box: expected 0 <= z <= {height:.2f} Å, got"
            f" {positions[index, 2]:.2f}"
        )
    outer = outer_layers(config.outer_thickness, bulk.reach)
    if outer < bulk.reach:
        raise SimulationError(
            f"relaxation.outer_thickness is {outer:g} Å, less than the potential's"
            f" reach of {bulk.reach:.3f} Å; raise it"
        )
    thickness = np.ptp(positions[:, 2]) if len(positions) else 0.0
    if thickness < MIN_REGION + 2 * outer:
        raise SimulationError(
            f"expected a slab of at least {MIN_REGION + 2 * outer:.1f} Å, got {thickness:.1f} Å"
        )


def check_distances(positions: Positions, cell: np.ndarray, nearest_neighbor: float) -> None:
    """Refuse slabs with overlapping atoms, at which minimisers stop at once.

    Args:
        positions: (N, 3) of the atoms whose distances are not known to be sound, Å.
        cell: vectors of the box as rows, (3, 3) Å.
        nearest_neighbor: distance in the crystal, Å.

    Raises:
        SimulationError: if two atoms overlap.
    """
    closest, allowed = closest_pair(positions, cell), MIN_PAIR * nearest_neighbor
    if closest < allowed:
        raise SimulationError(
            f"atoms overlap: expected at least {allowed:.2f} Å between two, got {closest:.2f} Å"
        )
