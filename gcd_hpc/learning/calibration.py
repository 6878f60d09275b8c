"""Covariance of a property network's error, measured on groups of structures held out of training.

The error of the mean over N absorbers has two parts,

    C(sigma, N) = C_model(sigma) + C_environment(sigma) / N + C_target.

C_model is common to all atoms of a structure: the network is biased for surroundings that it has
not learned. C_environment is the spread of the atoms' errors about their structure's mean, which
averages out. C_target is the error of the measured property itself. The first two are measured from
residuals at several noise levels. Each is a matrix in the first principal components of the
property plus a diagonal floor for what these leave out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from torch import Tensor

from gcd_hpc.errors import CheckpointError, TrainingError

Array = NDArray[np.float64]

NUM_COMPONENTS = 8
NUM_LEVELS = 8
MIN_FLOOR = 1e-3
"""Smallest floor, as a share of the mean variance of the error, so that no direction of the
property is taken as known exactly."""
_PREFIX = "calibration."
_ZERO = 1e-12
"""Å; stands for clean positions in a logarithm."""


@dataclass(frozen=True)
class HeldOut:
    """Residuals of one structure that the network has not learned from, at one noise level."""

    group: str
    """Structures of one group are related, and are held out together."""
    residuals: Array  # (n, K) predicted minus true, of its labelled atoms


@dataclass(frozen=True)
class Calibration:
    """Measured covariances at several noise levels, float64 on the CPU."""

    sigmas: Tensor  # (S,) Å, increasing
    components: Tensor  # (K, P), orthonormal columns
    model: Tensor  # (S, P, P)
    model_floor: Tensor  # (S, K)
    environment: Tensor  # (S, P, P)
    environment_floor: Tensor  # (S, K)

    def covariance(
        self, sigma: float, num_absorbers: float, target: Tensor | None = None
    ) -> Tensor:
        """Covariance (K, K) of predicted minus measured mean, in squares of the property's unit.

        Between two noise levels the covariances are interpolated in log sigma; beyond the first or
        last level they are those of that level.

        Args:
            sigma: noise of the positions, Å; 0 for clean positions.
            num_absorbers: number of atoms that the mean is taken over.
            target: covariance (K, K) of the measured property; None for an exact one.
        """
        model = self._at(sigma, self.model, self.model_floor)
        environment = self._at(sigma, self.environment, self.environment_floor)
        total = model + environment / num_absorbers
        return total if target is None else total + target.to(total)

    def check(self, held_out: Sequence[Sequence[HeldOut]]) -> Array:
        """Mean chi^2 (S,) per channel of structures' mean residuals, at each noise level.

        Args:
            held_out: for each noise level of this calibration the residuals of structures.
        """
        found = []
        for sigma, structures in zip(self.sigmas.tolist(), held_out, strict=True):
            of_structures = [
                chi_squared(one.residuals.mean(axis=0), self.covariance(sigma, len(one.residuals)))
                for one in structures
            ]
            found.append(float(np.mean(of_structures)))
        return np.array(found)

    def tensors(self) -> dict[str, Tensor]:
        """Entries for a model file, beside the weights."""
        return {_PREFIX + name: value for name, value in vars(self).items()}

    def _at(self, sigma: float, core: Tensor, floor: Tensor) -> Tensor:
        """Full matrix (K, K) at a noise level."""
        levels = self.sigmas.clamp(min=_ZERO).log().numpy()
        place = float(np.interp(np.log(max(sigma, _ZERO)), levels, np.arange(len(levels))))
        first, share = int(place), place % 1
        after = min(first + 1, len(levels) - 1)
        inner = (1 - share) * core[first] + share * core[after]
        diagonal = (1 - share) * floor[first] + share * floor[after]
        return self.components @ inner @ self.components.T + diagonal.diag()


def split_tensors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Calibration | None]:
    """Separate the entries of a model file into weights and calibration.

    Raises:
        CheckpointError: if only a part of a calibration is there.
    """
    weights = {name: value for name, value in tensors.items() if not name.startswith(_PREFIX)}
    entries = {
        name.removeprefix(_PREFIX): value
        for name, value in tensors.items()
        if name.startswith(_PREFIX)
    }
    if not entries:
        return weights, None
    try:
        return weights, Calibration(**entries)
    except TypeError as error:
        raise CheckpointError(
            f"the calibration of the property network is incomplete ({error}); train the network"
            " again"
        ) from error


def principal_components(values: ArrayLike) -> tuple[Array, Array]:
    """Orthonormal directions (K, P) of largest variance of atoms' properties (A, K), and the
    variances (P,) along them; P is 8, or K if that is smaller.
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    largest = np.argsort(variances)[::-1][:NUM_COMPONENTS]
    return directions[:, largest], variances[largest].clip(min=0.0)


