"""Neighbour graph of atoms in a periodic box: the edges of the particle model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gcd_hpc.errors import StructureError


@dataclass(frozen=True)
class RadiusGraph:
    """Edges i -> j of a batch, sorted by i, then j; atom n of structure b is node b N + n."""

    center: Tensor  # (E,) i
    neighbor: Tensor  # (E,) j
    vector: Tensor  # (E, 3) r_j - r_i of the nearest image
    num_nodes: int


def radius_graph(positions: Tensor, lengths: Tensor, cutoff: float) -> RadiusGraph:
    """Graph of all pairs of different atoms closer than the cutoff; each pair is two edges.

    All N^2 pairs are compared, which is faster than a cell list up to a few hundred atoms.

    Args:
        positions: (B, N, 3), wrapped or not.
        lengths: (3,) of the orthorhombic box, periodic along all axes.
        cutoff: at most half the shortest length, so that no pair occurs twice.

    Raises:
        StructureError: if the cutoff is longer.
    """
    shortest = float(lengths.min())
    if cutoff > 0.5 * shortest:
        raise StructureError(
            f"the cutoff of {cutoff:g} Å is longer than half the shortest box length,"
            f" {0.5 * shortest:g} Å, so that pairs would occur twice; repeat the box"
        )
    num_batch, num_atoms, _ = positions.shape
    vectors = positions[:, None, :, :] - positions[:, :, None, :]  # (B, N, N, 3) r_j - r_i
    vectors = vectors - lengths * torch.round(vectors / lengths)
    squares = vectors.square().sum(dim=-1)
    is_edge = squares < cutoff**2
    is_edge &= ~torch.eye(num_atoms, dtype=torch.bool, device=positions.device)
    batch, i, j = is_edge.nonzero(as_tuple=True)  # (E,) each
    return RadiusGraph(
        batch * num_atoms + i, batch * num_atoms + j, vectors[is_edge], num_batch * num_atoms
    )
