"""Coincidence site lattices of cubic crystals, by integer arithmetic.

A rotation about [uvw] whose quaternion (m, n u, n v, n w) has integer components maps a part of a
cubic lattice onto itself. Every rotation with a coincidence lattice is of this form. Its Sigma is
the odd part of the quaternion's norm m^2 + n^2 (u^2 + v^2 + w^2).

Source: Grimmer, Bollmann, Warrington, Acta Cryst. A30 (1974) 197.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from math import atan2, degrees, gcd, isqrt, sqrt

import numpy as np

from gcd_hpc.config.miller import Indices, Miller, coprime, cross, dot
from gcd_hpc.structures.lattices import CubicLattice
from gcd_hpc.structures.orientation import Directions, misorientation

Matrix = tuple[Miller, Miller, Miller]


@dataclass(frozen=True)
class Rotation:
    """Rotation from the lower to the upper grain's crystal coordinates.

    axis: coprime Miller indices.
    m, n: the quaternion is (m, n axis); m and n are coprime, m is not negative, n is not zero.
    """

    axis: Miller
    m: int
    n: int

    @property
    def norm(self) -> int:
        """Norm of the quaternion."""
        return self.m**2 + self.n**2 * dot(self.axis, self.axis)

    @property
    def sigma(self) -> int:
        """Coincidence index, the odd part of the norm."""
        return self.norm // (self.norm & -self.norm)

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation about the axis, from -180 to 180 degrees."""
        return 2 * degrees(atan2(self.n * sqrt(dot(self.axis, self.axis)), self.m))

    @property
    def matrix(self) -> Matrix:
        """The rotation matrix times the norm, in integers."""
        b = (self.n * self.axis[0], self.n * self.axis[1], self.n * self.axis[2])
        columns = []
        for unit in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
            # Rodrigues' formula with integers: norm R v = (m^2 - b^2) v + 2 (b.v) b + 2 m b x v
            turned, along = cross(b, unit), 2 * dot(b, unit)
            scale = self.m**2 - dot(b, b)
            columns.append(
                [scale * unit[i] + along * b[i] + 2 * self.m * turned[i] for i in range(3)]
            )
        first, second, third = zip(*columns, strict=True)
        return first, second, third

    def carried(self, vector: Miller) -> Miller:
        """A vector that both grains share, in the upper grain's coordinates, in the same units."""
        x, y, z = (dot(row, vector) for row in self.matrix)
        assert x % self.norm == y % self.norm == z % self.norm == 0, f"{vector} is not shared"
        return x // self.norm, y // self.norm, z // self.norm

    def turned(self, direction: Miller) -> Miller:
        """Coprime indices in the upper grain of a direction of the lower grain."""
        x, y, z = (dot(row, direction) for row in self.matrix)
        return coprime((x, y, z))

    @cached_property
    def smallest(self) -> tuple[float, Indices]:
        """Angle in degrees and axis family of the smallest equal rotation, which tells whether two
        rotations differ by more than a symmetry of the crystals.
        """
        axes: Directions = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        x, y, z = (self.turned(one) for one in axes)
        found = misorientation(axes, (x, y, z))
        return round(found.angle_deg, 9), found.axis

    def mirrors(self, plane: Miller) -> bool:
        """Whether the two grains are mirror images of each other at this plane of the lower one."""
        # In a crystal with a centre of inversion a mirror is a half turn about the plane's normal.
        # The rotation must equal it up to a rotation of the cube, whose matrix holds integers.
        square = dot(plane, plane)
        half_turn = [
            [2 * plane[i] * plane[j] - square * (i == j) for j in range(3)] for i in range(3)
        ]
        product = np.array(half_turn, dtype=object) @ np.array(self.matrix, dtype=object).T
        return not np.any(product % (square * self.norm))


