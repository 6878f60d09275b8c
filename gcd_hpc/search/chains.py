"""Chains of moves: which structure a chain goes on from."""

from collections.abc import Mapping
from math import inf

Scored = tuple[int, float]
"""n_index and boundary energy in J/m^2 of one structure."""


def height(structure: Scored, lowest: Mapping[int, float]) -> float:
    """Energy of a structure above the lowest one known for its own [n], J/m^2.

    Energies of different [n] cannot be compared directly, because each [n] has its own ground
    state. It is -inf if nothing is known of this [n].
    """
    n_index, energy = structure
    return energy - lowest.get(n_index, inf)


def accepts(
    before: Scored, after: Scored, lowest: Mapping[int, float], threshold_j_m2: float
) -> bool:
    """True if a chain goes on from the structure ``after`` a move (threshold acceptance).

    Args:
        lowest: lowest energy known of each n_index, J/m^2.
        threshold_j_m2: how much the height of the structure may rise.

    Source: Dueck and Scheuer (1990), for a fixed threshold.
    """
    return height(after, lowest) <= height(before, lowest) + threshold_j_m2
