"""The lower envelope of straight lines is what a scan of the variable finds."""

from itertools import pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_hpc.structures.envelope import lower_envelope, lowest_lines


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=8),
)
def test_the_lowest_lines_are_those_that_a_scan_finds(lines):
    intercepts, slopes = np.array(lines, dtype=float).T
    found = lowest_lines(intercepts, slopes, -3.0, 3.0)
    edges = [-3.0, *(at for at, _, _ in found), 3.0]
    assert edges == sorted(edges)
    order = [found[0][1], *(above for _, _, above in found)] if found else None
    for place, (low, high) in enumerate(pairwise(edges)):
        middle = (low + high) / 2
        values = intercepts + slopes * middle
        if order is not None:
            assert values[order[place]] == pytest.approx(values.min(), abs=1e-9)


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=8),
)
def test_the_lower_envelope_holds_the_lines_that_are_lowest_somewhere_and_no_others(lines):
    intercepts, slopes = np.array(lines, dtype=float).T
    found = lower_envelope(intercepts, slopes, -3.0, 3.0)
    # Lines with whole numbers cross at fractions, between which these values lie.
    grid = np.linspace(-3.0, 3.0, 60_001)[1:-1]
    values = intercepts[:, None] + slopes[:, None] * grid
    lowest = values.min(axis=0)
    assert (values[found].min(axis=0) <= lowest + 1e-9).all()
    assert (values[found] <= lowest + 1e-9).any(axis=1).all()
    assert len(set(slopes[found])) == len(found)


def test_towards_infinity_the_line_of_the_smallest_slope_is_the_lowest():
    intercepts, slopes = np.array([1.0, 0.9, 2.0, 1.5]), np.array([1.0, 2.0, 0.0, 1.0])
    assert lower_envelope(intercepts, slopes, 0.0, inf) == [1, 0, 2]
