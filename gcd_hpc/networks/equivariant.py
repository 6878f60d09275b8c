"""Equivariant message passing: scalars and vectors of each atom, and a score from the vectors.

Turning, reflecting or shifting a structure turns and reflects the vectors and leaves the scalars
as they are, by construction; nothing of it has to be learned. The layers follow PaiNN
(Schütt et al., 2021) with an embedding of the noise level.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gcd_hpc.networks.neighbours import RadiusGraph, neighbours

NUM_BESSEL = 12
FREQUENCIES = (0.3, 3.0)
"""Lowest and highest frequency of the embedding of log sigma.

The highest tells levels a tenth apart; the lowest orders all levels between 0.01 and 1 Å.
"""
MESSAGE_SCALE = 0.2
"""Factor of sums over neighbours, of which carbon has about 14 within 3 Å."""
EDGES_PER_CHUNK = {"cpu": 1024, "cuda": 2**18}
"""Edges whose messages are computed at once: on a CPU, as many as its cache holds."""
KEPT_EDGES = 2**16
"""Number of edges above which the backward pass computes the messages again.

Keeping them would take 5 kB an edge and layer at a width of 48, which is 1 GB at 200,000 edges.
"""
EDGES_PER_RECOMPUTATION = 2**15
"""Edges whose messages are computed again at once; each time costs a pass over all atoms."""
TINY = 1e-8
"""Added to squared lengths, whose root has no gradient at zero."""


class EquivariantNet(nn.Module):
    """Backbone for one element in a periodic box: scalars and vectors of each atom.

    It uses only differences of positions within the cutoff, so it is invariant to translation and
    wrapping, and equivariant to permutation, rotation and reflection.
    """

    def __init__(self, width: int, num_layers: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.width = width
        self.element = nn.Parameter(torch.randn(width))
        self.noise = NoiseEmbedding(width)
        self.messages = nn.ModuleList(Message(width) for _ in range(num_layers))
        self.updates = nn.ModuleList(Update(width) for _ in range(num_layers))

    def forward(
        self, positions: Tensor, lengths: Tensor, log_sigma: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scalars (B, N, W) and vectors (B, N, 3, W) of the atoms.

        Args:
            positions: (B, N, 3), wrapped or not.
            lengths: (3,) of the box of all structures, or (B, 3) of each.
            log_sigma: (B,) natural logarithm of the noise level in the unit of the positions; any
                fixed number for a network of clean structures.

        Raises:
            StructureError: if the cutoff is longer than half the box.
        """
        num_batch, num_atoms, _ = positions.shape
        # bfloat16 does not resolve a displacement of 0.01 Å.
        with torch.autocast(positions.device.type, enabled=False):
            graph = neighbours(positions, lengths, self.cutoff)
            distance = (graph.vector.square().sum(dim=1) + TINY).sqrt()  # (E,)
            direction = graph.vector / distance[:, None]  # (E, 3)
            radial = bessel(distance, self.cutoff)  # (E, 12)
            scalars = (self.element + self.noise(log_sigma)).repeat_interleave(num_atoms, dim=0)
        vectors = scalars.new_zeros(graph.num_nodes, 3, self.width)
        for message, update in zip(self.messages, self.updates, strict=True):
            scalars, vectors = message(scalars, vectors, graph, radial, direction)
            scalars, vectors = update(scalars, vectors)
        return (
            scalars.reshape(num_batch, num_atoms, -1),
            vectors.reshape(num_batch, num_atoms, 3, -1),
        )


class EquivariantScore(nn.Module):
    """Predicts s sigma, the score times the noise level: a vector for each atom."""

    def __init__(self, width: int, num_layers: int, cutoff: float) -> None:
        super().__init__()
        self.backbone = EquivariantNet(width, num_layers, cutoff)
        self.gate = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.mix = nn.Linear(width, 1, bias=False)

    def forward(self, positions: Tensor, lengths: Tensor, log_sigma: Tensor) -> Tensor:
        """positions (B, N, 3), lengths (3,) or (B, 3), log_sigma (B,) -> (B, N, 3)."""
        scalars, vectors = self.backbone(positions, lengths, log_sigma)
        mixed: Tensor = self.mix(vectors * self.gate(scalars)[:, :, None, :])  # (B, N, 3, 1)
        return mixed[..., 0].to(positions.dtype)


