"""The paper's learned decoder: three one-layer convolutional networks.

They denoise voxels, classify them as occupied or empty, and locate the atoms of occupied ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gcd_hpc.voxels.clusters import average_clusters
from gcd_hpc.voxels.grid import Grid

_EXPANSION = 4  # ConvNeXt's


class ConvNextLayer(nn.Module):
    """One ConvNeXt layer on voxels, followed by a dense head.

    The layer has 3x3x3 filters, then a residual branch of normalisation and two dense layers.
    ConvNeXt's filters are depthwise; on the single channel of a voxel array this is a convolution
    from one channel to all features. The residual branch starts after the filters, so that the head
    sees the first moments, which are linear in the voxels.

    Source: Liu et al. (2022), figure 4, in three dimensions.
    """

    def __init__(self, num_outputs: int, num_features: int) -> None:
        super().__init__()
        self.filters = nn.Conv3d(1, num_features, kernel_size=3)
        self.mix = nn.Sequential(
            nn.LayerNorm(num_features),
            nn.Linear(num_features, _EXPANSION * num_features),
            nn.GELU(),
            nn.Linear(_EXPANSION * num_features, num_features),
        )
        self.head = nn.Linear(num_features, num_outputs)

    def forward(
        self, array: Tensor, periodic: tuple[bool, bool, bool], voxels: Tensor | None = None
    ) -> Tensor:
        """Outputs (B, X, Y, Z, O), or (K, O) for selected voxels only.

        Args:
            array: (B, X, Y, Z).
            voxels: (B, X, Y, Z) bool mask of the K selected voxels; all voxels without it.
        """
        # (B, X, Y, Z, F)
        features: Tensor = self.filters(pad(array[:, None], periodic)).movedim(1, -1)
        if voxels is not None:
            features = features[voxels]  # (K, F)
        outputs: Tensor = self.head(features + self.mix(features))
        return outputs


def pad(x: Tensor, periodic: tuple[bool, bool, bool]) -> Tensor:
    """Pad each spatial axis of (B, C, X, Y, Z) by one voxel: circular if periodic, zero if open."""
    for axis, wraps in zip((2, 3, 4), periodic, strict=True):
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
        ends = (last, first) if wraps else (torch.zeros_like(last), torch.zeros_like(first))
        x = torch.cat([ends[0], x, ends[1]], dim=axis)
    return x


@dataclass(frozen=True)
class Decoded:
    """Outputs of the three networks."""

    denoised: Tensor  # (B, X, Y, Z)
    logits: Tensor  # (B, X, Y, Z): positive where occupied
    offsets: Tensor  # (K, 3): from the centres of the occupied voxels to their atoms, in voxels


class LearnedDecoder(nn.Module):
    """The three networks of the learned decoder: denoise, classify, correct."""

    def __init__(self, num_features: int = 64) -> None:
        super().__init__()
        self.denoiser = ConvNextLayer(1, num_features)
        self.classifier = ConvNextLayer(1, num_features)
        self.locator = ConvNextLayer(3, num_features)
        # With a zero head the untrained denoiser returns its input.
        nn.init.zeros_(self.denoiser.head.weight)
        nn.init.zeros_(self.denoiser.head.bias)

    def forward(self, array: Tensor, periodic: tuple[bool, bool, bool]) -> Decoded:
        """Denoise voxel arrays (B, X, Y, Z), classify their voxels and locate their atoms."""
        denoised = self.denoise(array, periodic)
        logits = self.classifier(denoised, periodic)[..., 0]
        return Decoded(denoised, logits, self.locator(denoised, periodic, logits > 0))

    def denoise(self, array: Tensor, periodic: tuple[bool, bool, bool]) -> Tensor:
        """Denoised voxel arrays (B, X, Y, Z)."""
        noise: Tensor = self.denoiser(array, periodic)[..., 0]
        return array + noise


@torch.no_grad()
def decode_learned(
    array: np.ndarray, grid: Grid, decoder: LearnedDecoder, cluster_distance: float
) -> np.ndarray:
    """Positions (N, 3), float64, Å, of the atoms in a voxel array (X, Y, Z).

    Args:
        cluster_distance: located positions closer than this, in Å, are one atom: 0.45 of the
            nearest-neighbour distance.

    Source: Lei et al. (2024), figure 3b.
    """
    decoder.eval()
    values = torch.as_tensor(
        np.asarray(array), dtype=torch.float32, device=decoder.locator.head.weight.device
    )
    decoded = decoder(values[None], grid.periodic)
    voxels = torch.nonzero(decoded.logits[0] > 0).cpu().numpy()  # (K, 3)
    places = voxels + decoded.offsets.cpu().numpy().astype(np.float64)
    return average_clusters(grid.positions_of(places), grid, cluster_distance)
