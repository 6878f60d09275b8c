"""Crystals: three primitive vectors and the atoms that belong to each lattice point.

Coordinates in a crystal are whole numbers: lattice vectors count the primitive vectors, and the
atoms of the basis count fractions of them. Rounding can then neither lose nor double an atom.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import sqrt

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from gcd_hpc.config.boundary import DENOMINATOR, SlabCrystal
from gcd_hpc.config.miller import Miller
from gcd_hpc.structures.lattices import CubicLattice, crystal_symbols, cubic_lattice

Row = tuple[float, float, float]
Rows = tuple[Row, Row, Row]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """An infinite crystal in an orientation of its own.

    name: lattice, such as bcc.
    primitive: rows are three right-handed vectors that span all lattice points, Å.
    basis: atoms that belong to one lattice point, the first at the point itself, in units of the
    primitive vectors over ``denominator``.
    numbers: atomic numbers of the basis.
    neighbor: nearest-neighbour distance, Å.
    atomic_volume: volume of an atom, Å^3.
    """

    name: str
    primitive: Rows
    basis: tuple[Miller, ...]
    denominator: int
    numbers: tuple[int, ...]
    neighbor: float
    atomic_volume: float

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Primitive vectors as rows, (3, 3) Å."""
        return np.array(self.primitive)


def cubic_crystal(lattice: str, elements: str | Sequence[str], a0: float) -> Crystal:
    """Crystal with a cubic conventional cell along x, y and z.

    Args:
        elements: of the crystal, and possibly solutes after them.
        a0: lattice constant, Å.

    Raises:
        StructureError: if the lattice is unknown or an element is missing.
    """
    cubic = cubic_lattice(lattice)
    symbols = crystal_symbols(elements, lattice)
    first, second, third = (
        (a0 * x / 4, a0 * y / 4, a0 * z / 4) for x, y, z in right_handed(cubic.primitive)
    )
    # All bases of these lattices are whole quarters of the primitive vectors.
    basis = np.array([primitive_counts(cubic, site, scale=4) for site in cubic.basis])
    return Crystal(
        name=lattice,
        primitive=(first, second, third),
        basis=as_millers(basis),
        denominator=4,
        numbers=tuple(atomic_numbers[symbols[kind]] for kind in cubic.kinds),
        neighbor=cubic.neighbor * a0,
        atomic_volume=a0**3 / len(cubic.sites),
    )


def hcp_crystal(element: str, a0: float, c0: float) -> Crystal:
    """Hexagonal close-packed crystal of one element, a1 along x, a2 at 120 degrees, c along z.

    Args:
        a0, c0: lattice constants, Å.
    """
    height = sqrt(3) / 2 * a0
    return Crystal(
        name="hcp",
        primitive=((a0, 0.0, 0.0), (-a0 / 2, height, 0.0), (0.0, 0.0, c0)),
        basis=((0, 0, 0), (2, 4, 3)),
        denominator=6,
        numbers=(atomic_numbers[element],) * 2,
        neighbor=min(a0, sqrt(a0**2 / 3 + c0**2 / 4)),
        atomic_volume=a0 * height * c0 / 2,
    )


def slab_crystal(found: SlabCrystal, elements: Sequence[str], origin: int = 0) -> Crystal:
    """Crystal that was found in slab files.

    Args:
        elements: one, or both of a compound.
        origin: number of the atom of the basis that lies at the lattice points.
    """
    sites = np.roll(np.array(found.basis), -origin, axis=0)
    basis = as_millers((sites - sites[0]) % DENOMINATOR)
    kinds = np.roll(found.kinds or (0,) * len(sites), -origin).tolist()
    first, second, third = found.primitive
    rows = np.array(found.primitive)
    steps = np.array(list(product((-1, 0, 1), repeat=3)))
    atoms = np.array(basis) / DENOMINATOR @ rows
    images = (steps @ rows)[:, None] + atoms
    distances = np.linalg.norm(images[:, :, None] - atoms, axis=3)
    return Crystal(
        name=found.space_group,
        primitive=(first, second, third),
        basis=basis,
        denominator=DENOMINATOR,
        numbers=tuple(atomic_numbers[elements[kind]] for kind in kinds),
        neighbor=float(distances[distances > 0.1].min()),
        atomic_volume=abs(float(np.linalg.det(rows))) / len(found.basis),
    )


def primitive_counts(cubic: CubicLattice, vector: Miller, scale: int = 1) -> Miller:
    """A vector, in quarters of a0, in units of the primitive vectors over ``scale``.

    The result must be whole numbers.
    """
    rows = np.array(right_handed(cubic.primitive), dtype=float)
    exact = scale * np.array(vector) @ np.linalg.inv(rows)
    counts = np.rint(exact).astype(np.int64)
    assert np.abs(exact - counts).max() < 1e-6, f"{vector} is no vector of the {cubic.name} lattice"
    (whole,) = as_millers(counts[None])
    return whole


def right_handed(vectors: tuple[Miller, ...]) -> tuple[Miller, Miller, Miller]:
    """Three vectors, of which two are exchanged where the three are left-handed."""
    first, second, third = vectors
    handed = np.linalg.det(np.array(vectors, dtype=float)) > 0
    return (first, second, third) if handed else (second, first, third)


def as_millers(rows: Integers) -> tuple[Miller, ...]:
    """Rows of an array (M, 3) as tuples of three numbers."""
    return tuple((int(x), int(y), int(z)) for x, y, z in rows)
