"""Exact misorientation and coincidence index of two cubic grains from their Miller indices."""

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations, product
from math import acos, degrees, isqrt, lcm, sqrt

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.miller import Indices, Miller, dot

Directions = tuple[Miller, Miller, Miller]
Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Misorientation:
    """The smallest rotation that turns one grain into the other.

    axis: indices of a family of directions, in cubic crystals ascending and not negative; (0, 0, 1)
    for no rotation.
    sigma: index of the coincidence site lattice; None where the rotation is irrational and no such
    lattice exists.
    character: twist where the axis is the boundary normal, tilt where it lies in the boundary,
    symmetric where the boundary mirrors one grain into the other.
    """

    angle_deg: float
    axis: Indices
    sigma: int | None
    character: str


def misorientation(lower: Directions, upper: Directions) -> Misorientation:
    """Minimal misorientation over the 24 rotations of the cube, and Sigma.

    Sigma is the least common denominator of the rational rotation matrix, which for rotations of
    the primitive, body-centred and face-centred cubic lattices alike is the index of the
    coincidence site lattice.

    Source: Grimmer, Bollmann, Warrington, Acta Cryst. A30 (1974) 197.
    """
    exact = _rational_rotation(lower, upper)
    if exact is None:
        turn = unit_rows(upper).T @ unit_rows(lower)
        matrix: Matrix = tuple(tuple(Fraction(float(value)) for value in row) for row in turn)
    else:
        matrix = exact
    angle, axis = min(
        (
            _angle_axis(_times(matrix, rotation), exact is not None)
            for rotation in _cube_rotations()
        ),
        key=_rank,
    )
    sigma = None if exact is None else lcm(*(value.denominator for row in exact for value in row))
    return Misorientation(angle, axis, sigma, _character(lower, upper, angle))


def _character(lower: Directions, upper: Directions, angle_deg: float) -> str:
    """Character of a boundary, from its smallest rotations and the boundary normal z."""
    to_upper = unit_rows(upper).T @ unit_rows(lower)
    heights = []
    for rotation in _cube_rotations():
        turn = to_upper @ np.array(rotation)
        cosine = np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0)
        if abs(degrees(acos(cosine)) - angle_deg) < 1e-4:
            # The rotation leaves its axis unchanged.
            axis = np.linalg.svd(turn - np.eye(3))[2][2]
            heights.append(abs(float(unit_rows(upper)[2] @ axis)))
    if max(heights) > 1 - 1e-6:
        return "twist"
    if min(heights) > 1e-6:
        return "mixed"
    # In a crystal with a centre of inversion a mirror is a half turn about its normal.
    normal = unit_rows(lower)[2]
    half_turn = 2 * np.outer(normal, normal) - np.eye(3)
    mirrors = (np.allclose(np.array(one) @ to_upper, half_turn) for one in _cube_rotations())
    return "symmetric tilt" if any(mirrors) else "asymmetric tilt"


def unit_rows(directions: Directions) -> NDArray[np.float64]:
    """Rotation matrix (3, 3) from crystal to box coordinates; its rows are the box axes."""
    rows = np.array(directions, dtype=float)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _rational_rotation(lower: Directions, upper: Directions) -> Matrix | None:
    """Rotation from lower to upper crystal coordinates, or None if an entry is irrational.

    An entry is a sum of rationals times square roots. Roots of different square-free numbers are
    linearly independent over the rationals, so the entry is rational exactly if the terms of every
    root but 1 cancel.
    """
    parts: dict[int, list[list[Fraction]]] = defaultdict(
        lambda: [[Fraction(0)] * 3 for _ in range(3)]
    )
    for low, up in zip(lower, upper, strict=True):
        root, free = _square_free(dot(low, low) * dot(up, up))
        for i, j in product(range(3), repeat=2):
            # 1 / (m sqrt(s)) = sqrt(s) / (m s)
            parts[free][i][j] += Fraction(up[i] * low[j], root * free)
    if any(value for free, part in parts.items() if free != 1 for row in part for value in row):
        return None
    return tuple(tuple(row) for row in parts[1])


def _square_free(number: int) -> tuple[int, int]:
    """(m, s) with number = m^2 s and s free of squares."""
    root = next(m for m in range(isqrt(number), 0, -1) if number % (m * m) == 0)
    return root, number // root**2


@cache
def _cube_rotations() -> tuple[tuple[tuple[int, ...], ...], ...]:
    matrices = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.zeros((3, 3), dtype=int)
        matrix[range(3), order] = signs
        if round(np.linalg.det(matrix)) == 1:
            matrices.append(tuple(tuple(int(value) for value in row) for row in matrix))
    return tuple(matrices)


def _times(a: Matrix, b: tuple[tuple[int, ...], ...]) -> Matrix:
    return tuple(
        tuple(sum((a[i][k] * b[k][j] for k in range(3)), Fraction(0)) for j in range(3))
        for i in range(3)
    )


def _angle_axis(matrix: Matrix, exact: bool) -> tuple[float, Miller]:
    """Angle in degrees and axis family; irrational axes become the nearest with small indices."""
    cosine = (float(matrix[0][0] + matrix[1][1] + matrix[2][2]) - 1) / 2
    angle = degrees(acos(max(-1.0, min(1.0, cosine))))
    axis = sorted(abs(matrix[i][j] - matrix[j][i]) for i, j in ((2, 1), (0, 2), (1, 0)))
    if axis[2] < Fraction(1, 10**9):
        if angle < 90:
            return 0.0, (0, 0, 1)
        # A half turn is symmetric: (R + I) / 2 = axis axis^T, whose longest column points along the
        # axis.
        column = max(range(3), key=lambda k: matrix[k][k])
        axis = sorted(abs(matrix[i][column] + (i == column)) for i in range(3))
    ratios = [
        value / axis[2] if exact else (value / axis[2]).limit_denominator(30) for value in axis
    ]
    scale = lcm(*(ratio.denominator for ratio in ratios))
    return angle, (int(ratios[0] * scale), int(ratios[1] * scale), int(ratios[2] * scale))


def _rank(candidate: tuple[float, Miller]) -> tuple[float, int]:
    angle, axis = candidate
    return round(angle, 9), dot(axis, axis)


def length(direction: Miller) -> float:
    return sqrt(dot(direction, direction))
