"""The lowest known boundary energy of each [n]."""

import math
from collections.abc import Iterable, Mapping


def lowest_energies(
    fractions: Iterable[float], energies_j_m2: Iterable[float]
) -> dict[float, float]:
    """Lowest boundary energy of each [n], which is rounded to six digits, J/m^2."""
    lowest: dict[float, float] = {}
    for fraction, energy in zip(fractions, energies_j_m2, strict=True):
        key = round(float(fraction), 6)
        lowest[key] = min(lowest.get(key, math.inf), float(energy))
    return lowest


def lowest_nearby(lowest: Mapping[float, float], fraction: float) -> float:
    """Lowest energy of the known [n] nearest to ``fraction``; [n] = 1 is [n] = 0."""
    return lowest[min(lowest, key=lambda known: fraction_distance(known, fraction))]


def fraction_distance(first: float, second: float) -> float:
    """Distance of two [n] on the circle on which 1 is 0."""
    apart = abs(first - second)
    return min(apart, 1 - apart)
