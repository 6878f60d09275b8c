"""Samples of a candidate: what they are generated from, and which of several is the best.

A candidate that is guided to an image is the best of several samples. Those whose atoms fit the
image best are noised in part and generated again, because what the image and the model do not agree
on at once, such as a missing atom, needs a second chance while the rest is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.learning.assembly import Canvas
from gcd_hpc.learning.image_match import log_fit
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.store.schema import Candidate

RESTART_LOG_SNR = 0.0
"""lambda to which samples are noised before they are generated again: noise as large as signal."""
KEPT_SHARE = 0.5
"""Share of the samples of a generation that are generated again."""


@dataclass(frozen=True)
class Draft:
    """Input of the generation of one candidate: canvas, noise and targets."""

    index: int
    canvas: Canvas
    noise: NDArray[np.float32]
    """(C, X, Y, Z)."""
    energy_j_m2: float
    """Target boundary energy; NaN without conditions."""
    fraction: float
    """Target [n]; NaN without conditions and without guidance to an [n]."""
    n_index: int
    """[n] in atoms for which guidance by the number of atoms asks."""
    attempt: int = 0
    """Number of the sample, where the best of several becomes the candidate."""
    start: NDArray[np.float32] | None = None
    """(C, X, Y, Z) in atoms, from which the generation restarts; None begins with pure noise."""

    def again(self, start: NDArray[np.float32], other: "Draft") -> "Draft":
        """The same canvas and targets with the noise of another sample, from a generated array."""
        return replace(self, start=start, noise=other.noise, attempt=other.attempt)


@dataclass(frozen=True)
class Sample:
    """One generated array and the structure that it is decoded into."""

    draft: Draft
    array: NDArray[np.float32]
    """(C, X, Y, Z) in atoms."""
    row: Candidate
    fit: float
    """log p(image | atoms) up to a constant; 0 without an image, and -inf if it is invalid."""

    @classmethod
    def of(
        cls, draft: Draft, array: NDArray[np.float32], row: Candidate, image: PlacedImage | None
    ) -> "Sample":
        """Sample whose fit is computed."""
        fit = 0.0 if image is None else log_fit(image, row.unrelaxed_positions)
        return cls(draft, array, row, fit if row.status == "sampled" else -np.inf)

    @property
    def is_as_asked(self) -> bool:
        """Whether it has the [n] asked for."""
        return bool(np.isclose(self.row.n_fraction, self.row.target_n_fraction))


def parents(samples: Sequence[Sample], num: int) -> list[Sample]:
    """Samples that a generation of ``num`` restarts from: those that fit the image best, in turn.

    Their [n] does not matter, because an atom that is missing may be put in.
    """
    ranked = sorted(samples, key=lambda one: one.fit, reverse=True)
    kept = ranked[: max(1, round(KEPT_SHARE * num))]
    return [kept[number % len(kept)] for number in range(num)]


def best(samples: Sequence[Sample]) -> Candidate:
    """The sample that fits the image best among those with their [n], if any; the first of equals.

    The time spent on it is that of all samples.
    """
    chosen = max(samples, key=lambda one: (np.isfinite(one.fit), one.is_as_asked, one.fit))
    return replace(chosen.row, sample_s=sum(one.row.sample_s for one in samples))
