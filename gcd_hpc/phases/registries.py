"""Where the phases of a run lie among the shifts of a gamma surface."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from gcd_hpc.phases.gamma import GammaSurface
from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.bicrystal import BORDER, Bicrystal, Side
from gcd_hpc.structures.energetics import fraction_distance
from gcd_hpc.structures.periodic import Array
from gcd_hpc.structures.registry import in_plane_translations

SAME_FRACTION = 1e-9
"""Largest difference of equal [n]."""
SAME_SHIFT = 1e-4
"""Largest difference of equal shifts, Å."""
AS_LOW_J_M2 = 0.01
"""Surface energy above the lowest of the equal shifts up to which a shift is a place too."""
MAX_PLANES = 60
"""Planes of migration after which no further equal registries are looked for."""


@dataclass(frozen=True)
class Place:
    """A phase among the shifts of a surface.

    shifts: (K, 2) Å of the upper grain, in the cell of the surface, lowest surface energy first.
    """

    phase: str
    gb_energy_j_m2: float
    shifts: Array


def places_of(phases: Sequence[Phase], surface: GammaSurface, bicrystal: Bicrystal) -> list[Place]:
    """Places of all phases of the surface's [n], lowest energy first.

    The grains of a phase are two lattices that may meet at any lattice plane, and a shift of the
    surface stands for one plane. Of all shifts with the lattices of the phase, its places are those
    of lowest energy on the surface. The phase that is shifted itself lies at (0, 0); where it is
    none of the phases, there are no places.
    """
    same = [
        one
        for one in phases
        if fraction_distance(one.n_fraction, surface.n_fraction) < SAME_FRACTION
    ]
    same.sort(key=lambda one: one.gb_energy_j_m2)
    own = [one for one in same if surface.candidate in one.members]
    if surface.candidate and not own:
        return []
    origin = _registry(own[0].representative, bicrystal) if own else np.zeros(2)
    others = _equal_shifts(bicrystal, surface.cell)
    places = []
    for one in same:
        shifts = _registry(one.representative, bicrystal) - origin + others
        if one in own:
            shifts = np.zeros((1, 2))
        shifts = _within(shifts, surface.cell)
        energies = surface_energies(surface, shifts)
        order = np.argsort(energies, kind="stable")
        shown = order[energies[order] <= energies.min() + AS_LOW_J_M2]
        places.append(Place(one.name, one.gb_energy_j_m2, shifts[shown]))
    return places


def surface_energies(surface: GammaSurface, shifts: Array) -> Array:
    """Energies (M,) at shifts (M, 2) Å, a cubic spline through the grid points, J/m^2."""
    energies = surface.energies_j_m2
    # A shift that could not be relaxed counts as the highest.
    known = np.where(np.isfinite(energies), energies, np.nanmax(energies))
    grid = shifts @ np.linalg.inv(surface.cell) * energies.shape
    return np.asarray(map_coordinates(known, grid.T, order=3, mode="grid-wrap"))


def _registry(candidate: RunCandidate, bicrystal: Bicrystal) -> Array:
    """In-plane registry (2,) Å of the lattice point at the height that the structure tells.

    The height is that of the excess volume and of the atoms beyond whole planes, from two perfect
    grains that touch. The stored registry is reduced to one plane spacing; others of its lattice
    points tell the same lattice.
    """
    lower, upper = bicrystal.lower, bicrystal.upper
    stored = np.array(candidate.registry_relaxed)
    # Height of the atoms that [n] counts modulo, which is a plane where both grains' are equal.
    whole = bicrystal.atoms_per_plane * bicrystal.atomic_volume / bicrystal.area
    height = candidate.excess_volume_a - (upper.mean_offset - lower.mean_offset)
    height += candidate.n_fraction * whole
    num = max(1, round(max(lower.plane_spacing, upper.plane_spacing) / whole))
    heights = height + whole * np.arange(num)
    spacing = upper.plane_spacing
    gaps = (heights - stored[2]) / spacing
    best = float(heights[int(np.abs(gaps - np.rint(gaps)).argmin())])
    points = bicrystal.lattice_points("upper", stored, best - spacing / 2, best + spacing / 2)
    return np.asarray(points[0, :2])


def _equal_shifts(bicrystal: Bicrystal, cell: Array) -> Array:
    """Shifts (K, 2) Å at which both crystals have the lattices that they have at (0, 0).

    They are translations of either crystal in the plane, and those in the plane that go with a
    migration of the boundary by some planes, when both crystals are moved along.
    """
    lower, upper = in_plane_translations(bicrystal)
    within = _different((upper[:, None] - lower).reshape(-1, 2), cell)
    step = _next_plane(bicrystal, "upper") - _next_plane(bicrystal, "lower")
    found = within
    for plane in range(1, MAX_PLANES):
        more = _different(np.concatenate([found, within + plane * step]), cell)
        if len(more) == len(found):
            break
        found = more
    return found


def _next_plane(bicrystal: Bicrystal, side: Side) -> Array:
    """In-plane part (2,) Å of a lattice vector to the next lattice plane."""
    spacing = bicrystal.grain(side).plane_spacing
    points = bicrystal.lattice_points(side, (0.0, 0.0, 0.0), spacing / 2, spacing * 1.5 + BORDER)
    return np.asarray(points[0, :2])


def _different(shifts: Array, cell: Array) -> Array:
    """The shifts that no vector of a cell joins, in their order, (K, 2) Å."""
    kept: list[Array] = []
    for shift in shifts:
        gaps = (np.array(kept).reshape(-1, 2) - shift) @ np.linalg.inv(cell)
        lengths = np.linalg.norm((gaps - np.rint(gaps)) @ cell, axis=1)
        if (lengths > SAME_SHIFT).all():
            kept.append(shift)
    return np.array(kept).reshape(-1, 2)


def _within(shifts: Array, cell: Array) -> Array:
    """Shifts folded into a cell, (K, 2) Å."""
    fractions = shifts @ np.linalg.inv(cell)
    return np.asarray((fractions - np.floor(fractions)) @ cell)
