"""Voxel model of one crystal, trained on shifts of one ideal cell without its number of atoms."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.config.campaign import NetworkConfig
from gcd_hpc.config.learning import EVALUATIONS_PER_STEP, Solver
from gcd_hpc.diffusion.process import (
    Prediction,
    Schedule,
    add_noise,
    to_clean,
    training_target,
    whole_batch,
)
from gcd_hpc.diffusion.repaint import repaint
from gcd_hpc.experiments.work import Arrays, Report
from gcd_hpc.learning.trainer import Trainer, seeded, set_rate
from gcd_hpc.networks.checkpoint import load, load_weights, save
from gcd_hpc.networks.precision import computing
from gcd_hpc.networks.unet import UNet
from gcd_hpc.seeds import CRYSTAL, generator
from gcd_hpc.structures.lattices import conventional_cell
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.moment import decode_moments

Lattice = Literal["sc", "bcc", "fcc"]

LATTICES: tuple[Lattice, ...] = ("sc", "bcc", "fcc")
CELLS = 4
"""Cells along each edge of the box; the lattice constant a is the unit of length."""
BOX = (float(CELLS), float(CELLS), float(CELLS))
"""Edges of the box, in lattice constants."""
VOXELS: dict[Lattice, int] = {"sc": 24, "bcc": 20, "fcc": 24}
"""Number of voxels along each edge of the box."""

_FIT, _VALIDATE, _SAMPLE, _WEIGHTS = range(4)
"""Purposes of a lattice's random streams."""
_VALIDATE_EVERY, _VALIDATION_SIZE = 50, 16
_WARM_UP = 50


@dataclass(frozen=True)
class VoxelConfig:
    """Network, training and sampling of the three voxel models."""

    width: int = 32
    num_blocks: int = 2
    num_steps: int = 2800
    batch_size: int = 2
    learning_rate: float = 2e-3
    """Peak learning rate, reached after 50 warm-up steps; it falls to zero along half a cosine."""
    ema_decay: float = 0.99
    prediction: Prediction = "v"
    schedule: Literal["linear", "cosine"] = "cosine"
    solver: Solver = "dpm-solver++2m"
    num_evaluations: int = 60
    """Network evaluations for each cell, as in the paper."""
    num_resamples: int = 3
    """Resampling passes of each sampling step, which share the evaluations.

    Each pass returns with new noise and corrects errors of the previous one.
    """

    @property
    def network(self) -> NetworkConfig:
        """U-Net config: two levels on 2x2x2 patches, 12 (or 10) and 6 (or 5) along each edge."""
        return NetworkConfig(width=self.width, num_blocks=self.num_blocks, num_levels=2, patch=2)


def crystal_cell(lattice: Lattice) -> NDArray[np.float64]:
    """Positions (N, 3) of the ideal crystal in its 4x4x4 box, in lattice constants."""
    return np.asarray(
        conventional_cell(lattice, "Po", 1.0).repeat(CELLS).positions, dtype=np.float64
    )


def crystal_grid(lattice: Lattice) -> Grid:
    """Voxel grid of that box."""
    size = VOXELS[lattice]
    return Grid((size, size, size), BOX, (True, True, True))


def encoded(positions: NDArray[np.float64], lattice: Lattice) -> NDArray[np.float32]:
    """Voxels (X, Y, Z) encoded from positions (N, 3) in lattice constants."""
    return encode(torch.from_numpy(positions), crystal_grid(lattice)).numpy()


def train_voxels(
    lattice: Lattice, config: VoxelConfig, seed: int, device: str, path: Path, report: Report
) -> Arrays:
    """Train a model of one crystal and write its EMA weights to ``path``.

    Returns:
        "loss" (num_steps,) of each batch; "validation_step" and "validation_loss" (K,) of the EMA
        weights on fixed draws.
    """
    training = CrystalTraining(lattice, config, seed, torch.device(device))
    losses = []
    steps = []
    validations = []
    for loss in training.trainer.steps(config.num_steps):
        losses.append(loss)
        step = training.trainer.step
        if step % _VALIDATE_EVERY == 0 or step == config.num_steps:
            steps.append(step)
            validations.append(training.validate())
            report(step / config.num_steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, training.trainer.average.weights, {"lattice": lattice, "scale": training.scale})
    return {
        "loss": np.array(losses),
        "validation_step": np.array(steps),
        "validation_loss": np.array(validations),
    }


