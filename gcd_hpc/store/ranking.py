"""The lowest rows of a run that are physical boundaries."""

from typing import Any

import numpy as np

from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.numbering import numbered
from gcd_hpc.store.physics import FAULT_FIELDS, RELAXED_FIELDS, boundary_fault, is_relaxed
from gcd_hpc.store.rows import Rows, read_fields
from gcd_hpc.structures.energetics import MIN_GB_ENERGY_J_M2


def physical_ranking(
    rows: Rows, chosen: np.ndarray, num: int, per_n: bool, config: Any
) -> "Ranking":
    """Relaxed rows by energy, of which the ``num`` lowest, of all or of each [n], are physical.

    Only those are read with their atoms and checked, repeatedly until all of them are physical;
    other rows are kept unchecked.

    Args:
        chosen: row numbers (M,).
        config: attribute ``config`` of the files, which describes the boundary.
    """
    columns = rows.columns(RELAXED_FIELDS)
    every = np.sort(chosen[is_relaxed(columns, -np.inf)[chosen]])
    ranking = Ranking(columns, every, num, per_n)
    ranking.strike(every[columns["gb_energy_j_m2"][every] < MIN_GB_ENERGY_J_M2])
    looked_at = np.empty(0, dtype=np.int64)
    while len(new := np.setdiff1d(ranking.lowest(), looked_at)):
        found = read_fields(rows.parts, new, FAULT_FIELDS)
        is_wrong = [bool(boundary_fault(row, config)) for row in found]
        ranking.strike(new[is_wrong])
        looked_at = np.union1d(looked_at, new)
    return ranking


class Ranking:
    """Rows by energy, all together or at each [n], from which unphysical ones are struck."""

    def __init__(self, columns: Columns, numbers: np.ndarray, num: int, per_n: bool) -> None:
        """Args:
        columns: RELAXED_FIELDS at least of all rows.
        numbers: row numbers (M,) to rank.
        num: how many are the lowest, of all or of each [n].
        """
        energy, n_index = columns["gb_energy_j_m2"][numbers], columns["n_index"][numbers]
        if not per_n:
            n_index = np.zeros_like(n_index)
        by_energy = np.argsort(energy, kind="stable")
        found, group = numbered(n_index[by_energy])
        # Integers of two bytes are sorted by counting.
        grouped = np.argsort(group.astype(np.min_scalar_type(len(found))), kind="stable")
        order = by_energy[grouped]
        self._num, self._grouped = num, grouped
        self._rows, self._energy = numbers[order], energy[order]
        self._is_kept = np.ones(len(order), dtype=bool)
        self._group = group[grouped]
        self._start = np.searchsorted(self._group, np.arange(len(found)))

    def lowest(self) -> np.ndarray:
        """Ascending numbers of the lowest rows that were not struck, and of all ties."""
        # Kept rows up to each row, its own included, since the beginning of its group.
        count = np.cumsum(self._is_kept)
        before = count[self._start] - self._is_kept[self._start]
        rank = count - before[self._group]
        is_last = self._is_kept & (rank == self._num)
        highest = np.full(len(self._start), np.inf)
        highest[self._group[is_last]] = self._energy[is_last]
        chosen = self._is_kept & (self._energy <= highest[self._group])
        return np.asarray(np.sort(self._rows[chosen]))

    def strike(self, numbers: np.ndarray) -> None:
        """Leave rows out from now on."""
        self._is_kept &= ~np.isin(self._rows, numbers)

    @property
    def struck(self) -> np.ndarray:
        """Ascending numbers of the rows that were struck."""
        return np.asarray(np.sort(self._rows[~self._is_kept]))

    @property
    def kept(self) -> np.ndarray:
        """Numbers of the other rows by energy, in the order of ``numbers`` where it is equal."""
        rows, is_kept = np.empty_like(self._rows), np.empty_like(self._is_kept)
        rows[self._grouped], is_kept[self._grouped] = self._rows, self._is_kept
        return np.asarray(rows[is_kept])