class NoiseEmbedding(nn.Module):
    """sin and cos of f log sigma at geometrically spaced frequencies f, and two dense layers."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        lowest, highest = (math.log10(frequency) for frequency in FREQUENCIES)
        self.register_buffer("frequencies", torch.logspace(lowest, highest, width // 2))
        self.dense = nn.Sequential(
            nn.Linear(2 * (width // 2), width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, log_sigma: Tensor) -> Tensor:
        """(B,) -> (B, width)."""
        angles = log_sigma[:, None] * self.frequencies
        embedded: Tensor = self.dense(torch.cat([angles.sin(), angles.cos()], dim=1))
        return embedded


class Message(nn.Module):
    """Sums over neighbours: with a, b, c = phi(h_j) W(d_ij) and the unit vector u_ij to j,
    h_i <- h_i + 0.2 sum a and v_i <- v_i + 0.2 sum (b v_j + c u_ij).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_neighbor = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3 * width)
        )
        self.of_distance = nn.Linear(NUM_BESSEL, 3 * width, bias=False)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        graph: RadiusGraph,
        radial: Tensor,
        direction: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """scalars (M, W), vectors (M, 3, W), radial (E, 12), direction (E, 3) -> the first two."""
        num_nodes, width = scalars.shape
        nodes = torch.cat([self.of_neighbor(scalars).to(scalars.dtype), vectors.flatten(1)], dim=1)
        total = scalars.new_zeros(num_nodes, 4 * width)  # scalars, then vectors
        num_edges = len(graph.center)
        is_kept = num_edges <= KEPT_EDGES or not torch.is_grad_enabled()
        size = EDGES_PER_CHUNK.get(scalars.device.type, num_edges + 1)
        for part in _chunks(num_edges, size if is_kept else EDGES_PER_RECOMPUTATION):
            parts = (nodes, graph.neighbor[part], radial[part], direction[part])
            if is_kept:
                messages = self._messages(*parts)
            else:
                messages = checkpoint(self._messages, *parts, use_reentrant=False)
            total.index_add_(0, graph.center[part], messages)
        to_scalars, to_vectors = (MESSAGE_SCALE * total).split((width, 3 * width), dim=1)
        return scalars + to_scalars, vectors + to_vectors.reshape(num_nodes, 3, width)

    def _messages(
        self, nodes: Tensor, neighbor: Tensor, radial: Tensor, direction: Tensor
    ) -> Tensor:
        """nodes (M, 6 W), and for each edge its neighbour, radial, direction -> (E, 4 W)."""
        width = nodes.shape[1] // 6
        of_neighbor, vectors = nodes.index_select(0, neighbor).split(3 * width, dim=1)
        weights = of_neighbor * self.of_distance(radial)  # (E, 3 W)
        of_scalar, of_vector, of_direction = weights.split(width, dim=1)
        moved = vectors.reshape(-1, 3, width) * of_vector[:, None, :]
        moved = moved + of_direction[:, None, :] * direction[:, :, None]  # (E, 3, W)
        return torch.cat([of_scalar, moved.flatten(1)], dim=1).to(nodes.dtype)


class Update(nn.Module):
    """Mixes the scalars and vectors of each atom: with p, q, r = psi(h, |V v|),
    v <- v + p U v and h <- h + q <U v, V v> + r.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 3 * width)
        )

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """scalars (M, W), vectors (M, 3, W) -> the same."""
        first, second = self.mix(vectors).chunk(2, dim=2)  # (M, 3, W) each: U v, V v
        length = (second.square().sum(dim=1) + TINY).sqrt()  # (M, W)
        gates = self.dense(torch.cat([self.norm(scalars), length.to(scalars.dtype)], dim=1))
        of_vector, of_product, rest = gates.chunk(3, dim=1)
        product = (first * second).sum(dim=1)
        return scalars + of_product * product + rest, vectors + of_vector[:, None, :] * first


def bessel(distance: Tensor, cutoff: float) -> Tensor:
    """Radial functions sqrt(2 / c) sin(n pi d / c) / d, n = 1 to 12, that end smoothly.

    The factor (1 + cos(pi d / c)) / 2 lets value and slope vanish at the cutoff c.
    distance (E,) -> (E, 12). Source: Gasteiger et al. (2020), eq. 7.
    """
    orders = torch.arange(1, NUM_BESSEL + 1, dtype=distance.dtype, device=distance.device)
    angle = math.pi / cutoff * distance[:, None]
    smooth = 0.5 * (1.0 + angle.cos())
    return math.sqrt(2.0 / cutoff) * (orders * angle).sin() / distance[:, None] * smooth


def _chunks(num_edges: int, size: int) -> Iterator[slice]:
    for first in range(0, num_edges, size):
        yield slice(first, first + size)
