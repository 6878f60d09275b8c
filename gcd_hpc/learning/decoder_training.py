"""Training of the learned decoder on noisy, shifted copies of the training structures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gcd_hpc.config.campaign import DecoderConfig
from gcd_hpc.errors import StructureError
from gcd_hpc.learning.trainer import Trainer, seeded
from gcd_hpc.voxels.encoder import CORNERS, occupancies
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.learned import LearnedDecoder

_MARGIN = 2  # voxels: reach of two layers of 3x3x3 filters
_WHOLE = 12  # voxels: axes up to this length are not cropped
_COUNTED = 512  # approximate number of voxels of a crop in the loss
# Share of crops without noise: training on noisy crops alone blurs clean input, which must be
# decoded to a fiftieth of a voxel.
_CLEAN_SHARE = 0.35
_WEIGHT_DECAY = 2e-5


@dataclass(frozen=True)
class Batch:
    """One training batch: B crops of encoded structures."""

    clean: Tensor  # (B, X, Y, Z)
    noisy: Tensor  # (B, X, Y, Z)
    offsets: Tensor  # (B, X, Y, Z, 3): from each voxel's centre to the atom that owns it, in voxels
    counted: Tensor  # (B, X, Y, Z): voxels whose surroundings are inside the crop
    periodic: tuple[bool, bool, bool]  # axes that still repeat

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        return Batch(
            self.clean.to(device),
            self.noisy.to(device),
            self.offsets.to(device),
            self.counted.to(device),
            self.periodic,
        )


def train_decoder(
    structures: Sequence[np.ndarray],
    grid: Grid,
    config: DecoderConfig,
    generator: np.random.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
    device: torch.device | str = "cpu",
) -> LearnedDecoder:
    """Train a decoder for structures on this grid, reproducibly for a given generator state.

    Args:
        structures: positions (N, 3) Å of each.
        device: where the decoder is trained, and stays.
        report: called with (step, loss) after each step.

    Raises:
        StructureError: if there are no structures.
        TrainingError: if a loss or a gradient is not finite.

    Source: Lei et al. (2024), eq. 3-6.
    """
    if not structures:
        raise StructureError("training a decoder needs at least one structure, got none")
    seed = int(generator.integers(2**63))
    decoder = seeded(lambda: LearnedDecoder(config.num_features), seed).to(device)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=_WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, config.num_steps + 1, pct_start=0.05
    )

    def before_step(step: int) -> None:
        if step > 0:  # the schedule itself sets the rate of the first step
            schedule.step()

    def losses(_: int) -> list[Callable[[], Tensor]]:
        batch = _draw(structures, grid, config, generator).to(device)
        return [lambda: decoder_loss(decoder, batch, config.threshold)]

    trainer = Trainer(decoder, optimizer, losses, before_step)
    for step, loss in enumerate(trainer.steps(config.num_steps)):
        report(step, loss)
    return decoder.eval()


def decoder_loss(decoder: LearnedDecoder, batch: Batch, threshold: float) -> Tensor:
    """Sum of the denoising, classification and coordinate losses, a scalar.

    Both squared norms are divided by the number of occupied voxels, so that voxel and coordinate
    errors have equal weight; the cross entropy is a mean over voxels. Coordinates count where a
    voxel is occupied and classified as such (text of eq. 5).
    """
    denoised = decoder.denoise(batch.noisy, batch.periodic)
    clean = batch.clean[batch.counted]  # (K,)
    occupied = clean > threshold
    logits = decoder.classifier(denoised, batch.periodic, batch.counted)[:, 0]  # (K,)
    located = torch.zeros_like(batch.counted)
    located[batch.counted] = occupied & (logits > 0)
    offsets = decoder.locator(denoised, batch.periodic, located)  # (M, 3)
    norms: Tensor = (denoised[batch.counted] - clean).square().sum() + (
        offsets - batch.offsets[located]
    ).square().sum()
    return norms / max(1, int(occupied.sum())) + functional.binary_cross_entropy_with_logits(
        logits, occupied.to(logits.dtype)
    )


def encode_with_owners(positions: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Voxels (X, Y, Z) and, in voxels, offsets (X, Y, Z, 3) to the atom with the largest share."""
    voxels, weights = occupancies(positions, grid)  # (N, 8)
    flat, shares = voxels.flatten(), weights.flatten()
    array = torch.zeros(grid.num_voxels, dtype=torch.float64).index_add(0, flat, shares)
    largest = torch.zeros(grid.num_voxels, dtype=torch.float64).scatter_reduce(
        0, flat, shares, "amax"
    )
    owns = shares == largest[flat]
    # The weighted mean over an atom's corners is its position in the block of eight (N, 3); the
    # offsets are counted from each corner.
    inner = (weights[..., None] * CORNERS).sum(dim=1)
    towards = (inner[:, None] - CORNERS).reshape(-1, 3)
    offsets = torch.zeros(grid.num_voxels, 3, dtype=torch.float64)
    offsets[flat[owns]] = towards[owns]
    return array.view(grid.shape).float(), offsets.view(*grid.shape, 3).float()


def _draw(
    structures: Sequence[np.ndarray],
    grid: Grid,
    config: DecoderConfig,
    generator: np.random.Generator,
) -> Batch:
    """Batch of random structures, each shifted within a voxel, cropped and made noisy."""
    edges = _crop_edges(grid)
    clean, offsets = [], []
    for index in generator.integers(len(structures), size=config.batch_size):
        shift = grid.positions_of(generator.uniform(0.0, 1.0, 3))
        array, towards = encode_with_owners(torch.from_numpy(structures[index] + shift), grid)
        start = generator.integers(np.subtract(grid.shape, edges) + 1)
        crop = tuple(slice(first, first + edge) for first, edge in zip(start, edges, strict=True))
        clean.append(array[crop])
        offsets.append(towards[crop])
    # Gaussian noise of random strength for each crop; none for some.
    stacked = torch.stack(clean)
    each = (config.batch_size, 1, 1, 1)
    sigma = (
        generator.standard_normal(each)
        * generator.uniform(0.0, config.max_noise, each)
        * (generator.random(each) >= _CLEAN_SHARE)
    )
    noise = torch.from_numpy(sigma * generator.standard_normal(tuple(stacked.shape))).float()
    # Voxels near the faces of a crop lack neighbours and do not count.
    counted = torch.ones_like(stacked, dtype=torch.bool)
    for axis, cropped in enumerate(np.less(edges, grid.shape)):
        if cropped:
            counted.narrow(axis + 1, 0, _MARGIN).fill_(False)
            counted.narrow(axis + 1, edges[axis] - _MARGIN, _MARGIN).fill_(False)
    x, y, z = (
        periodic and edge == n
        for periodic, edge, n in zip(grid.periodic, edges, grid.shape, strict=True)
    )
    return Batch(stacked, stacked + noise, torch.stack(offsets), counted, (x, y, z))


def _crop_edges(grid: Grid) -> tuple[int, int, int]:
    """Edges of a crop, in voxels: short axes whole, others so that about _COUNTED voxels count."""
    whole = [n for n in grid.shape if n <= _WHOLE]
    num_cropped = 3 - len(whole)
    counted = round((_COUNTED / int(np.prod(whole))) ** (1 / num_cropped)) if num_cropped else 0
    x, y, z = (n if n <= _WHOLE else min(n, counted + 2 * _MARGIN) for n in grid.shape)
    return x, y, z
