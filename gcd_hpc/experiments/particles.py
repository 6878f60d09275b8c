"""Particle baseline: a score model that moves atoms but neither adds nor removes any."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gcd_hpc.diffusion.exploding import Exploding, SamplerKind, denoise, score_matching_loss
from gcd_hpc.diffusion.process import per_item
from gcd_hpc.experiments.voxel_crystals import BOX, LATTICES, Lattice, crystal_cell
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.learning.trainer import Trainer, cosine_rate, seeded, set_rate
from gcd_hpc.networks.checkpoint import load, load_weights, save
from gcd_hpc.networks.meshgraphnet import MeshGraphNet
from gcd_hpc.networks.precision import Precision, autocast_dtype
from gcd_hpc.seeds import PARTICLE, generator
from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]
INITIAL, FIT, NOISE, START, VALIDATE = range(5)
"""Purposes of the model's random streams; the key is (PARTICLE, index, purpose, item)."""


@dataclass(frozen=True)
class ParticleConfig:
    """Network, noise and training of a particle model.

    Lengths are in the unit of the positions: lattice constants for crystals, Å for carbon.
    """

    cutoff: float
    max_sigma: float
    width: int
    num_layers: int
    num_steps: int
    batch_size: int
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    num_warmup: int = 200
    """Warm-up steps, without which training can stay at the loss of a zero score."""
    weight_decay: float = 2e-5
    ema_decay: float = 0.999
    precision: Precision = "float32"


@dataclass(frozen=True)
class Model:
    """A trained particle model."""

    network: MeshGraphNet
    process: Exploding
    lengths: Tensor  # (3,)
    dtype: torch.dtype | None

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Evaluate the scaled score, (B, N, 3), (B,) -> (B, N, 3): s sigma, of order 1 at all t."""
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not None):
            scaled: Tensor = self.network(x, self.lengths, t)
        return scaled.float() / per_item(self.process.sigma(t), x)


def particle_config(lattice: Lattice, budget: Literal["quick", "full"]) -> ParticleConfig:
    """Config for a 4x4x4 crystal of lattice constant 1, with the paper's noise.

    The paper gives no sizes; these are within its description. "quick" is narrower than "full",
    because a narrow network learns more in few core-seconds.
    """
    cutoff = {"sc": 1.6, "bcc": 1.8, "fcc": 1.5}[lattice] * cubic_lattice(
        lattice
    ).neighbor  # between two shells
    if budget == "full":
        return ParticleConfig(
            cutoff,
            0.4,
            width=200,
            num_layers=5,
            num_steps=20_000,
            batch_size=16,
            learning_rate=1e-3,
            num_warmup=1000,
        )
    # Batches of 512 atoms take 5 to 7 core-minutes, more than the voxel models.
    num_steps, batch_size = {"sc": (4500, 8), "bcc": (4500, 4), "fcc": (4400, 2)}[lattice]
    return ParticleConfig(
        cutoff,
        0.4,
        width=64,
        num_layers=5,
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=3e-3,
    )


def model_file(workshop: Workshop, lattice: Lattice) -> Path:
    """Path of a crystal's model, shared by all experiments of a folder, budget and seed."""
    return workshop.work / f"particle-{lattice}-{workshop.budget}-{workshop.seed}.safetensors"


def training_task(workshop: Workshop, lattice: Lattice) -> Task:
    """Training task of a crystal's model; its second argument is the config."""
    config = particle_config(lattice, workshop.budget)
    arguments = (
        lattice,
        config,
        workshop.seed,
        LATTICES.index(lattice),
        model_file(workshop, lattice),
        workshop.device,
    )
    return Task(f"particle-{lattice}", train_crystal, arguments)


def train_crystal(
    lattice: Lattice,
    config: ParticleConfig,
    seed: int,
    index: int,
    path: Path,
    device: str = "cpu",
    report: Report = lambda _: None,
) -> Arrays:
    """Task that trains a model on one ideal crystal."""
    return train_particles([crystal_cell(lattice)], BOX, config, seed, index, path, report, device)


def train_particles(
    structures: list[Array],
    lengths: tuple[float, float, float],
    config: ParticleConfig,
    seed: int,
    index: int,
    path: Path,
    report: Report = lambda _: None,
    device: str = "cpu",
) -> Arrays:
    """Train a score model and write its EMA weights to ``path``.

    Args:
        structures: (N, 3) each, with the same periodic box and number of atoms.
        index: distinguishes the models of one seed.

    Returns:
        "loss" at "steps": means over a hundredth of the training each; "validation_t" and
        "validation_loss": loss of the EMA weights at fixed times; a zero score has loss 1.
    """
    clean = torch.tensor(np.stack(structures), dtype=torch.float32, device=device)  # (S, N, 3)
    network = seeded(
        lambda: MeshGraphNet(config.width, config.num_layers, config.cutoff),
        int(generator(seed, PARTICLE, index, INITIAL).integers(2**62)),
    ).to(device)
    model = _model(network, lengths, config, device)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )

    def before_step(step: int) -> None:
        lowest, num_warmup = config.final_learning_rate, config.num_warmup
        rate = cosine_rate(step, config.num_steps, config.learning_rate, lowest, num_warmup)
        set_rate(optimizer, rate)

    def losses(step: int) -> list[Callable[[], Tensor]]:
        stream = generator(seed, PARTICLE, index, FIT, step)
        return [lambda: _loss(model, clean, stream, config.batch_size)]

    trainer = Trainer(network, optimizer, losses, before_step, config.ema_decay, 1.0)
    curve = np.zeros(config.num_steps, dtype=np.float32)
    for step, loss in enumerate(trainer.steps(config.num_steps)):
        curve[step] = loss
        if step % 20 == 0:
            report(step / config.num_steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, trainer.average.weights, {"particle": asdict(config)})
    network.load_state_dict(trainer.average.weights)
    chunks = np.array_split(np.arange(config.num_steps), min(100, config.num_steps))
    times, validation = _validate(model, clean, generator(seed, PARTICLE, index, VALIDATE))
    return {
        "steps": np.array([chunk[-1] + 1 for chunk in chunks]),
        "loss": np.array([curve[chunk].mean() for chunk in chunks]),
        "validation_t": times,
        "validation_loss": validation,
    }


