"""Networks of carbon's K-edge spectra: their recipes, training tasks and files.

The guide is noise-aware and equivariant. The judge is of another architecture and another seed,
and knows clean positions alone, so that it does not share the guide's errors.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from gcd_hpc.experiments.carbon_data import Fold, Frame, leave_out, paper_fold
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.learning.calibrated_property import Recipe, train_measured
from gcd_hpc.learning.property_labels import LabelledStructure
from gcd_hpc.learning.property_network import PropertyConfig, save_property
from gcd_hpc.learning.property_training import PropertyTraining, predict

PAPER = "paper"
NUM_TURNS = 4
"""Orientations that a network that is not equivariant is averaged over."""
MAX_SIGMA = 0.9
"""Largest noise of the guide, Å, that of the particle model that it guides."""
JITTER_A = 0.05
"""Displacements that the forward model is trained with, Å."""
GUIDE, JUDGE = 0, 1
FORWARD = 10
"""Index of the networks' random streams; member m of the forward model has the last plus m."""


def guide_recipe(num_steps: int, width: int = 48) -> Recipe:
    """Noise-aware equivariant network."""
    return Recipe(
        PropertyConfig("equivariant", width=width, max_sigma=MAX_SIGMA),
        PropertyTraining(num_steps),
    )


def judge_recipe(num_steps: int, width: int = 64) -> Recipe:
    """Mesh network of clean positions."""
    return Recipe(PropertyConfig("meshgraphnet", width=width), PropertyTraining(num_steps))


def forward_recipe(num_steps: int, width: int = 48) -> Recipe:
    """Equivariant network of clean positions.

    It learns the training's frames by heart within a few thousand steps: few steps and displaced
    positions predict other densities better.
    """
    return Recipe(
        PropertyConfig("equivariant", width=width), PropertyTraining(num_steps, jitter_a=JITTER_A)
    )


def labelled(frame: Frame) -> LabelledStructure:
    """A frame with all its atoms labelled; its group is its nominal density."""
    group = f"{frame.nominal_density:g}"
    return LabelledStructure(frame.name, group, "C", frame.positions, frame.lengths, frame.spectra)


def fold_of(name: str) -> Fold:
    """Fold by its name: a density in g/cm^3 that is left out, or "paper"."""
    return paper_fold() if name == PAPER else leave_out(float(name))


def training_task(
    workshop: Workshop, name: str, fold: str, recipe: Recipe, index: int
) -> tuple[Task, Path]:
    """Task that trains one network, and the path of its file."""
    what = (fold, recipe, workshop.seed, index, workshop.device)
    task = Task(f"spectra-{name}-{fold}", train_fold, what)
    weights = workshop.path(task).with_suffix(".safetensors")
    return replace(task, arguments=(*what, weights)), weights


def train_fold(
    fold: str, recipe: Recipe, seed: int, index: int, device: str, weights: Path, report: Report
) -> Arrays:
    """Train a network without the held-out frames, and measure its error on them.

    Returns:
        "predicted" (F, N, K) of the clean held-out frames; "loss" (num_steps,); "sigmas" (S,) with
        the root mean square errors "atom_rmse" and "mean_rmse" (S,) at these noises, and
        "chi_squared" (S,), that of the frames' means under the network's own calibration.
    """
    frames = fold_of(fold)
    learned, held_out = list(map(labelled, frames.training)), list(map(labelled, frames.held_out))
    found = train_measured(
        learned, held_out, recipe, seed, index, "C K-edge spectrum", "K", report, device
    )
    network, calibration = found.model.network, found.model.calibration
    assert calibration is not None
    save_property(weights, network, found.model.card, calibration)
    num_turns = NUM_TURNS if recipe.network.backbone == "meshgraphnet" else 1
    means = [np.stack([one.residuals.mean(axis=0) for one in level]) for level in found.residuals]
    atoms = [np.concatenate([one.residuals for one in level]) for level in found.residuals]
    return {
        "predicted": np.stack([predict([network], one, num_turns) for one in held_out]),
        "loss": found.loss,
        "sigmas": found.sigmas,
        "atom_rmse": np.array([_rms(values) for values in atoms]),
        "mean_rmse": np.array([_rms(values) for values in means]),
        "chi_squared": calibration.check(found.residuals),
    }


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
