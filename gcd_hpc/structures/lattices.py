"""Lattices and ordered compounds: conventional cells, lattice points, nearest neighbours."""

from collections.abc import Sequence
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
_ROCKSALT = tuple((x + 2, y + 2, z + 2) for x, y, z in _SITES["fcc"])
_SITES |= {
    "b2": _SITES["bcc"],
    "l12": (*_SITES["fcc"][1:], _SITES["fcc"][0]),
    "rocksalt": (*_SITES["fcc"], *(((x % 4, y % 4, z % 4)) for x, y, z in _ROCKSALT)),
    "zincblende": _SITES["diamond"],
}
_CENTRINGS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": _SITES["sc"],
    "bcc": _SITES["bcc"],
    "fcc": _SITES["fcc"],
    "diamond": _SITES["fcc"],
    "b2": _SITES["sc"],
    "l12": _SITES["sc"],
    "rocksalt": _SITES["fcc"],
    "zincblende": _SITES["fcc"],
}
_FACE_CENTRED = ((0, 2, 2), (2, 0, 2), (2, 2, 0))
_SIMPLE = ((4, 0, 0), (0, 4, 0), (0, 0, 4))
_PRIMITIVE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": _SIMPLE,
    "bcc": ((-2, 2, 2), (2, -2, 2), (2, 2, -2)),
    "fcc": _FACE_CENTRED,
    "diamond": _FACE_CENTRED,
    "b2": _SIMPLE,
    "l12": _SIMPLE,
    "rocksalt": _FACE_CENTRED,
    "zincblende": _FACE_CENTRED,
}
_BASIS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "sc": ((0, 0, 0),),
    "bcc": ((0, 0, 0),),
    "fcc": ((0, 0, 0),),
    "diamond": ((0, 0, 0), (1, 1, 1)),
    "b2": ((0, 0, 0), (2, 2, 2)),
    "l12": ((0, 0, 0), (0, 2, 2), (2, 0, 2), (2, 2, 0)),
    "rocksalt": ((0, 0, 0), (2, 2, 2)),
    "zincblende": ((0, 0, 0), (1, 1, 1)),
}
_KINDS = {"b2": (0, 1), "l12": (1, 0, 0, 0), "rocksalt": (0, 1), "zincblende": (0, 1)}
"""Which element of a compound each atom of the basis is."""
_NEIGHBOR = {
    "sc": 1.0,
    "bcc": sqrt(3) / 2,
    "fcc": sqrt(2) / 2,
    "diamond": sqrt(3) / 4,
    "b2": sqrt(3) / 2,
    "l12": sqrt(2) / 2,
    "rocksalt": 0.5,
    "zincblende": sqrt(3) / 4,
}
IDEAL_RATIO = sqrt(8 / 3)
"""c/a of hcp at which all twelve neighbours are equally far."""
HCP_SITES = np.array([(0, 0, 0), (1 / 2, 1 / 2, 0), (0, 1 / 3, 1 / 2), (1 / 2, 5 / 6, 1 / 2)])
"""Atoms of the smallest cell of hcp with right angles, as fractions of a, sqrt(3) a and c."""


@dataclass(frozen=True)
class CubicLattice:
    """A crystal with a cubic conventional cell; coordinates are integers in quarters of a0.

    sites: atoms of the conventional cell.
    centrings: lattice points of the conventional cell.
    primitive: three vectors that span all lattice points.
    basis: atoms that belong to one lattice point.
    kinds: which of the crystal's elements each atom of the basis is, counted from 0.
    """

    name: str
    sites: tuple[tuple[int, int, int], ...]
    centrings: tuple[tuple[int, int, int], ...]
    primitive: tuple[tuple[int, int, int], ...]
    basis: tuple[tuple[int, int, int], ...]
    kinds: tuple[int, ...]
    neighbor: float
    """Nearest-neighbour distance, in lattice constants."""

    @property
    def site_kinds(self) -> tuple[int, ...]:
        """Which of the crystal's elements each site of the conventional cell is."""
        return tuple(
            kind
            for x, y, z in self.sites
            for kind, (a, b, c) in zip(self.kinds, self.basis, strict=True)
            if self.contains((x - a, y - b, z - c))
        )

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
    """Cubic lattice by name: sc, bcc, fcc, diamond, b2, l12, rocksalt or zincblende.

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
        _KINDS.get(name, (0,) * len(_BASIS[name])),
        _NEIGHBOR[name],
    )


def typical_a0(elements: str | Sequence[str], lattice: str) -> float:
    """Estimate of a lattice constant, Å.

    It is the element's own if the element has this lattice, and else follows from covalent radii:
    nearest neighbours touch. In a compound the first elements are those of the crystal.
    """
    symbols = crystal_symbols(elements, lattice)
    reference: dict[str, Any] = reference_states[atomic_numbers[symbols[0]]] or {}
    if len(symbols) == 1 and reference.get("symmetry") == lattice:
        return float(reference["a"])
    radii = [covalent_radii[atomic_numbers[symbol]] for symbol in symbols]
    if lattice == "hcp":
        return float(2 * radii[0])
    crystal, mean = cubic_lattice(lattice), radii[0]
    if len(symbols) > 1:
        mean = sum(radii[kind] for kind in crystal.kinds) / len(crystal.kinds)
    return float(2 * mean / crystal.neighbor)


def crystal_symbols(elements: str | Sequence[str], lattice: str) -> tuple[str, ...]:
    """The elements of the crystal itself, of those that are given; further ones are solutes.

    Raises:
        StructureError: if they are too few.
    """
    symbols = (elements,) if isinstance(elements, str) else tuple(elements)
    num = num_elements(lattice)
    if len(symbols) < num:
        raise StructureError(f"a {lattice} crystal needs {num} elements, got {', '.join(symbols)}")
    return symbols[:num]


def num_elements(lattice: str) -> int:
    """Number of elements of a lattice: 1, or more in a compound."""
    return 1 if lattice == "hcp" else max(cubic_lattice(lattice).kinds) + 1


def typical_ratio(config: BoundaryConfig) -> float:
    """c/a of hcp as the config gives it, else of the element in tables, else the ideal one."""
    if config.a0 is not None and config.c0 is not None:
        return config.c0 / config.a0
    reference: dict[str, Any] = reference_states[atomic_numbers[config.symbols[0]]] or {}
    return float(reference["c/a"]) if reference.get("symmetry") == "hcp" else IDEAL_RATIO


def conventional_cell(
    lattice: str, elements: str | Sequence[str], a0: float, ratio: float | None = None
) -> Atoms:
    """Conventional cell of a cubic crystal, or the smallest cell of hcp with right angles.

    Args:
        lattice: name, such as bcc or hcp.
        elements: of the crystal, and possibly solutes after them.
        a0: lattice constant, Å.
        ratio: c/a of hcp; the ideal one if not given.

    Raises:
        StructureError: if the lattice is unknown, elements are missing or a0 is not positive.
    """
    if not a0 > 0:
        raise StructureError(f"a0 must be a positive length in Å, got {a0}")
    if lattice == "hcp":
        sites, edges = HCP_SITES, [a0, sqrt(3) * a0, (ratio or IDEAL_RATIO) * a0]
        kinds: tuple[int, ...] = (0,) * len(sites)
    else:
        crystal = cubic_lattice(lattice)
        sites, edges = np.array(crystal.sites) / 4, [a0, a0, a0]
        kinds = crystal.site_kinds
    symbols = crystal_symbols(elements, lattice)
    return Atoms([symbols[kind] for kind in kinds], scaled_positions=sites, cell=edges, pbc=True)
