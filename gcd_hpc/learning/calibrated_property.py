"""Property networks whose error is measured: trained without some groups, or cross-validated."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import TrainingError
from gcd_hpc.learning.calibration import (
    NUM_LEVELS,
    Calibration,
    HeldOut,
    calibrate,
    principal_components,
)
from gcd_hpc.learning.property_labels import LabelledStructure, labels_of
from gcd_hpc.learning.property_network import PropertyCard, PropertyConfig, PropertyModel
from gcd_hpc.learning.property_training import (
    PropertyTraining,
    held_out_residuals,
    noise_levels,
    train_property,
)

Array = NDArray[np.float64]
Report = Callable[[float], None]


@dataclass(frozen=True)
class Recipe:
    """Network and training of one kind."""

    network: PropertyConfig
    training: PropertyTraining


@dataclass(frozen=True)
class Measured:
    """A trained network, and its residuals on structures that it did not learn from."""

    model: PropertyModel
    loss: Array
    """Loss of each step, (num_steps,), as a share of the variance of the atoms' properties."""
    sigmas: Array
    """Noise levels, (S,) Å."""
    residuals: list[list[HeldOut]]
    """For each noise level the residuals of every held-out structure."""


def train_measured(
    learned: Sequence[LabelledStructure],
    held_out: Sequence[LabelledStructure],
    recipe: Recipe,
    seed: int,
    index: int,
    name: str,
    edge: str,
    report: Report = lambda _: None,
    device: str = "cpu",
) -> Measured:
    """Train a network and measure the covariance of its error on structures held out.

    Args:
        learned, held_out: structures that share no group.
        name, edge: of the property, for the card.

    Raises:
        TrainingError: if there are no labels to learn from or to measure the error on.
        StructureError: if elements or channels differ.
    """
    network, loss = train_property(
        learned, recipe.network, recipe.training, seed, index, report, device
    )
    sigmas = noise_levels(recipe.network, NUM_LEVELS)
    residuals = held_out_residuals(network, held_out, sigmas, seed, index)
    calibration = _calibration(learned, sigmas, residuals)
    card = _card(learned, held_out, recipe, seed, index, name, edge)
    return Measured(PropertyModel(network, card, calibration), loss, sigmas, residuals)


def train_cross_validated(
    structures: Sequence[LabelledStructure],
    recipe: Recipe,
    seed: int,
    index: int,
    name: str,
    edge: str,
    num_folds: int = 5,
    report: Report = lambda _: None,
    device: str = "cpu",
) -> Measured:
    """Train a network on all structures; its covariance is that of networks of the same recipe,
    each trained without a share of the groups and measured on it.

    Args:
        index: of the network; those of the folds have the next ones.
        num_folds: at most as many as there are groups; one training each, and one of all.

    Raises:
        TrainingError: if there are fewer than two groups or no labels.
        StructureError: if elements or channels differ.
    """
    groups = sorted({one.group for one in structures})
    num_folds = min(num_folds, len(groups))
    if num_folds < 2:
        raise TrainingError(
            "cannot measure the error of the property network: all labelled structures are of one"
            " group; label structures of a second one"
        )
    sigmas = noise_levels(recipe.network, NUM_LEVELS)
    residuals: list[list[HeldOut]] = [[] for _ in sigmas]
    shares = [groups[fold::num_folds] for fold in range(num_folds)]
    for fold, share in enumerate(shares):
        fold_index = index + 1 + fold
        network, _ = train_property(
            [one for one in structures if one.group not in share],
            recipe.network,
            recipe.training,
            seed,
            fold_index,
            lambda done, fold=fold: report((fold + done) / (num_folds + 1)),  # type: ignore[misc]
            device,
        )
        others = [one for one in structures if one.group in share]
        found = held_out_residuals(network, others, sigmas, seed, fold_index)
        residuals = [kept + more for kept, more in zip(residuals, found, strict=True)]
    network, loss = train_property(
        structures,
        recipe.network,
        recipe.training,
        seed,
        index,
        lambda done: report((num_folds + done) / (num_folds + 1)),
        device,
    )
    calibration = _calibration(structures, sigmas, residuals)
    card = _card(structures, structures, recipe, seed, index, name, edge)
    return Measured(PropertyModel(network, card, calibration), loss, sigmas, residuals)


def _calibration(
    learned: Sequence[LabelledStructure], sigmas: Array, residuals: Sequence[Sequence[HeldOut]]
) -> Calibration:
    return calibrate(*principal_components(labels_of(learned)), sigmas, residuals)


def _card(
    learned: Sequence[LabelledStructure],
    held_out: Sequence[LabelledStructure],
    recipe: Recipe,
    seed: int,
    index: int,
    name: str,
    edge: str,
) -> PropertyCard:
    numbers = {"seed": seed, "index": index, "num_labels": len(labels_of(learned))}
    return PropertyCard(
        name,
        learned[0].element,
        edge,
        learned[0].energies_ev,
        groups=_groups(learned),
        held_out=_groups(held_out),
        training={**asdict(recipe.training), **numbers},
    )


def _groups(structures: Sequence[LabelledStructure]) -> tuple[str, ...]:
    return tuple(sorted({one.group for one in structures}))
