"""Atoms as two arrays: where they are, and of which elements."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Positions = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Sites(NamedTuple):
    """Atoms: where they are, and of which elements."""

    positions: Positions
    """(N, 3) Å."""
    numbers: Numbers
    """(N,) atomic numbers."""

    def of(self, chosen: NDArray[np.bool_]) -> "Sites":
        """The atoms of a mask (N,)."""
        return Sites(self.positions[chosen], self.numbers[chosen])

    def moved(self, step: ArrayLike) -> "Sites":
        """All atoms moved by a step (3,), Å."""
        return Sites(self.positions + np.asarray(step), self.numbers)

    def and_also(self, others: "Sites") -> "Sites":
        """These atoms, then the others."""
        numbers = np.concatenate([self.numbers, others.numbers])
        return Sites(np.concatenate([self.positions, others.positions]), numbers)


def sites_of(positions: Positions, species: Numbers | None) -> Sites:
    """Atoms (N, 3) Å with their atomic numbers; 0 stands for the one element if these are None."""
    numbers = np.zeros(len(positions), dtype=np.int64) if species is None else species
    return Sites(positions, numbers)
