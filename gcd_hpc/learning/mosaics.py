"""Mosaics: structures of equal registry side by side in a larger in-plane cell.

A model that has learned from one cell only knows periodic images of the structure that it
generates. In a mosaic what surrounds a window is another structure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.search.moves import crossover, tile
from gcd_hpc.search.windows import Parent
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import closest_pair, n_fraction
from gcd_hpc.structures.periodic import Neighbors

SQUEEZED = 0.8
"""A cut may bring two atoms this close, in shortest distances within the structures."""
NUM_TRIES = 30
"""Partners that are tried until one fits. About one in ten has the same registry."""


@dataclass(frozen=True)
class Piece:
    """A structure of any in-plane cell with what its training sample is made from.

    parent: positions (N, 3) Å, excess energies (N,) eV, registry (3,) Å and, of several elements,
    atomic numbers (N,).
    energy_j_m2, fraction: boundary energy and [n]. Where structures are joined, the energy is the
    mean of theirs: that of the cuts is not known.
    """

    parent: Parent
    energy_j_m2: float
    fraction: float


@dataclass(frozen=True)
class Mosaics:
    """Draws mosaics of the structures of a training set.

    weights: (M,) probability of each structure as a partner.
    """

    system: BoundarySystem
    structures: Sequence[Candidate]
    weights: NDArray[np.float64]

    def single(self, index: int) -> Piece:
        """Structure ``index`` itself."""
        row = self.structures[index]
        excess = excess_energies(vars(row))
        parent = Parent(row.positions, excess, np.asarray(row.registry_relaxed))
        parent = replace(parent, species=self.system.own_numbers(row.numbers))
        return Piece(parent, row.gb_energy_j_m2, row.n_fraction)

    def draw(self, index: int, larger: BoundarySystem, rng: np.random.Generator) -> Piece:
        """Structure ``index`` repeated to a larger cell, with parts of other structures in it.

        A cell of two structures gets a part of one other, a cell of four parts of two.

        Args:
            larger: the system, replicated to the larger cell.
        """
        piece = self._tiled(index, larger)
        for _ in range(round(larger.bicrystal.area / self.system.bicrystal.area) // 2):
            piece = self._crossed(piece, larger, rng)
        return piece

    @cached_property
    def _shortest(self) -> float:
        """Shortest distance between two atoms of any structure, Å."""
        cell = self.system.frame.cell
        return min(closest_pair(row.positions, cell) for row in self.structures)

    def _tiled(self, index: int, larger: BoundarySystem) -> Piece:
        piece, cell = self.single(index), self.system.bicrystal.cell
        x, y = np.rint(np.diag(larger.bicrystal.cell) / np.diag(cell)).astype(int).tolist()
        return replace(piece, parent=tile(piece.parent, cell, (x, y)))

    def _crossed(self, piece: Piece, larger: BoundarySystem, rng: np.random.Generator) -> Piece:
        """The piece with a part of a partner that fits, or the piece itself if none is found."""
        parent, frame = piece.parent, larger.frame
        for _ in range(NUM_TRIES):
            partner = self._tiled(int(rng.choice(len(self.structures), p=self.weights)), larger)
            proposal = crossover(parent, partner.parent, frame, rng)
            if proposal is None:
                continue
            if closest_pair(proposal.positions, frame.cell) < SQUEEZED * self._shortest:
                continue
            # Excess energies choose windows only: each atom takes that of its site in the parent.
            neighbors = Neighbors(parent.positions, frame.bicrystal.cell)
            _, nearest = neighbors.nearest(frame.bicrystal.wrap(proposal.positions))
            numbers = larger.own_numbers(proposal.species)
            return Piece(
                Parent(proposal.positions, parent.excess_ev[nearest], parent.registry, numbers),
                (piece.energy_j_m2 + partner.energy_j_m2) / 2,
                n_fraction(len(proposal.positions), larger.bicrystal.atoms_per_plane),
            )
        return piece
