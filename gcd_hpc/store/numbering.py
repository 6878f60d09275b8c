"""Numbers for the distinct values of columns, by which a million rows are counted and sorted."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from gcd_hpc.store.checksums import Columns


def distinct(columns: Columns, names: Sequence[str]) -> tuple[list[tuple[Any, ...]], np.ndarray]:
    """``combined`` of some fields with few values each."""
    return combined([numbered(columns[name]) for name in names])


def combined(
    columns: Sequence[tuple[list[Any], np.ndarray]],
) -> tuple[list[tuple[Any, ...]], np.ndarray]:
    """Distinct combinations of the values of numbered columns, and which of them a row has.

    Returns:
        The combinations, (K,), and the place of each row's among them, (M,).
    """
    places = np.zeros(len(columns[0][1]), dtype=np.int64)
    values = []
    for found, own in columns:
        places = places * len(found) + own
        values.append(found)
    is_used = np.bincount(places, minlength=1) > 0
    used = [row for row, is_one in zip(product(*values), is_used.tolist(), strict=False) if is_one]
    return used, (np.cumsum(is_used) - 1)[places]


def numbered(column: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Distinct values of a column, and the place of each row's among them, (M,).

    Numbers are in ascending order, texts in that of their first rows.
    """
    if column.dtype.kind in "iu" and len(column):
        first, last = int(column.min()), int(column.max())
        if last - first < len(column):  # counting is ten times as fast as sorting
            own = (column - first).astype(np.intp)
            is_used = np.bincount(own) > 0
            return (np.flatnonzero(is_used) + first).tolist(), (np.cumsum(is_used) - 1)[own]
    if column.dtype != object:
        values, own = np.unique(column, return_inverse=True)
        return values.tolist(), own
    every = column.tolist()
    places = {value: place for place, value in enumerate(dict.fromkeys(every))}
    return list(places), np.fromiter(map(places.__getitem__, every), np.int64, len(every))


def text_ranks(column: np.ndarray) -> np.ndarray:
    """Place of each row's text among the distinct ones in ascending order, (M,)."""
    texts, own = numbered(column)
    return np.asarray(places_in_order(texts)[own])


def places_in_order(values: Sequence[Any]) -> np.ndarray:
    """Place of each of K different values in their ascending order, (K,)."""
    places = np.empty(len(values), dtype=np.int64)
    places[sorted(range(len(values)), key=values.__getitem__)] = np.arange(len(values))
    return places
