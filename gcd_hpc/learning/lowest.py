"""The lowest known boundary energy of each [n]."""

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key")


def lowest_energies(keys: Iterable[Key], energies_j_m2: Iterable[float]) -> dict[Key, float]:
    """Lowest boundary energy of each key, such as n_index, J/m^2."""
    lowest: dict[Key, float] = {}
    for key, energy in zip(keys, energies_j_m2, strict=True):
        lowest[key] = min(lowest.get(key, math.inf), float(energy))
    return lowest


def lowest_nearby(lowest: Mapping[int, float], n_index: int, atoms_per_plane: int) -> float:
    """Lowest energy of the known [n] nearest to ``n_index``."""

    def apart(known: int) -> float:
        return fraction_distance(known / atoms_per_plane, n_index / atoms_per_plane)

    return lowest[min(lowest, key=apart)]


def fraction_distance(first: float, second: float) -> float:
    """Distance of two [n] on the circle on which 1 is 0."""
    apart = abs(first - second)
    return min(apart, 1 - apart)
