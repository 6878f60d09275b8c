"""3D U-Net after Palette, without attention, for arrays with periodic and open axes."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.networks.layers import (
    Periodic,
    PeriodicConv3d,
    ResidualBlock,
    fold,
    num_groups,
    repeats_of,
    unfold,
)


class UNet(nn.Module):
    """Predicts epsilon or v from a noisy array, its noise level and, optionally, a condition.

    It is equivariant: rolling the input along a periodic axis by a multiple of patch *
    2^(num_levels - 1) rolls the output. The numbers of voxels are multiples of that; along periodic
    axes other numbers are repeated until they are one, and the output is the mean over the repeats,
    which differ in how the patches lie. Rolling by the largest divisor that a number shares with
    the multiple then rolls the output.
    """

    def __init__(
        self,
        config: NetworkConfig,
        num_conditions: int,
        in_channels: int = 3,
        out_channels: int = 1,
        periodic: Periodic = (True, True, False),
    ) -> None:
        super().__init__()
        self.patch, self.num_levels = config.patch, config.num_levels
        self.multiple, self.periodic = config.voxel_multiple, periodic
        widths = [config.width * 2**level for level in range(config.num_levels)]
        size = 4 * config.width
        self.noise_embedding = NoiseEmbedding(size)
        self.condition_embedding = (
            ConditionEmbedding(num_conditions, size) if num_conditions else None
        )
        self.first = PeriodicConv3d(in_channels * config.patch**3, widths[0], periodic)

        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        self.up = nn.ModuleList()
        self.grow = nn.ModuleList()
        for width in widths:
            self.down.append(
                nn.ModuleList(
                    ResidualBlock(width, width, size, periodic) for _ in range(config.num_blocks)
                )
            )
            self.up.append(
                nn.ModuleList(
                    ResidualBlock(2 * width, width, size, periodic)
                    for _ in range(config.num_blocks)
                )
            )
        for width, wider in pairwise(widths):
            # Strided convolutions over 2^3 voxels need no padding. Channels are reduced before
            # the upsampling, at an eighth of the cost.
            self.shrink.append(nn.Conv3d(width, wider, 2, stride=2))
            self.grow.append(nn.Conv3d(wider, width, 1))

        self.last_norm = nn.GroupNorm(num_groups(widths[0]), widths[0])
        self.last = PeriodicConv3d(widths[0], out_channels * config.patch**3, periodic)
        nn.init.zeros_(self.last.conv.weight)
        assert self.last.conv.bias is not None
        nn.init.zeros_(self.last.conv.bias)

    def forward(
        self,
        x: Tensor,
        log_snr: Tensor,
        condition: Tensor | None = None,
        has_condition: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction.

        Args:
            x: (B, C, X, Y, Z).
            log_snr: (B,) lambda = log(alpha / sigma).
            condition: (B, K); None hides it from the whole batch.
            has_condition: (B,) bool; None shows the condition to the whole batch.

        Returns:
            (B, C', X, Y, Z).
        """
        with torch.autocast(x.device.type, enabled=False):
            embedded = self.noise_embedding(log_snr)
            if self.condition_embedding is not None:
                embedded = embedded + self.condition_embedding(condition, has_condition, x.shape[0])
            embedded = functional.silu(embedded)  # (B, E)

        # Repeat what the levels cannot divide.
        shape, repeats = x.shape[2:], repeats_of(x, self.multiple, self.periodic)
        x = x.repeat(1, 1, *repeats) if max(repeats) > 1 else x
        # Down: the output of every block is kept for the skip connections.
        y = self.first(fold(x, self.patch))
        skips: list[Tensor] = []
        for level in range(self.num_levels):
            if level > 0:
                y = self.shrink[level - 1](y)
            for block in self.down[level].children():
                y = block(y, embedded)
                skips.append(y)
        # Up: each block takes the skip of its mirror block.
        for level in reversed(range(self.num_levels)):
            for block in self.up[level].children():
                y = block(torch.cat([y, skips.pop()], dim=1), embedded)
            if level > 0:
                y = functional.interpolate(self.grow[level - 1](y), scale_factor=2, mode="nearest")
        y = unfold(self.last(functional.silu(self.last_norm(y))), self.patch)
        if max(repeats) == 1:
            return y
        split = [size for pair in zip(repeats, shape, strict=True) for size in pair]
        # (B, C', repeats along x, X, repeats along y, Y, repeats along z, Z)
        return y.reshape(*y.shape[:2], *split).mean(dim=(2, 4, 6))


class NoiseEmbedding(nn.Module):
    """Embedding of lambda: sines and cosines of geometric frequencies, then two dense layers."""

    frequencies: Tensor

    def __init__(self, size: int, num_frequencies: int = 32) -> None:
        super().__init__()
        # lambda spans about 10: over it, 0.1 to 100 periods.
        self.register_buffer(
            "frequencies",
            torch.logspace(math.log10(0.06), math.log10(60.0), num_frequencies),
            persistent=False,
        )
        self.mlp = nn.Sequential(
            nn.Linear(2 * num_frequencies, size), nn.SiLU(), nn.Linear(size, size)
        )

    def forward(self, log_snr: Tensor) -> Tensor:
        """(B,) -> (B, E)."""
        angles = log_snr.float()[:, None] * self.frequencies
        embedded: Tensor = self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1))
        return embedded


class ConditionEmbedding(nn.Module):
    """Embedding of a condition by two dense layers, or a learned null vector where it is hidden."""

    def __init__(self, num_conditions: int, size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(num_conditions, size), nn.SiLU(), nn.Linear(size, size))
        self.null = nn.Parameter(0.02 * torch.randn(size))

    def forward(self, condition: Tensor | None, has_condition: Tensor | None, num: int) -> Tensor:
        """condition (B, K), has_condition (B,) -> (B, E); hidden conditions may be NaN."""
        if condition is None:
            return self.null.expand(num, -1)
        if has_condition is None:
            has_condition = torch.ones(num, dtype=torch.bool, device=condition.device)
        shown = has_condition[:, None]
        return torch.where(shown, self.mlp(torch.where(shown, condition.float(), 0.0)), self.null)
