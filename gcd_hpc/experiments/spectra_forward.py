"""Spectra from structures (k1): how well a network predicts what it was not trained on.

The forward model of a fold is the mean of a few equivariant networks of different seeds. Five folds
leave out one density each; the paper's split is shown beside them, because it leaks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_data import DENSITIES, Fold
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.spectra_baselines import baselines
from gcd_hpc.experiments.spectra_forward_figure import Shown, forward_figure
from gcd_hpc.experiments.spectra_networks import (
    FORWARD,
    GUIDE,
    JUDGE,
    PAPER,
    fold_of,
    forward_recipe,
    guide_recipe,
    judge_recipe,
    labelled,
    training_task,
)
from gcd_hpc.experiments.work import Arrays, Task, Workshop, core_s
from gcd_hpc.learning.calibrated_property import Recipe
from gcd_hpc.learning.calibration import HeldOut, calibrate, principal_components
from gcd_hpc.learning.property_labels import labels_of

Array = NDArray[np.float64]

MAIN = "2.5"
"""Density left out by the fold that lies inside the others' range, g/cm^3."""
FOLDS = (*(f"{density:g}" for density in DENSITIES), PAPER)


@dataclass(frozen=True)
class ForwardBudget:
    """Lengths of the trainings."""

    guide: Recipe
    judge: Recipe
    forward: Recipe
    num_members: int
    """Networks whose mean is the forward model of a fold."""


QUICK = ForwardBudget(
    guide=guide_recipe(3_500),
    judge=judge_recipe(3_500),
    forward=forward_recipe(1_200),
    num_members=1,
)
FULL = ForwardBudget(
    guide=guide_recipe(40_000, width=96),
    judge=judge_recipe(40_000, width=128),
    forward=forward_recipe(2_500, width=96),
    num_members=10,
)


def k1(workshop: Workshop) -> Outcome:
    """Spectra of held-out atoms and frames, five folds and the paper's split."""
    return study_forward(workshop, {"quick": QUICK, "full": FULL}[workshop.budget])


def guide_task(workshop: Workshop, budget: ForwardBudget) -> tuple[Task, Path]:
    """Training task of the guide, which has not seen the main density, and the path of its file."""
    return training_task(workshop, "guide", MAIN, budget.guide, GUIDE)


def judge_task(workshop: Workshop, budget: ForwardBudget) -> tuple[Task, Path]:
    """Training task of the judge, which has not seen the main density, and the path of its file."""
    return training_task(workshop, "judge", MAIN, budget.judge, JUDGE)


def study_forward(workshop: Workshop, budget: ForwardBudget) -> Outcome:
    """Run the experiment with any budget."""
    tasks = [guide_task(workshop, budget)[0], judge_task(workshop, budget)[0]]
    tasks += [
        training_task(workshop, f"forward{member}", fold, budget.forward, FORWARD + member)[0]
        for member in range(budget.num_members)
        for fold in FOLDS
    ]
    results = workshop.run(tasks, on_device=True)
    by_name = {task.name: result for task, result in zip(tasks, results, strict=True)}
    predicted = {
        fold: np.stack(
            [
                by_name[f"spectra-forward{member}-{fold}"]["predicted"]
                for member in range(budget.num_members)
            ]
        )
        for fold in FOLDS
    }  # (M, F, N, K) each
    folds = {name: fold_of(name) for name in FOLDS}
    numbers: dict[str, Any] = {
        "folds": {name: fold_numbers(folds[name], predicted[name]) for name in FOLDS},
        "guide": _network_numbers(by_name[f"spectra-guide-{MAIN}"]),
        "judge": _network_numbers(by_name[f"spectra-judge-{MAIN}"]),
        "calibration": {
            "chi_squared_of_other_groups": chi_squared_of_other_groups(folds, predicted)
        },
    }
    shown = {
        name: Shown(folds[name].held_out, predicted[name].mean(axis=0), numbers["folds"][name])
        for name in FOLDS
    }
    return Outcome(numbers, {"training": core_s(results)}, forward_figure(shown, MAIN, PAPER))


def fold_numbers(fold: Fold, predicted: Array) -> dict[str, Any]:
    """Errors of the forward model (M, F, N, K) and the baselines on the frames of a fold.

    "members" are its single networks, whose spread is that between seeds.
    """
    true = np.stack([frame.spectra for frame in fold.held_out])  # (F, N, K)
    return {
        "leaks": fold.name == PAPER,
        "num_training": len(fold.training),
        "num_held_out": len(fold.held_out),
        "network": _errors(true, predicted.mean(axis=0)),
        "members": [_errors(true, one) for one in predicted],
        "baselines": {
            name: _errors(true, values)
            for name, values in baselines(fold.training, fold.held_out).items()
        },
    }


def chi_squared_of_other_groups(
    folds: dict[str, Fold], predicted: dict[str, Array]
) -> dict[str, float]:
    """Chi^2 by density of its frames' means, under a covariance measured on the other densities.

    All residuals are of networks that have not learned the density. 1 is a covariance that holds;
    more means larger errors than those of the other densities.
    """
    residuals = {
        name: [
            HeldOut(name, values - frame.spectra)
            for values, frame in zip(
                predicted[name].mean(axis=0), folds[name].held_out, strict=True
            )
        ]
        for name in folds
        if name != PAPER
    }
    found = {}
    for name, own in residuals.items():
        others = [one for other, items in residuals.items() if other != name for one in items]
        labels = labels_of([labelled(frame) for frame in folds[name].training])
        calibration = calibrate(*principal_components(labels), np.zeros(1), [others])
        found[name] = float(calibration.check([own])[0])
    return found


def _network_numbers(result: Arrays) -> dict[str, Any]:
    """Errors of one network on the main density, by noise."""
    tenth = max(1, len(result["loss"]) // 10)
    return {
        "final_loss": float(result["loss"][-tenth:].mean()),
        **{
            name: result[name].tolist()
            for name in ("sigmas", "atom_rmse", "mean_rmse", "chi_squared")
        },
    }


def _errors(true: Array, predicted: Array) -> dict[str, float]:
    """Root mean square errors of atoms and of frames' means, of spectra (F, N, K), and the share
    of the variance about the frames' own means that is explained.
    """
    difference = predicted - true
    about_means = true - true.mean(axis=1, keepdims=True)
    return {
        "atom_rmse": float(np.sqrt(np.square(difference).mean())),
        "atom_r2": float(1 - np.square(difference).sum() / np.square(about_means).sum()),
        "mean_rmse": float(np.sqrt(np.square(difference.mean(axis=1)).mean())),
    }
