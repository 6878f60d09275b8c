"""Candidates of a run at one moment, with the page's recent selections cached in memory."""

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import numpy as np

from gcd_hpc.browse.material_numbers import groups_of
from gcd_hpc.browse.material_spectra import MaterialSpectra, read_spectra
from gcd_hpc.browse.page.phases import in_phases, phase_names
from gcd_hpc.errors import StoreError
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.numbering import numbered
from gcd_hpc.store.run import Run

Key = TypeVar("Key")
Value = TypeVar("Value")
_KEPT_ORDERS = 4
"""Number of recent selections that are cached, at eight bytes per row each."""


class Snapshot:
    """Selections of a run, which should be opened ``in_memory``."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._orders: dict[tuple[str, str, bool], Run] = {}
        self._lows: dict[tuple[str, int], tuple[Run, int]] = {}

    @cached_property
    def relaxed(self) -> Run:
        """``Run.relaxed`` of all candidates."""
        return self.run.relaxed()

    @cached_property
    def phases(self) -> list[Phase]:
        """Phases of lowest energy of each [n]; none where files do not describe the boundary."""
        if self.run.is_material:
            return []
        try:
            return find_phases(self.run)
        except StoreError:
            return []

    @cached_property
    def spectra(self) -> MaterialSpectra | None:
        """Spectra of a material; None of a boundary, or if there are none."""
        return read_spectra(self.run) if self.run.is_material else None

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Ids of a material's structures by what made them."""
        return groups_of(self.run)

    def selected(self, selection: str) -> Run:
        """Candidates that meet all conditions, phase=NAME among them, in the order of the run.

        Raises:
            StoreError: naming the condition that is wrong.
        """
        return self._among(self.run, selection)

    def _among(self, run: Run, selection: str) -> Run:
        plain, conditions = phase_names(selection)
        found = run.select(plain)
        return in_phases(found, self.phases, conditions) if conditions else found

    def chosen(self, selection: str, sort: str, descending: bool) -> Run:
        """Candidates of a selection sorted by a field."""

        def choose() -> Run:
            return self.selected(selection).sorted(sort, descending)

        return _remembered(self._orders, (selection, sort, descending), choose)

    def lowest(self, selection: str, limit: int) -> tuple[Run, int]:
        """Lowest relaxed candidates of a selection, equally many of each [n], at most ``limit``.

        Returns:
            Candidates by ascending energy, and the number of all relaxed ones of the selection.
        """

        def choose() -> tuple[Run, int]:
            found = self._among(self.relaxed, selection)
            if len(found) <= limit:
                return found, len(found)
            n_index = found.columns(["n_index"])["n_index"]
            return found[_first_of_each(n_index, limit)], len(found)

        return _remembered(self._lows, (selection, limit), choose)


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
    own = numbered(group)[1]
    # Sorting is ten times as fast with as few bits as the groups need.
    order = np.argsort(own.astype(np.min_scalar_type(own.max(initial=0))), kind="stable")
    starts = np.flatnonzero(np.diff(own[order], prepend=-1))
    # Rank of each member within its group, in the order of the groups.
    rank = np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))
    return np.sort(order[rank < max(limit // len(starts), 1)])[:limit]
