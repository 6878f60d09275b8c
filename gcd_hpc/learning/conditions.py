"""The condition of a network, and the units of a model's inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.structures.energetics import fraction_distance

NUM_CONDITIONS = 3
"""Length of the condition vector that ConditionScale makes of (E_gb, [n])."""
LEAST_STD = 0.02
"""Smallest standard deviation of relative excess energies that is used as their unit."""
LEAST_ENERGY_J_M2 = 0.2
"""Boundaries of lower energy, such as coherent twins, take the unit of one of this energy."""


@dataclass(frozen=True)
class ConditionScale:
    """Scaling of (E_gb, [n]) for the network.

    The energy is standardised. [n] becomes a point on a circle, because [n] = 1 equals [n] = 0.
    An energy that is not known yet (NaN) is replaced by a low one.
    """

    mean_j_m2: float
    std_j_m2: float
    unknown: ClassVar[float] = -2.0
    """Scaled energy in place of an unknown one."""

    @classmethod
    def fit(cls, energies: Sequence[float]) -> "ConditionScale":
        """Scale of a training set, from its boundary energies in J/m^2."""
        return cls(float(np.mean(energies)), max(float(np.std(energies)), 0.05))

    def __call__(self, energy_j_m2: float, n_fraction: float) -> NDArray[np.float32]:
        excess = (energy_j_m2 - self.mean_j_m2) / self.std_j_m2
        return condition_vector(self.unknown if np.isnan(excess) else excess, n_fraction)


@dataclass(frozen=True)
class ExcessScale:
    """Scaling of (E_gb, [n]) by the lowest energies of each [n], which become zero.

    Args:
        lowest_j_m2: lowest energy of each known [n]; empty where none is known.
        std_j_m2: unit of the excess.
    """

    lowest_j_m2: Mapping[float, float]
    std_j_m2: float

    def __call__(self, energy_j_m2: float, n_fraction: float) -> NDArray[np.float32]:
        nearest = min(
            self.lowest_j_m2, key=lambda known: fraction_distance(known, n_fraction), default=nan
        )
        excess = (energy_j_m2 - self.lowest_j_m2.get(nearest, nan)) / self.std_j_m2
        return condition_vector(0.0 if np.isnan(excess) else excess, n_fraction)


Conditions = ConditionScale | ExcessScale
"""From (E_gb in J/m^2, [n]) to the condition (3,) of a network."""


def condition_vector(scaled_energy: float, n_fraction: float) -> NDArray[np.float32]:
    """Condition (3,): the scaled energy, and [n] as a point on a circle."""
    angle = 2 * np.pi * n_fraction
    return np.array([scaled_energy, np.cos(angle), np.sin(angle)], np.float32)


@dataclass(frozen=True)
class Units:
    """Units of a model's inputs, the same in training and in sampling.

    A model of one boundary gets energies in units of that boundary, a model of several the
    excess over the lowest energy known of the same [n], relative to the lowest of the boundary. It
    can thus be asked for the lowest energy of any [n] of any boundary:
    docs/science.md#conditions.

    Args:
        scale: divisor of the voxel values, the same for all boundaries, so that an atom is the same
            sum of voxels in each.
        of_one: scale of the conditions of a model of one boundary; None for one of several.
        relative_std: unit of the relative excess; None for a model of one boundary.
    """

    scale: float
    of_one: ConditionScale | None
    relative_std: float | None = None

    def __post_init__(self) -> None:
        if (self.of_one is None) == (self.relative_std is None):
            raise ValueError(
                "conditions are those of one boundary or relative to each boundary's own energy,"
                f" got {self.of_one} and {self.relative_std}"
            )

    def conditions(self, lowest_j_m2: Mapping[float, float]) -> Conditions:
        """Scale of the conditions of one boundary.

        Args:
            lowest_j_m2: lowest energy that is known of each [n]. A model of one boundary does not
                depend on it.
        """
        if self.of_one is not None:
            return self.of_one
        assert self.relative_std is not None
        unit = max(LEAST_ENERGY_J_M2, min(lowest_j_m2.values(), default=0.0))
        return ExcessScale(lowest_j_m2, self.relative_std * unit)


def relative_std(energies: Sequence[Sequence[NDArray[np.float64]]]) -> float:
    """Root mean square of the relative excess energies, with equal weights of all boundaries.

    Args:
        energies: of each boundary, the boundary energies (M,) J/m^2 of each [n].
    """
    squares = []
    for by_n in energies:
        unit = max(LEAST_ENERGY_J_M2, min(float(one.min()) for one in by_n))
        squares.append(np.mean(np.concatenate([((one - one.min()) / unit) ** 2 for one in by_n])))
    return max(float(np.sqrt(np.mean(squares))), LEAST_STD)
