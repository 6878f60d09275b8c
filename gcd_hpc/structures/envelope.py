"""Lower envelopes of straight lines: which of some energies is the lowest along a variable."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SAME_J_M2 = 1e-12
"""Energies that differ by less are equal up to rounding."""


def lower_envelope(intercepts: Array, slopes: Array, low: float, high: float) -> list[int]:
    """Numbers of the lines that are the lowest somewhere in a range, from its low end to its high.

    Args:
        intercepts, slopes: (P,) of at least one line. Of equal lines the first is taken.
        low, high: ends of the range; high may be infinite.
    """
    changes = lowest_lines(intercepts, slopes, low, high)
    return [lowest_line(intercepts, slopes, low), *(above for _, _, above in changes)]


def lowest_lines(
    intercepts: Array, slopes: Array, low: float, high: float
) -> list[tuple[float, int, int]]:
    """Where the lowest of some straight lines changes between two values.

    Args:
        intercepts, slopes: (P,) of the lines.

    Returns:
        The value, and the numbers of the lines that are lowest below and above it.
    """
    at, found = low, list[tuple[float, int, int]]()
    current = lowest_line(intercepts, slopes, at)
    while True:
        # The next line that falls below the current one has a smaller slope.
        steeper = np.flatnonzero(slopes < slopes[current])
        if not len(steeper):
            return found
        meets = (intercepts[steeper] - intercepts[current]) / (slopes[current] - slopes[steeper])
        first = float(meets.min())
        if first >= high:
            return found
        tied = steeper[meets <= first + 1e-12 * max(1.0, abs(first))]
        following = int(tied[np.argmin(slopes[tied])])
        found.append((max(first, at), current, following))
        at, current = first, following


def lowest_line(intercepts: Array, slopes: Array, at: float) -> int:
    """Line that is lowest just above a value."""
    values = intercepts + slopes * at
    tied = np.flatnonzero(values <= values.min() + SAME_J_M2)
    return int(tied[np.argmin(slopes[tied])])
