"""What generated carbon is judged by: its spectrum's place between two others, its bonds, and its
scattering at long waves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.experiments.carbon_bonds import bond_angles, bonds, coordination_shares

Array = NDArray[np.float64]

CLOSE_A = 1.15
"""Distance below which two carbon atoms are too close; a triple bond has 1.20 Å."""
NUM_RESAMPLES = 2000
GROUPS = ("at_most_one", "sp", "sp2", "sp3", "at_least_five")
"""Shares of ``bond_numbers``, by ascending number of bonds."""


@dataclass(frozen=True)
class Line:
    """Line between two spectra (K,): place 0 at ``start``, 1 at ``end``."""

    start: Array
    end: Array

    def place(self, spectra: ArrayLike) -> Array:
        """Place of the nearest point of the line for spectra (..., K), (...)."""
        along = self.end - self.start
        return np.asarray((np.asarray(spectra) - self.start) @ along / (along @ along))


@dataclass(frozen=True)
class Mean:
    """Mean over cells, its standard error and its 95 % interval, from resampling the cells."""

    value: float
    standard_error: float
    low: float
    high: float


def bootstrap(
    cells: ArrayLike, rng: np.random.Generator, statistic: Callable[[Array], Array] | None = None
) -> Mean:
    """Statistic of cells drawn again with replacement.

    Args:
        cells: (M, ...), one entry for each cell.
        statistic: (R, M, ...) -> (R,), over axis 1; the mean by default.
    """
    cells = np.asarray(cells, dtype=np.float64)
    of = statistic or (lambda values: values.mean(axis=1))
    drawn = of(_resampled(cells, rng))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Mean(float(of(cells[None])[0]), float(drawn.std(ddof=1)), float(low), float(high))


def resampled_means(cells: Array, rng: np.random.Generator) -> Array:
    """Means (R,) of cells (M,) drawn again with replacement."""
    return np.asarray(_resampled(cells, rng).mean(axis=1))


def _resampled(cells: Array, rng: np.random.Generator) -> Array:
    """Cells (M, ...) drawn again with replacement, (R, M, ...)."""
    return np.asarray(cells[rng.integers(len(cells), size=(NUM_RESAMPLES, len(cells)))])


def rms(differences: ArrayLike) -> Array:
    """Root mean square over the last axis, the channels of a spectrum."""
    return np.asarray(np.sqrt(np.square(np.asarray(differences)).mean(axis=-1)))


def bond_numbers(structures: Array, lengths: Array) -> dict[str, float]:
    """Shares of atoms by bonds, spread of the angles, and pairs that are too close.

    Args:
        structures: (M, N, 3) Å in boxes of ``lengths`` (3,).
    """
    shares = coordination_shares(structures, lengths).mean(axis=0)  # (7,)
    angles = np.concatenate(
        [angle for positions in structures for angle in bond_angles(positions, lengths)]
    )
    close = [len(bonds(positions, lengths, CLOSE_A)[0]) / 2 for positions in structures]
    return {
        "at_most_one": float(shares[:2].sum()),
        "sp": float(shares[2]),
        "sp2": float(shares[3]),
        "sp3": float(shares[4]),
        "at_least_five": float(shares[5:].sum()),
        "angle_spread_deg": float(angles.std()) if len(angles) else np.nan,
        "close_pairs_per_cell": float(np.mean(close)),
    }


def structure_factor(positions: Array, lengths: Array, q_max: float) -> tuple[Array, Array]:
    """S(q) = |sum_j exp(i q r_j)|^2 / N at the waves that fit into the box.

    Args:
        positions: (N, 3) Å.
        lengths: (3,) Å of the box.
        q_max: longest wave vector, 1/Å.

    Returns:
        Lengths of the wave vectors (Q,) in 1/Å, ascending, and S (Q,). A vector and its opposite
        have the same S and count once.
    """
    steps = 2.0 * np.pi / np.asarray(lengths)
    highest = np.floor(q_max / steps).astype(int)
    # exp(i q r) is the product of a factor for each axis, made from powers of one.
    factors = [
        np.exp(1j * step * np.arange(high + 1)[:, None] * positions[:, axis])
        for axis, (step, high) in enumerate(zip(steps, highest, strict=True))
    ]  # (n + 1, N) each
    found: list[tuple[float, float]] = []
    for h in range(highest[0] + 1):
        for k in range(-highest[1], highest[1] + 1):
            plane = factors[0][h] * _power(factors[1], k)
            allowed = [
                m for m in range(-highest[2], highest[2] + 1)
                if (h, k, m) > (0, 0, 0) and np.linalg.norm(steps * (h, k, m)) <= q_max
            ]  # fmt: skip
            found += [
                (
                    float(np.linalg.norm(steps * (h, k, m))),
                    float(abs(plane @ _power(factors[2], m)) ** 2 / len(positions)),
                )
                for m in allowed
            ]
    ordered = np.array(sorted(found)).reshape(-1, 2)
    return ordered[:, 0], ordered[:, 1]


def _power(factors: NDArray[np.complex128], n: int) -> NDArray[np.complex128]:
    return np.asarray(factors[n] if n >= 0 else factors[-n].conj())
