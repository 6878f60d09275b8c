"""Extensive network of the boundary energy: a sum of contributions of atoms."""

import torch
from torch import Tensor, nn

LARGEST = 8.0
"""Largest invariant that is used, in standard deviations; pairs that nearly touch have larger."""


class AtomicNetwork(nn.Module):
    """Contributions of atoms to the boundary energy, from the invariants of their surroundings.

    Each atom has two: one whose sum is the energy, and one that is its own energy after
    relaxation, which helps the layers before it to learn.

    Source: Behler and Parrinello (2007); docs/science.md#energy-network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_invariants: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_invariants))
        self.register_buffer("std", torch.ones(num_invariants))
        self.layers = nn.Sequential(
            nn.Linear(num_invariants, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def scaled(self, invariants: Tensor) -> Tensor:
        """Invariants (M, D) in standard deviations, bounded."""
        scaled = (invariants - self.mean) / self.std
        return scaled.clamp(-LARGEST, LARGEST)

    def forward(self, scaled: Tensor, structure: Tensor, areas: Tensor) -> tuple[Tensor, Tensor]:
        """Energies of structures (B,), and energies of their atoms (M,).

        Args:
            scaled: (M, D) as ``scaled`` gives them.
            structure: (M,) number of each atom's structure.
            areas: (B,) of the boundaries, in the unit of area of the labels.
        """
        summed, local = self.layers(scaled).unbind(dim=1)
        sums = areas.new_zeros(len(areas)).index_add(0, structure, summed)
        return sums / areas, local
