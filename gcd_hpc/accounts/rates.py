"""Rates of hits with 95 % intervals.

Source: Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def wilson(hits: float, tries: float) -> Estimate:
    """Rate of independent tries with Wilson's interval.

    Without a hit the upper end is about 3.8 / tries, the two-sided rule of three.

    Raises:
        ValueError: if there were no tries, or more hits than tries.
    """
    if not (tries > 0 and 0 <= hits <= tries):
        raise ValueError(f"expected 0 <= hits <= tries and at least one try, got {hits} of {tries}")
    z = normal_quantile()
    rate = hits / tries
    centre = (rate + z**2 / (2 * tries)) / (1 + z**2 / tries)
    half = z * sqrt(rate * (1 - rate) / tries + (z / (2 * tries)) ** 2) / (1 + z**2 / tries)
    # Exact at both ends, where the difference of the two terms is only rounding.
    return Estimate(
        rate, 0.0 if hits == 0 else centre - half, 1.0 if hits == tries else centre + half
    )


def normal_quantile() -> float:
    """Half width of the interval in standard deviations of a normal distribution."""
    return NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
