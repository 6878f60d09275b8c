"""Misorientation and coincidence index of two grains of any crystal, from their lattice vectors."""

from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import acos, degrees, lcm

import numpy as np

from gcd_hpc.config.miller import Indices, Miller, coprime, four_direction
from gcd_hpc.structures.crystal import Crystal
from gcd_hpc.structures.grain import SAME, Grain, Positions
from gcd_hpc.structures.orientation import Misorientation

MAX_DENOMINATOR = 200
"""Largest denominator of the fractions that count as such, beside numbers that are irrational."""
MAX_INDEX = 30
"""Largest index with which an axis is named."""
SAME_ANGLE = 1e-4
"""Largest difference of equal angles, degrees."""


def general_misorientation(lower: Grain, upper: Grain) -> Misorientation:
    """Minimal misorientation over the rotations of the crystal, and Sigma where there is one.

    Both grains are of the same crystal.
    """
    below, above = (np.linalg.solve(one.crystal.matrix, one.primitive) for one in (lower, upper))
    turns = [below.T @ rotation.T @ above for rotation in rotations_of(lower.crystal)]
    angles = [degrees(acos(np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0))) for turn in turns]
    angle = min(angles)
    if angle < SAME_ANGLE:
        return Misorientation(0.0, _named((0, 0, 1), lower.crystal), 1, "twist")
    heights, axes = [], []
    for one, turn in zip(angles, turns, strict=True):
        if abs(one - angle) < SAME_ANGLE:
            # A rotation leaves its axis unchanged.
            axis = np.linalg.svd(turn.T - np.eye(3))[2][2]
            heights.append(abs(float(axis[2])))
            axes.append(_indices(axis @ np.linalg.inv(lower.primitive)))
    smallest = min(axes, key=lambda one: (sum(index * index for index in one), one))
    sigma = coincidence_index(upper.primitive @ np.linalg.inv(lower.primitive))
    character = _character(heights, lower, upper)
    return Misorientation(angle, _named(smallest, lower.crystal), sigma, character)


def coincidence_index(matrix: Positions) -> int | None:
    """Index of the lattice that two lattices share; None if they share none in three dimensions.

    It is the least common denominator of all minors of the matrix.

    Args:
        matrix: (3, 3) vectors of one lattice in units of those of the other, as rows.
    """
    minors = [*matrix.ravel(), np.linalg.det(matrix)]
    for rows, columns in product(combinations(range(3), 2), repeat=2):
        minors.append(np.linalg.det(matrix[np.ix_(rows, columns)]))
    fractions = [Fraction(float(one)).limit_denominator(MAX_DENOMINATOR) for one in minors]
    if max(abs(float(a) - b) for a, b in zip(fractions, minors, strict=True)) > SAME:
        return None
    return lcm(*(one.denominator for one in fractions))


@cache
def rotations_of(crystal: Crystal) -> tuple[Positions, ...]:
    """Proper rotations (3, 3) that map a crystal onto itself up to a shift; the identity first.

    They act on rows of Cartesian vectors. The primitive vectors must be short, so that a rotation
    maps each of them to a sum of them with factors -1, 0 and 1.
    """
    vectors = crystal.matrix
    metric = vectors @ vectors.T
    turns = np.array(list(product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
    images = turns @ metric @ np.swapaxes(turns, 1, 2)
    keeps = np.abs(images - metric).max(axis=(1, 2)) < 1e-5 * metric.max()
    proper = np.linalg.det(turns) > 0
    found = [one for one in turns[keeps & proper] if _keeps_basis(one, crystal)]
    found.sort(key=lambda one: not np.array_equal(one, np.eye(3)))
    return tuple(np.linalg.solve(vectors, one @ vectors) for one in found)


def _keeps_basis(turn: Positions, crystal: Crystal) -> bool:
    basis = np.array(crystal.basis) / crystal.denominator
    numbers = np.array(crystal.numbers)
    for shift in basis:
        gaps = (basis @ turn + shift)[:, None] - basis
        # The first atom lies at the origin, and the shift puts it on another one.
        equal = np.abs(gaps - np.rint(gaps)).max(axis=2) < 1e-4
        if (equal & (numbers[:, None] == numbers)).any(axis=1).all():
            return True
    return False


def _character(heights: list[float], lower: Grain, upper: Grain) -> str:
    if max(heights) > 1 - SAME:
        return "twist"
    if min(heights) > 1e-5:
        return "mixed"
    return "symmetric tilt" if is_mirrored(lower, upper) else "asymmetric tilt"


def is_mirrored(lower: Grain, upper: Grain) -> bool:
    """Whether the lattices of both grains are mirror images of each other at the boundary."""
    mirrored = lower.primitive @ np.diag([1.0, 1.0, -1.0]) @ np.linalg.inv(upper.primitive)
    return bool(np.abs(mirrored - np.rint(mirrored)).max() < 1e-5)


def _indices(axis: Positions) -> Miller:
    """Coprime indices of a direction, or the nearest small ones; the last is positive."""
    ratios = axis / np.abs(axis).max()
    near = [Fraction(float(one)).limit_denominator(MAX_INDEX) for one in ratios]
    scale = lcm(*(one.denominator for one in near))
    x, y, z = coprime((int(near[0] * scale), int(near[1] * scale), int(near[2] * scale)))
    return (x, y, z) if (z, y, x) > (0, 0, 0) else (-x, -y, -z)


def _named(axis: Miller, crystal: Crystal) -> Indices:
    return four_direction(axis) if crystal.name == "hcp" else axis
