"""The lowest known boundary energy of each [n]."""

from collections.abc import Mapping

from numpy.typing import ArrayLike

from gcd_hpc.structures.energetics import lowest_of_each


def lowest_energies(n_indices: ArrayLike, energies_j_m2: ArrayLike) -> dict[int, float]:
    """Lowest boundary energy of each n_index, ascending, J/m^2."""
    different, lowest, _ = lowest_of_each(n_indices, energies_j_m2)
    return dict(zip(different.tolist(), lowest.tolist(), strict=True))


def lowest_nearby(lowest: Mapping[int, float], n_index: int, atoms_per_plane: int) -> float:
    """Lowest energy of the known [n] nearest to ``n_index``, J/m^2."""

    def apart(known: int) -> float:
        return fraction_distance(known / atoms_per_plane, n_index / atoms_per_plane)

    return lowest[min(lowest, key=apart)]


def fraction_distance(first: float, second: float) -> float:
    """Periodic distance of two [n], at most 1/2."""
    apart = abs(first - second)
    return min(apart, 1 - apart)
