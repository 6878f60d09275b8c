"""Columns and single rows read from an HDF5 file of candidates, which is not trusted."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import FileFault
from gcd_hpc.store.checksums import (
    ROW_CHECKSUM,
    Columns,
    check_seal,
    checksum,
    checksum_of_texts,
)
from gcd_hpc.store.crystal import older_n_index
from gcd_hpc.store.field import Field
from gcd_hpc.store.hdf5 import NAMES, START, check_names, has_type, text_array
from gcd_hpc.store.schema import BY_NAME, SCHEMA_VERSION
from gcd_hpc.store.strict import check_stored, only_dataset, opened

_MADE = {field.name: field for field in (START, ROW_CHECKSUM)}


class CandidateFile:
    """Open file of candidates, whose datasets are checked against the schema before they are read.

    Fields that were added after the version of the file have their default values.
    """

    def __init__(self, file: h5py.File) -> None:
        self.hdf5 = file

    @cached_property
    def version(self) -> int:
        """Schema version."""
        return int(self.hdf5.attrs["schema_version"])

    @cached_property
    def num_rows(self) -> int:
        """Number of candidates."""
        return len(only_dataset(self.hdf5, BY_NAME["id"].path))

    @cached_property
    def num_atoms(self) -> int:
        """Number of atoms of all candidates."""
        return len(only_dataset(self.hdf5, BY_NAME["positions"].path))

    @property
    def has_row_checksums(self) -> bool:
        """Whether single rows can be verified."""
        return ROW_CHECKSUM.path in self.hdf5

    def columns(self, names: Iterable[str]) -> Columns:
        """Whole columns with verified checksums."""
        fields = [_MADE[name] if name in _MADE else BY_NAME[name] for name in names]
        return {
            field.name: (
                text_array(self.texts(field)) if field.kind == "text" else self._numbers(field)
            )
            for field in fields
        }

    def texts(self, field: Field) -> list[bytes]:
        """Whole column of text as UTF-8 bytes, with verified checksum."""
        if self._is_older_than(field):
            return [field.default.encode()] * self.num_rows
        dataset = self.dataset(field)
        values: list[bytes] = dataset[...].tolist()
        _verify(checksum_of_texts(values), dataset)
        check_names(field.name, {text.decode() for text in values} if field.name in NAMES else ())
        return values

    def _numbers(self, field: Field) -> np.ndarray:
        if self._is_older_than(field):
            return self.value_before(field, slice(0, self._length(field)))
        dataset = self.dataset(field)
        values: np.ndarray = dataset[...]
        _verify(checksum(values), dataset)
        return values

    def some(self, field: Field, places: slice) -> np.ndarray:
        """Some rows or atoms of a column, without verifying the checksum of the whole column."""
        if self._is_older_than(field):
            return self.value_before(field, places)
        values = self.dataset(field)[places]
        return text_array(values.tolist()) if field.kind == "text" else values

    def dataset(self, field: Field) -> h5py.Dataset:
        """Dataset of a field, checked against the schema before its data are read.

        Raises:
            ValueError: if its type, shape or place is wrong, or if it declares more data than the
                file can hold, for which no memory must be allocated.
        """
        dataset = only_dataset(self.hdf5, field.path)
        if not has_type(dataset, field):
            raise ValueError(f"{field.path} has the type {dataset.dtype}")
        if dataset.shape != (self._length(field), *field.shape):
            raise ValueError(f"{field.path} has the shape {dataset.shape}")
        check_stored(dataset)
        return dataset

    def value_before(self, field: Field, places: slice) -> np.ndarray:
        """Values at some rows or atoms of a field that is younger than the file."""
        if field.name == "n_index":
            return older_n_index(self.hdf5)[places]
        shape = (places.stop - (places.start or 0), *field.shape)
        return np.full(shape, field.default, dtype=object if field.kind == "text" else None)

    def _is_older_than(self, field: Field) -> bool:
        return self.version < field.since

    def _length(self, field: Field) -> int:
        return self.num_atoms if field.per_atom else self.num_rows


@contextmanager
def reading(path: Path) -> Iterator[CandidateFile]:
    """Open file of candidates, checked for a readable schema version and intact attributes.

    Raises:
        StoreError: naming the file, for every fault that the block or HDF5 finds in it.
    """
    with opened(path, "an HDF5 file of candidates") as file:
        version = file.attrs.get("schema_version")
        if version is None:
            got = "one without a schema version"
            raise FileFault(str(path), "", "an HDF5 file written by gcd-hpc", got)
        if not 1 <= version <= SCHEMA_VERSION:
            got = f"{version}; a newer gcd-hpc may read it"
            raise FileFault(str(path), "", f"schema version 1 to {SCHEMA_VERSION}", got)
        check_seal(file)
        yield CandidateFile(file)


def _verify(found: int, dataset: h5py.Dataset) -> None:
    if found != dataset.attrs["crc32"]:
        raise ValueError(f"checksum of {dataset.name} does not fit")
