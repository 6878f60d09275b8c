"""Grains: a crystal in the orientation of the box, cut into blocks that repeat along its axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.miller import Indices, Miller, coprime, cross, dot
from gcd_hpc.structures.crystal import (
    Crystal,
    Integers,
    Rows,
    as_millers,
    cubic_crystal,
    primitive_counts,
)
from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.orientation import Directions, length

Positions = NDArray[np.float64]
Vectors = tuple[Miller, Miller, Miller]
Edges = tuple[Miller, Miller]
"""Lattice vectors of a grain along the edges of an in-plane cell, in whole numbers."""
Strain = tuple[float, float, float]
"""In-plane strain: xx, yy, and the displacement along x per unit of y."""

InPlane = tuple[tuple[float, float], tuple[float, float]]
"""Edges (ax, 0) and (bx, by) of a cell in the boundary plane, Å."""

SAME = 1e-6
"""Largest difference of equal coordinates, in units of a crystal's primitive vectors."""
UNSTRAINED: Strain = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Response:
    """Relaxation of a grain along z, which is free, after it was strained in the boundary plane.

    normal: strain zz.
    shear_x, shear_y: in-plane displacement of a layer per unit of its unrelaxed height.
    energy_ev: energy per atom above the unstrained crystal, eV.
    """

    normal: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    energy_ev: float = 0.0


