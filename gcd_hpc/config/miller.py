"""Arithmetic of Miller indices, which are whole numbers."""

from math import gcd

Miller = tuple[int, int, int]


def dot(a: Miller, b: Miller) -> int:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Miller, b: Miller) -> Miller:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def coprime(direction: Miller) -> Miller:
    """Indices divided by their greatest common divisor."""
    divisor = gcd(*direction)
    return direction[0] // divisor, direction[1] // divisor, direction[2] // divisor


def spelled(indices: Miller, brackets: str = "[]") -> str:
    """Indices as they are written: [2 -1 0], or with other brackets (2 -1 0) or <0 1 2>."""
    return f"{brackets[0]}{' '.join(map(str, indices))}{brackets[1]}"
