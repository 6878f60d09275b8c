"""Neighbour graph of atoms in a periodic box: the edges of the particle networks."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.periodic import wrap

DENSE_ATOMS = 700
"""Largest structure whose pairs are all compared; above, a kd-tree is faster and needs less memory.

At 700 atoms and 14 neighbours each, both take 10 ms on one core.
"""
MARGIN = 1e-4
"""Relative excess of the kd-tree's cutoff, so that rounding loses no edge; the rest is removed."""


@dataclass(frozen=True)
class RadiusGraph:
    """Edges i -> j of a batch, sorted by i, then j; atom n of structure b is node b N + n."""

    center: Tensor  # (E,) i
    neighbor: Tensor  # (E,) j
    vector: Tensor  # (E, 3) r_j - r_i of the nearest image
    num_nodes: int


def neighbours(positions: Tensor, lengths: Tensor, cutoff: float) -> RadiusGraph:
    """Graph of all pairs of different atoms closer than the cutoff; each pair is two edges.

    Small structures compare all pairs; large ones use a kd-tree, on the CPU, with the same result
    bit for bit. The vectors carry the gradient with respect to the positions.

    Args:
        positions: (B, N, 3), wrapped or not.
        lengths: (3,) of the orthorhombic box of all structures, or (B, 3) of each; periodic along
            all axes.
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
    if positions.shape[1] <= DENSE_ATOMS:
        return _from_all_pairs(positions, lengths, cutoff)
    return _from_tree(positions, lengths, cutoff)


def _from_all_pairs(positions: Tensor, lengths: Tensor, cutoff: float) -> RadiusGraph:
    num_batch, num_atoms, _ = positions.shape
    vectors = positions[:, None, :, :] - positions[:, :, None, :]  # (B, N, N, 3) r_j - r_i
    vectors = _nearest_image(vectors, lengths.reshape(-1, 1, 1, 3))
    is_edge = vectors.detach().square().sum(dim=-1) < cutoff**2
    is_edge &= ~torch.eye(num_atoms, dtype=torch.bool, device=positions.device)
    batch, i, j = is_edge.nonzero(as_tuple=True)  # (E,) each
    return RadiusGraph(
        batch * num_atoms + i, batch * num_atoms + j, vectors[is_edge], num_batch * num_atoms
    )


def _from_tree(positions: Tensor, lengths: Tensor, cutoff: float) -> RadiusGraph:
    num_batch, num_atoms, _ = positions.shape
    boxes = lengths.detach().double().cpu().expand(num_batch, 3).numpy()
    points = positions.detach().double().cpu().numpy()
    edges = [
        _tree_pairs(points[item], boxes[item], cutoff) + item * num_atoms
        for item in range(num_batch)
    ]
    pairs = torch.from_numpy(np.concatenate(edges)).to(positions.device)  # (E, 2) nodes
    center, neighbor = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
    flat = positions.reshape(-1, 3)
    of_edges = lengths.expand(num_batch, 3)[center // num_atoms]
    vectors = _nearest_image(flat[neighbor] - flat[center], of_edges)
    is_edge = vectors.detach().square().sum(dim=-1) < cutoff**2
    return RadiusGraph(center[is_edge], neighbor[is_edge], vectors[is_edge], num_batch * num_atoms)


def _tree_pairs(points: np.ndarray, lengths: np.ndarray, cutoff: float) -> np.ndarray:
    """Pairs (E, 2) of atoms up to slightly beyond the cutoff, in both orders and sorted."""
    tree = cKDTree(wrap(points, lengths), boxsize=lengths)
    found = tree.query_pairs(cutoff * (1.0 + MARGIN), output_type="ndarray").astype(np.int64)
    both = np.concatenate([found, found[:, ::-1]])
    return both[np.argsort(both[:, 0] * len(points) + both[:, 1])]


def _nearest_image(vectors: Tensor, lengths: Tensor) -> Tensor:
    """The shortest image of vectors (..., 3) in boxes whose lengths broadcast against them."""
    return vectors - lengths * torch.round(vectors / lengths)


def spatial_order(positions: np.ndarray, lengths: ArrayLike, edge: float) -> NDArray[np.intp]:
    """Order of atoms (N, 3) by the cells of about ``edge`` that they lie in, x slowest.

    In this order the neighbours of consecutive atoms lie close in memory.
    """
    box = np.asarray(lengths, dtype=float)
    shape = np.maximum(1, np.floor(box / edge)).astype(int)
    cells = np.minimum((wrap(positions, box) / box * shape).astype(int), shape - 1)  # (N, 3)
    return np.argsort(np.ravel_multi_index(tuple(cells.T), tuple(shape)), kind="stable")