def rotations(axis: Miller, sigma: int) -> list[Rotation]:
    """All rotations about an axis with this Sigma, by the size of their angle, positive ones first.

    Rotations that differ only by a symmetry of the crystal are all listed: they turn a plane of the
    lower grain into different planes of the upper one.
    """
    square, found = dot(axis, axis), []
    # The norm of a coprime quaternion is Sigma times 1, 2 or 4.
    for norm in (sigma, 2 * sigma, 4 * sigma):
        for n in range(1, isqrt(norm // square) + 1):
            m = isqrt(norm - n * n * square)
            if m * m + n * n * square == norm and gcd(m, n) == 1:
                signs = (1, -1) if m else (1,)
                found += [Rotation(axis, m, sign * n) for sign in signs]
    return sorted(
        (one for one in found if one.sigma == sigma),
        key=lambda one: (round(abs(one.angle_deg), 9), -one.n),
    )


def sigmas(axis: Miller, largest: int) -> Iterator[int]:
    """Every Sigma from 3 to ``largest`` that exists about an axis."""
    return (sigma for sigma in range(3, largest + 1, 2) if rotations(axis, sigma))


@cache
def smallest_cell(crystal: CubicLattice, rotation: Rotation, plane: Miller) -> Directions:
    """Directions (x, y, z) of the lower grain along the smallest rectangular cell of a boundary.

    x and y span the smallest rectangle of lattice vectors that both grains share in the plane, and
    z is the plane's normal. Of equally small rectangles one along the rotation axis is taken, then
    the one that is nearest to a square. x is the rotation axis where that lies along an edge.
    """
    shared = _shared_vectors(crystal, rotation, plane)
    axis = _positive(rotation.axis)
    _, edges = min(
        _rectangles(*_reduced(*shared)),
        key=lambda one: (one[0], axis not in one[1], max(map(_square, one[1])), one[1]),
    )
    x = rotation.axis if axis in edges else max(edges)
    return x, coprime(cross(plane, x)), plane


@cache
def smallest_edges(
    crystal: CubicLattice, rotation: Rotation, plane: Miller
) -> tuple[Miller, Miller] | None:
    """Edges of the smallest cell of a boundary in the lower grain, in quarters of a0.

    The cell may be oblique. Its first edge is the shortest vector of the plane that both grains
    share, and the second is the shortest that is not parallel to it. None if they are at right
    angles, so that the cell is the one of ``smallest_cell``.
    """
    first, second = _reduced(*_shared_vectors(crystal, rotation, plane))
    if not dot(first, second):
        return None
    # Of the second edge and its opposite, the one that is right-handed with the plane's normal.
    if dot(cross(first, second), plane) < 0:
        first, second = second, first
    if _square(first) > _square(second):
        first, second = second, _opposite(first)
    return first, second


def _opposite(vector: Miller) -> Miller:
    return -vector[0], -vector[1], -vector[2]


def _shared_vectors(
    crystal: CubicLattice, rotation: Rotation, plane: Miller
) -> tuple[Miller, Miller]:
    """Basis of the lattice vectors in a plane that both grains share, in quarters of a0."""
    basis = _zeros(list(crystal.primitive), plane, 0)
    # R v is a lattice vector if B^-1 R v holds integers, where the columns of B are a basis.
    columns = np.array(crystal.primitive, dtype=object).T
    volume = abs(round(np.linalg.det(columns.astype(float))))
    inverse = np.rint(np.linalg.inv(columns.astype(float)) * volume).astype(int).astype(object)
    for a, b, c in inverse @ np.array(rotation.matrix, dtype=object):
        basis = _zeros(basis, (a, b, c), volume * rotation.norm)
    first, second = basis
    return first, second


def _zeros(basis: list[Miller], form: Miller, modulus: int) -> list[Miller]:
    """Basis of the vectors of a lattice whose product with ``form`` is 0, or a multiple of the
    modulus where that is not 0.
    """
    rest, basis = [], list(basis)
    while True:
        # Euclid's algorithm on the products, until a single vector has one that is not 0.
        basis.sort(key=lambda vector: abs(dot(form, vector)))
        rest += [vector for vector in basis if not dot(form, vector)]
        basis = [vector for vector in basis if dot(form, vector)]
        if len(basis) <= 1:
            break
        least = dot(form, basis[0])
        basis[1:] = [_plus(one, -(dot(form, one) // least), basis[0]) for one in basis[1:]]
    if basis and modulus:
        factor = modulus // gcd(modulus, dot(form, basis[0]))
        rest.append(_plus((0, 0, 0), factor, basis[0]))
    return rest


def _reduced(first: Miller, second: Miller) -> tuple[Miller, Miller]:
    """Two shortest vectors that span the same plane lattice, by Gauss' algorithm."""
    while True:
        if _square(first) > _square(second):
            first, second = second, first
        steps = round(Fraction(dot(first, second), _square(first)))
        if not steps:
            return first, second
        second = _plus(second, -steps, first)


def _rectangles(first: Miller, second: Miller) -> Iterator[tuple[Fraction, tuple[Miller, Miller]]]:
    """Rectangles of a plane lattice, as areas in units of its cell and directions of the edges.

    The smallest is among them.

    Args:
        first, second: reduced basis of the lattice.
    """
    long, other = _square(first), _square(second)
    mixed = dot(first, second)
    # The rectangle along the first vector bounds the square of the smallest one's shorter edge,
    # |i first + j second|^2, which is at least (i^2 long + j^2 other) / 2.
    limit = 2 * (long // gcd(long, mixed)) * sqrt(long * other - mixed**2)
    for i in range(isqrt(int(limit / long)) + 2):
        reach = isqrt(int(limit / other)) + 1
        for j in range(-reach, reach + 1):
            if gcd(i, j) == 1:
                edge = _plus(_plus((0, 0, 0), i, first), j, second)
                p, q = i * long + j * mixed, i * mixed + j * other
                across = _plus(_plus((0, 0, 0), -q, first), p, second)
                area = Fraction(_square(edge), gcd(p, q))
                yield area, (_positive(edge), _positive(across))


def _plus(start: Miller, factor: int, step: Miller) -> Miller:
    """start + factor step."""
    x, y, z = (a + factor * b for a, b in zip(start, step, strict=True))
    return x, y, z


def _square(vector: Miller) -> int:
    return dot(vector, vector)


def _positive(vector: Miller) -> Miller:
    """Coprime indices along a vector or against it, of which the last that is not 0 is positive."""
    x, y, z = coprime(vector)
    return (x, y, z) if (z, y, x) > (0, 0, 0) else (-x, -y, -z)
