"""95 % intervals of rates in blocks, and of ratios of two rates.

Sources: Zou and Donner, Stat. Med. 27, 1693 (2008); Kish, Survey Sampling (1965), design effect.
"""

from dataclasses import replace
from math import exp, hypot, inf, log, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from gcd_hpc.accounts.rates import CONFIDENCE, Estimate, normal_quantile, wilson


def blocked_rate(hits: ArrayLike, tries: ArrayLike) -> Estimate:
    """Rate of tries in blocks, one for each seed of training and sampling, whose rates may differ.

    The variance between the blocks, (B,) hits and (B,) tries, gives the effective number of
    independent tries. With it, and with Student's factor for few blocks, Wilson's formula gives an
    interval that is never narrower than for independent tries. It holds the mean rate of new
    blocks; the variance between trainings enters only if the blocks are whole trainings.

    If no block or every try has a hit, the variance is unknown. The interval is then Wilson's for
    all tries together, and valid only if all blocks have the same rate.

    Raises:
        ValueError: if there are fewer than two blocks, or one without tries.
    """
    counts, sizes = _blocks(hits, tries)
    total, num = float(sizes.sum()), len(sizes)
    rate = float(counts.sum()) / total
    if rate in (0.0, 1.0):
        return wilson(float(counts.sum()), total)
    # Linearised variance of a ratio of sums over B blocks.
    variance = num / (num - 1) * float(((counts - rate * sizes) ** 2).sum()) / total**2
    design_effect = max(1.0, variance / (rate * (1 - rate) / total))
    student = float(t.ppf(0.5 + CONFIDENCE / 2, num - 1))
    effective = total / design_effect * (normal_quantile() / student) ** 2
    return replace(wilson(rate * effective, effective), value=rate)


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """Ratio of two rates by Newcombe's rule on logarithms; not significant if the interval holds 1.

    Without hits of either there is no logarithm; the widest interval of both ends is returned.
    """
    if one.value == 0 or other.value == 0:
        if other.value:
            value = one.value / other.value
        else:
            value = inf if one.value else nan
        return Estimate(value, one.low / other.high, one.high / other.low if other.low else inf)
    value = one.value / other.value
    low = hypot(_log_ratio(one.value, one.low), _log_ratio(other.high, other.value))
    high = hypot(_log_ratio(one.high, one.value), _log_ratio(other.value, other.low))
    return Estimate(value, value * exp(-low), value * exp(high))


def _log_ratio(above: float, below: float) -> float:
    return log(above / below) if below > 0 else inf


def _blocks(hits: ArrayLike, tries: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts, sizes = np.asarray(hits, dtype=np.float64), np.asarray(tries, dtype=np.float64)
    if counts.shape != sizes.shape or counts.ndim != 1 or len(counts) < 2 or sizes.min() <= 0:
        raise ValueError(
            f"expected at least two blocks with tries, got hits {counts.tolist()} of tries"
            f" {sizes.tolist()}"
        )
    return counts, sizes
