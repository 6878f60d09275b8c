"""Particle models: a score network that moves atoms but neither adds nor removes any."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from gcd_hpc.config.explain import first_fault
from gcd_hpc.config.section import Depth, Measure, PositiveInt
from gcd_hpc.diffusion.exploding import (
    Anneal,
    Exploding,
    Score,
    Steps,
    anneal,
    denoise,
    score_matching_loss,
)
from gcd_hpc.diffusion.process import per_item
from gcd_hpc.errors import CheckpointError
from gcd_hpc.learning.trainer import Trainer, cosine_rate, seeded, set_rate
from gcd_hpc.networks.checkpoint import CURE, load, loaded, save
from gcd_hpc.networks.equivariant import EquivariantScore
from gcd_hpc.networks.meshgraphnet import MeshGraphNet
from gcd_hpc.networks.neighbours import DENSE_ATOMS, spatial_order
from gcd_hpc.networks.precision import Precision, autocast_dtype
from gcd_hpc.seeds import PARTICLE, generator
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]
Lengths = tuple[float, float, float]
Guide = Callable[[Score, Exploding], Score]
"""Turns the score of the prior into the one that is sampled, as ``guidance.guided_score`` does."""
INITIAL, FIT, NOISE, START, VALIDATE = range(5)
"""Purposes of the model's random streams; the key is (PARTICLE, index, purpose, item)."""


