"""When exploration has gone on for long enough without finding anything lower."""

from collections.abc import Iterator, Mapping
from math import inf

from gcd_hpc.stages.merit import NOTICEABLE_J_M2
from gcd_hpc.stages.table import WHOLE

Lowest = Mapping[int, float]
"""Lowest E_gb in J/m^2 by n_index."""
Found = Mapping[int, Mapping[int, Lowest]]
"""Lowest energies by round and generation of exploration; WHOLE holds those before it."""


def gains(found: Found, round: int, num_generations: int) -> Iterator[float]:
    """Noticeable decrease of each lowest energy, summed over [n], by each generation, J/m^2.

    The energies of a generation are compared with those that were known when it began, and not with
    each other, so that the order in which its tasks end does not matter. An [n] that nothing was
    known of counts as NOTICEABLE_J_M2.

    Args:
        round: round of the exploration; all that was found in earlier rounds counts as known.
        num_generations: number of its generations that have ended.
    """
    lowest: dict[int, float] = {}
    for earlier in range(round):
        for energies in found.get(earlier, {}).values():
            _merge(lowest, energies)
    own = found.get(round, {})
    _merge(lowest, own.get(WHOLE, {}))
    for generation in range(num_generations):
        energies = own.get(generation, {})
        yield sum(_gain(lowest.get(n_index, inf), one) for n_index, one in energies.items())
        _merge(lowest, energies)


def num_fruitless(found: Found, round: int, num_generations: int) -> int:
    """Number of generations in a row, up to the last one, that gained nothing."""
    num = 0
    for gain in gains(found, round, num_generations):
        num = 0 if gain > 0 else num + 1
    return num


def _gain(before: float, after: float) -> float:
    if before == inf:
        return NOTICEABLE_J_M2
    return before - after if before - after > NOTICEABLE_J_M2 else 0.0


def _merge(lowest: dict[int, float], energies: Lowest) -> None:
    for n_index, energy in energies.items():
        lowest[n_index] = min(energy, lowest.get(n_index, inf))
