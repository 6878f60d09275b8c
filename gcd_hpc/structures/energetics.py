"""Excess energy, excess volume and atom count of a boundary, and checks that they are physical."""

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np
from ase import units
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import Neighbors

J_PER_M2 = units.m**2 / units.J
"""One eV/Å^2 in J/m^2."""
SAME_ENERGY_J_M2 = 0.002
"""Structures that differ by more in energy are different; others are compared by fingerprint."""
MIN_PAIR = 0.6
"""Shortest distance between two atoms of a relaxed boundary, in nearest-neighbour distances.

Relaxed boundaries of metals have at least 0.87, double and triple carbon bonds 0.78.
"""
MAX_DEVIATION = 0.5
"""Largest deviation of the mean energy per atom from the crystal's, in cohesive energies.

A single atom may lie this far below the crystal's energy, or this far above a free atom's.
"""
MIN_GB_ENERGY_J_M2 = -0.05
"""Lowest boundary energy that is accepted.

Stacking faults of a crystal that is barely more stable than its rival reach -0.01 J/m^2; lower
energies mean that the crystal is not the stable one.
"""
MIN_EXCESS_VOLUME, MAX_EXCESS_VOLUME = -1.0, 2.0
"""Bounds of the excess volume per area, in nearest-neighbour distances.

Above, the grains do not touch; below, a whole layer of atoms would have no room.
"""


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


def n_index(num_atoms: int, atoms_per_plane: int) -> int:
    """Atoms of the bicrystal beyond whole planes, N mod N_plane: [n] as an integer.

    Args:
        atoms_per_plane: N_plane of the bicrystal. It divides the planes of both grains, so that [n]
            does not depend on the number of planes in the slabs.

    Raises:
        ValueError: if atoms_per_plane is not positive.
    """
    if atoms_per_plane < 1:
        raise ValueError(f"atoms_per_plane: expected a positive number, got {atoms_per_plane}")
    return num_atoms % atoms_per_plane


def n_fraction(num_atoms: int, atoms_per_plane: int) -> float:
    """[n] as a fraction of a plane: n_index / N_plane, 0 <= [n] < 1.

    Source: Lei et al. (2024), eq. 8.
    """
    return n_index(num_atoms, atoms_per_plane) / atoms_per_plane


def lowest_of_each(
    keys: ArrayLike, energies: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.int64]]:
    """Lowest energy of each distinct key, such as n_index.

    Returns:
        Distinct keys (K,), ascending; their lowest energies (K,); index of each row's key (M,).
    """
    different, group = np.unique(np.asarray(keys), return_inverse=True)
    lowest = np.full(len(different), inf)
    np.minimum.at(lowest, group, np.asarray(energies, dtype=float))
    return different, lowest, group


def lowest_energies(keys: ArrayLike, energies: ArrayLike) -> dict[Any, float]:
    """Lowest energy by distinct key, such as n_index, in ascending order of the keys."""
    different, lowest, _ = lowest_of_each(keys, energies)
    return dict(zip(different.tolist(), lowest.tolist(), strict=True))


def lowest_nearby(lowest: Mapping[int, float], n_index: int, atoms_per_plane: int) -> float:
    """Lowest energy of the known [n] nearest to ``n_index``, J/m^2; NaN where none is known."""

    def apart(known: int) -> float:
        return fraction_distance(known / atoms_per_plane, n_index / atoms_per_plane)

    return lowest[min(lowest, key=apart)] if lowest else float("nan")


def fraction_distance(first: float, second: float) -> float:
    """Periodic distance of two [n], at most 1/2."""
    apart = abs(first - second)
    return min(apart, 1 - apart)


