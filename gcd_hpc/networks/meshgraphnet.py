"""Graph network of the particle model: MeshGraphNets with one edge set.

An MLP is two dense layers with SiLU after the first and LayerNorm after the second. The output MLP
has no LayerNorm.
"""

import math

import torch
from torch import Tensor, nn

from gcd_hpc.networks.neighbours import RadiusGraph, neighbours


class MeshGraphNet(nn.Module):
    """Predicts numbers of each atom for one element in a periodic box.

    The three default outputs are s sigma_t, the score times the noise level. The network uses only
    differences of positions, so it is invariant to translation and wrapping, and equivariant to
    permutation of the atoms. It is not invariant to rotation, which it learns from rotated edges.
    """

    def __init__(self, width: int, num_layers: int, cutoff: float, num_outputs: int = 3) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.element = mlp(1, width)
        self.time = nn.Sequential(FourierFeatures(width), mlp(width, width))
        self.edge = mlp(4, width)
        self.layers = nn.ModuleList(MessageLayer(width) for _ in range(num_layers))
        self.output = mlp(width, num_outputs, has_norm=False, hidden=width)

    def forward(
        self, positions: Tensor, lengths: Tensor, t: Tensor, rotation: Tensor | None = None
    ) -> Tensor:
        """positions (B, N, 3), lengths (3,), t (B,) -> (B, N, outputs); builds the graph each time.

        Args:
            rotation: (3, 3) that turns all edges, because a periodic box itself cannot be turned.
        """
        num_batch, num_atoms, _ = positions.shape
        # bfloat16 does not resolve a displacement of 0.01 a.
        with torch.autocast(positions.device.type, enabled=False):
            graph = neighbours(positions, lengths, self.cutoff)
            vector = graph.vector / self.cutoff
            if rotation is not None:
                vector = vector @ rotation.T
            # Edge features (E, W), eq. 11; node features (B N, W) of the only element, eq. 10.
            edges = self.edge(torch.cat([vector, vector.norm(dim=1, keepdim=True)], dim=1))
            one_hot = torch.ones(1, 1, dtype=positions.dtype, device=positions.device)
            nodes = (self.element(one_hot) + self.time(t)).repeat_interleave(num_atoms, dim=0)
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, graph)
        outputs: Tensor = self.output(nodes)  # eq. 12
        return outputs.to(positions.dtype).reshape(num_batch, num_atoms, -1)


class MessageLayer(nn.Module):
    """e_ij <- e_ij + M(e_ij, h_i, h_j), then h_i <- h_i + M(h_i, sum_j e_ij).

    Source: Pfaff et al. (2021), eq. 3.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # The first dense layer of the edge MLP is split in three, so that the products of the
        # nodes are computed once a node and not once an edge.
        self.from_edge = nn.Linear(width, width)
        self.from_center = nn.Linear(width, width, bias=False)
        self.from_neighbor = nn.Linear(width, width, bias=False)
        for part in (self.from_edge, self.from_center, self.from_neighbor):
            nn.init.uniform_(part.weight, -1.0 / math.sqrt(3 * width), 1.0 / math.sqrt(3 * width))
        self.edge_rest = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.LayerNorm(width))
        self.node = mlp(2 * width, width)

    def forward(self, nodes: Tensor, edges: Tensor, graph: RadiusGraph) -> tuple[Tensor, Tensor]:
        """nodes (M, W), edges (E, W) -> the same."""
        first = self.from_edge(edges)
        first = first + self.from_center(nodes).index_select(0, graph.center)
        first = first + self.from_neighbor(nodes).index_select(0, graph.neighbor)
        edges = edges + self.edge_rest(first)
        total = torch.zeros_like(nodes).index_add(0, graph.center, edges.to(nodes.dtype))
        return nodes + self.node(torch.cat([nodes, total], dim=1)), edges


class FourierFeatures(nn.Module):
    """sin and cos of 2 pi f t with fixed random normal frequencies f (Tancik et al., 2020)."""

    frequencies: Tensor
    SCALE = 4.0

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", self.SCALE * torch.randn(size // 2))

    def forward(self, t: Tensor) -> Tensor:
        """(B,) -> (B, size)."""
        angles = 2.0 * math.pi * t[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)


def mlp(
    num_in: int, num_out: int, has_norm: bool = True, hidden: int | None = None
) -> nn.Sequential:
    """Two dense layers with SiLU between; ``hidden`` is the inner width, else the output's."""
    hidden = num_out if hidden is None else hidden
    layers: list[nn.Module] = [nn.Linear(num_in, hidden), nn.SiLU(), nn.Linear(hidden, num_out)]
    return nn.Sequential(*layers, *[nn.LayerNorm(num_out)] * has_norm)