def load_particles(
    path: Path, lengths: tuple[float, float, float], config: ParticleConfig, device: str = "cpu"
) -> Model:
    """Load a model of ``train_particles``.

    Raises:
        CheckpointError: if the file is missing or damaged, or has another network size.
    """
    weights, _ = load(path)
    network = MeshGraphNet(config.width, config.num_layers, config.cutoff)
    load_weights(network, weights, path)
    return _model(network.to(device).eval(), lengths, config, device)


def sample_particles(
    path: Path,
    starts: ArrayLike,
    lengths: tuple[float, float, float],
    config: ParticleConfig,
    sampler: SamplerKind,
    num_steps: int,
    seed: int,
    index: int,
    t_start: float = 1.0,
    report: Report = lambda _: None,
    device: str = "cpu",
    batch_size: int = 8,
) -> Arrays:
    """Denoise structures whose noise level is that of t_start.

    Args:
        starts: (M, N, 3). Each structure has its own random stream, whatever the batch.

    Returns:
        "positions" (M, N, 3), wrapped into the box.
    """
    model = load_particles(path, lengths, config, device)
    starts = np.asarray(starts, dtype=np.float64)
    done = []
    for first in range(0, len(starts), batch_size):
        batch = starts[first : first + batch_size]
        streams = [
            generator(seed, PARTICLE, index, NOISE, first + number) for number in range(len(batch))
        ]

        def draw(
            streams: list[np.random.Generator] = streams, shape: tuple[int, ...] = batch.shape[1:]
        ) -> Tensor:
            return torch.tensor(
                np.stack([stream.standard_normal(shape, np.float32) for stream in streams]),
                device=device,
            )

        start = torch.tensor(batch, dtype=torch.float32, device=device)
        sample = denoise(model.score, start, model.process, sampler, num_steps, draw, t_start)
        done.append(wrap(sample.double().cpu().numpy(), lengths))
        report(min(1.0, (first + batch_size) / len(starts)))
    return {"positions": np.concatenate(done)}


def random_starts(
    num: int, num_atoms: int, lengths: tuple[float, float, float], seed: int, index: int
) -> Array:
    """Uniform random positions (num, N, 3), the distribution of the process at t = 1."""
    streams = [generator(seed, PARTICLE, index, START, number) for number in range(num)]
    return np.stack([stream.uniform(size=(num_atoms, 3)) for stream in streams]) * lengths


def noisy_starts(clean: Array, sigma: float, num: int, seed: int, index: int) -> Array:
    """Copies (num, N, 3) of a structure with independent normal displacements."""
    streams = [generator(seed, PARTICLE, index, START, number) for number in range(num)]
    return np.stack([clean + sigma * stream.standard_normal(clean.shape) for stream in streams])


def sample_random_starts(
    lattice: Lattice,
    path: Path,
    config: ParticleConfig,
    sampler: SamplerKind,
    num_steps: int,
    num: int,
    seed: int,
    index: int,
    device: str = "cpu",
    report: Report = lambda _: None,
) -> Arrays:
    """Task that samples a crystal's model from random starts: "positions" (num, N, 3)."""
    starts = random_starts(num, len(crystal_cell(lattice)), BOX, seed, index)
    return sample_particles(
        path, starts, BOX, config, sampler, num_steps, seed, index, 1.0, report, device
    )


def _model(
    network: MeshGraphNet, lengths: tuple[float, float, float], config: ParticleConfig, device: str
) -> Model:
    box = torch.tensor(lengths, dtype=torch.float32, device=device)
    return Model(
        network, Exploding(config.max_sigma), box, autocast_dtype(config.precision, device)
    )


def _loss(model: Model, clean: Tensor, stream: np.random.Generator, batch_size: int) -> Tensor:
    """Loss of noisy copies at times stratified over B equal intervals."""
    chosen = torch.from_numpy(stream.integers(len(clean), size=batch_size))
    uniform = (np.arange(batch_size) + stream.uniform(size=batch_size)) / batch_size
    t = model.process.draw_times(torch.tensor(uniform, dtype=torch.float32, device=clean.device))
    noise = torch.tensor(
        stream.standard_normal((batch_size, *clean.shape[1:]), np.float32), device=clean.device
    )
    return score_matching_loss(model.score, model.process, clean[chosen.to(clean.device)], t, noise)


@torch.no_grad()
def _validate(
    model: Model, clean: Tensor, stream: np.random.Generator, num: int = 8
) -> tuple[Array, Array]:
    times = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0])
    losses = []
    for time in times:
        chosen = torch.from_numpy(stream.integers(len(clean), size=num)).to(clean.device)
        noise = torch.tensor(
            stream.standard_normal((num, *clean.shape[1:]), np.float32), device=clean.device
        )
        t = torch.full((num,), float(time), device=clean.device)
        losses.append(
            float(score_matching_loss(model.score, model.process, clean[chosen], t, noise))
        )
    return times, np.array(losses)
