"""Candidates for other programs: structures with their energies, or a table."""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from gcd_hpc.errors import StoreError
from gcd_hpc.files import cannot_write, output, output_folder
from gcd_hpc.store.hdf5 import checked_name
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import to_columns, without_structure
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.rows import Rows, read_numbered
from gcd_hpc.store.schema import ROW_FIELDS, Candidate, Field
from gcd_hpc.store.selection import parse_selection, selected
from gcd_hpc.structures.files import FileFormat, write_structures

Format = Literal["extxyz", "lammps-data", "lammps-dump", "poscar", "cif", "csv", "ase-db"]
SUFFIXES: dict[FileFormat, str] = {
    "lammps-data": "data",
    "lammps-dump": "dump",
    "poscar": "poscar",
    "cif": "cif",
}
"""Of the formats that hold one structure a file."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BATCH = 50_000
"""Rows of a table in memory at once."""
_KEYS = (
    "source",
    "version",
    "round",
    "status",
    "preset",
    "converged",
    "n_fraction",
    "gb_energy_j_m2",
    "excess_volume_a",
)
"""Fields by which rows of an ASE database can be selected."""


def export(
    store: RunStore,
    form: str,
    out: str | Path,
    ids: Collection[str] | None = None,
    selection: str = "",
) -> int:
    """Write the candidates of a run for other programs and return how many.

    ``extxyz``, ``ase-db`` (all structures one after the other) and ``csv`` (one row a candidate,
    failed ones too) make one file. ``lammps-data``, ``lammps-dump``, ``poscar`` and ``cif`` hold
    one structure a file: a single structure goes to the file ``out``, several go to
    ``out/ID.data``, ``.dump``, ``.poscar`` or ``.cif``. Structures are the relaxed ones of
    candidates whose status is ok, in the order of the run. Lengths are in Å and energies in eV:
    those of the atoms and of the box in extxyz and ase-db, those of the atoms in lammps-dump;
    lammps-data, poscar and cif hold none. Of the ends, open along z, poscar, cif and lammps-data
    cannot tell.

    Args:
        ids: only these candidates; all when not given.
        selection: only candidates for which all of its words hold.

    Raises:
        StoreError: if the format, an id or a word of the selection is unknown, or if there is
            nothing to export.
        RunDirectoryError: if ``out`` cannot be written.
    """
    if form not in get_args(Format):
        raise StoreError(f"format: expected one of {', '.join(get_args(Format))}, got {form}")
    with store.rows() as rows:
        numbers = _chosen(store, rows, ids, selection, structures=form != "csv")
        if form == "csv":
            _write_csv(rows, Path(out), numbers)
            return len(numbers)
        parts = rows.parts()
    element = element_of(store)
    structures = (to_atoms(candidate, element) for candidate in read_numbered(parts, numbers))
    if form == "extxyz":
        with output(Path(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
            for atoms in structures:
                ase.io.write(file, atoms, format="extxyz")
    elif form == "ase-db":
        _write_database(Path(out), structures)
    else:
        _write_each(
            Path(out), structures, len(numbers), next(one for one in SUFFIXES if one == form)
        )
    return len(numbers)


def to_atoms(candidate: Candidate, element: str) -> Atoms:
    """The relaxed structure: energies as ASE's own results, every known field of the schema in
    ``info``.

    Raises:
        StoreError: if it is called relaxed and is no structure.
    """
    if len(without_structure(to_columns([candidate]))):
        raise StoreError(
            f"{candidate.id}: expected atoms with finite positions and energies in a box, got"
            " others; gcd-hpc verify says what is wrong with the file"
        )
    atoms = Atoms(
        f"{element}{candidate.num_atoms}",
        candidate.positions,
        cell=candidate.cell,
        pbc=(True, True, False),
    )
    known = {
        field: getattr(candidate, field.name)
        for field in ROW_FIELDS
        if field.name not in ("cell", "num_atoms")
    }
    atoms.info = {field.name: value for field, value in known.items() if _is_known(field, value)}
    energies = np.asarray(candidate.energies_ev)
    atoms.calc = SinglePointCalculator(atoms, energy=float(energies.sum()), energies=energies)
    return atoms


def element_of(store: RunStore) -> str:
    """Chemical symbol of a run's boundary.

    Raises:
        StoreError: if its files do not say so.
    """
    element = section_of(store.provenance().get("config", ""), "boundary").get("element")
    if element not in atomic_numbers:
        raise StoreError(
            f"{store.path}: expected the campaign's boundary.element in the attribute config, got"
            f" {element or 'none'}"
        )
    return str(element)


def _is_known(field: Field, value: object) -> bool:
    if isinstance(value, str):
        return value != ""
    if field.kind == "int" and field.since > 1:
        return bool(value != field.default)  # a file of an older version does not know the field
    return bool(np.isfinite(np.asarray(value, dtype=float)).all())


def _chosen(
    store: RunStore, rows: Rows, ids: Collection[str] | None, selection: str, structures: bool
) -> np.ndarray:
    """Ascending numbers of the rows to export."""
    numbers = selected(rows, parse_selection(f"{selection} status=ok" if structures else selection))
    if ids is not None:
        numbers = np.intersect1d(numbers, rows.numbers_of(ids))
    if not len(numbers):
        among = f" with {selection}" if selection else ""
        what = "relaxed structure" if structures else "candidate"
        raise StoreError(f"{store.path}: expected at least one {what}{among} to export, got none")
    return numbers


def _write_each(out: Path, structures: Iterator[Atoms], num: int, form: FileFormat) -> None:
    if num == 1 and not out.is_dir():
        with output(out) as temporary:
            write_structures(temporary, list(structures), form)
        return
    with output_folder(out) as folder:
        for atoms in structures:
            name = checked_name(atoms.info["id"], "the id of a candidate")
            write_structures(folder / f"{name}.{SUFFIXES[form]}", [atoms], form)


def _write_database(out: Path, structures: Iterator[Atoms]) -> None:
    """An SQLite file of ASE: the id is the key ``candidate``, for ASE has an id of its own. All
    fields are in the row's ``data``.
    """
    import sqlite3  # with ASE's part half a second that only databases need

    from ase.db import connect

    try:
        with (
            output(out) as temporary,
            connect(
                temporary, type="db", append=False, serial=True, use_lock_file=False
            ) as database,
        ):
            for atoms in structures:
                keys = {name: atoms.info[name] for name in _KEYS if name in atoms.info}
                # ASE keeps the energy of the box among the results, but not those of the atoms.
                data = {**atoms.info, "energies_ev": atoms.get_potential_energies()}
                database.write(
                    atoms, key_value_pairs={"candidate": atoms.info["id"], **keys}, data=data
                )
    except sqlite3.Error as error:
        raise cannot_write(out, error) from error


def _write_csv(rows: Rows, out: Path, numbers: np.ndarray) -> None:
    names = [field.name for field in ROW_FIELDS]
    with output(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name for field in ROW_FIELDS for name in _headings(field)])
        for first in range(0, len(numbers), _BATCH):
            columns = rows.take(names, numbers[first : first + _BATCH])
            writer.writerows(
                zip(
                    *(cells for field in ROW_FIELDS for cells in _cells(columns[field.name])),
                    strict=True,
                )
            )


def _headings(field: Field) -> list[str]:
    return [f"{field.name}_{axis}" for axis in "xyz"] if field.shape else [field.name]


def _cells(values: np.ndarray) -> list[list[object]]:
    """A column of the table, or three of vectors; empty where a number is not known."""
    columns = values.T if values.ndim == 2 else values[None]
    return [[csv_cell(cell) for cell in column.tolist()] for column in columns]


def csv_cell(value: Any) -> Any:
    """A cell of a table for other programs: empty where a number is not known. Spreadsheets would
    take a text that begins like a formula for one, so it gets an apostrophe in front.
    """
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value != value else value
