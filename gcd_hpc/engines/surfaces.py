"""Energies of single atoms for engines that give only their sum.

The energy of a slab is that of its atoms in the crystal, of two free surfaces and of the boundary.
The surfaces are those of perfect grains, because the outer layers are held, so that each costs half
of what two surfaces of a slab of its grain alone cost. What remains is the boundary's. Both are
shared out among the atoms at which they arise: E_gb, the choice of boundary atoms, and all checks
then work as with energies of single atoms. See docs/science.md#surfaces.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike

from gcd_hpc.engines.box import box_around, cell_of
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.errors import PotentialError, SimulationError
from gcd_hpc.structures.bicrystal import Bicrystal, Side
from gcd_hpc.structures.periodic import area, images, in_plane, tree_of

HEIGHT = 24.0
"""Height of the slabs of single grains: their surfaces do not act on each other, Å."""
NUM_NEIGHBOURS = 12
SURFACE_DEPTH = 1.0
"""Depth over which a surface's energy is shared, in nearest-neighbour distances."""


def check_surfaces(potential: Engine, bicrystal: Bicrystal) -> None:
    """Refuse a boundary whose energy does not follow from a total energy.

    Raises:
        PotentialError: if the engine has no energies of single atoms, and the grains are strained
            or have several elements.
    """
    need = need_of_energies(bicrystal)
    if need and not potential.has_energies:
        raise PotentialError(
            f"{potential} has no energies of single atoms, which {need}; choose one that has them"
        )


def need_of_energies(bicrystal: Bicrystal) -> str:
    """What needs energies of single atoms and why; empty if a total energy is enough."""
    if any(bicrystal.strain):
        return "a strained boundary needs: the energy of its strain is that of the upper grain"
    if len(bicrystal.elements) > 1:
        return (
            "a boundary of several elements needs: both sides of a cut through its crystal may"
            " differ"
        )
    return ""


@functools.lru_cache(maxsize=16)
def surface_energies(child: Child, bicrystal: Bicrystal, cohesive_ev: float) -> tuple[float, float]:
    """Energy per area of the lower grain's bottom and of the upper grain's top, eV/Å^2.

    A grain's slab has both sides of one cut, which are equal in crystals with a centre of
    inversion.

    Raises:
        SimulationError: if the engine cannot evaluate them.
    """
    return _of_grain(child, bicrystal, "lower", cohesive_ev), _of_grain(
        child, bicrystal, "upper", cohesive_ev
    )


def _of_grain(child: Child, bicrystal: Bicrystal, side: Side, cohesive_ev: float) -> float:
    positions = grain_slab(bicrystal, side)
    box = box_around(positions, bicrystal.cell)
    total = float(child.evaluate(positions, box).energies.sum())
    return surface_energy(total, len(positions), cohesive_ev, bicrystal.area)


def grain_slab(bicrystal: Bicrystal, side: Side) -> np.ndarray:
    """Slab of one perfect grain with the surface of the bicrystal on both sides, (N, 3) Å.

    It has whole lattice planes from z = 0 on, so that its bottom is cut as that of a lower grain
    and its top as that of an upper grain.
    """
    spacing = bicrystal.grain(side).plane_spacing
    height = np.ceil(HEIGHT / spacing) * spacing
    return bicrystal.lattice_positions(side, (0.0, 0.0, 0.0), 0.0, height)


def surface_energy(total_ev: float, num_atoms: int, crystal_ev: float, area_a2: float) -> float:
    """Energy per area of one of the two surfaces of a slab of one grain, eV/Å^2."""
    return (total_ev - num_atoms * crystal_ev) / 2 / area_a2


def shared_energies(
    positions: np.ndarray,
    total_ev: float,
    box: np.ndarray,
    bicrystal: Bicrystal,
    cohesive_ev: float,
    surfaces: tuple[float, float],
    held: np.ndarray,
) -> np.ndarray:
    """Energies (N,) in eV, whose sum is the slab's.

    Args:
        positions: (N, 3) of a relaxed slab, Å.
        box: of the slab, Å.
        bicrystal: the boundary, in a cell no larger than the slab's.
        surfaces: energies per area of bottom and top, eV/Å^2.
        held: mask (N,) of the layers at both ends, which belong to no boundary.
    """
    energies = np.full(len(positions), cohesive_ev)
    z, near = positions[:, 2], SURFACE_DEPTH * bicrystal.nearest_neighbor
    for atoms, energy in zip((z < z.min() + near, z > z.max() - near), surfaces, strict=True):
        energies[atoms] += energy * area(cell_of(box)) / atoms.sum()
    weights = disorder(positions, box, bicrystal)
    weights[held] = 0.0
    if not weights.any():
        raise SimulationError("the slab has no boundary atoms between its held layers")
    excess = total_ev - energies.sum()
    return np.asarray(energies + excess * weights / weights.sum())


def disorder(positions: np.ndarray, box: np.ndarray, bicrystal: Bicrystal) -> np.ndarray:
    """How much the distances of each atom's nearest neighbours differ from the crystal's, (N,)."""
    height = 4 * bicrystal.nearest_neighbor
    crystal = bicrystal.lattice_positions("lower", (0.0, 0.0, 0.0), -height, height)
    inner = np.abs(crystal[:, 2]) < bicrystal.nearest_neighbor
    known = np.unique(_shells(crystal, bicrystal.cell, height)[inner].round(6), axis=0)
    found = _shells(positions, in_plane(cell_of(box)), height)
    differences = found[:, None] - known  # (N, num_sites, NUM_NEIGHBOURS)
    return np.asarray((differences**2).sum(axis=2).min(axis=1) / bicrystal.nearest_neighbor**2)


def _shells(positions: np.ndarray, cell: ArrayLike, reach: float) -> np.ndarray:
    """Distances from each atom to its nearest neighbours, ascending, (N, NUM_NEIGHBOURS) Å."""
    every, _ = images(positions, cell, reach)
    distances, _ = tree_of(every).query(positions, NUM_NEIGHBOURS + 1)
    return np.asarray(distances[:, 1:])