@dataclass(frozen=True)
class Grain:
    """One orientation of a crystal, periodic in the boundary plane.

    crystal: the crystal, in an orientation of its own.
    vectors: edges of one block of the grain, in units of the crystal's primitive vectors.
    cell: the same edges in the box before straining, Å, as rows (ax, 0, 0), (bx, by, 0) and
    (cx, cy, cz). The third one may be inclined.
    spacing: distance of the lattice planes parallel to the boundary before straining, Å.
    directions: Miller indices along the box axes, which only name the grain; None where there are
    none.
    repeats: blocks of this grain in the common cell along its two edges, replicas included.
    strain: in-plane strain that fits the grain to the common cell.
    response: relaxation along z under this strain.
    """

    crystal: Crystal
    vectors: Vectors
    cell: Rows
    spacing: float
    directions: tuple[Indices, Indices, Indices] | None = None
    repeats: tuple[int, int] = (1, 1)
    strain: Strain = UNSTRAINED
    response: Response = Response()

    @property
    def named(self) -> tuple[Indices, Indices, Indices]:
        """Miller indices along the box axes, of a grain that has them."""
        assert self.directions is not None
        return self.directions

    @property
    def primitive(self) -> Positions:
        """Primitive vectors of the crystal in the box before straining, as rows (3, 3) Å."""
        return np.linalg.solve(np.array(self.vectors), np.array(self.cell))

    @property
    def plane_spacing(self) -> float:
        """Distance of the lattice planes parallel to the boundary, Å."""
        return self.spacing * (1 + self.response.normal)

    @property
    def expansion(self) -> float:
        """Relative increase of the volume by the strain."""
        x, y, _ = self.strain
        return (1 + x) * (1 + y) * (1 + self.response.normal) - 1

    @cached_property
    def normal(self) -> Miller:
        """Coprime integers whose product with a lattice vector is the lattice plane it ends on."""
        first, second, third = self.vectors
        normal = cross(first, second)
        divisor = gcd(*normal)
        assert dot(normal, third) > 0, f"the block {self.vectors} is not right-handed"
        return normal[0] // divisor, normal[1] // divisor, normal[2] // divisor

    @property
    def atoms_per_plane(self) -> int:
        """Atoms that belong to one lattice plane parallel to the boundary, in the common cell.

        All atoms of a lattice point's basis belong to the plane of the point.
        """
        planes = dot(self.normal, self.vectors[2])
        return self.num_sites // planes * self.repeats[0] * self.repeats[1]

    @property
    def num_sites(self) -> int:
        """Sites of one block."""
        return _determinant(self.vectors) * len(self.crystal.basis)

    @property
    def phases(self) -> tuple[float, ...]:
        """Heights of the atoms of the basis above their lattice plane, in [0, 1) plane spacings."""
        whole = self.crystal.denominator
        phases = (dot(self.normal, site) % whole / whole for site in self.crystal.basis)
        # Fractions that were read from a file may lie slightly below a plane.
        return tuple(0.0 if phase > 1 - SAME else phase for phase in phases)

    @property
    def layer_offsets(self) -> tuple[float, ...]:
        """Heights in [0, plane spacing) of the atoms of the basis within one lattice plane, Å."""
        return tuple(phase * self.plane_spacing for phase in self.phases)

    @property
    def mean_offset(self) -> float:
        """Mean height of the atoms of the basis above their lattice plane, Å."""
        return sum(self.layer_offsets) / len(self.crystal.basis)

    @cached_property
    def translations(self) -> Positions:
        """Lattice points of one block, (T, 3), as fractions of its edges, sorted by height.

        The crystal looks there as it does at its origin.
        """
        return self._inside(((0, 0, 0),))[0]

    @cached_property
    def fractions(self) -> Positions:
        """Sites of one block, (M, 3), as fractions of its edges, sorted by height."""
        return self._inside(self.crystal.basis)[0]

    @cached_property
    def numbers(self) -> Integers:
        """Atomic numbers of the sites of one block, (M,)."""
        kinds = self._inside(self.crystal.basis)[1]
        return np.asarray(np.array(self.crystal.numbers)[kinds])

    def block(self, cell: InPlane) -> Positions:
        """Edges of one block after straining, (3, 3) Å, in a common cell of the grain's repeats.

        Args:
            cell: the common cell.
        """
        xx, yy, xy = self.strain
        (_, _, _), (bx, by, _), (cx, cy, cz) = self.cell
        # Whole fractions of the common cell leave no gap at its border.
        return np.array(
            [
                [cell[0][0] / self.repeats[0], 0.0, 0.0],
                [bx * (1 + xx) + by * xy, cell[1][1] / self.repeats[1], 0.0],
                [cx * (1 + xx) + cy * xy, cy * (1 + yy), cz * (1 + self.response.normal)],
            ]
        )

    def _inside(self, basis: tuple[Miller, ...]) -> tuple[Positions, Integers]:
        """Sites of a basis in one block, (M, 3) fractions sorted by height, and their number in
        the basis, (M,).
        """
        determinant, whole = _determinant(self.vectors), self.crystal.denominator
        points = _lattice_points(self.vectors)
        sites = (whole * points[:, None] + np.array(basis, dtype=np.int64)).reshape(-1, 3)
        kinds = np.tile(np.arange(len(basis)), len(points))
        # Components along the edges times the volume, by Cramer's rule.
        first, second, third = self.vectors
        rows = [cross(second, third), cross(third, first), cross(first, second)]
        numerators = sites @ np.array(rows, dtype=np.int64).T % (determinant * whole)
        order = np.lexsort(numerators.T)
        return numerators[order] / (determinant * whole), kinds[order]


def cubic_grain(
    directions: Directions, lattice: str, elements: str | Sequence[str], a0: float
) -> Grain:
    """Grain of a cubic crystal with lattice vectors along the three box axes.

    Args:
        directions: right-handed coprime Miller indices along x, y and z, at right angles.
        a0: lattice constant, Å.
    """
    cubic = cubic_lattice(lattice)
    halves = [cubic.halves_along(axis) for axis in directions]
    x, y, z = (a0 * length(axis) * half / 2 for axis, half in zip(directions, halves, strict=True))
    edges = 2 * np.array(halves)[:, None] * np.array(directions, dtype=np.int64)  # quarters of a0
    first, second, third = (primitive_counts(cubic, edge) for edge in as_millers(edges))
    normal = directions[2]
    return Grain(
        crystal=cubic_crystal(lattice, elements, a0),
        vectors=(first, second, third),
        cell=((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z)),
        spacing=a0 * cubic.plane_halves(normal) / (2 * length(normal)),
        directions=directions,
    )