class CrystalTraining:
    """Training of a model of one crystal, with its data."""

    def __init__(
        self, lattice: Lattice, config: VoxelConfig, seed: int, device: torch.device
    ) -> None:
        self.lattice = lattice
        self.config = config
        self.seed = seed
        self.device = device
        self.positions, self.grid = crystal_cell(lattice), crystal_grid(lattice)
        self.scale = self._standard_deviation()
        network = seeded(
            lambda: unconditional(config), int(self._stream(_WEIGHTS).integers(2**62))
        ).to(device)
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=2e-5
        )
        self.trainer = Trainer(
            network, optimizer, self._losses, self._before_step, config.ema_decay, 1.0
        )
        self.schedule = Schedule(config.schedule)
        self.held = self.batch(_VALIDATE, 0, _VALIDATION_SIZE)

    @torch.no_grad()
    def validate(self) -> float:
        """Loss of the EMA weights on fixed draws that are not used in training."""
        return float(self._loss(self.trainer.averaged, *self.held))

    def _before_step(self, step: int) -> None:
        set_rate(self.trainer.optimizer, learning_rate(self.config, step))

    def _losses(self, step: int) -> list[Callable[[], Tensor]]:
        batch = self.batch(_FIT, step, self.config.batch_size)
        return [lambda: self._loss(self.trainer.network, *batch)]

    def _loss(
        self, network: Callable[..., Tensor], clean: Tensor, noise: Tensor, t: Tensor
    ) -> Tensor:
        with computing("auto", self.device):
            predicted = network(add_noise(self.schedule, clean, noise, t), self.schedule.log_snr(t))
        target = training_target(self.schedule, self.config.prediction, clean, noise, t)
        return (predicted.float() - target).square().mean()

    def batch(self, purpose: int, step: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Shifted crystals (B, 1, X, Y, Z), noise of that shape, and stratified times (B,)."""
        rng = self._stream(purpose, step)
        cells = [
            encode(torch.from_numpy(self.positions + rng.uniform(0.0, CELLS, 3)), self.grid)
            for _ in range(size)
        ]
        clean = torch.stack(cells)[:, None] / self.scale
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        time = self.schedule.draw_times(
            torch.from_numpy((np.arange(size) + rng.random(size)) / size).float()
        )
        return clean.to(self.device), noise.to(self.device), time.to(self.device)

    def _standard_deviation(self) -> float:
        """Standard deviation of the voxels over 64 shifts, which scales them for the network."""
        rng = self._stream(_WEIGHTS, 1)
        shifts = rng.uniform(0.0, CELLS, (64, 3))
        return float(
            torch.stack(
                [encode(torch.from_numpy(self.positions + shift), self.grid) for shift in shifts]
            ).std()
        )

    def _stream(self, *key: int) -> np.random.Generator:
        return generator(self.seed, CRYSTAL, LATTICES.index(self.lattice), *key)


def unconditional(config: VoxelConfig) -> UNet:
    """U-Net with no condition but the noise level, periodic along all axes."""
    return UNet(config.network, 0, in_channels=1, periodic=(True, True, True))


def learning_rate(config: VoxelConfig, step: int) -> float:
    """Learning rate: linear warm-up, then half a cosine to zero."""
    warm = min(1.0, (step + 1) / _WARM_UP)
    return float(warm * config.learning_rate * 0.5 * (1 + np.cos(np.pi * step / config.num_steps)))


def sample_voxels(
    path: Path,
    lattice: Lattice,
    config: VoxelConfig,
    seed: int,
    device: str,
    num_cells: int,
    report: Report,
) -> Arrays:
    """Sample and decode new cells without relaxation. Cell i has its own random stream.

    Returns:
        "voxels" (M, X, Y, Z); "positions" (sum of N, 3) of all cells one after another, in lattice
        constants; "num_atoms" (M,).
    """
    weights, metadata = load(path)
    network = unconditional(config)
    load_weights(network, weights, path)
    network = network.to(device).eval()
    grid = crystal_grid(lattice)
    arrays = []
    positions = []
    for index in range(num_cells):
        rng = generator(seed, CRYSTAL, LATTICES.index(lattice), _SAMPLE, index)
        noise = rng.standard_normal(grid.shape, dtype=np.float32)
        array = (
            generate(network, config, torch.from_numpy(noise).to(device), rng) * metadata["scale"]
        )
        arrays.append(array)
        positions.append(decode_moments(array, grid))
        report((index + 1) / num_cells)
    num_atoms = np.array([len(cell) for cell in positions])
    return {
        "voxels": np.stack(arrays),
        "positions": np.concatenate(positions),
        "num_atoms": num_atoms,
    }


def generate(
    network: UNet, config: VoxelConfig, noise: Tensor, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Denoise one array (X, Y, Z), in units of the scale; ``rng`` draws the added noise."""
    schedule = Schedule(config.schedule)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        with computing("auto", x.device):
            predicted = network(x, whole_batch(float(schedule.log_snr(t)), x))
        return to_clean(schedule, config.prediction, predicted.to(x.dtype), x, t)

    shape = (1, 1, *noise.shape)
    num_steps = config.num_evaluations // (
        EVALUATIONS_PER_STEP[config.solver] * config.num_resamples
    )
    nothing_known = torch.zeros(shape, dtype=torch.bool, device=noise.device)

    def draw() -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(noise.device)

    with torch.inference_mode():
        start, known = noise[None, None], torch.zeros(shape, device=noise.device)
        array = repaint(
            denoise,
            start,
            known,
            nothing_known,
            schedule,
            num_steps,
            config.solver,
            config.num_resamples,
            draw,
        )
    return array[0, 0].cpu().numpy()