def excess_volume(positions: Positions, bicrystal: Bicrystal, num_upper: int = 0) -> float:
    """Excess volume of the boundary per area, in Å.

    It is measured between the outermost planes, which must be undisturbed crystal: from the lowest
    plane to one plane spacing above the highest. The outer parts of both grains must be cut between
    planes, as a Frame cuts them. Where the atoms of a basis lie at other heights in one grain than
    in the other, equal parts of both are compared: those about the mean height of the basis.

    Args:
        positions: (N, 3) Å.
        num_upper: atoms of the upper grain; matters only where that grain is strained.
    """
    lower, upper = bicrystal.lower, bicrystal.upper
    extent = np.ptp(positions[:, 2]) + upper.plane_spacing - max(upper.layer_offsets)
    extent += upper.mean_offset - lower.mean_offset
    num_volumes = len(positions) + num_upper * upper.expansion
    return float(extent - num_volumes * bicrystal.atomic_volume / bicrystal.area)


def physical_fault(
    positions: Positions,
    energies_ev: NDArray[np.float64],
    cell: ArrayLike,
    gb_energy_j_m2: float,
    excess_volume_a: float,
    cohesive_ev: float,
    nearest_neighbor: float,
) -> str:
    """Reason why a relaxed structure is no boundary of this crystal; empty if there is none.

    Minimisers can fall into unphysical minima of a potential: two fused atoms, to which it was
    never fitted, can gain more energy than any boundary costs.

    Args:
        positions, energies_ev: (N, 3) in Å and (N,) of all atoms.
        cell: lengths (3,) or vectors (3, 3) of the box, periodic in x and y, Å.
        cohesive_ev, nearest_neighbor: of the crystal, eV per atom and Å; NaN skips their checks.
    """
    if not (np.isfinite(positions).all() and np.isfinite(energies_ev).all() and len(positions)):
        return "the relaxed positions and energies are not all finite numbers"
    closest, shortest = closest_pair(positions, cell), MIN_PAIR * nearest_neighbor
    if closest < shortest:
        return (
            f"two relaxed atoms are {closest:.3f} Å apart, less than {MIN_PAIR:g} of the crystal's"
            f" nearest-neighbour distance of {nearest_neighbor:.3f} Å"
        )
    if fault := _energy_fault(energies_ev, cohesive_ev):
        return fault
    if gb_energy_j_m2 < MIN_GB_ENERGY_J_M2:
        return (
            f"the boundary energy of {gb_energy_j_m2:.4f} J/m^2 is below"
            f" {MIN_GB_ENERGY_J_M2:g} J/m^2, so the crystal is not the stable one any more"
        )
    low, high = MIN_EXCESS_VOLUME * nearest_neighbor, MAX_EXCESS_VOLUME * nearest_neighbor
    if excess_volume_a < low or excess_volume_a > high:
        return (
            f"the excess volume of {excess_volume_a:.2f} Å is not between {low:.2f} and"
            f" {high:.2f} Å"
        )
    return ""


def _energy_fault(energies_ev: NDArray[np.float64], cohesive_ev: float) -> str:
    mean, scale = float(energies_ev.mean()), abs(cohesive_ev)
    if abs(mean - cohesive_ev) > MAX_DEVIATION * scale:
        return (
            f"the energy per atom, {mean:.2f} eV, is too far from the crystal's"
            f" {cohesive_ev:.2f} eV"
        )
    lowest, highest = float(energies_ev.min()), float(energies_ev.max())
    if lowest < cohesive_ev - MAX_DEVIATION * scale or highest > MAX_DEVIATION * scale:
        return (
            f"the energies of single atoms reach from {lowest:.2f} to {highest:.2f} eV, beyond"
            f" what the crystal's {cohesive_ev:.2f} eV allows"
        )
    return ""


def closest_pair(
    positions: ArrayLike, cell: ArrayLike, pbc: tuple[bool, bool, bool] = (True, True, False)
) -> float:
    """Shortest distance between two atoms, images included, Å; infinite for fewer than two atoms.

    Args:
        positions: (N, 3) Å.
        cell: lengths (3,) of the box, or its vectors as rows (3, 3), Å.

    Raises:
        StructureError: if other vectors than the second one lean, which may lean along x.
    """
    points = np.asarray(positions, dtype=float).reshape(-1, 3)
    if len(points) < 2:
        return inf
    try:
        neighbors = Neighbors(points, cell, pbc)
    except ValueError as error:
        raise StructureError(f"{error}; take another box") from error
    return neighbors.closest()
