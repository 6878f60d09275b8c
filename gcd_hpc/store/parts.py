"""Part files: the candidates of one work chunk, written once and never changed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.hdf5 import (
    OF_THE_FILE,
    START,
    Columns,
    ColumnWriter,
    image_for,
    read_columns_of,
    read_value,
    reading,
    text_array,
    write_attributes,
)
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.schema import ATOM_FIELDS, BY_NAME, DTYPES, FIELDS, ROW_FIELDS, Candidate, Field

_WHOLE_ATOMS = 1 << 20
"""Atoms up to which those of a file are read in one piece, with their checksum."""


def write_part(
    path: str | Path, candidates: Sequence[Candidate], provenance: dict[str, str]
) -> None:
    """Write candidates to one file, which appears under its name only when it is complete.

    Args:
        provenance: further attributes of the file, at least the resolved ``config``; versions and
            commit are added.

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
    """The candidates of a file, or those of some rows of it.

    Raises:
        StoreError: naming the file, if it is missing, truncated, corrupt or of another schema.
    """
    return list(each_of_part(path, rows))


def each_of_part(path: str | Path, rows: Sequence[int] | None = None) -> Iterator[Candidate]:
    """The same one after the other, from one open file.

    Some rows of a file of very many atoms are read without the rest, so that the checksums of the
    atoms cannot be verified.
    """
    with reading(Path(path)) as file:
        columns = read_columns_of(file, [START.name, *(field.name for field in ROW_FIELDS)])
        atoms: dict[str, h5py.Dataset | np.ndarray]
        if rows is None or len(file["atoms/positions"]) <= _WHOLE_ATOMS:
            atoms = {**read_columns_of(file, (field.name for field in ATOM_FIELDS))}
        else:
            atoms = {
                field.name: file[field.path]
                for field in ATOM_FIELDS
                if field.since <= file.attrs["schema_version"]
            }
        for row in range(len(columns["id"])) if rows is None else rows:
            yield _candidate(columns, atoms, row)


def read_row(path: str | Path, row: int) -> Candidate:
    """One candidate of a file of any size, quickly: checksums, which are those of whole columns,
    are not verified.

    Raises:
        StoreError: naming the file, as above.
    """
    with reading(Path(path)) as file:
        values = {field.name: read_value(file, field, row) for field in ROW_FIELDS}
        start = int(read_value(file, START, row))
        stop = start + int(values["num_atoms"])
        present = (field for field in ATOM_FIELDS if field.since <= file.attrs["schema_version"])
        return Candidate(
            **values, **{field.name: file[field.path][start:stop] for field in present}
        )


def read_columns(paths: Iterable[str | Path], names: Sequence[str]) -> Columns:
    """Columns of many files, one after the other, without the atoms.

    Raises:
        StoreError: naming the file, as above, or the name that is no field of a row.
    """
    check_row_fields(names)
    pieces: dict[str, list[np.ndarray]] = {name: [_empty(BY_NAME[name])] for name in names}
    for path in paths:
        with reading(Path(path)) as file:
            for name, values in read_columns_of(file, names).items():
                pieces[name].append(values)
    return {name: np.concatenate(arrays) for name, arrays in pieces.items()}


def read_provenance(path: str | Path) -> dict[str, str]:
    """The attributes of a file: schema and package version, git commit, resolved config, and what
    its writer added.
    """
    with reading(Path(path)) as file:
        return {name: str(value) for name, value in file.attrs.items()}


def read_origin(path: str | Path) -> dict[str, str]:
    """What the writer of a file said of its origin: title, config, seed, hashes; for files that are
    made from this one.
    """
    return {name: text for name, text in read_provenance(path).items() if name not in OF_THE_FILE}


def check_row_fields(names: Iterable[str]) -> None:
    """Refuse names that are no field of a row."""
    for name in names:
        if name not in BY_NAME or BY_NAME[name].per_atom:
            raise StoreError(
                f"{name}: expected one of {', '.join(field.name for field in ROW_FIELDS)}"
            )


def to_columns(candidates: Sequence[Candidate]) -> Columns:
    """Columns of all fields, in the order of the candidates."""
    return {
        field.name: _column(field, [getattr(candidate, field.name) for candidate in candidates])
        for field in FIELDS
    }


def _column(field: Field, values: list) -> np.ndarray:
    if not values:
        return _empty(field)
    if field.per_atom:
        return np.concatenate(values)
    if field.kind == "text":
        return text_array(_storable(text) for text in values)
    return np.array(values, dtype=DTYPES[field.kind])


def _storable(text: str) -> bytes:
    # HDF5 ends a string at a NUL, and messages of a crashed process may hold bytes that are no
    # UTF-8.
    return text.encode("utf-8", "replace").replace(b"\0", b"")


def _empty(field: Field) -> np.ndarray:
    return np.empty((0, *field.shape), dtype=object if field.kind == "text" else DTYPES[field.kind])


def _candidate(
    columns: Columns, atoms: dict[str, h5py.Dataset | np.ndarray], row: int
) -> Candidate:
    start = int(columns[START.name][row])
    stop = start + int(columns["num_atoms"][row])
    values = {field.name: columns[field.name][row] for field in ROW_FIELDS}
    known: dict[str, Any] = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
    }
    known |= {
        field.name: atoms[field.name][start:stop] for field in ATOM_FIELDS if field.name in atoms
    }
    return Candidate(**known)
