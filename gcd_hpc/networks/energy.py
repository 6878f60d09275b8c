"""Extensive network of the boundary energy: a sum of contributions of the unknown voxels."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.networks.layers import Periodic, PeriodicConv3d, fold, repeats_of
from gcd_hpc.networks.unet import NoiseEmbedding

LEAST_STD = 0.01
"""Least standard deviation of a prediction, J/m^2; no force field tells energies more closely."""


class EnergyNetwork(nn.Module):
    """Mean and log variance of the boundary energy of a noisy array at its noise level.

    The way down of a U-Net ends in contributions of single voxels, which are summed and divided by
    the area. Every layer works on the surroundings of a voxel only, and none normalises. So
    the sum is extensive: a cell of 2 x 2 copies has four times the sum, and a network that has
    learned from small cells can be used in large ones. The variance is that of a sum of independent
    contributions, and that of the network itself, which a larger area does not lower.

    Arrays are periodic along x and y and open along z. Along x and y, numbers of voxels that the
    levels cannot divide are repeated until they can.

    Source: docs/science.md#energy-network.
    """

    def __init__(
        self, config: NetworkConfig, in_channels: int, periodic: Periodic = (True, True, False)
    ) -> None:
        super().__init__()
        self.patch, self.multiple = config.patch, config.voxel_multiple
        self.periodic = periodic
        widths = [config.width * 2**level for level in range(config.num_levels)]
        size = 4 * config.width
        self.noise_embedding = NoiseEmbedding(size)
        self.first = PeriodicConv3d(in_channels * config.patch**3, widths[0], periodic)
        self.blocks = nn.ModuleList(
            nn.ModuleList(LocalBlock(width, size, periodic) for _ in range(config.num_blocks))
            for width in widths
        )
        self.shrink = nn.ModuleList(
            nn.Conv3d(width, wider, 2, stride=2) for width, wider in pairwise(widths)
        )
        self.last_norm = ChannelScale(widths[-1])
        self.last = nn.Conv3d(widths[-1], 2, 1)
        self.own_variance = nn.Linear(size, 1)
        for layer in (self.last, self.own_variance):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, log_snr: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The network's estimate of the boundary energy.

        Args:
            x: (B, C, X, Y, Z).
            log_snr: (B,) lambda = log(alpha / sigma).
            unknown: (X, Y, Z) or (B, 1, X, Y, Z) bool, True where a voxel is counted.

        Returns:
            Mean and log variance, (B,) each, and the contributions (B, X', Y', Z') that the mean is
            the sum of, over the number of columns X' Y'. All are in the unit of the labels.
        """
        embedded = functional.silu(self.noise_embedding(log_snr))  # (B, E)
        repeats = repeats_of(x, self.multiple, self.periodic)
        counted = unknown.to(x.dtype)
        counted = counted[None, None] if counted.ndim == 3 else counted
        if max(repeats) > 1:
            x, counted = x.repeat(1, 1, *repeats), counted.repeat(1, 1, *repeats)
        # The way down.
        y = self.first(fold(x, self.patch))
        for level, blocks in enumerate(self.blocks):
            if level > 0:
                y = self.shrink[level - 1](y)
            for block in blocks.children():
                y = block(y, embedded)
        parts = self.last(functional.silu(self.last_norm(y)))  # (B, 2, X', Y', Z')
        # Contributions count by the share of their voxels that is unknown. The number of columns
        # stands for the area.
        share = functional.avg_pool3d(counted, self.multiple)
        num_columns = parts.shape[2] * parts.shape[3]
        contributions = parts[:, 0] * share[:, 0]
        energy = contributions.sum(dim=(1, 2, 3)) / num_columns
        variance = (functional.softplus(parts[:, 1]) * share[:, 0]).sum(dim=(1, 2, 3))
        # Copies that only the levels need are no independent contributions.
        variance = variance * math.prod(repeats) / num_columns**2
        variance = variance + functional.softplus(self.own_variance(embedded)[:, 0])
        return energy, torch.log(variance + LEAST_STD**2), contributions

    @torch.no_grad()
    def measure(self, x: Tensor, log_snr: Tensor, unknown: Tensor, energies: Tensor) -> None:
        """Let the affine maps begin as normalisations of this batch, and the mean as its energy.

        Without the latter the first hundred steps move the mean alone, and overshoot.

        Args:
            x, log_snr, unknown: as for ``forward``, before any training.
            energies: (B,) labels.
        """
        scales = [one for one in self.modules() if isinstance(one, ChannelScale)]
        for one in scales:
            one.is_measuring = True
        self(x, log_snr, unknown)
        for one in scales:
            one.is_measuring = False
        # The weights of the last layer are zero, so that energies are proportional to its bias.
        assert self.last.bias is not None
        self.last.bias[0] = 1.0
        unit, _, _ = self(x, log_snr, unknown)
        self.last.bias[0] = energies.mean() / unit.mean()

    def pooled(self, field: Tensor) -> Tensor:
        """Contributions (B, X', Y', Z') of a known field of energies.

        Args:
            field: (B, 1, X, Y, Z), whose sum over the voxels is the energy.
        """
        repeats = repeats_of(field, self.multiple, self.periodic)
        field = field.repeat(1, 1, *repeats) if max(repeats) > 1 else field
        sums: Tensor = functional.avg_pool3d(field, self.multiple)[:, 0] * self.multiple**3
        num_columns = sums.shape[1] * sums.shape[2]
        return sums * (num_columns / math.prod(repeats))


class LocalBlock(nn.Module):
    """x + conv(SiLU(FiLM(norm(conv(SiLU(norm(x))))))), with affine maps as norms."""

    def __init__(self, width: int, embedding: int, periodic: Periodic) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelScale(width), ChannelScale(width)
        self.conv1 = PeriodicConv3d(width, width, periodic)
        self.conv2 = PeriodicConv3d(width, width, periodic)
        self.film = nn.Linear(embedding, 2 * width)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """x (B, C, X, Y, Z), embedded (B, E) -> (B, C, X, Y, Z)."""
        y = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.film(embedded)[..., None, None, None].chunk(2, dim=1)
        y = self.norm2(y) * (1.0 + scale) + shift
        out: Tensor = x + self.conv2(functional.silu(y))
        return out


class ChannelScale(nn.Module):
    """Affine map of each channel, which begins as the normalisation of a first batch.

    Statistics of the array itself, as of a GroupNorm, would make contributions depend on the whole
    cell, and those of the channels of one voxel hide how much is in it: with these the network fits
    contributions forty times worse in the same number of steps.

    Source: Kingma and Dhariwal (2018), arXiv 1807.03039, section 3.1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1, 1, 1))
        self.bias = nn.Parameter(torch.zeros(width, 1, 1, 1))
        self.is_measuring = False

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> the same."""
        if self.is_measuring:
            std, mean = torch.std_mean(x, dim=(0, 2, 3, 4), keepdim=True)
            self.weight.copy_(1.0 / (std[0] + 1e-3))
            self.bias.copy_(-mean[0] * self.weight)
        return x * self.weight + self.bias