def calibrate(
    components: Array, variances: Array, sigmas: Array, held_out: Sequence[Sequence[HeldOut]]
) -> Calibration:
    """Measure the covariances of the error from residuals of groups that were held out.

    Every group counts the same, however many structures it has. A few groups do not determine all
    of C_model, so it is pulled towards errors in proportion to the property's own variances, with
    the weight of as many groups as there are components.

    Args:
        components, variances: of ``principal_components`` of the training's atoms.
        sigmas: (S,) Å, increasing.
        held_out: for each noise level the residuals of all held-out structures.

    Raises:
        TrainingError: if no structure has two labelled atoms, which C_environment needs.
    """
    parts: dict[str, list[Array]] = {
        "model": [],
        "model_floor": [],
        "environment": [],
        "environment_floor": [],
    }
    for structures in held_out:
        within, of_means, num_groups = _second_moments(structures)
        environment, floor = _project(within, components, MIN_FLOOR * _mean_variance(within))
        parts["environment"].append(environment)
        parts["environment_floor"].append(floor)
        # The means of few structures can scatter less than the atoms' spread says.
        of_mean = max(_mean_variance(of_means), MIN_FLOOR * _mean_variance(within))
        model, floor = _project(of_means, components, MIN_FLOOR * of_mean)
        prior = np.trace(model) * np.diag(variances / variances.sum())
        num = len(variances)
        parts["model"].append((num_groups * model + num * prior) / (num_groups + num))
        parts["model_floor"].append(floor)
    stacked = {name: torch.from_numpy(np.stack(values)) for name, values in parts.items()}
    return Calibration(
        torch.from_numpy(np.array(sigmas, dtype=np.float64)),
        torch.from_numpy(np.ascontiguousarray(components)),
        **stacked,
    )


def chi_squared(residuals: ArrayLike, covariance: Tensor) -> Array:
    """Squares (M,) of residuals (M, K) in units of their covariance, divided by K; 1 on average if
    the covariance is right.
    """
    difference = torch.from_numpy(np.atleast_2d(np.asarray(residuals, dtype=np.float64)))
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), difference.T, upper=False
    )  # (K, M)
    return np.asarray(whitened.square().mean(dim=0).numpy())


def _second_moments(structures: Sequence[HeldOut]) -> tuple[Array, Array, int]:
    """Covariance within structures (K, K), second moment of the structures' means less what the
    spread within them adds (K, K), and the number of groups.
    """
    within: dict[str, list[Array]] = {}
    for one in structures:
        if len(one.residuals) > 1:
            within.setdefault(one.group, []).append(np.cov(one.residuals, rowvar=False))
    if not within:
        raise TrainingError(
            "cannot calibrate the property network: no held-out structure has two atoms with"
            " labels; label more atoms of each structure"
        )
    spread = _mean_over_groups(within)
    of_means: dict[str, list[Array]] = {}
    for one in structures:
        mean = one.residuals.mean(axis=0)
        moment = np.outer(mean, mean) - spread / len(one.residuals)
        of_means.setdefault(one.group, []).append(moment)
    return spread, _mean_over_groups(of_means), len(of_means)


def _mean_over_groups(by_group: Mapping[str, list[Array]]) -> Array:
    return np.asarray(np.mean([np.mean(items, axis=0) for items in by_group.values()], axis=0))


def _mean_variance(moment: Array) -> float:
    return float(np.trace(moment)) / len(moment)


def _project(moment: Array, components: Array, least: float) -> tuple[Array, Array]:
    """Part (P, P) of a second moment in the components, and the diagonal floor (K,).

    The floor is the diagonal matrix that leaves the same variances as the moment does when the
    components are taken out of both.
    """
    rest = np.eye(len(moment)) - components @ components.T
    floor = nnls(rest**2, np.diag(rest @ moment @ rest).clip(min=0.0))[0].clip(min=least)
    inner = components.T @ (moment - np.diag(floor)) @ components
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    return vectors * values.clip(min=0.0) @ vectors.T, floor
