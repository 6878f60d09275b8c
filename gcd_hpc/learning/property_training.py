"""Training of property networks from structures with labelled atoms, and their held-out errors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from gcd_hpc.learning.calibration import HeldOut
from gcd_hpc.learning.property_labels import LabelledStructure, labels_of
from gcd_hpc.learning.property_network import PropertyConfig, PropertyNetwork
from gcd_hpc.learning.trainer import Trainer, cosine_rate, seeded, set_rate
from gcd_hpc.seeds import PROPERTY, generator

Array = NDArray[np.float64]
INITIAL, FIT, CALIBRATE, TURN = range(4)
"""Purposes of the random streams; the key is (PROPERTY, index, purpose, item)."""


@dataclass(frozen=True)
class PropertyTraining:
    """Length and rates of a training; a step takes ``batch_size`` structures."""

    num_steps: int
    batch_size: int = 1
    jitter_a: float = 0.0
    """Standard deviation of displacements that a network for clean positions is trained with, Å."""
    learning_rate: float = 3e-3
    final_learning_rate: float = 1e-5
    num_warmup: int = 100
    weight_decay: float = 2e-5
    ema_decay: float = 0.999


def train_property(
    structures: Sequence[LabelledStructure],
    config: PropertyConfig,
    training: PropertyTraining,
    seed: int,
    index: int,
    report: Callable[[float], None] = lambda _: None,
    device: str = "cpu",
) -> tuple[PropertyNetwork, Array]:
    """Train a property network by least squares over the labelled atoms.

    A noise-aware network learns the clean atoms' properties from noisy positions at the noise that
    it is given. Each structure is turned at random, which changes nothing for an equivariant one.

    Args:
        structures: of one element; their boxes and numbers of atoms may differ.
        index: distinguishes the networks of one seed.

    Returns:
        The network with averaged weights, and the loss (num_steps,) as a share of the variance of
        the atoms' properties.

    Raises:
        TrainingError: if there are no labels, or the loss is no longer finite.
        StructureError: if elements or channels differ.
    """
    labels = labels_of(structures)
    labelled = [one for one in structures if np.isfinite(one.values).any()]
    typical = torch.tensor(labels.mean(axis=0), dtype=torch.float32)
    variance = float(labels.var(axis=0).mean())
    network = seeded(
        lambda: PropertyNetwork(config, typical),
        int(generator(seed, PROPERTY, index, INITIAL).integers(2**62)),
    ).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )

    def before_step(step: int) -> None:
        highest, lowest = training.learning_rate, training.final_learning_rate
        set_rate(
            optimizer, cosine_rate(step, training.num_steps, highest, lowest, training.num_warmup)
        )

    def losses(step: int) -> list[Callable[[], Tensor]]:
        stream = generator(seed, PROPERTY, index, FIT, step)
        chosen = stream.integers(len(labelled), size=training.batch_size)
        return [
            partial(_loss, network, labelled[number], training, variance, stream)
            for number in chosen
        ]

    trainer = Trainer(network, optimizer, losses, before_step, training.ema_decay, 1.0)
    curve = np.zeros(training.num_steps)
    for step, loss in enumerate(trainer.steps(training.num_steps)):
        curve[step] = loss
        if step % 20 == 0:
            report(step / training.num_steps)
    network.load_state_dict(trainer.average.weights)
    return network.eval(), curve


@torch.no_grad()
def predict(
    networks: Sequence[PropertyNetwork], structure: LabelledStructure, num_turns: int = 1
) -> Array:
    """Properties (N, K) of a clean structure's atoms, the mean over networks and orientations."""
    turns = [None, *(_rotation(generator(0, PROPERTY, 0, TURN, n)) for n in range(num_turns - 1))]
    total = torch.stack(
        [
            _values(network, structure.positions, structure.lengths, 0.0, turn)
            for network in networks
            for turn in turns
        ]
    )  # (networks turns, N, K)
    return total.mean(dim=0).double().cpu().numpy()


def noise_levels(config: PropertyConfig, num: int) -> Array:
    """Noise levels (S,) in Å to measure the error at; 0 alone for a network of clean positions."""
    if not config.is_noise_aware:
        return np.zeros(1)
    return np.geomspace(config.min_sigma, config.max_sigma, num)


@torch.no_grad()
def held_out_residuals(
    network: PropertyNetwork,
    structures: Sequence[LabelledStructure],
    sigmas: Array,
    seed: int,
    index: int,
    num_draws: int = 2,
) -> list[list[HeldOut]]:
    """Residuals of held-out structures at each noise level, for ``calibration.calibrate``.

    Args:
        num_draws: noises drawn for each structure and level.
    """
    levels: list[list[HeldOut]] = []
    for level, sigma in enumerate(sigmas):
        found = []
        for number, one in enumerate(structures):
            stream = generator(seed, PROPERTY, index, CALIBRATE, level, number)
            for _ in range(num_draws if sigma > 0 else 1):
                noise = stream.standard_normal(one.positions.shape)
                noisy = one.positions + sigma * noise
                predicted = _values(network, noisy, one.lengths, float(sigma), None)
                values = predicted.double().cpu().numpy()
                if one.known.any():
                    found.append(HeldOut(one.group, (values - one.values)[one.known]))
        levels.append(found)
    return levels


def _loss(
    network: PropertyNetwork,
    one: LabelledStructure,
    training: PropertyTraining,
    variance: float,
    stream: np.random.Generator,
) -> Tensor:
    """Mean square error over the labelled entries of one structure, as a share of the variance.

    The structure is moved and turned at random.
    """
    config = network.config
    sigma = _draw_sigma(config, stream)
    moved = sigma if config.is_noise_aware else training.jitter_a
    positions = one.positions + moved * stream.standard_normal(one.positions.shape)
    values = _values(network, positions, one.lengths, sigma, _rotation(stream))
    labels = _float(one.values).to(values.device)
    known = labels.isfinite()  # (N, K)
    error: Tensor = (values[known] - labels[known]).square().mean()
    return error / variance


def _draw_sigma(config: PropertyConfig, stream: np.random.Generator) -> float:
    """Noise of a step, Å, log-uniform in the trained range."""
    if not config.is_noise_aware:
        return 0.0
    low, high = math.log(config.min_sigma), math.log(config.max_sigma)
    return math.exp(stream.uniform(low, high))


def _rotation(stream: np.random.Generator) -> Array:
    """Uniform random rotation (3, 3), from a unit quaternion."""
    return np.asarray(Rotation.from_quat(stream.standard_normal(4)).as_matrix())


def _values(
    network: PropertyNetwork, positions: Array, lengths: Array, sigma: float, turn: Array | None
) -> Tensor:
    """Properties (N, K) of one structure's atoms, on the network's device."""
    device = network.typical.device
    outputs: Tensor = network(
        _float(positions)[None].to(device),
        _float(lengths).to(device),
        torch.full((1,), sigma, device=device),
        None if turn is None else _float(turn).to(device),
    )
    return outputs[0]


def _float(values: Array) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
