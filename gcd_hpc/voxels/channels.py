"""The elements of the channels of a voxel array, and atoms with their elements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.sites import Positions, Sites


@dataclass(frozen=True)
class Channels:
    """The elements of a voxel array's channels: channel c holds the atoms of element numbers[c].

    numbers: atomic numbers in ascending order, so that the order of a campaign's elements does not
    change the channels.

    Source: docs/science.md#channels.
    """

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.numbers or any(low >= high for low, high in pairwise(self.numbers)):
            raise ValueError(
                f"the elements of channels must be distinct and in ascending order, got"
                f" {self.numbers}"
            )

    @classmethod
    def of(cls, symbols: Iterable[str]) -> "Channels":
        """Channels of these elements, by their symbols."""
        return cls(tuple(sorted({atomic_numbers[symbol] for symbol in symbols})))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of the elements, in the order of the channels."""
        return tuple(chemical_symbols[number] for number in self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def split(self, positions: ArrayLike, numbers: ArrayLike) -> list[Positions]:
        """Positions of the atoms of each channel, (N_c, 3) Å, in their order.

        Args:
            positions: (N, 3) Å.
            numbers: (N,) atomic numbers.

        Raises:
            StructureError: if an atom is of an element without a channel.
        """
        given, of_atoms = np.asarray(positions), np.asarray(numbers)
        unknown = sorted(set(of_atoms.tolist()) - set(self.numbers))
        if unknown:
            raise StructureError(
                f"cannot encode atoms of {', '.join(chemical_symbols[one] for one in unknown)}:"
                f" the voxel channels are those of {', '.join(self.symbols)}"
            )
        return [given[of_atoms == number] for number in self.numbers]

    def join(self, parts: Sequence[Positions]) -> Sites:
        """Atoms of all channels, in turn.

        Args:
            parts: positions (N_c, 3) Å of each channel.
        """
        numbers = np.repeat(self.numbers, [len(part) for part in parts])
        return Sites(np.concatenate(parts), numbers)
