"""Lattices: conventional cells, lattice points and nearest-neighbour distances."""

from dataclasses import dataclass
from math import gcd, sqrt
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii, reference_states

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.errors import StructureError

# Four times the fractional coordinates, so that all sites are integers.
_SITES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": ((0, 0, 0),),
    "bcc": ((0, 0, 0), (2, 2, 2)),
    "fcc": ((0, 0, 0), (0, 2, 2), (2, 0, 2), (2, 2, 0)),
    "diamond": (
        (0, 0, 0),
        (0, 2, 2),
        (2, 0, 2),
        (2, 2, 0),
        (1, 1, 1),
        (1, 3, 3),
        (3, 1, 3),
        (3, 3, 1),
    ),
}
_CENTRINGS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": _SITES["sc"],
    "bcc": _SITES["bcc"],
    "fcc": _SITES["fcc"],
    "diamond": _SITES["fcc"],
}
_FACE_CENTRED = ((0, 2, 2), (2, 0, 2), (2, 2, 0))
_PRIMITIVE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": ((4, 0, 0), (0, 4, 0), (0, 0, 4)),
    "bcc": ((-2, 2, 2), (2, -2, 2), (2, 2, -2)),
    "fcc": _FACE_CENTRED,
    "diamond": _FACE_CENTRED,
}
_BASIS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": ((0, 0, 0),),
    "bcc": ((0, 0, 0),),
    "fcc": ((0, 0, 0),),
    "diamond": ((0, 0, 0), (1, 1, 1)),
}
IDEAL_RATIO = sqrt(8 / 3)
"""c/a of hcp at which all twelve neighbours are equally far."""
HCP_SITES = np.array([(0, 0, 0), (1 / 2, 1 / 2, 0), (0, 1 / 3, 1 / 2), (1 / 2, 5 / 6, 1 / 2)])
"""Atoms of the smallest cell of hcp with right angles, as fractions of a, sqrt(3) a and c."""
_NEIGHBOR = {"sc": 1.0, "bcc": sqrt(3) / 2, "fcc": sqrt(2) / 2, "diamond": sqrt(3) / 4}


@dataclass(frozen=True)
class CubicLattice:
    """A crystal with a cubic conventional cell; coordinates are integers in quarters of a0.

    sites: atoms of the conventional cell.
    centrings: lattice points of the conventional cell.
    primitive: three vectors that span all lattice points.
    basis: atoms that belong to one lattice point.
    """

    name: str
    sites: tuple[tuple[int, int, int], ...]
    centrings: tuple[tuple[int, int, int], ...]
    primitive: tuple[tuple[int, int, int], ...]
    basis: tuple[tuple[int, int, int], ...]
    neighbor: float
    """Nearest-neighbour distance, in lattice constants."""

    def contains(self, vector: tuple[int, int, int]) -> bool:
        """Whether a vector, in quarters of the lattice constant, joins two lattice points."""
        return any(
            all((v - c) % 4 == 0 for v, c in zip(vector, centring, strict=True))
            for centring in self.centrings
        )

    def halves_along(self, direction: tuple[int, int, int]) -> int:
        """Length of the shortest lattice vector along a coprime [hkl], in halves of [hkl]."""
        return 1 if self.contains((2 * direction[0], 2 * direction[1], 2 * direction[2])) else 2

    def plane_halves(self, normal: tuple[int, int, int]) -> int:
        """Spacing of the lattice planes (hkl), hkl coprime, in units of a / (2 |hkl|): 1 or 2."""
        heights = [2 * n for n in normal] + [
            sum(n * c for n, c in zip(normal, centring, strict=True)) // 2
            for centring in self.centrings
        ]
        return gcd(*heights)


def cubic_lattice(name: str) -> CubicLattice:
    """Cubic lattice by name: sc, bcc, fcc or diamond.

    Raises:
        StructureError: if the name is unknown.
    """
    if name not in _SITES:
        raise StructureError(f"lattice must be one of {', '.join(_SITES)}, got {name}")
    return CubicLattice(
        name,
        _SITES[name],
        _CENTRINGS[name],
        _PRIMITIVE[name],
        _BASIS[name],
        _NEIGHBOR[name],
    )


def typical_a0(element: str, lattice: str) -> float:
    """Estimate of a lattice constant, Å.

    It is the element's own if the element has this lattice, and else follows from its covalent
    radius.
    """
    number = atomic_numbers[element]
    reference: dict[str, Any] = reference_states[number] or {}
    if reference.get("symmetry") == lattice:
        return float(reference["a"])
    neighbor = 1.0 if lattice == "hcp" else cubic_lattice(lattice).neighbor
    return float(2 * covalent_radii[number] / neighbor)


def typical_ratio(config: BoundaryConfig) -> float:
    """c/a of hcp as the config gives it, else of the element in tables, else the ideal one."""
    if config.a0 is not None and config.c0 is not None:
        return config.c0 / config.a0
    reference: dict[str, Any] = reference_states[atomic_numbers[config.symbols[0]]] or {}
    return float(reference["c/a"]) if reference.get("symmetry") == "hcp" else IDEAL_RATIO


def conventional_cell(lattice: str, element: str, a0: float, ratio: float | None = None) -> Atoms:
    """Conventional cell of a cubic crystal, or the smallest cell of hcp with right angles.

    Args:
        lattice: sc, bcc, fcc, diamond or hcp.
        a0: lattice constant, Å.
        ratio: c/a of hcp; the ideal one if not given.

    Raises:
        StructureError: if the lattice is unknown or a0 is not positive.
    """
    if not a0 > 0:
        raise StructureError(f"a0 must be a positive length in Å, got {a0}")
    if lattice == "hcp":
        sites, edges = HCP_SITES, [a0, sqrt(3) * a0, (ratio or IDEAL_RATIO) * a0]
    else:
        sites, edges = np.array(cubic_lattice(lattice).sites) / 4, [a0, a0, a0]
    return Atoms([element] * len(sites), scaled_positions=sites, cell=edges, pbc=True)
