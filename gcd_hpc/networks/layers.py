"""Layers of the U-Net: convolutions with periodic axes, residual blocks with FiLM, folding."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gcd_hpc.voxels.grid import num_repeats

Periodic = tuple[bool, bool, bool]


class PeriodicConv3d(nn.Module):
    """3^3 convolution with circular padding on periodic axes and zeros beyond open ones."""

    def __init__(self, in_channels: int, out_channels: int, periodic: Periodic) -> None:
        super().__init__()
        self.periodic = periodic
        x, y, z = periodic
        self.conv = nn.Conv3d(
            in_channels, out_channels, 3, padding=(int(not x), int(not y), int(not z))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, C', X, Y, Z)."""
        y: Tensor = self.conv(wrap(x, self.periodic))
        return y


def wrap(x: Tensor, periodic: Periodic) -> Tensor:
    """Circular padding by one voxel on periodic axes.

    (B, C, X, Y, Z) -> (B, C, X + 2, Y + 2, Z) if x and y are periodic.
    """
    wrapped: Tensor = _Wrap.apply(x, periodic)
    return wrapped


class _Wrap(torch.autograd.Function):
    """Circular padding with an explicit gradient; autograd's allocates zeros for each slice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, periodic: Periodic) -> Tensor:
        ctx.periodic = periodic
        for axis, flag in enumerate(periodic, start=2):
            if flag:
                x = torch.cat(
                    [x.narrow(axis, x.shape[axis] - 1, 1), x, x.narrow(axis, 0, 1)], dim=axis
                )
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone()
        for axis, flag in reversed(list(enumerate(ctx.periodic, start=2))):
            if flag:
                size = gradient.shape[axis] - 2
                gradient.narrow(axis, size, 1).add_(gradient.narrow(axis, 0, 1))
                gradient.narrow(axis, 1, 1).add_(gradient.narrow(axis, size + 1, 1))
                gradient = gradient.narrow(axis, 1, size)
        return gradient, None


class ResidualBlock(nn.Module):
    """x + conv(SiLU(FiLM(norm(conv(SiLU(norm(x))))))); FiLM takes the noise embedding."""

    def __init__(
        self, in_channels: int, out_channels: int, embedding: int, periodic: Periodic
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(num_groups(in_channels), in_channels)
        self.conv1 = PeriodicConv3d(in_channels, out_channels, periodic)
        self.film = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = nn.GroupNorm(num_groups(out_channels), out_channels)
        self.conv2 = PeriodicConv3d(out_channels, out_channels, periodic)
        self.shortcut = (
            nn.Conv3d(in_channels, out_channels, 1)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """x (B, C, X, Y, Z), embedded (B, E) -> (B, C', X, Y, Z)."""
        y = self.conv1(functional.silu(self.norm1(x)))
        # The product is tiny: casting it would cost more than it gains.
        with torch.autocast(x.device.type, enabled=False):
            scale, shift = self.film(embedded).chunk(2, dim=1)  # (B, C') each
        y = film_norm(y, self.norm2, scale, shift)
        out: Tensor = self.shortcut(x) + self.conv2(functional.silu(y))
        return out


def film_norm(x: Tensor, norm: nn.GroupNorm, scale: Tensor, shift: Tensor) -> Tensor:
    """norm(x) (1 + scale) + shift in one pass.

    The channels of all batch items become channels of one item, each with its own weight and bias.
    x (B, C, X, Y, Z), scale and shift (B, C) -> (B, C, X, Y, Z).
    """
    weight = (norm.weight * (1.0 + scale)).reshape(-1)
    bias = (norm.bias * (1.0 + scale) + shift).reshape(-1)
    num, channels, *size = x.shape
    y = functional.group_norm(
        x.reshape(1, num * channels, *size), num * norm.num_groups, weight, bias, norm.eps
    )
    return y.reshape(x.shape)


def num_groups(channels: int) -> int:
    """Number of groups of a GroupNorm: at most 8, with at least 4 channels each if possible."""
    return math.gcd(8, max(1, channels // 4))


def repeats_of(x: Tensor, multiple: int, periodic: Periodic) -> list[int]:
    """How often an array (B, C, X, Y, Z) is repeated along each axis to divide by a multiple."""
    return [
        num_repeats(size, multiple) if flag else 1
        for size, flag in zip(x.shape[2:], periodic, strict=True)
    ]


def fold(x: Tensor, patch: int) -> Tensor:
    """Space to channels: (B, C, X, Y, Z) -> (B, C p^3, X / p, Y / p, Z / p) with p = patch."""
    if patch == 1:
        return x
    b, c, nx, ny, nz = x.shape
    x = x.reshape(b, c, nx // patch, patch, ny // patch, patch, nz // patch, patch).permute(
        0, 1, 3, 5, 7, 2, 4, 6
    )
    return x.reshape(b, c * patch**3, nx // patch, ny // patch, nz // patch)


def unfold(x: Tensor, patch: int) -> Tensor:
    """Inverse of ``fold``: (B, C p^3, X, Y, Z) -> (B, C, X p, Y p, Z p)."""
    if patch == 1:
        return x
    b, c, nx, ny, nz = x.shape
    x = x.reshape(b, c // patch**3, patch, patch, patch, nx, ny, nz).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // patch**3, nx * patch, ny * patch, nz * patch)