@dataclass(frozen=True)
class ParticleConfig:
    """Network, noise and training of a particle model.

    Lengths are in the unit of the positions: lattice constants for crystals, Å for carbon.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    cutoff: Measure
    max_sigma: Measure
    width: PositiveInt
    num_layers: Depth
    num_steps: int
    batch_size: int
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    num_warmup: int = 200
    """Warm-up steps, without which training can stay at the loss of a zero score."""
    weight_decay: float = 2e-5
    ema_decay: float = 0.999
    precision: Precision = "float32"
    network: Literal["meshgraphnet", "equivariant"] = "meshgraphnet"
    t_min: Measure = 0.01
    """Least noise, as a share of max_sigma."""
    times: Literal["uniform", "focused"] = "uniform"
    """Distribution of the training times, see ``Exploding``; "focused" is for carbon in Å."""

    @property
    def process(self) -> Exploding:
        """The noise that the model removes."""
        return Exploding(self.max_sigma, self.t_min)


_CONFIG = TypeAdapter(ParticleConfig)


@dataclass(frozen=True, eq=False)
class Cell:
    """Atoms in a periodic box with right angles."""

    positions: Array  # (N, 3)
    lengths: Lengths


@dataclass(frozen=True)
class ParticleModel:
    """A particle model for boxes of any size, at densities near those that it has seen."""

    network: MeshGraphNet | EquivariantScore
    config: ParticleConfig
    device: str

    @property
    def process(self) -> Exploding:
        """The noise that the model removes."""
        return self.config.process

    def score(self, lengths: ArrayLike | Tensor) -> Score:
        """Score of structures in a box (3,), or in boxes (B, 3) of the items of a batch."""
        boxes = torch.as_tensor(lengths, dtype=torch.float32, device=self.device)
        dtype = autocast_dtype(self.config.precision, self.device)
        process = self.process

        def score(x: Tensor, t: Tensor) -> Tensor:
            level = t
            if isinstance(self.network, EquivariantScore):
                level = torch.log(process.sigma(t))
            with torch.autocast(x.device.type, dtype, enabled=dtype is not None):
                scaled: Tensor = self.network(x, boxes, level)  # s sigma, of order 1 at all t
            return scaled.float() / per_item(process.sigma(t), x)

        return score


def train_particles(
    cells: Sequence[Cell],
    config: ParticleConfig,
    seed: int,
    index: int,
    path: Path,
    report: Callable[[float], None] = lambda _: None,
    device: str = "cpu",
    held_out: Sequence[Cell] = (),
    entries: Callable[[], Mapping[str, str]] = dict,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, NDArray[Any]]:
    """Train a score model and write its EMA weights and its config to ``path``.

    Args:
        cells: structures with the same number of atoms; their boxes may differ.
        index: distinguishes the models of one seed.
        held_out: structures that the final loss is measured on; without any, the training's.
        entries: called when the training has ended; texts beside the config in the file's header.
        on_step: called after each step with the number of steps done and the loss of this one.

    Returns:
        "loss" at "steps": means over a hundredth of the training each; "validation_t" and
        "validation_loss": loss of the EMA weights at fixed times; a zero score has loss 1.
    """
    network = seeded(
        lambda: _network(config), int(generator(seed, PARTICLE, index, INITIAL).integers(2**62))
    ).to(device)
    model = ParticleModel(network, config, device)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    clean, boxes = _stacked(cells, device)

    def losses(step: int) -> list[Callable[[], Tensor]]:
        stream = generator(seed, PARTICLE, index, FIT, step)
        return [lambda: _loss(model, clean, boxes, stream)]

    rates = partial(_set_rate, optimizer, config)
    trainer = Trainer(network, optimizer, losses, rates, config.ema_decay, 1.0)
    curve = np.zeros(config.num_steps, dtype=np.float32)
    for step, loss in enumerate(trainer.steps(config.num_steps)):
        curve[step] = loss
        on_step(step + 1, loss)
        if step % 20 == 0:
            report(step / config.num_steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, trainer.average.weights, {"particle": asdict(config)}, entries())
    network.load_state_dict(trainer.average.weights)
    judged = _stacked(held_out or cells, device)
    times, validation = _validate(model, *judged, generator(seed, PARTICLE, index, VALIDATE))
    return _curve(curve) | {"validation_t": times, "validation_loss": validation}


def load_particles(
    path: Path, device: str = "cpu", expected: ParticleConfig | None = None
) -> ParticleModel:
    """Load a model of ``train_particles`` with the config that its file holds.

    Raises:
        CheckpointError: if the file is missing, damaged or no particle model, or if its config is
            not the expected one.
    """
    weights, metadata = load(path)
    try:
        config = _CONFIG.validate_python(metadata.get("particle"))
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: cannot be loaded as a particle model, because its metadata describe none"
            f" ({first_fault(error)}); {CURE}"
        ) from error
    if expected is not None and config != expected:
        raise CheckpointError(f"{path}: made for another network or training; {CURE}")
    network = loaded(lambda: _network(config), weights, path)
    return ParticleModel(network.to(device).eval(), config, device)


def sample_particles(
    model: ParticleModel,
    starts: ArrayLike,
    lengths: Lengths,
    sampler: Steps | Anneal,
    seed: int,
    index: int,
    t_start: float = 1.0,
    report: Callable[[float], None] = lambda _: None,
    batch_size: int = 8,
    guide: Guide = lambda score, _: score,
    first: int = 0,
) -> Array:
    """Denoise structures whose noise level is that of t_start.

    Args:
        starts: (M, N, 3). Each structure has its own random stream, whatever the batch.
        guide: applied to the score of the model before sampling.
        first: number of the first structure among those of this index, a key of the random streams.

    Returns:
        Positions (M, N, 3), wrapped into the box.
    """
    starts = np.asarray(starts, dtype=np.float64)
    score = guide(model.score(lengths), model.process)
    done = []
    for place in range(0, len(starts), batch_size):
        batch = starts[place : place + batch_size]
        orders = np.stack([_order(start, lengths, model.config.cutoff) for start in batch])
        start = torch.tensor(
            np.take_along_axis(batch, orders[:, :, None], axis=1),
            dtype=torch.float32,
            device=model.device,
        )
        streams = [
            generator(seed, PARTICLE, index, NOISE, first + place + number)
            for number in range(len(batch))
        ]
        draw = partial(_normal, streams, batch.shape[1:], model.device)
        if isinstance(sampler, Anneal):
            sample = anneal(score, start, model.process, sampler, draw, t_start)
        else:
            kind, num_steps = sampler.kind, sampler.num
            sample = denoise(score, start, model.process, kind, num_steps, draw, t_start)
        wrapped = wrap(sample.double().cpu().numpy(), lengths)
        done.append(np.take_along_axis(wrapped, orders.argsort(axis=1)[:, :, None], axis=1))
        report(min(1.0, (place + batch_size) / len(starts)))
    return np.concatenate(done)


def random_starts(
    num: int, num_atoms: int, lengths: Lengths, seed: int, index: int, first: int = 0
) -> Array:
    """Uniform random positions (num, N, 3), the distribution of the process at t = 1.

    Args:
        first: as for ``sample_particles``.
    """
    numbers = range(first, first + num)
    streams = [generator(seed, PARTICLE, index, START, number) for number in numbers]
    return np.stack([stream.uniform(size=(num_atoms, 3)) for stream in streams]) * lengths


def even_starts(
    num: int,
    num_atoms: int,
    lengths: Lengths,
    sigma: float,
    seed: int,
    index: int,
    first: int = 0,
) -> Array:
    """Evenly spread positions (num, N, 3) with normal displacements of sigma.

    A dense structure has hardly any long waves of density, and noise of a bond's length makes none
    of these: its structure factor is 1 - (1 - S(k)) exp(-k^2 sigma^2). Independent random positions
    have them (S = 1 at all k), and a network that sees some neighbours cannot take them away.

    Args:
        first: as for ``sample_particles``.
    """
    starts = []
    for number in range(first, first + num):
        stream = generator(seed, PARTICLE, index, START, number)
        shares = (_even_points(num_atoms) + stream.uniform(size=3)) % 1.0
        starts.append(shares * lengths + sigma * stream.standard_normal((num_atoms, 3)))
    return np.stack(starts)


def noisy_starts(clean: Array, sigma: float, num: int, seed: int, index: int) -> Array:
    """Copies (num, N, 3) of a structure with independent normal displacements."""
    streams = [generator(seed, PARTICLE, index, START, number) for number in range(num)]
    return np.stack([clean + sigma * stream.standard_normal(clean.shape) for stream in streams])


def _even_points(num: int) -> Array:
    """Points (num, 3) of low discrepancy in the unit cube, after Roberts (2018).

    Their second and third shares are multiples of 1 / g and 1 / g^2 with g^3 = g + 1.
    """
    g = 1.324717957244746
    places = np.arange(num) + 0.5
    return np.stack([places / num, places / g % 1.0, places / g**2 % 1.0], axis=1)


def _network(config: ParticleConfig) -> MeshGraphNet | EquivariantScore:
    kind = {"meshgraphnet": MeshGraphNet, "equivariant": EquivariantScore}[config.network]
    network: MeshGraphNet | EquivariantScore = kind(config.width, config.num_layers, config.cutoff)
    return network


def _order(start: Array, lengths: Lengths, cutoff: float) -> NDArray[np.intp]:
    """Order that puts neighbours of a large structure close in memory; small ones keep theirs."""
    if len(start) <= DENSE_ATOMS:
        return np.arange(len(start))
    return spatial_order(start, lengths, cutoff)


def _normal(streams: list[np.random.Generator], shape: tuple[int, ...], device: str) -> Tensor:
    """Unit normal noise (B, *shape), each item from its own stream."""
    draws = [stream.standard_normal(shape, np.float32) for stream in streams]
    return torch.tensor(np.stack(draws), device=device)


def _stacked(cells: Sequence[Cell], device: str) -> tuple[Tensor, Tensor]:
    """Positions (S, N, 3) and boxes (S, 3)."""
    positions = np.stack([cell.positions for cell in cells])
    lengths = np.array([cell.lengths for cell in cells])
    return (
        torch.tensor(positions, dtype=torch.float32, device=device),
        torch.tensor(lengths, dtype=torch.float32, device=device),
    )


def _set_rate(optimizer: torch.optim.Optimizer, config: ParticleConfig, step: int) -> None:
    lowest, num_warmup = config.final_learning_rate, config.num_warmup
    set_rate(
        optimizer,
        cosine_rate(step, config.num_steps, config.learning_rate, lowest, num_warmup),
    )


def _curve(losses: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Means of the losses of all steps over a hundredth of the training each."""
    chunks = np.array_split(np.arange(len(losses)), min(100, len(losses)))
    return {
        "steps": np.array([chunk[-1] + 1 for chunk in chunks]),
        "loss": np.array([losses[chunk].mean() for chunk in chunks]),
    }


