"""Python interface to the results of a run: ``gcd_hpc.open_run("runs/w_sigma5")``."""

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
    """A candidate with the fields of the schema as attributes, such as ``energies_ev``."""

    element: str = field(kw_only=True)

    def to_atoms(self, relaxed: bool = True) -> Atoms:
        """ASE ``Atoms`` of the structure, with every known field of the schema in ``info``.

        Args:
            relaxed: True for the relaxed structure with total and atomic energies as ASE results,
                eV; False for the structure before relaxation, without energies.

        Raises:
            StoreError: if ``relaxed`` and the candidate was never relaxed.
        """
        if relaxed and not np.isfinite(self.positions).all():
            raise StoreError(
                f"{self.id}: there is no relaxed structure, as its status is"
                f" {self.status}{f' ({self.reason})' if self.reason else ''};"
                " to_atoms(relaxed=False) returns the unrelaxed one"
            )
        atoms = to_atoms(self, self.element)
        if not relaxed:
            atoms.calc = None
            atoms.positions = self.unrelaxed_positions
        return atoms


class Run:
    """Candidates that a run held when it was opened: all, or an ordered selection of them.

    Data are read on demand, one file at a time. ``select``, ``sorted``, ``lowest``, ``best_per_n``
    and slices return another ``Run``; iteration, ids and numbers return candidates.
    """

    def __init__(
        self, store: RunStore, parts: Sequence[tuple[Path, int]], chosen: np.ndarray
    ) -> None:
        self._store = store
        self._parts = list(parts)
        self._chosen = chosen

    @property
    def path(self) -> Path:
        """Path of the run directory or file."""
        return self._store.path

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Attributes of the run's first file: versions, git commit, resolved ``config``, others."""
        return self._store.provenance()

    @cached_property
    def element(self) -> str:
        """Chemical symbol of the crystal."""
        return element_of(self._store)

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self._chosen)

    def __repr__(self) -> str:
        return f"<{self.path}: {len(self):,} of {sum(num for _, num in self._parts):,} candidates>"

    def __iter__(self) -> Iterator[RunCandidate]:
        """Iterate over the candidates, which are read one by one."""
        for candidate in read_numbered(self._parts, self._chosen):
            yield RunCandidate(**vars(candidate), element=self.element)

    @overload
    def __getitem__(self, which: int | str) -> RunCandidate: ...
    @overload
    def __getitem__(self, which: slice) -> "Run": ...
    def __getitem__(self, which: int | str | slice) -> "RunCandidate | Run":
        """Candidate by number or id, or the ``Run`` of a slice.

        Raises:
            IndexError: if the number is out of range.
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
        """Relaxed structure of a candidate by id, positions in Å, energies in eV.

        Raises:
            StoreError: if no candidate of this selection has the id, or if it was never relaxed.
        """
        return self[name].to_atoms()

    def select(self, selection: str) -> "Run":
        """Candidates that meet all conditions of the selection, in the same order.

        A condition is a field of the schema, ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``, and a
        value, or several after ``=`` and ``!=``: ``run.select("n=0.2,0.4 energy<2.5 source=model
        status=ok")``. ``n`` and ``energy`` (J/m^2) are short for ``n_fraction`` and
        ``gb_energy_j_m2``.

        Raises:
            StoreError: naming the condition that is wrong.
        """
        conditions = parse_selection(selection)
        with self._opened() as (rows, now):
            holds = np.zeros(sum(num for _, num in rows.parts()), dtype=bool)
            holds[selected(rows, conditions)] = True
            return self._restricted(self._chosen[holds[now]])

    def sorted(self, name: str, descending: bool = False) -> "Run":
        """Candidates sorted by a field of the schema; a stable sort with unknown numbers last.

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
        """The relaxed candidate of lowest boundary energy at each [n], in ascending order of [n].

        Rows that are no physical boundary of the crystal are left out.
        """
        lowest_first, n_index = self._by_energy(lowest_rows_of_each)
        _, first = np.unique(n_index, return_index=True)
        return self._restricted(lowest_first._chosen[first])

    def _by_energy(
        self, lowest: Callable[[Columns, np.ndarray], np.ndarray]
    ) -> tuple["Run", np.ndarray]:
        """Relaxed candidates by ascending energy and their n_index (M,).

        Rows that ``lowest`` would choose are left out if they are no boundary of the crystal.
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
        """Fields of all candidates in order, as arrays (M,) or (M, 3) in the schema's units.

        Texts are object arrays of strings.

        Raises:
            StoreError: if a name is no field of a candidate.
        """
        with self._opened() as (rows, now):
            return take_in_order(rows, list(names), now)

    def to_dataframe(self, names: Sequence[str] | None = None) -> "DataFrame":
        """Pandas table with one row per candidate, indexed by id.

        Vectors become three columns: ``registry_x``, ``registry_y``, ``registry_z``.

        Args:
            names: fields of the schema besides the id; all when not given.

        Raises:
            GcdError: if pandas is not installed.
            StoreError: if a name is no field of a candidate.
        """
        try:
            import pandas as pd  # not a dependency of this package
        except ImportError:
            raise GcdError(
                "to_dataframe: pandas is not installed; pip install pandas, or use Run.columns"
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
        """Current rows of the run, and the row numbers (M,) of these candidates among them.

        A running campaign adds files between those known, which shifts row numbers.
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
                raise StoreError(f"{gone[0]}: removed since the run was opened; open the run again")
            # Shift of each known file's rows by the files added before it.
            moved = (
                np.array([starts[path] for path, _ in self._parts], dtype=np.int64)
                - self._starts[:-1]
            )
            yield rows, self._chosen + (moved[self._part_numbers(self._chosen)] if len(self) else 0)

    @cached_property
    def _starts(self) -> np.ndarray:
        """First row number of each file, and the total number of rows at the end."""
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
    """Open the results of a run as they are now, also while the campaign is running.

    Open the run again to see later candidates.

    Args:
        path: run directory, or one HDF5 file of candidates (``results.h5``).

    Raises:
        StoreError: if there is no such directory or file, or if it is damaged.
    """
    store = RunStore(path)
    with store.rows() as rows:
        parts = rows.parts()
    return Run(store, parts, np.arange(sum(num for _, num in parts)))
