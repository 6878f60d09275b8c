"""Estimate of the relaxed boundary energy from the atoms of a structure before its relaxation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.config.learning import AtomicConfig
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.networks.atomic import AtomicNetwork
from gcd_hpc.networks.precision import one_thread
from gcd_hpc.store.alloys import kinds_of
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.invariants import invariants, num_invariants

DEPTH = 3.5
"""Distance from the middle of the boundary within which atoms count, in nearest-neighbour
distances: 9.6 Å in tungsten, where relaxed atoms have an excess energy of 0.002 eV.
"""


@dataclass(frozen=True)
class AtomEnergies:
    """Network whose estimate for a structure before relaxation ranks it."""

    network: AtomicNetwork

    def estimate(self, system: BoundarySystem, row: Candidate) -> float:
        """Boundary energy that the row's structure will have after relaxation, J/m^2.

        NaN if no atom lies near the boundary. The bits do not depend on the number of threads.
        """
        index = boundary_atoms(system, row)
        if not len(index):
            return math.nan
        found = torch.from_numpy(row_invariants(system, row, index))
        area = torch.tensor([row_area(system, row)])
        with torch.no_grad(), one_thread():
            scaled = self.network.scaled(found)
            energy, _ = self.network(scaled, torch.zeros(len(index), dtype=torch.long), area)
        return float(energy)


def atomic_network(config: AtomicConfig, num_kinds: int) -> AtomicNetwork:
    """Network with random weights for structures of this number of elements."""
    return AtomicNetwork(num_invariants(num_kinds), config.width)


def boundary_atoms(system: BoundarySystem, row: Candidate) -> NDArray[np.intp]:
    """Atoms that are near the boundary before relaxation, as indices."""
    depth = DEPTH * system.bicrystal.nearest_neighbor
    height = row.unrelaxed_positions[:, 2] - system.frame.centre
    return np.flatnonzero(np.abs(height) < depth)


def row_invariants(
    system: BoundarySystem, row: Candidate, index: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Invariants of some atoms of a row before relaxation, (M, D)."""
    elements: Sequence[str] = system.channels.symbols
    numbers = system.numbers_of(row.unrelaxed_positions, system.own_numbers(row.numbers))
    return invariants(
        row.unrelaxed_positions,
        system.frame.cell,
        index,
        system.bicrystal.nearest_neighbor,
        kinds_of(numbers, elements),
        len(elements),
    )


def row_area(system: BoundarySystem, row: Candidate) -> float:
    """Area of a row's boundary in squared nearest-neighbour distances."""
    return row.area_a2 / system.bicrystal.nearest_neighbor**2
