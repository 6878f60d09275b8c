"""How much a search has not seen, estimated from how often it found what it has seen.

N independent tries found S phases, f1 of them once and f2 twice.

The share of tries that would find a phase not seen yet is about f1 / N (Good, Biometrika 40, 237
(1953)), with the standard error of Esty, Ann. Stat. 11, 905 (1983). At least
f1 (f1 - 1) / (2 (f2 + 1)) phases are unseen (Chao, Biometrics 43, 783 (1987), bias-corrected): a
lower bound, because phases that are rare enough leave no trace.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np


@dataclass(frozen=True)
class Unseen:
    """Counts of independent tries, and what they say of the phases that none of them found."""

    num_tries: int
    """Tries of every outcome."""
    num_seen: int
    num_once: int
    num_twice: int

    @property
    def share(self) -> float:
        """Estimated share of tries that would find an unseen phase; NaN without tries."""
        return self.num_once / self.num_tries if self.num_tries else nan

    @property
    def share_error(self) -> float:
        """Standard error of the share; NaN without tries."""
        if not self.num_tries:
            return nan
        variance = self.num_once * (1 - self.share) + 2 * self.num_twice
        return sqrt(variance) / self.num_tries

    @property
    def least_unseen(self) -> float:
        """Estimated lower bound of the number of unseen phases."""
        return self.num_once * (self.num_once - 1) / (2 * (self.num_twice + 1))


def unseen(times_found: Iterable[int], num_tries: int) -> Unseen:
    """Estimate from the number of times that each phase was found.

    Args:
        times_found: of the phases that were found at least once.
        num_tries: all tries, also those that found none of these phases.
    """
    counts = Counter(times_found)
    return Unseen(num_tries, counts.total(), counts[1], counts[2])


def pace_at_end(found_at: np.ndarray, total: float, share: float) -> float:
    """First finds per unit of cost in the last part of a search; NaN if nothing was spent.

    Args:
        found_at: cost at which each phase was first found, (K,).
        total: whole cost.
        share: of the cost that counts as the end.
    """
    span = share * total
    return float(np.sum(found_at > total - span) / span) if span > 0 else nan
