"""Training of property networks from structures with labelled atoms, and their held-out errors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcd_hpc.errors import StructureError, TrainingError
from gcd_hpc.learning.calibration import HeldOut
from gcd_hpc.learning.property_network import (
    PropertyConfig,
    PropertyNetwork,
    check_elements,
)
from gcd_hpc.learning.trainer import Trainer, cosine_rate, seeded, set_rate
from gcd_hpc.seeds import PROPERTY, generator

Array = NDArray[np.float64]
INITIAL, FIT, CALIBRATE, TURN = range(4)
"""Purposes of the random streams; the key is (PROPERTY, index, purpose, item)."""


@dataclass(frozen=True)
class Labelled:
    """One structure of one element whose atoms are labelled, all or some of them."""

    name: str
    group: str
    """Related structures, such as frames of one trajectory, are of one group. Groups are learned or
    held out as a whole."""
    element: str
    positions: Array  # (N, 3) Å
    lengths: Array  # (3,) Å of the periodic box
    values: Array  # (N, K), NaN where there is no label

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.positions):
            raise StructureError(
                f"{self.name}: has {len(self.positions)} atoms but labels of shape"
                f" {self.values.shape}; give one row of labels for each atom, NaN where there is"
                " none"
            )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Mask (N,) of the atoms that are labelled in all channels."""
        return np.asarray(np.isfinite(self.values).all(axis=1))


@dataclass(frozen=True)
class PropertyTraining:
    """Length and rates of a training; a step takes ``batch_size`` structures."""

    num_steps: int
    batch_size: int = 1
    jitter_a: float = 0.05
    """Standard deviation of displacements that a network for clean positions is trained with."""
    learning_rate: float = 3e-3
    final_learning_rate: float = 1e-5
    num_warmup: int = 100
    weight_decay: float = 2e-5
    ema_decay: float = 0.999


def split_groups(
    structures: Sequence[Labelled], held_out: Sequence[str]
) -> tuple[list[Labelled], list[Labelled]]:
    """Structures to learn from, and those of the groups that are held out.

    Raises:
        TrainingError: if a group is not there, or if nothing is left to learn from.
    """
    groups = sorted({one.group for one in structures})
    for group in held_out:
        if group not in groups:
            raise TrainingError(
                f"cannot hold out the group {group}: the labelled structures are of the groups"
                f" {', '.join(groups)}"
            )
    learned = [one for one in structures if one.group not in held_out]
    if not learned:
        raise TrainingError(
            "cannot train a property network: all groups of the labelled structures are held out;"
            " label structures of another group"
        )
    return learned, [one for one in structures if one.group in held_out]


def train_property(
    structures: Sequence[Labelled],
    config: PropertyConfig,
    training: PropertyTraining,
    seed: int,
    index: int,
    report: Callable[[float], None] = lambda _: None,
) -> tuple[PropertyNetwork, Array]:
    """Train a property network by least squares over the labelled atoms.

    A noise-aware network learns the clean atoms' properties from noisy positions at the noise that
    it is told. Each structure is turned at random, which a backbone that is equivariant ignores.

    Args:
        structures: of one element; their boxes and numbers of atoms may differ.
        index: distinguishes the networks of one seed.

    Returns:
        The network with averaged weights, and the loss (num_steps,) as a share of the variance of
        the atoms' properties.

    Raises:
        TrainingError: if there are no labels, or the loss is no longer finite.
        StructureError: if elements or numbers of channels differ.
    """
    labels = _all_labels(structures)
    labelled = [one for one in structures if np.isfinite(one.values).any()]
    typical = torch.tensor(labels.mean(axis=0), dtype=torch.float32)
    variance = float(labels.var(axis=0).mean())
    network = seeded(
        lambda: PropertyNetwork(config, typical),
        int(generator(seed, PROPERTY, index, INITIAL).integers(2**62)),
    )
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
def predict(networks: Sequence[PropertyNetwork], structure: Labelled, num_turns: int = 1) -> Array:
    """Properties (N, K) of a clean structure's atoms, the mean over networks and orientations."""
    positions = _float(structure.positions)[None]
    lengths, sigma = _float(structure.lengths), torch.zeros(1)
    turns = [None, *(_rotation(generator(0, PROPERTY, 0, TURN, n)) for n in range(num_turns - 1))]
    total = torch.stack(
        [network(positions, lengths, sigma, turn)[0] for network in networks for turn in turns]
    )
    return total.mean(dim=0).double().numpy()


def noise_levels(config: PropertyConfig, num: int) -> Array:
    """Noise levels (S,) in Å to measure the error at; 0 alone for a network of clean positions."""
    if not config.is_noise_aware:
        return np.zeros(1)
    return np.geomspace(config.min_sigma, config.max_sigma, num)


@torch.no_grad()
def held_out_residuals(
    network: PropertyNetwork,
    structures: Sequence[Labelled],
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
                noise = _float(stream.standard_normal(one.positions.shape))
                positions = _float(one.positions) + float(sigma) * noise
                told = torch.full((1,), float(sigma))
                values = network(positions[None], _float(one.lengths), told)[0].double().numpy()
                found.append(HeldOut(one.group, (values - one.values)[one.known]))
        levels.append(found)
    return levels


def described(
    training: PropertyTraining, seed: int, index: int, num_labels: int
) -> dict[str, object]:
    """Settings of a training for the card of its file."""
    return {**asdict(training), "seed": seed, "index": index, "num_labels": num_labels}


def _all_labels(structures: Sequence[Labelled]) -> Array:
    """Labels (A, K) of all atoms that have any."""
    for one in structures:
        check_elements([one.element], structures[0].element, one.name)
        if one.values.shape[1] != structures[0].values.shape[1]:
            raise StructureError(
                f"{one.name}: cannot be learned together with {structures[0].name}: expected"
                f" {structures[0].values.shape[1]} channels, got {one.values.shape[1]}; resample"
                " the labels to the same energies"
            )
    labels = np.concatenate([one.values[one.known] for one in structures] or [np.zeros((0, 1))])
    if not len(labels):
        raise TrainingError(
            "cannot train a property network: no atom of the structures has a label; label some"
        )
    return labels


def _loss(
    network: PropertyNetwork,
    one: Labelled,
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
    noise = _float(stream.standard_normal(one.positions.shape))
    positions = _float(one.positions) + moved * noise
    turn = _rotation(stream)
    values = network(positions[None], _float(one.lengths), torch.full((1,), sigma), turn)[0]
    known = torch.from_numpy(np.isfinite(one.values))  # (N, K)
    error: Tensor = (values - _float(one.values))[known].square().mean()
    return error / variance


def _draw_sigma(config: PropertyConfig, stream: np.random.Generator) -> float:
    """Noise of a step, Å, log-uniform in the trained range."""
    if not config.is_noise_aware:
        return 0.0
    low, high = math.log(config.min_sigma), math.log(config.max_sigma)
    return math.exp(stream.uniform(low, high))


def _rotation(stream: np.random.Generator) -> Tensor:
    """Uniform random rotation (3, 3), from a unit quaternion."""
    w, x, y, z = (q := stream.standard_normal(4)) / np.linalg.norm(q)
    return _float(
        np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
    )


def _float(values: Array) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
