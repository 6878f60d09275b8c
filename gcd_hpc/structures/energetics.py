"""What a boundary costs and how much room it takes: excess energy, excess volume, atoms per plane,
closest pair.
"""

from math import inf

import numpy as np
from ase import units
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import Bicrystal, Positions

J_PER_M2 = units.m**2 / units.J
"""One eV/Å^2 in J/m^2."""


def gb_energy(total_ev: float, num_atoms: int, bulk_ev_per_atom: float, area_a2: float) -> float:
    """Excess energy of one boundary in J/m^2: (E_total - N E_coh) / A.

    Args:
        total_ev: energy of the boundary region, free surfaces excluded, eV.
        area_a2: area of the boundary plane, Å^2.

    Raises:
        ValueError: if the area is not positive.

    Source: Lei et al. (2024), eq. 7.
    """
    if not area_a2 > 0:
        raise ValueError(f"area_a2: expected a positive area, got {area_a2}")
    return (total_ev - num_atoms * bulk_ev_per_atom) / area_a2 * J_PER_M2


def n_fraction(num_atoms: int, atoms_per_plane: int) -> float:
    """[n]: atoms of the bicrystal beyond whole planes, in planes, 0 <= [n] < 1.

    Source: Lei et al. (2024), eq. 8.
    """
    if atoms_per_plane < 1:
        raise ValueError(f"atoms_per_plane: expected a positive number, got {atoms_per_plane}")
    return num_atoms % atoms_per_plane / atoms_per_plane


def excess_volume(positions: Positions, bicrystal: Bicrystal) -> float:
    """Volume that the boundary takes beyond that of its atoms in the crystal, in Å (volume per
    area).

    Measured between the outermost planes, which must be undisturbed crystal: from the lowest plane
    to one plane spacing above the highest. Both grains' outer parts have to be cut between planes,
    as a Frame does.
    """
    upper = bicrystal.upper
    extent = np.ptp(positions[:, 2]) + upper.plane_spacing - max(upper.layer_offsets)
    return float(extent - len(positions) * bicrystal.atomic_volume / bicrystal.area)


def closest_pair(
    positions: ArrayLike, cell: ArrayLike, pbc: tuple[bool, bool, bool] = (True, True, False)
) -> float:
    """Shortest distance between two atoms in Å, periodic images included; infinite for fewer than
    two atoms.

    Args:
        cell: lengths (3,) of the box, or its diagonal matrix (3, 3).

    Raises:
        StructureError: if the cell is not orthorhombic.
    """
    points, box = np.array(positions, dtype=float).reshape(-1, 3), np.asarray(cell, dtype=float)
    if box.shape == (3, 3):
        if np.abs(box - np.diag(np.diag(box))).max() > 1e-9:
            raise StructureError(f"expected an orthorhombic cell, got {box.tolist()}")
        box = np.diag(box)
    if len(points) < 2:
        return inf
    periodic = np.array(pbc, dtype=bool)
    points[:, periodic] %= box[periodic]
    points[:, periodic] = np.where(points[:, periodic] >= box[periodic], 0.0, points[:, periodic])
    tree = cKDTree(points, boxsize=np.where(periodic, box, 0.0))
    distances, _ = tree.query(points, k=2)
    return float(min(distances[:, 1].min(), *box[periodic], inf))
