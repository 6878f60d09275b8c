"""Who is whose neighbour in a periodic box: the edges of the particle model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gcd_hpc.errors import StructureError


@dataclass(frozen=True)
class RadiusGraph:
    """Edges i -> j of all structures of a batch in one graph: atom n of structure b is node b N +
    n. Sorted by i, then j.
    """

    center: Tensor  # (E,) i
    neighbor: Tensor  # (E,) j
    vector: Tensor  # (E, 3) r_j - r_i of the nearest image
    num_nodes: int


def radius_graph(positions: Tensor, lengths: Tensor, cutoff: float) -> RadiusGraph:
    """All pairs of different atoms that are closer than the cutoff; each pair is two edges.

    Compares all N^2 pairs, which up to a few hundred atoms is faster than any cell list.

    Args:
        positions: (B, N, 3), wrapped or not.
        lengths: (3,) of the orthorhombic box, periodic along all axes.
        cutoff: at most half the shortest length, so that no pair meets twice.

    Raises:
        StructureError: if the cutoff is longer than that.
    """
    shortest = float(lengths.min())
    if cutoff > 0.5 * shortest:
        raise StructureError(
            f"cutoff: expected at most half the shortest box length, {0.5 * shortest:g}, got"
            f" {cutoff:g}; repeat the box"
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
