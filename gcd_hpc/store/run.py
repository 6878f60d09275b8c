"""The results of a run in Python: ``gcd_hpc.open_run("runs/w_sigma5")``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from ase import Atoms

from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.export import element_of, to_atoms
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.physics import (
    RELAXED_FIELDS,
    is_relaxed,
    lowest_rows,
    lowest_rows_of_each,
    physical_rows,
)
from gcd_hpc.store.rows import Rows, read_numbered
from gcd_hpc.store.schema import ROW_FIELDS, Candidate
from gcd_hpc.store.selection import ordered, parse_selection, selected, take_in_order

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class RunCandidate(Candidate):
    """One structure that was tried: the fields of the schema as attributes (``energies_ev``,
    ``positions``, ``registry``, ...).
    """

    element: str = field(kw_only=True)

    def to_atoms(self, relaxed: bool = True) -> Atoms:
        """The structure for ASE, every known field of the schema in ``info``.

        Args:
            relaxed: with the energy of the box and of each atom as ASE's results, in eV; otherwise
                the structure before relaxation, which has no energy.

        Raises:
            StoreError: if it was never relaxed.
        """
        if relaxed and not np.isfinite(self.positions).all():
            raise StoreError(
                f"{self.id}: expected a relaxed structure, got one that is"
                f" {self.status}{f' ({self.reason})' if self.reason else ''};"
                " to_atoms(relaxed=False) gives it as it was made"
            )
        atoms = to_atoms(self, self.element)
        if not relaxed:
            atoms.calc = None
            atoms.positions = self.unrelaxed_positions
        return atoms


class Run:
    """Candidates of a run, as many as there were when it was opened: all of them, or a selection in
    some order.

    Nothing is read before it is asked for, and files one after the other. ``select``, ``sorted``,
    ``lowest``, ``best_per_n`` and slices give another ``Run``; iteration, ids and numbers give
    candidates.
    """

    def __init__(
        self, store: RunStore, parts: Sequence[tuple[Path, int]], chosen: np.ndarray
    ) -> None:
        self._store = store
        self._parts = list(parts)
        self._chosen = chosen

    @property
    def path(self) -> Path:
        """Run directory or file."""
        return self._store.path

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Schema and package version, git commit, resolved ``config``, and what else the run's
        first file says of its origin.
        """
        return self._store.provenance()

    @cached_property
    def element(self) -> str:
        """Chemical symbol."""
        return element_of(self._store)

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self._chosen)

    def __repr__(self) -> str:
        return f"<{self.path}: {len(self):,} of {sum(num for _, num in self._parts):,} candidates>"

    def __iter__(self) -> Iterator[RunCandidate]:
        """One after the other, read when it is their turn."""
        for candidate in read_numbered(self._parts, self._chosen):
            yield RunCandidate(**vars(candidate), element=self.element)

    @overload
    def __getitem__(self, which: int | str) -> RunCandidate: ...
    @overload
    def __getitem__(self, which: slice) -> "Run": ...
    def __getitem__(self, which: int | str | slice) -> "RunCandidate | Run":
        """The candidate of a number or an id, or the ``Run`` of a slice.

        Raises:
            IndexError: if there are not so many.
            StoreError: if no candidate of this selection has the id.
        """
        if isinstance(which, slice):
            return self._restricted(self._chosen[which])
        if isinstance(which, str):
            found = self.select(f"id={which}")
            if not len(found):
                raise StoreError(
                    f"{self.path}: expected the id of one of {len(self):,} candidates, got {which}"
                )
            return found[0]
        return next(iter(self._restricted(self._chosen[[which]])))

    def atoms(self, name: str) -> Atoms:
        """The relaxed structure of an id, positions in Å, energies in eV.

        Raises:
            StoreError: if there is no such candidate here, or if it was never relaxed.
        """
        return self[name].to_atoms()

    def select(self, selection: str) -> "Run":
        """Those for which every word of the selection holds, in the same order.

        A word is a field of the schema, ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``, and a value,
        or several after ``=`` and ``!=``: ``run.select("n=0.2,0.4 energy<2.5 source=model
        status=ok")``. ``n`` and ``energy`` (J/m^2) are short for ``n_fraction`` and
        ``gb_energy_j_m2``.

        Raises:
            StoreError: naming the word that is wrong.
        """
        conditions = parse_selection(selection)
        with self._opened() as (rows, now):
            holds = np.zeros(sum(num for _, num in rows.parts()), dtype=bool)
            holds[selected(rows, conditions)] = True
            return self._restricted(self._chosen[holds[now]])

    def sorted(self, name: str, descending: bool = False) -> "Run":
        """Sorted by a field of the schema; equal ones keep their order, unknown numbers come last
        either way.

        Raises:
            StoreError: if there is no such field to sort by.
        """
        with self._opened() as (rows, now):
            back = np.argsort(now)
            places = np.searchsorted(now, ordered(rows, now, name, descending), sorter=back)
            return self._restricted(self._chosen[back[places]])

    def lowest(self, num: int = 10) -> "Run":
        """The ``num`` relaxed candidates of lowest boundary energy, lowest first."""
        return self._by_energy(partial(lowest_rows, num=num))[0][:num]

    def best_per_n(self) -> "Run":
        """The relaxed candidate of lowest boundary energy at each [n], by rising [n]."""
        lowest_first, n_index = self._by_energy(lowest_rows_of_each)
        _, first = np.unique(n_index, return_index=True)
        return self._restricted(lowest_first._chosen[first])

    def _by_energy(
        self, lowest: Callable[[Columns, np.ndarray], np.ndarray]
    ) -> tuple["Run", np.ndarray]:
        """Relaxed candidates, lowest energy first, and their n_index (M,); without those that
        ``lowest`` would choose although they are no boundary of the crystal.
        """
        with self._opened() as (rows, now):
            columns = rows.columns(RELAXED_FIELDS)
            relaxed = np.sort(now[is_relaxed(columns)[now]])
            config = self.provenance.get("config")
            kept, _ = physical_rows(rows, columns, relaxed, lowest, config)
        places = np.flatnonzero(np.isin(now, kept))
        order = places[np.argsort(columns["gb_energy_j_m2"][now[places]], kind="stable")]
        return self._restricted(self._chosen[order]), columns["n_index"][now[order]]

    def columns(self, names: Sequence[str]) -> Columns:
        """Fields of all candidates of this selection, in its order, as arrays (M,) or (M, 3) in the
        units of the schema; texts as objects.

        Raises:
            StoreError: if a name is no field of a candidate.
        """
        with self._opened() as (rows, now):
            return take_in_order(rows, list(names), now)

    def to_dataframe(self, names: Sequence[str] | None = None) -> "DataFrame":
        """A pandas table, one row a candidate, indexed by id; vectors become three columns:
        ``registry_x``, ``registry_y``, ...

        Args:
            names: fields of the schema, the id aside; all when not given.

        Raises:
            GcdError: if pandas is not installed.
            StoreError: if a name is no field of a candidate.
        """
        try:
            import pandas as pd  # not a dependency of this package
        except ImportError:
            raise GcdError(
                "to_dataframe: expected pandas, got none; pip install pandas, or take Run.columns,"
                " which needs none"
            ) from None
        wanted = [row.name for row in ROW_FIELDS] if names is None else list(names)
        columns = self.columns(["id", *(name for name in wanted if name != "id")])
        index = pd.Index(columns.pop("id"), name="id")
        flat = {
            title: values
            for name, column in columns.items()
            for title, values in _scalars(name, column)
        }
        return pd.DataFrame(flat, index=index)

    def _restricted(self, chosen: np.ndarray) -> "Run":
        return Run(self._store, self._parts, chosen)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Rows, np.ndarray]]:
        """The rows of the run, and which of them these candidates are; a campaign at work adds
        files between those known.
        """
        with self._store.rows() as rows:
            parts = rows.parts()
            starts = dict(
                zip(
                    (path for path, _ in parts),
                    np.cumsum([0, *(num for _, num in parts)]).tolist(),
                    strict=False,
                )
            )
            gone = [path for path, _ in self._parts if path not in starts]
            if gone:
                raise StoreError(
                    f"{gone[0]}: expected a file that was there when the run was opened, got none;"
                    " open the run again"
                )
            moved = (
                np.array([starts[path] for path, _ in self._parts], dtype=np.int64)
                - self._starts[:-1]
            )
            yield rows, self._chosen + (moved[self._part_numbers(self._chosen)] if len(self) else 0)

    @cached_property
    def _starts(self) -> np.ndarray:
        """First number of each file, and the number after the last."""
        return np.cumsum([0, *(num for _, num in self._parts)])

    def _part_numbers(self, chosen: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._starts, chosen, side="right") - 1


def _scalars(name: str, column: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return (
        [(name, column)]
        if column.ndim == 1
        else [(f"{name}_{axis}", column[:, place]) for place, axis in enumerate("xyz")]
    )


def open_run(path: str | Path) -> Run:
    """The results of a run, as they are at this moment, also while the campaign is at work; open it
    again to see what came since.

    Args:
        path: run directory, or one HDF5 file of candidates (``results.h5``).

    Raises:
        StoreError: if there is no such directory or file, or if it is damaged.
    """
    store = RunStore(path)
    with store.rows() as rows:
        parts = rows.parts()
    return Run(store, parts, np.arange(sum(num for _, num in parts)))
