"""A file of candidates in pieces that fit into memory, however large it is."""

from collections.abc import Iterator

import h5py
import numpy as np

from gcd_hpc.store.hdf5 import START, Columns, checksum, text_array
from gcd_hpc.store.schema import FIELDS, Field

_ATOMS, _ROWS = 1 << 18, 1 << 14
"""At most so many in a piece (unless one candidate has more): 15 MB of positions and energies."""


class Blocks:
    """Iterates over all columns of an open file of consistent shape, some whole candidates at a
    time, in the order of the file.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._counts = file["structures/num_atoms"][...]
        version = int(file.attrs["schema_version"])
        self._fields = [field for field in (*FIELDS, START) if field.since <= version]
        self._younger = [field for field in FIELDS if field.since > version]
        self._checksums = {field.name: 0 for field in self._fields}

    def __iter__(self) -> Iterator[Columns]:
        stops = np.cumsum(self._counts)
        row = 0
        while row < len(self._counts):
            first = int(stops[row] - self._counts[row])
            last_row = int(np.searchsorted(stops, first + _ATOMS, side="right"))
            end = max(row + 1, min(last_row, row + _ROWS, len(self._counts)))
            yield self._read(slice(row, end), slice(first, int(stops[end - 1])))
            row = end

    def _read(self, rows: slice, atoms: slice) -> Columns:
        columns = {}
        for field in self._fields:
            values = self._file[field.path][atoms if field.per_atom else rows]
            columns[field.name] = text_array(values.tolist()) if field.kind == "text" else values
            self._checksums[field.name] = checksum(columns[field.name], self._checksums[field.name])
        for field in self._younger:
            columns[field.name] = _defaults(field, (atoms if field.per_atom else rows))
        return columns

    def damaged(self) -> list[str]:
        """Datasets whose checksum does not fit what was read, once everything was."""
        return [
            field.path
            for field in self._fields
            if self._file[field.path].attrs["crc32"] != self._checksums[field.name]
        ]


def _defaults(field: Field, places: slice) -> np.ndarray:
    length = places.stop - places.start
    return np.full(
        (length, *field.shape), field.default, dtype=object if field.kind == "text" else None
    )
