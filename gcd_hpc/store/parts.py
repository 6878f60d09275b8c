"""Part files: the candidates of one work chunk, written once and never changed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.errors import StoreError, printable
from gcd_hpc.store.candidate_file import CandidateFile, reading
from gcd_hpc.store.checksums import ROW_CHECKSUM, Columns, row_checksums
from gcd_hpc.store.field import DTYPES, Field
from gcd_hpc.store.hdf5 import (
    NAMES,
    OF_THE_FILE,
    START,
    ColumnWriter,
    check_names,
    image_for,
    text_array,
    write_attributes,
)
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.schema import ATOM_FIELDS, BY_NAME, FIELDS, ROW_FIELDS, Candidate

WHOLE_ATOMS = 1 << 20
"""Largest number of atoms of a file that are read in one piece and verified as a column."""
MIN_EDGE_A, MAX_LENGTH_A = 1e-3, 1e6
"""Plausible range of a length, Å: a flipped bit in an exponent leaves it."""
_FEW = 0.01
"""Largest share of a file's rows that is read row by row instead of column by column."""
_ATOMS_A_ROW = 100_000
"""Number of atoms whose positions, energies and elements are read as fast as one row alone."""


def write_part(
    path: str | Path, candidates: Sequence[Candidate], provenance: dict[str, str]
) -> None:
    """Write candidates to one file, which appears under its name only when it is complete.

    Args:
        provenance: attributes of the file, at least the resolved ``config``; the package version
            and the git commit are added.

    Raises:
        RunDirectoryError: if the folder cannot be written to or the disk is full.
    """
    columns = to_columns(candidates)
    with image_for(Path(path)) as file:
        writer = ColumnWriter(file, len(candidates), int(columns["num_atoms"].sum()))
        writer.append(columns)
        writer.finish()
        write_attributes(file, package_provenance() | provenance)


def read_part(path: str | Path, rows: Sequence[int] | None = None) -> list[Candidate]:
    """Candidates of a file: all, or those of the given row numbers in their order.

    Raises:
        StoreError: naming the file, if it is missing, truncated, corrupt or of another schema.
    """
    return list(each_of_part(path, rows))


def each_of_part(path: str | Path, rows: Sequence[int] | None = None) -> Iterator[Candidate]:
    """Iterator over the candidates of ``read_part``, read while the file stays open.

    A few rows of a large file are read alone and verified by their row checksums. Files before
    version 4 have no row checksums: their columns are read and verified as a whole, except the
    atoms of selected rows of a very large file, which stay unverified.
    """
    with reading(Path(path)) as file:
        wanted = range(file.num_rows) if rows is None else rows
        if file.has_row_checksums and len(wanted) <= _FEW * file.num_rows:
            for row in wanted:
                yield _read_row(file, row)
            return
        columns = file.columns([START.name, *(field.name for field in ROW_FIELDS)])
        is_small = rows is None or file.num_atoms <= WHOLE_ATOMS
        atoms = file.columns(field.name for field in ATOM_FIELDS) if is_small else {}
        for row in wanted:
            start, stop = _place(file, columns[START.name][row], columns["num_atoms"][row])
            one = {field.name: columns[field.name][row : row + 1] for field in ROW_FIELDS}
            place = slice(start, stop)
            for field in ATOM_FIELDS:
                name = field.name
                one[name] = atoms[name][place] if is_small else file.some(field, place)
            if not is_small and file.has_row_checksums:
                _verify_row(file, one, row)
            yield _candidate(one)


