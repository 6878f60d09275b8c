"""Candidates of a run at one moment, with all requested columns cached in memory."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.physics import RELAXED_FIELDS, is_relaxed, lowest_rows_of_each, physical_rows
from gcd_hpc.store.rows import Rows, read_numbered
from gcd_hpc.store.schema import Candidate
from gcd_hpc.store.selection import ordered, parse_selection, selected

Key = TypeVar("Key")
Value = TypeVar("Value")
_KEPT_ORDERS = 4
"""Number of recent selections that are cached, at eight bytes per row each."""


class Snapshot:
    """Table of the rows of a run whose columns are read once, when first needed.

    Row numbers stay valid for the lifetime of the object.
    """

    def __init__(self, rows: Rows, config: str | None = None) -> None:
        """Args:
        config: attribute ``config`` of the files, which describes the boundary.
        """
        self._source, self._config = rows, config
        self._known: Columns = {}
        self._orders: dict[tuple[str, str, bool], np.ndarray] = {}
        self._lows: dict[tuple[str, int], tuple[np.ndarray, int]] = {}

    def columns(self, names: Sequence[str]) -> Columns:
        """Columns of all rows, shared with the cache and therefore read-only."""
        missing = [name for name in names if name not in self._known]
        if missing:
            self._known |= self._source.columns(missing)
        return {name: self._known[name] for name in names}

    def take(self, names: Sequence[str], rows: np.ndarray) -> Columns:
        """Columns of the rows ``rows`` (M,), in their order."""
        return {name: values[rows] for name, values in self.columns(names).items()}

    def row_of(self, name: str) -> int:
        """Row number of a candidate.

        Raises:
            StoreError: if there is no candidate of this id.
        """
        found = np.flatnonzero(self.columns(["id"])["id"] == name)
        if not len(found):
            raise StoreError(f"candidate: expected the id of a candidate of this run, got {name}")
        return int(found[0])

    def candidate(self, row: int) -> Candidate:
        """Candidate of a row, read without the rest of its file."""
        return next(read_numbered(self._parts, np.array([row])))

    @cached_property
    def relaxed(self) -> np.ndarray:
        """Numbers (M,) of the rows relaxed to a finite energy, lowest energy first.

        Rows that would be the lowest of their [n] are left out if they are no physical boundary.
        """
        columns = self.columns(RELAXED_FIELDS)
        rows, _ = physical_rows(
            self._source,
            columns,
            np.flatnonzero(is_relaxed(columns)),
            lowest_rows_of_each,
            self._config,
        )
        return rows[np.argsort(columns["gb_energy_j_m2"][rows], kind="stable")]

    @cached_property
    def fractions(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct [n] of the relaxed rows (K,), and each row's index into them (M,)."""
        columns = self.take(["n_index", "n_fraction"], self.relaxed)
        _, first, group = np.unique(columns["n_index"], return_index=True, return_inverse=True)
        return columns["n_fraction"][first], group

    def chosen(self, selection: str, sort: str, descending: bool) -> np.ndarray:
        """Row numbers of a selection sorted by a field."""

        def choose() -> np.ndarray:
            return ordered(self, selected(self, parse_selection(selection)), sort, descending)

        return _remembered(self._orders, (selection, sort, descending), choose)

    def lowest(self, selection: str, limit: int) -> tuple[np.ndarray, int]:
        """Lowest relaxed rows of a selection, equally many of each [n], at most ``limit``.

        Returns:
            Row numbers by ascending energy, and the number of all relaxed rows of the selection.
        """

        def choose() -> tuple[np.ndarray, int]:
            is_chosen = np.zeros(len(self.columns(["version"])["version"]), dtype=bool)
            is_chosen[selected(self, parse_selection(selection))] = True
            places = np.flatnonzero(is_chosen[self.relaxed])
            kept = (
                places
                if len(places) <= limit
                else places[_first_of_each(self.fractions[1][places], limit)]
            )
            return self.relaxed[kept], len(places)

        return _remembered(self._lows, (selection, limit), choose)

    @cached_property
    def _parts(self) -> list[tuple[Path, int]]:
        return self._source.parts()


def _remembered(known: dict[Key, Value], key: Key, make: Callable[[], Value]) -> Value:
    """Cached result for a key; only the last few results are kept.

    A functools cache around a method would keep the object and its columns alive.
    """
    if key not in known:
        value = make()
        while len(known) >= _KEPT_ORDERS:
            known.pop(next(iter(known)))
        known[key] = value
    return known[key]


def _first_of_each(group: np.ndarray, limit: int) -> np.ndarray:
    """Ascending indices of the first members of each group, equally many, at most ``limit``."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    # Rank of each member within its group, in the order of the groups.
    rank = np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))
    return np.sort(order[rank < max(limit // len(starts), 1)])[:limit]
