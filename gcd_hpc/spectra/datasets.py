"""Datasets of the HDF5 files of this room: one declared column each, with a checksum."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.errors import FileFault, printable
from gcd_hpc.spectra.table import texts
from gcd_hpc.store.checksums import check_seal, checksum, checksum_of_texts, seal
from gcd_hpc.store.field import DTYPES, Kind
from gcd_hpc.store.hdf5 import TEXT
from gcd_hpc.store.strict import check_stored, is_text, only_dataset

_CHUNK_BYTES = 1 << 18
"""Size from which datasets are packed, and that of their chunks."""


@dataclass(frozen=True)
class Column:
    """A dataset of the file."""

    path: str
    kind: Kind
    unit: str
    meaning: str
    shape: tuple[int | None, ...] = ()
    """Shape of one row; None where it is free."""


def seal_file(file: h5py.File, kind: str, version: int, group: str) -> None:
    """Write what kind of file it is, and the checksums of its attributes and those of a group."""
    seal(file[group])
    file.attrs["kind"] = kind
    file.attrs["creator"] = "gcd-hpc"
    file.attrs["schema_version"] = version
    seal(file)


def check_kind(
    path: Path, file: h5py.File, kind: str, what: str, known_version: int, group: str
) -> None:
    """Check that an open file is of a kind and version, and that its attributes are intact.

    Args:
        what: description of the expected file, for the message.

    Raises:
        StoreError: if it is another one.
        ValueError: if attributes were changed.
    """
    if file.attrs.get("kind") != kind:
        raise FileFault(str(path), "", what, "another HDF5 file")
    version = file.attrs["schema_version"]
    if version != known_version:
        got = f"{version}; a newer gcd-hpc may read it"
        raise FileFault(str(path), "", f"schema version {known_version}", got)
    for sealed in (file, file[group]):
        if "crc32" not in sealed.attrs:
            raise ValueError(f"the attributes of {sealed.name} have no checksum")
        check_seal(sealed)


def write_column(file: h5py.File, column: Column, given: Any) -> None:
    shape = (len(given), *(given.shape[1:] if None in column.shape else column.shape))
    is_text_column = column.kind == "text"
    values = given if is_text_column else np.asarray(given, DTYPES[column.kind]).reshape(shape)
    options: dict[str, Any] = {}
    if not is_text_column and values.nbytes > _CHUNK_BYTES:
        row_bytes = max(1, values.nbytes // len(values))
        chunk = (max(1, _CHUNK_BYTES // row_bytes), *values.shape[1:])
        options = {"chunks": chunk, "compression": "gzip", "compression_opts": 1, "shuffle": True}
    dtype = TEXT if is_text_column else DTYPES[column.kind]
    dataset = file.create_dataset(column.path, shape, dtype, **options)
    if len(values):
        dataset[...] = values
    dataset.attrs["units"] = column.unit
    dataset.attrs["meaning"] = column.meaning
    dataset.attrs["crc32"] = np.int64(checksum(values))


def read_column(file: h5py.File, column: Column) -> np.ndarray:
    """Values of a column, checked for type, shape, size and checksum before and after reading."""
    dataset = only_dataset(file, column.path)
    is_text_column = column.kind == "text"
    right = is_text(dataset) if is_text_column else dataset.dtype == DTYPES[column.kind]
    if not right:
        raise ValueError(f"{column.path} has the type {dataset.dtype}")
    free = len(dataset.shape) == len(column.shape) + 1
    if not free or any(
        wanted not in (None, found)
        for wanted, found in zip(column.shape, dataset.shape[1:], strict=True)
    ):
        raise ValueError(f"{column.path} has the shape {dataset.shape}")
    check_stored(dataset)
    values: np.ndarray = dataset[...]
    found_sum = checksum_of_texts(values.tolist()) if is_text_column else checksum(values)
    if found_sum != dataset.attrs["crc32"]:
        raise ValueError(f"checksum of {column.path} does not fit")
    return texts(printable(one.decode()) for one in values.tolist()) if is_text_column else values