def each_with(
    path: str | Path, rows: Sequence[int], names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Iterator over some fields of rows of a file, in the order of ``rows``, verified by checksums.

    Columns of a small file are read as a whole, rows of a large one as by ``each_of_part``.

    Raises:
        StoreError: as ``read_part``.
    """
    with reading(Path(path)) as file:
        if file.num_atoms <= min(WHOLE_ATOMS, _ATOMS_A_ROW * len(rows)):
            columns = file.columns(dict.fromkeys((START.name, "num_atoms", *names)))
            for row in rows:
                place = slice(*_place(file, columns[START.name][row], columns["num_atoms"][row]))
                yield {
                    name: columns[name][place if BY_NAME[name].per_atom else row] for name in names
                }
            return
    for candidate in each_of_part(path, rows):
        yield {name: getattr(candidate, name) for name in names}


def _read_row(file: CandidateFile, row: int) -> Candidate:
    this = slice(row, row + 1)
    one = {field.name: file.some(field, this) for field in ROW_FIELDS}
    start, stop = _place(file, file.some(START, this)[0], one["num_atoms"][0])
    for field in ATOM_FIELDS:
        one[field.name] = file.some(field, slice(start, stop))
    _verify_row(file, one, row)
    return _candidate(one)


def _place(file: CandidateFile, start: int, num_atoms: int) -> tuple[int, int]:
    """Range of a row's atoms in the file: first, and the one after the last."""
    if not 0 <= start <= start + num_atoms <= file.num_atoms:
        raise ValueError(f"{num_atoms} atoms from {start} on are not in the file")
    return int(start), int(start + num_atoms)


def _verify_row(file: CandidateFile, one: Columns, row: int) -> None:
    for name in NAMES:
        check_names(name, one[name])
    expected = row_checksums(one, file.version)[0]
    if file.dataset(ROW_CHECKSUM)[row] != expected:
        raise ValueError(f"checksum of row {row} does not fit")


def read_columns(paths: Iterable[str | Path], names: Sequence[str]) -> Columns:
    """Row columns of many files, concatenated in the order of the files.

    Raises:
        StoreError: naming the unreadable file, or the name that is no field of a row.
    """
    check_row_fields(names)
    pieces: dict[str, list[np.ndarray]] = {name: [_empty(BY_NAME[name])] for name in names}
    for path in paths:
        with reading(Path(path)) as file:
            for name, values in file.columns(names).items():
                pieces[name].append(values)
    return {name: np.concatenate(arrays) for name, arrays in pieces.items()}


def read_provenance(path: str | Path) -> dict[str, str]:
    """All attributes of a file as text: versions, git commit, resolved config, and others."""
    with reading(Path(path)) as file:
        return {name: str(value) for name, value in file.hdf5.attrs.items()}


def read_origin(path: str | Path) -> dict[str, str]:
    """Attributes that files made from this one inherit: title, config, seed, hashes."""
    return {name: text for name, text in read_provenance(path).items() if name not in OF_THE_FILE}


def check_row_fields(names: Iterable[str]) -> None:
    """Raise StoreError for a name that is no field of a row."""
    for name in names:
        if name not in BY_NAME or BY_NAME[name].per_atom:
            raise StoreError(
                f"there is no field {name}; choose of"
                f" {', '.join(field.name for field in ROW_FIELDS)}"
            )


def without_structure(columns: Columns) -> np.ndarray:
    """Numbers of the rows with status ok that hold no usable structure.

    Such a row has no atoms, a position or an energy that is not finite, or a length outside
    MIN_EDGE_A to MAX_LENGTH_A.
    """
    counts, num_rows = columns["num_atoms"], len(columns["num_atoms"])
    # A row is wrong if any of its atoms is, or if its box or number of atoms is.
    sound = np.isfinite(columns["energies_ev"])
    sound &= (np.abs(columns["positions"]) < MAX_LENGTH_A).all(axis=1)
    wrong = np.bincount(np.repeat(np.arange(num_rows), counts)[~sound], minlength=num_rows) > 0
    cells = columns["cell"]
    is_box = ((cells > MIN_EDGE_A) & (cells < MAX_LENGTH_A)).all(axis=1)
    is_box &= np.abs(columns["tilt_a"]) < MAX_LENGTH_A
    return np.flatnonzero((columns["status"] == "ok") & (wrong | ~is_box | (counts == 0)))


def to_columns(candidates: Sequence[Candidate]) -> Columns:
    """Columns of all fields, in the order of the candidates."""
    return {
        field.name: _column(field, [getattr(candidate, field.name) for candidate in candidates])
        for field in FIELDS
    }


def _column(field: Field, values: list[Any]) -> np.ndarray:
    if not values:
        return _empty(field)
    if field.per_atom:
        return np.concatenate(values)
    if field.kind == "text":
        return text_array(_storable(text) for text in values)
    return np.array(values, dtype=DTYPES[field.kind])


def _storable(text: str) -> bytes:
    # HDF5 ends a string at a NUL; messages of a crashed process may hold invalid UTF-8.
    return printable(text.replace("\0", "")).encode("utf-8", "replace")


def _empty(field: Field) -> np.ndarray:
    return np.empty((0, *field.shape), dtype=object if field.kind == "text" else DTYPES[field.kind])


def _candidate(one: Columns) -> Candidate:
    """Candidate from columns of length one."""
    values: dict[str, Any] = {field.name: one[field.name] for field in ATOM_FIELDS}
    for field in ROW_FIELDS:
        value = one[field.name][0]
        values[field.name] = value.item() if isinstance(value, np.generic) else value
    return Candidate(**values)
