"""Python interface to the results of a run: ``gcd_hpc.open_run("runs/w_sigma5")``."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from ase import Atoms

from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.element_fractions import basis_of, element_names
from gcd_hpc.store.field import html_rows
from gcd_hpc.store.fingerprints import fingerprints
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.material_rows import RANKED_FIELDS, is_material, is_settled, ranked
from gcd_hpc.store.numbering import combined
from gcd_hpc.store.parts import check_row_fields, read_provenance
from gcd_hpc.store.pictures import energies_svg
from gcd_hpc.store.ranking import Ranking, physical_ranking
from gcd_hpc.store.rows import Rows, read_numbered
from gcd_hpc.store.run_candidate import RunCandidate, elements_of, no_element, potential_name
from gcd_hpc.store.schema import BY_NAME, ROW_FIELDS
from gcd_hpc.store.selection import (
    SHORT,
    SHORT_OF_MATERIAL,
    ordered,
    parse_selection,
    selected,
    sortable,
)
from gcd_hpc.structures.fingerprint import Fingerprint

if TYPE_CHECKING:
    from pandas import DataFrame


SHOWN = ("n_fraction", "gb_energy_j_m2", "num_atoms", "excess_volume_a", "source", "id")
"""Fields of the table that a notebook shows of a run."""
MATERIAL_SHOWN = (
    *("spectrum_error", "spectrum_error_se", "energy_ev_atom", "density_g_cm3"),
    *("num_atoms", "guided", "source", "id"),
)
"""The same of a material."""
NUM_SHOWN = 10


class Run:
    """Candidates that a run held when it was opened: all, or an ordered selection of them.

    Data are read on demand, one file at a time. ``select``, ``sorted``, ``relaxed``, ``lowest``,
    ``best_per_n`` and slices return another ``Run``; iteration, ids and numbers return candidates.
    """

    def __init__(
        self, store: RunStore, rows: Rows, chosen: np.ndarray, selection: str = ""
    ) -> None:
        self._store = store
        self._rows = rows
        self._chosen = chosen
        self.selection = selection
        """Conditions by which the candidates were selected; empty if these are all."""

    @property
    def path(self) -> Path:
        """Path of the run directory or file."""
        return self._store.path

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Attributes of the run's first file: versions, git commit, resolved ``config``, others.

        Empty if there is no file yet.
        """
        return read_provenance(self._rows.parts[0][0]) if self._rows.parts else {}

    @property
    def element(self) -> str:
        """Chemical symbol of the crystal, of the first of several elements.

        Raises:
            StoreError: if the attribute ``config`` of the files names no known element.
        """
        return self.elements[0]

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of the crystal, then of solutes: the order of LAMMPS types.

        Raises:
            StoreError: if the attribute ``config`` of the files names no known element.
        """
        if not self._elements:
            raise no_element(self.path)
        return self._elements

    @property
    def has_several_elements(self) -> bool:
        """Whether the structures are of a compound or an alloy."""
        return len(self._elements) > 1

    @cached_property
    def is_material(self) -> bool:
        """Whether these are structures of a material, compared with a spectrum."""
        return is_material(self.provenance.get("config", ""))

    @cached_property
    def _elements(self) -> tuple[str, ...]:
        return elements_of(self.provenance.get("config", ""))

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self._chosen)

    @property
    def num_all(self) -> int:
        """Number of all candidates of the run, selected or not."""
        return len(self._rows)

    @property
    def numbers(self) -> np.ndarray:
        """Number of each candidate among all of the run, (M,)."""
        return self._chosen

    def __repr__(self) -> str:
        return f"<{self.path}: {len(self):,} of {self.num_all:,} candidates>"

    def _repr_html_(self) -> str:
        """Energies against [n] as a picture and the lowest of each [n], for notebooks.

        Of a material the structures nearest to the spectrum.
        """
        heading = f"<p>{escape(repr(self)[1:-1])}</p>"
        relaxed = self.relaxed()
        if not len(relaxed):
            return f"{heading}<p>nothing was relaxed yet</p>"
        if self.is_material:
            return heading + relaxed[:NUM_SHOWN]._html_rows(MATERIAL_SHOWN)
        found = relaxed.columns(["n_index", "n_fraction", "gb_energy_j_m2"])
        return heading + energies_svg(*found.values()) + self.best_per_n()._html_rows(SHOWN)

    def _html_rows(self, names: tuple[str, ...]) -> str:
        return html_rows([BY_NAME[name] for name in names], self.records(names))

    def __iter__(self) -> Iterator[RunCandidate]:
        """Iterate over the candidates, which are read one by one."""
        element = "".join(self._elements[:1])
        config = self.provenance.get("config", "")
        potential, basis = potential_name(config), basis_of(config)
        for candidate in read_numbered(self._rows.parts, self._chosen):
            yield RunCandidate(
                **vars(candidate),
                element=element,
                potential=potential,
                is_material=self.is_material,
                basis=basis,
            )

    @overload
    def __getitem__(self, which: int | str) -> RunCandidate: ...
    @overload
    def __getitem__(self, which: slice | np.ndarray | list[str]) -> "Run": ...
    def __getitem__(
        self, which: int | str | slice | np.ndarray | list[str]
    ) -> "RunCandidate | Run":
        """Candidate by number or id; the ``Run`` of a slice, array of numbers, mask or list of ids.

        Raises:
            IndexError: if the number is out of range.
            StoreError: if no candidate of this selection has the id.
        """
        if isinstance(which, slice | np.ndarray):
            return self._restricted(self._chosen[which])
        if isinstance(which, list):
            return self._restricted(self._numbers_of(which))
        number = self._numbers_of([which]) if isinstance(which, str) else self._chosen[[which]]
        return next(iter(self._restricted(number)))

    def _numbers_of(self, ids: list[str]) -> np.ndarray:
        """Row numbers (M,) of M ids, in the order of the ids."""
        places = self._rows.places_of(ids, self._chosen)
        for name in ids:
            if name not in places:
                raise StoreError(
                    f"{self.path}: none of the {len(self):,} candidates has the id {name};"
                    " gcd-hpc ls lists them"
                )
        return self._chosen[[places[name] for name in ids]]

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
        ``gb_energy_j_m2``; of a material ``error`` and ``energy`` (eV) are short for
        ``spectrum_error`` and ``energy_ev_atom``. Of a compound ``n_Ni`` is the [n] of nickel.

        Raises:
            StoreError: naming the condition that is wrong.
        """
        holds = selected(self._rows, parse_selection(selection, self._short))
        both = " ".join(filter(None, (self.selection, selection)))
        return Run(self._store, self._rows, self._chosen[holds[self._chosen]], both)

    def sorted(self, name: str, descending: bool = False) -> "Run":
        """Candidates sorted by a field of the schema; a stable sort with unknown numbers last.

        Raises:
            StoreError: if there is no such field to sort by.
        """
        field = sortable(name, self._short).name
        return self._restricted(ordered(self._rows, self._chosen, field, descending))

    @property
    def _short(self) -> dict[str, str]:
        return SHORT_OF_MATERIAL if self.is_material else SHORT

    def relaxed(self) -> "Run":
        """The candidates relaxed to a boundary energy, lowest first.

        Rows that would be the lowest of their [n] are left out if they are no physical boundary of
        the crystal. Of a material: the relaxed structures, those of smallest spectrum error first
        and those that were not compared with the spectrum last.
        """
        if self.is_material:
            columns = self.columns(RANKED_FIELDS)
            order = ranked(columns)
            chosen: Run = self[np.asarray(order[is_settled(columns)[order]])]
            return chosen
        return self._restricted(self._physical(1, per_n=True).kept)

    def lowest(self, num: int = 10, per_n: bool = False) -> "Run":
        """The ``num`` relaxed candidates of lowest boundary energy, lowest first, then by id.

        Rows that are no physical boundary of the crystal are left out. Of a material: the ``num``
        structures of smallest spectrum error.

        Args:
            per_n: the lowest of each [n] instead, in ascending order of [n].

        Raises:
            StoreError: if ``per_n`` of a material, which has no [n].
        """
        return self.ranking(num, per_n)[0]

    def best_per_n(self) -> "Run":
        """The relaxed candidate of lowest boundary energy at each [n], in ascending order of [n].

        Rows that are no physical boundary of the crystal are left out.
        """
        return self.lowest(1, per_n=True)

    def ranking(self, num: int, per_n: bool = False) -> "tuple[Run, Run]":
        """Candidates of ``lowest``, and those left out.

        Returns:
            The lowest physical candidates, and the unphysical ones of lower energy by energy.
        """
        if self.is_material:
            if per_n:
                raise StoreError(
                    f"{self.path}: structures of a material have no [n]; leave --per-n out"
                )
            compared = self.relaxed()
            known = np.isfinite(compared.columns(["spectrum_error"])["spectrum_error"])
            return compared[known][:num], self[:0]
        ranking = self._physical(num, per_n)
        found = self._restricted(ranking.lowest()).sorted("id").sorted("gb_energy_j_m2")
        refused = self._restricted(ranking.struck).sorted("gb_energy_j_m2")
        return found.first_of_each_n(num) if per_n else found[:num], refused

    def first_of_each_n(self, num: int = 1) -> "Run":
        """The first ``num`` candidates at each [n], in ascending order of [n]."""
        n_index = self.columns(["n_index"])["n_index"]
        order = np.argsort(n_index, kind="stable")
        _, start, group = np.unique(n_index[order], return_index=True, return_inverse=True)
        return self[order[np.arange(len(order)) - start[group] < num]]

    def _physical(self, num: int, per_n: bool) -> Ranking:
        config = self.provenance.get("config")
        return physical_ranking(self._rows, self._chosen, num, per_n, config)

    def counts(self, names: Sequence[str]) -> dict[tuple[Any, ...], int]:
        """Number of candidates with each combination of values of some fields with few values.

        Raises:
            StoreError: if a name is no field of a candidate.
        """
        check_row_fields(names)
        found, places = combined([self._rows.numbered(name, self._chosen) for name in names])
        num = np.bincount(places, minlength=len(found))
        return dict(zip(found, num.tolist(), strict=True))

    def columns(self, names: Sequence[str]) -> Columns:
        """Fields of all candidates in order, as arrays (M,) or (M, 3) in the schema's units.

        Texts are object arrays of strings.

        Raises:
            StoreError: if a name is no field of a candidate.
        """
        return self._rows.take(names, self._chosen)

    def fingerprints(self) -> list[Fingerprint]:
        """Fingerprints of all candidates in order, which must be relaxed, (64,) 1/Å^2 each.

        Equal structures have equal ones, as ``structures.fingerprint.is_same`` says.

        Raises:
            StoreError: if a file is damaged, or the run names no boundary.
        """
        config = self.provenance.get("config", "")
        return fingerprints(self._rows.parts, self._chosen, config, self.elements)

    def records(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Fields of all candidates in order, as one dictionary of plain values per candidate.

        Raises:
            StoreError: if a name is no field of a candidate.
        """
        columns = self.columns(names)
        values = (columns[name].tolist() for name in names)
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

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
        every = [row.name for row in ROW_FIELDS] + [*element_names(self.provenance.get("config"))]
        wanted = every if names is None else list(names)
        columns = self.columns(["id", *(name for name in wanted if name != "id")])
        index = pd.Index(columns.pop("id"), name="id")
        return pd.DataFrame(scalar_columns(columns), index=index)

    def _restricted(self, chosen: np.ndarray) -> "Run":
        return Run(self._store, self._rows, chosen, self.selection)


def scalar_columns(columns: Columns) -> Columns:
    """Columns in which each vector (M, 3) is replaced by three numbers (M,), such as cell_x."""
    flat: Columns = {}
    for name, column in columns.items():
        if column.ndim == 1:
            flat[name] = column
        else:
            flat |= {f"{name}_{axis}": column[:, place] for place, axis in enumerate("xyz")}
    return flat


def open_run(path: str | Path, in_memory: bool = False) -> Run:
    """Open the results of a run as they are now, also while the campaign is running.

    Open the run again to see later candidates.

    Args:
        path: run directory, or one HDF5 file of candidates (``results.h5``).
        in_memory: keep every column that was read of a file, for many selections of a large run.

    Raises:
        StoreError: if there is no such directory or file, or if it is damaged.
    """
    store = RunStore(path)
    rows = store.rows(in_memory)
    return Run(store, rows, np.arange(len(rows)))
