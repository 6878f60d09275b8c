"""Arithmetic of Miller indices, which are whole numbers."""

import re
from math import gcd

Miller = tuple[int, int, int]
Indices = tuple[int, ...]
"""Three indices, or four in hexagonal crystals, whose third is minus the sum of the first two."""


def three_direction(indices: Indices) -> Miller:
    """A direction in the lattice vectors of the crystal, from three or four indices."""
    if len(indices) == 4:
        u, v, t, w = indices
        return u - t, v - t, w
    x, y, z = indices
    return x, y, z


def three_plane(indices: Indices) -> Miller:
    """A plane in the reciprocal lattice vectors of the crystal, from three or four indices."""
    return indices[0], indices[1], indices[-1]


def four_direction(direction: Miller) -> Indices:
    """Coprime indices of four of a direction in a hexagonal crystal."""
    x, y, z = direction
    u, v = 2 * x - y, 2 * y - x
    divisor = gcd(u, v, 3 * z)
    return u // divisor, v // divisor, -(u + v) // divisor, 3 * z // divisor


def four_plane(plane: Miller) -> Indices:
    """Indices of four of a plane in a hexagonal crystal."""
    return plane[0], plane[1], -(plane[0] + plane[1]), plane[2]


def dot(a: Miller, b: Miller) -> int:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Miller, b: Miller) -> Miller:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def coprime(direction: Miller) -> Miller:
    """Indices divided by their greatest common divisor."""
    divisor = gcd(*direction)
    return direction[0] // divisor, direction[1] // divisor, direction[2] // divisor


def spelled(indices: Indices, brackets: str = "[]") -> str:
    """Indices as they are written: [2 -1 0], or with other brackets (2 -1 0) or <0 1 2>."""
    return f"{brackets[0]}{' '.join(map(str, indices))}{brackets[1]}"


def parsed(text: str) -> Indices:
    """Indices from text such as 210, 1-10, "2 -1 0", 11,2,0 or [2 1 0], or four of hcp as 0001.

    Raises:
        ValueError: if the text is not three whole numbers, or four of which the third is minus the
            sum of the first two, or if all of them are 0.
    """
    inside = text.strip().strip("[](){}<>").strip()
    words = re.split(r"[\s,]+", inside)
    if len(words) == 1:
        words = re.findall(r"[+-]?\d", inside) if re.fullmatch(r"([+-]?\d)*", inside) else []
    if len(words) not in (3, 4) or not all(re.fullmatch(r"[+-]?\d{1,9}", word) for word in words):
        raise ValueError(f"three or four whole numbers expected, got {text!r}")
    indices = tuple(map(int, words))
    if not any(indices):
        raise ValueError(f"a direction expected, got {text!r}")
    if len(indices) == 4 and indices[0] + indices[1] + indices[2]:
        raise ValueError(f"a third index of minus the sum of the first two expected, got {text!r}")
    return indices