def cubic_plane_grain(
    edges: Edges, lattice: str, elements: str | Sequence[str], a0: float
) -> Grain:
    """Grain of a cubic crystal over two lattice vectors in the plane, in quarters of a0."""
    cubic = cubic_lattice(lattice)
    first, second = (primitive_counts(cubic, edge) for edge in edges)
    x, z = coprime(edges[0]), coprime(cross(*edges))
    return plane_grain(
        cubic_crystal(lattice, elements, a0), (first, second), (x, coprime(cross(z, x)), z)
    )


def plane_grain(
    crystal: Crystal, edges: Edges, directions: tuple[Indices, Indices, Indices] | None = None
) -> Grain:
    """Grain whose blocks are one lattice plane high, over any two lattice vectors in the plane.

    The plane's normal need not be a lattice vector: the third edge of a block goes to the next
    lattice plane and is inclined where it has to be.

    Args:
        edges: lattice vectors in the plane in units of the primitive vectors, x along the first.
            Blocks are as long as the shortest lattice vectors along them.
        directions: Miller indices along the box axes, which name the grain.
    """
    repeats = gcd(*edges[0]), gcd(*edges[1])
    first, second = coprime(edges[0]), coprime(edges[1])
    normal = coprime(cross(first, second))
    rows = np.array([first, second, _next_plane(normal)]) @ crystal.matrix
    # Components along x, along y and along z, by Gram and Schmidt.
    ax = float(np.linalg.norm(rows[0]))
    along_x = rows @ rows[0] / ax
    upright = rows[1] - along_x[1] * rows[0] / ax
    by = float(np.linalg.norm(upright))
    along_y = rows @ upright / by
    height = float(np.linalg.det(rows)) / (ax * by)
    # The steepest third edge.
    back = round(along_y[2] / by)
    right = round((along_x[2] - back * along_x[1]) / ax)
    third = np.array(_next_plane(normal)) - back * np.array(second) - right * np.array(first)
    # Rounding must not make a right angle oblique.
    bx, cx, cy = (
        0.0 if abs(lean) < SAME * ax else float(lean)
        for lean in (
            along_x[1],
            along_x[2] - back * along_x[1] - right * ax,
            along_y[2] - back * by,
        )
    )
    return Grain(
        crystal=crystal,
        vectors=(first, second, as_millers(third[None])[0]),
        cell=((ax, 0.0, 0.0), (bx, by, 0.0), (cx, cy, height)),
        spacing=height,
        directions=directions,
        repeats=repeats,
    )


def _next_plane(normal: Miller) -> Miller:
    """A vector whose product with coprime indices is 1."""
    h, k, l = normal  # noqa: E741
    common, x, y = _bezout(h, k)
    _, z, w = _bezout(common, l)
    return x * z, y * z, w


def _bezout(a: int, b: int) -> tuple[int, int, int]:
    """The greatest common divisor g of two numbers, and x and y with a x + b y = g."""
    if not b:
        return abs(a), -1 if a < 0 else 1, 0
    common, x, y = _bezout(b, a % b)
    return common, y, x - a // b * y


def _determinant(vectors: Vectors) -> int:
    first, second, third = vectors
    return dot(cross(first, second), third)


def _lattice_points(vectors: Vectors) -> Integers:
    """Lattice points that no sum of the block's edges joins, one of each kind, (T, 3)."""
    # Euclid's algorithm makes the edges triangular; then the points of a box are all different.
    rows = [list(vector) for vector in vectors]
    for column in (2, 1):
        while True:
            rows[: column + 1] = sorted(rows[: column + 1], key=lambda row: abs(row[column]))
            *others, last = rows[: column + 1]
            if not last[column] or not any(row[column] for row in others):
                break
            least = next(row for row in others if row[column])
            factor = last[column] // least[column]
            rows[column] = [a - factor * b for a, b in zip(last, least, strict=True)]
    edges = [abs(rows[axis][axis]) for axis in range(3)]
    grid = np.meshgrid(*(np.arange(edge) for edge in edges), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3)
