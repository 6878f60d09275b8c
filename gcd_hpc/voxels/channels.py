"""Voxel arrays of several elements: one channel an element, encoded and decoded by itself."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gcd_hpc.errors import StructureError
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid

Positions = NDArray[np.float64]
Numbers = NDArray[np.int64]
Decode = Callable[[NDArray[np.floating], Grid], Positions]
"""Decoder of one channel: voxel array (X, Y, Z) and its grid -> positions (N, 3) Å."""


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

    def join(self, parts: Sequence[Positions]) -> tuple[Positions, Numbers]:
        """Positions (N, 3) Å and atomic numbers (N,) of the atoms of all channels, in turn.

        Args:
            parts: positions (N_c, 3) Å of each channel.
        """
        numbers = np.repeat(self.numbers, [len(part) for part in parts])
        return np.concatenate(parts), numbers

    def encode(self, positions: ArrayLike, numbers: ArrayLike, grid: Grid) -> Tensor:
        """Voxel array (C, X, Y, Z), float32, of positions (N, 3) in Å and atomic numbers (N,).

        The sum over the voxels of a channel is the number of atoms of its element.

        Raises:
            StructureError: if an atom is of an element without a channel, or as
                ``voxels.encoder.encode``.
        """
        return torch.stack([encode(part, grid) for part in self.split(positions, numbers)])

    def decode(
        self, array: NDArray[np.floating], grid: Grid, decode: Decode
    ) -> tuple[Positions, Numbers]:
        """Positions (N, 3) Å and atomic numbers (N,) of the atoms in an array (C, X, Y, Z).

        Args:
            decode: decoder of one channel.
        """
        return self.join([decode(channel, grid) for channel in array])