def _loss(
    model: ParticleModel, clean: Tensor, boxes: Tensor, stream: np.random.Generator
) -> Tensor:
    """Loss of noisy copies at times stratified over B equal intervals."""
    batch_size, process = model.config.batch_size, model.process
    chosen = torch.from_numpy(stream.integers(len(clean), size=batch_size)).to(clean.device)
    stratified = (np.arange(batch_size) + stream.uniform(size=batch_size)) / batch_size
    uniform = torch.tensor(stratified, dtype=torch.float32, device=clean.device)
    if model.config.times == "focused":
        t = process.draw_focused_times(uniform)
    else:
        t = process.draw_times(uniform)
    noise = _normal([stream], (batch_size, *clean.shape[1:]), model.device)[0]
    return score_matching_loss(model.score(boxes[chosen]), process, clean[chosen], t, noise)


@torch.no_grad()
def _validate(
    model: ParticleModel, clean: Tensor, boxes: Tensor, stream: np.random.Generator, num: int = 8
) -> tuple[Array, Array]:
    times = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0])
    losses = []
    for time in times:
        chosen = torch.from_numpy(stream.integers(len(clean), size=num)).to(clean.device)
        noise = _normal([stream], (num, *clean.shape[1:]), model.device)[0]
        t = torch.full((num,), float(time), device=clean.device)
        score = model.score(boxes[chosen])
        losses.append(float(score_matching_loss(score, model.process, clean[chosen], t, noise)))
    return times, np.array(losses)
