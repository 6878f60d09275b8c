"""CRC-32 checksums of columns, single rows and attributes of a file of candidates.

HDF5 itself detects a truncated file, but not a flipped bit in a number.
"""

import zlib

import h5py
import numpy as np

from gcd_hpc.store.field import DTYPES, Field
from gcd_hpc.store.schema import FIELDS, SCHEMA_VERSION

Columns = dict[str, np.ndarray]
"""Values by field name: (M, ...) for row fields, (sum of N, ...) for atom fields.

Text is an object array of Python strings: in a fixed-width array one long text widens all rows.
"""
ROW_CHECKSUM = Field(
    name="crc32",
    kind="int",
    shape=(),
    unit="1",
    default=0,
    title="checksum of the row",
    meaning="CRC-32 of all that the row and its atoms hold",
    since=4,
)
"""Checksum of a single row; all other checksums cover whole columns."""
_SEAL = "crc32"


def checksum(values: np.ndarray, so_far: int = 0) -> int:
    """CRC-32 of a column, continued from ``so_far``, the CRC-32 of the preceding rows."""
    if values.dtype.kind in "UO":
        return checksum_of_texts([text.encode() for text in values], so_far)
    return zlib.crc32(np.ascontiguousarray(values).tobytes(), so_far)


def checksum_of_texts(texts: list[bytes], so_far: int = 0) -> int:
    """CRC-32 of a column of UTF-8 texts, each followed by a NUL."""
    return zlib.crc32(b"\0".join([*texts, b""]), so_far)


def row_checksums(columns: Columns, version: int = SCHEMA_VERSION) -> np.ndarray:
    """CRC-32 of each row, (M,): its numbers, then its texts, then its atoms.

    Within each group, fields follow the order of the schema, as the bytes stored in the file.

    Args:
        version: schema version of the file; fields added later are left out.
    """
    num_rows = len(columns["num_atoms"])
    if not num_rows:
        return np.empty(0, dtype=np.int64)
    fields = [field for field in FIELDS if field.since <= version]
    numbers = [
        np.ascontiguousarray(columns[field.name], DTYPES[field.kind]).reshape(num_rows, -1)
        for field in fields
        if field.kind != "text" and not field.per_atom
    ]
    table = np.concatenate([values.view(np.uint8) for values in numbers], axis=1)  # (M, bytes)
    texts = [columns[field.name] for field in fields if field.kind == "text"]
    atoms = [
        np.ascontiguousarray(columns[field.name], DTYPES[field.kind])
        for field in fields
        if field.per_atom
    ]
    stops = np.cumsum(columns["num_atoms"]).tolist()
    found = np.empty(num_rows, dtype=np.int64)
    for row, (first, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        so_far = checksum_of_texts(
            [text[row].encode() for text in texts], zlib.crc32(table[row].data)
        )
        for values in atoms:
            so_far = zlib.crc32(values[first:stop].data, so_far)
        found[row] = so_far
    return found


def seal(group: h5py.Group) -> None:
    """Write the checksum of the attributes of a file or group."""
    group.attrs[_SEAL] = np.int64(_checksum_of_attributes(group))


def check_seal(group: h5py.Group) -> None:
    """Verify the attributes of a file or group; files before version 4 have no checksum.

    Raises:
        ValueError: if the checksum is missing or does not fit.
    """
    if _SEAL not in group.attrs:
        if group.file.attrs["schema_version"] < ROW_CHECKSUM.since:
            return
        raise ValueError(f"the attributes of {group.name} have no checksum")
    if group.attrs[_SEAL] != _checksum_of_attributes(group):
        raise ValueError(f"checksum of the attributes of {group.name} does not fit")


def _checksum_of_attributes(group: h5py.Group) -> int:
    texts = []
    for name in sorted(set(group.attrs) - {_SEAL}):
        value = group.attrs[name]
        plain = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        texts += [name, repr(plain)]
    return checksum_of_texts([text.encode("utf-8", "surrogateescape") for text in texts])
