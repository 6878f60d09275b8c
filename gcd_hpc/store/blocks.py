"""Block-wise reading of a file of candidates that need not fit into memory."""

from collections.abc import Iterator

import numpy as np

from gcd_hpc.store.candidate_file import CandidateFile
from gcd_hpc.store.checksums import Columns, checksum, checksum_of_texts
from gcd_hpc.store.hdf5 import START, text_array
from gcd_hpc.store.schema import FIELDS

_ATOMS, _ROWS = 1 << 18, 1 << 14
"""Largest numbers of atoms (unless one candidate has more) and rows in a block, some 15 MB."""


class Blocks:
    """Iterator over blocks of whole candidates of an open file, with all columns, in file order.

    Raises:
        ValueError: if a dataset differs from the schema or the atom counts do not add up.
    """

    def __init__(self, file: CandidateFile) -> None:
        self._file = file
        self._fields = [field for field in (*FIELDS, START) if field.since <= file.version]
        self._datasets = {field.name: file.dataset(field) for field in self._fields}
        self._counts = self._datasets["num_atoms"][...]
        if (self._counts < 0).any() or self._counts.sum() != file.num_atoms:
            raise ValueError(f"the rows count {self._counts.sum()} atoms")
        self._younger = [field for field in FIELDS if field.since > file.version]
        self._checksums = {field.name: 0 for field in self._fields}

    def __iter__(self) -> Iterator[Columns]:
        stops = np.cumsum(self._counts)
        row = 0
        while row < len(self._counts):
            # As many whole rows as fit into _ATOMS atoms and _ROWS rows, but at least one.
            first = int(stops[row] - self._counts[row])
            last_row = int(np.searchsorted(stops, first + _ATOMS, side="right"))
            end = max(row + 1, min(last_row, row + _ROWS, len(self._counts)))
            yield self._read(slice(row, end), slice(first, int(stops[end - 1])))
            row = end

    def _read(self, rows: slice, atoms: slice) -> Columns:
        columns = {}
        for field in self._fields:
            values = self._datasets[field.name][atoms if field.per_atom else rows]
            so_far = self._checksums[field.name]
            if field.kind == "text":
                self._checksums[field.name] = checksum_of_texts(values.tolist(), so_far)
                values = text_array(values.tolist())
            else:
                self._checksums[field.name] = checksum(values, so_far)
            columns[field.name] = values
        for field in self._younger:
            places = atoms if field.per_atom else rows
            columns[field.name] = self._file.value_before(field, places)
        return columns

    def damaged(self) -> list[str]:
        """Paths of datasets whose checksum does not fit; call it after the last block."""
        return [
            field.path
            for field in self._fields
            if self._datasets[field.name].attrs["crc32"] != self._checksums[field.name]
        ]
