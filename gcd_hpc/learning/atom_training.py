"""Training of the part of an energy model that ranks structures, on all relaxed rows of some runs.

A row gives the structure before relaxation and the energy that it has in the end. The energies of
its atoms after relaxation are a second label.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gcd_hpc.config.learning import AtomicConfig
from gcd_hpc.learning.atom_energies import (
    AtomEnergies,
    atomic_network,
    boundary_atoms,
    row_area,
    row_invariants,
)
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.trainer import seeded, trained_along_cosine
from gcd_hpc.networks.atomic import AtomicNetwork
from gcd_hpc.seeds import ENERGY, generator
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import J_PER_M2

Report = Callable[[int, int], None]
"""Callback with the number of steps done and their total."""

NUM_SCALED = 512
"""Most rows from which mean and spread of the invariants are measured."""
LEAST_STD = 1e-4
"""Least spread of an invariant; one that hardly changes is not blown up."""
ATOMS = 2
"""Key of the random stream that draws batches."""


@dataclass(frozen=True)
class AtomRows:
    """Rows as the network learns from them. The atoms of all rows stand one after the other."""

    scaled: NDArray[np.float16]
    """(A, D) invariants in standard deviations. Half precision holds 45,000 rows of tungsten's
    Sigma5 twist in 2 GB."""
    local: NDArray[np.float32]
    """(A,) excess energies after relaxation, over a squared nearest-neighbour distance, J/m^2."""
    start: NDArray[np.intp]
    """(M + 1,) first atom of each row, and the end."""
    areas: NDArray[np.float32]
    """(M,) in squared nearest-neighbour distances."""
    energies: NDArray[np.float32]
    """(M,) J/m^2."""

    def batch(self, rows: NDArray[np.integer]) -> "Batch":
        """Some rows as arguments and labels of the network."""
        atoms = np.concatenate([np.arange(self.start[row], self.start[row + 1]) for row in rows])
        counts = torch.from_numpy(np.diff(self.start)[rows])
        return Batch(
            torch.from_numpy(self.scaled[atoms]).float(),
            torch.repeat_interleave(torch.arange(len(rows)), counts),
            torch.from_numpy(self.areas[rows]),
            torch.from_numpy(self.local[atoms]),
            torch.from_numpy(self.energies[rows]),
        )


@dataclass(frozen=True)
class Batch:
    """Some rows: arguments of the network, then labels."""

    scaled: Tensor
    structure: Tensor
    areas: Tensor
    local: Tensor
    energies: Tensor


def fitted_atoms(
    sources: Sequence[TrainingSource],
    config: AtomicConfig,
    seed: int,
    report: Report = lambda step, num_steps: None,
) -> AtomEnergies:
    """Network that has learned from all rows: the moving average of its weights.

    It is trained with one thread, so that the bits are the same on any machine of one kind.

    Raises:
        TrainingError: if a loss or a gradient is not finite.
    """
    num_kinds = len(sources[0].system.channels)
    network = seeded(lambda: atomic_network(config, num_kinds), seed)
    pairs = [(source.system, row) for source in sources for row in source.structures]
    measure_scale(network, pairs)
    rows = atom_rows(network, pairs)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )

    def losses(step: int) -> list[Callable[[], Tensor]]:
        chosen = generator(seed, ENERGY, ATOMS, step).integers(len(pairs), size=config.batch_size)
        return [lambda: atom_loss(network, rows.batch(chosen), config)]

    weights = trained_along_cosine(network, optimizer, losses, config, report)
    network.load_state_dict({**network.state_dict(), **weights})
    return AtomEnergies(network.eval().requires_grad_(False))


def atom_loss(network: AtomicNetwork, batch: Batch, config: AtomicConfig) -> Tensor:
    """Huber loss of the energies, and squared error of the energies of the atoms."""
    energies, local = network(batch.scaled, batch.structure, batch.areas)
    of_sums = functional.huber_loss(energies, batch.energies, delta=config.outlier_j_m2)
    return of_sums + config.local_weight * functional.mse_loss(local, batch.local)


def measure_scale(
    network: AtomicNetwork, pairs: Sequence[tuple[BoundarySystem, Candidate]]
) -> None:
    """Set mean and spread of the invariants to those of some of the rows."""
    some = pairs[:: 1 + len(pairs) // NUM_SCALED]
    found = np.concatenate(
        [row_invariants(system, row, boundary_atoms(system, row)) for system, row in some]
    ).astype(np.float64)
    network.mean.copy_(torch.from_numpy(found.mean(axis=0)))
    network.std.copy_(torch.from_numpy(found.std(axis=0) + LEAST_STD))


def atom_rows(
    network: AtomicNetwork, pairs: Sequence[tuple[BoundarySystem, Candidate]]
) -> AtomRows:
    """The table of the rows, with the network's scale."""
    scaled, local = [], []
    for system, row in pairs:
        index = boundary_atoms(system, row)
        found = torch.from_numpy(row_invariants(system, row, index))
        scaled.append(network.scaled(found).half().numpy())
        excess = excess_energies(vars(row))[index] * J_PER_M2
        local.append((excess / system.bicrystal.nearest_neighbor**2).astype(np.float32))
    return AtomRows(
        np.concatenate(scaled),
        np.concatenate(local),
        np.cumsum([0, *map(len, local)]),
        np.array([row_area(system, row) for system, row in pairs], dtype=np.float32),
        np.array([row.gb_energy_j_m2 for _, row in pairs], dtype=np.float32),
    )
