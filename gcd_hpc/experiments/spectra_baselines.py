"""What the spectra of held-out carbon are without a network: four baselines of growing knowledge.

Each gives a spectrum (N, K) for every atom of a held-out frame.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_bonds import coordination
from gcd_hpc.experiments.carbon_data import Frame

Array = NDArray[np.float64]


def baselines(training: Sequence[Frame], held_out: Sequence[Frame]) -> dict[str, Array]:
    """Predictions (F, N, K) of each baseline by its name.

    "training mean" knows nothing of the frame. "own mean" knows the answer for the frame as a
    whole, and so is no prediction of it but the bar for single atoms. "coordination" is the mean
    of the training's atoms with as many bonds. "density" interpolates the training's mean spectra
    in density, linearly, and goes on linearly beyond its ends.
    """
    functions = {
        "training mean": _training_mean,
        "own mean": _own_mean,
        "coordination": _by_coordination,
        "density": _by_density,
    }
    return {
        name: np.stack([function(training, frame) for frame in held_out])
        for name, function in functions.items()
    }


def _training_mean(training: Sequence[Frame], frame: Frame) -> Array:
    mean = np.concatenate([one.spectra for one in training]).mean(axis=0)
    return np.broadcast_to(mean, frame.spectra.shape)


def _own_mean(_: Sequence[Frame], frame: Frame) -> Array:
    return np.broadcast_to(frame.spectra.mean(axis=0), frame.spectra.shape)


def _by_coordination(training: Sequence[Frame], frame: Frame) -> Array:
    """Mean by number of bonds; a number that is not in training takes the nearest that is."""
    bonded = np.concatenate([coordination(one.positions, one.lengths) for one in training])
    spectra = np.concatenate([one.spectra for one in training])
    known = np.unique(bonded)
    means = np.stack([spectra[bonded == number].mean(axis=0) for number in known])
    own = coordination(frame.positions, frame.lengths)
    nearest = np.abs(own[:, None] - known).argmin(axis=1)  # (N,)
    return np.asarray(means[nearest])


def _by_density(training: Sequence[Frame], frame: Frame) -> Array:
    """Line through the mean spectra of the two nearest of the training's densities."""
    densities = np.array(sorted({one.nominal_density for one in training}))
    means = np.stack(
        [
            np.mean([f.spectra.mean(axis=0) for f in training if f.nominal_density == density], 0)
            for density in densities
        ]
    )
    # Between two densities, or the two at the end beyond which the frame lies.
    after = int(np.clip(np.searchsorted(densities, frame.nominal_density), 1, len(densities) - 1))
    low, high = densities[after - 1], densities[after]
    share = (frame.nominal_density - low) / (high - low)
    mean = (1 - share) * means[after - 1] + share * means[after]
    return np.broadcast_to(mean, frame.spectra.shape)
