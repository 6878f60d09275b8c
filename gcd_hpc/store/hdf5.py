"""Columns in an HDF5 file: ragged structures as flat per-atom arrays with a start for each row; a
checksum on every dataset.

HDF5 detects a file that is cut short but not a flipped bit in a number, hence the CRC-32 attribute.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.errors import StoreError, printable
from gcd_hpc.files import replacing
from gcd_hpc.store.schema import BY_NAME, DTYPES, FIELDS, SCHEMA_VERSION, Field

Columns = dict[str, np.ndarray]
"""Values by field name: (M, ...) for fields of a row, (sum of N, ...) for fields of an atom. Text
comes as an array of Python strings,
for one long reason would widen a million short ones."""

START = Field(
    "start", "int", (), "1", 0, "first row in atoms", "first row of the candidate in atoms/*"
)
PLOT = (BY_NAME["gb_energy_j_m2"], BY_NAME["n_fraction"])
"""What NeXus readers (h5web, silx, NeXpy) draw when they open a file: the first against the second.
"""
TEXT = h5py.string_dtype("utf-8")
SCHEMA_IN_SHORT = (
    "structures/* has one row a candidate; its atoms are rows start to start + num_atoms of"
    " atoms/*. Every dataset has units, long_name and meaning; docs/schema.md of gcd-hpc has the"
    " table."
)
OF_THE_FILE = ("creator", "schema", "schema_version", "NX_class", "default")
"""Attributes of every file, whatever it holds."""
_ATOM_CHUNK = 16384
NAMES = ("id", "run")
"""Fields whose values become names of files and groups."""
_NAME = re.compile(r"\w[\w.-]{0,199}")


class ColumnWriter:
    """Fills an open file with a known number of rows and atoms, batch after batch."""

    def __init__(
        self, file: h5py.File, num_rows: int, num_atoms: int, fields: Sequence[Field] = FIELDS
    ) -> None:
        self._file, self._row, self._atom = file, 0, 0
        self._fields = (
            (*fields, START) if any(field.per_atom for field in fields) else tuple(fields)
        )
        self._checksums = {field.name: 0 for field in self._fields}
        for field in self._fields:
            self._create(field, num_atoms if field.per_atom else num_rows)

    def _create(self, field: Field, length: int) -> None:
        shape = (length, *field.shape)
        options: dict = {}
        if field.per_atom and length:
            options = {
                "chunks": (min(length, _ATOM_CHUNK), *field.shape),
                "compression": "gzip",
                "compression_opts": 1,
                "shuffle": True,
            }
        dtype = TEXT if field.kind == "text" else DTYPES[field.kind]
        dataset = self._file.create_dataset(field.path, shape, dtype, **options)
        for name, value in attributes_of(field, SCHEMA_VERSION).items():
            dataset.attrs[name] = value

    def append(self, columns: Columns) -> None:
        """Write the next rows; columns holds every field but start."""
        counts = columns["num_atoms"]
        starts = (
            self._atom + np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
            if len(counts)
            else counts
        )
        for field in self._fields:
            values = starts if field is START else columns[field.name]
            first = self._atom if field.per_atom else self._row
            if len(values):
                self._file[field.path][first : first + len(values)] = values
            self._checksums[field.name] = checksum(values, self._checksums[field.name])
        self._row += len(counts)
        self._atom += int(np.sum(counts))

    def finish(self) -> None:
        """Write the checksums and the plot."""
        for field in self._fields:
            dataset = self._file[field.path]
            assert len(dataset) == (self._atom if field.per_atom else self._row), (
                f"{field.path} was not filled"
            )
            dataset.attrs["crc32"] = np.int64(self._checksums[field.name])
        if all(field in self._fields for field in PLOT):
            _add_plot(self._file)


def attributes_of(field: Field, version: int) -> dict[str, str | list[str]]:
    """What a dataset says of itself in a file of a schema version, the checksum ``crc32`` aside."""
    if version < 3:
        return {"unit": field.unit}
    labels = {"labels": list(field.labels)} if field.labels else {}
    # NeXus' names: h5web, silx and NeXpy show them.
    return {"units": field.unit, "long_name": field.long_name, "meaning": field.meaning, **labels}


def _add_plot(file: h5py.File) -> None:
    """The default plot, as NeXus has it: links, no data."""
    signal, axis = PLOT
    plot = file.create_group("plot/gb_energy")
    for field in PLOT:
        plot[field.name] = h5py.SoftLink(f"/{field.path}")
    plot.attrs.update(
        {
            "NX_class": "NXdata",
            "signal": signal.name,
            "axes": [axis.name],
            f"{axis.name}_indices": 0,
        }
    )
    plot.attrs["title"] = f"{signal.title} against {axis.title}"
    file["plot"].attrs.update({"NX_class": "NXentry", "default": "gb_energy"})
    file.attrs.update({"NX_class": "NXroot", "default": "plot"})


def checksum(values: np.ndarray, so_far: int = 0) -> int:
    """CRC-32 of a column, continued from the rows before."""
    if values.dtype.kind in "UO":
        return checksum_of_texts([text.encode() for text in values], so_far)
    return zlib.crc32(np.ascontiguousarray(values).tobytes(), so_far)


def checksum_of_texts(texts: list[bytes], so_far: int = 0) -> int:
    """The same for a column of text in UTF-8."""
    return zlib.crc32(b"\0".join([*texts, b""]), so_far)


def write_attributes(file: h5py.File, attributes: dict[str, str]) -> None:
    """Provenance and schema version as attributes of the file."""
    for name, text in attributes.items():
        file.attrs[name] = text
    file.attrs["creator"] = "gcd-hpc"
    file.attrs["schema"] = SCHEMA_IN_SHORT
    file.attrs["schema_version"] = SCHEMA_VERSION


@contextmanager
def image_for(path: Path) -> Iterator[h5py.File]:
    """A file in memory that is written to ``path`` in one piece when the block ends.

    On a full disk HDF5 cannot even close a file and crashes the process; a plain write fails with a
    plain error.
    """
    with h5py.File.in_memory() as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with replacing(path) as temporary:
        temporary.write_bytes(image)


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """An open file of a schema that this version reads; whatever HDF5 finds wrong with it becomes a
    StoreError that names the file.
    """
    if not path.is_file():
        raise StoreError(f"{path}: expected an HDF5 file of candidates, got {what_is_at(path)}")
    try:
        # Parts never change once they have their name, so no lock is needed; locks fail on some
        # cluster file systems.
        with h5py.File(path, "r", locking=False) as file:
            version = file.attrs.get("schema_version")
            if version is None:
                raise StoreError(
                    f"{path}: expected an HDF5 file written by gcd-hpc, got one without a schema"
                    " version"
                )
            if not 1 <= version <= SCHEMA_VERSION:
                raise StoreError(
                    f"{path}: expected schema version 1 to {SCHEMA_VERSION}, got {version}; a newer"
                    " gcd-hpc may read it"
                )
            yield file
    except StoreError as error:
        if str(path) in str(error):
            raise
        raise StoreError(f"{path}: {error}") from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: expected a complete HDF5 file, got a truncated or corrupt one"
            f" ({_first_line(error)})"
        ) from error


def read_columns_of(file: h5py.File, names: Iterable[str]) -> Columns:
    """Whole columns, their checksums verified. Columns younger than the file hold their default."""
    fields = [START if name == START.name else BY_NAME[name] for name in names]
    return {
        field.name: (
            text_array(read_texts(file, field))
            if field.kind == "text"
            else _read_numbers(file, field)
        )
        for field in fields
    }


def read_texts(file: h5py.File, field: Field) -> list[bytes]:
    """A column of text in UTF-8, as above."""
    if _is_younger(field, file):
        return [field.default.encode()] * num_rows_of(file)
    dataset = file[field.path]
    values = dataset[...].tolist()
    _verify(checksum_of_texts(values), dataset)
    if field.name in NAMES:
        for text in set(values) - {b""}:
            checked_name(text.decode(), f"{field.path}")
    return values


def read_value(file: h5py.File, field: Field, row: int) -> Any:
    """The value of one row as Python's own type or an array; nothing else is read, so its checksum
    is not verified.
    """
    if _is_younger(field, file):
        return field.default
    value = file[field.path][row]
    if isinstance(value, bytes):
        text = printable(value.decode())
        return checked_name(text, field.path) if field.name in NAMES and text else text
    return value.item() if isinstance(value, np.generic) else value


def what_is_at(path: Path) -> str:
    """What lies at a path that is no regular file."""
    if path.is_dir():
        return "a folder"
    return "something that is no file" if path.exists() else "no such file"


def checked_name(text: str, what: str) -> str:
    """A text that may be the name of a file or of a group.

    Raises:
        StoreError: if it holds anything but letters, digits, dots, dashes and underscores, so that
            nothing is ever written outside the folder that was asked for.
    """
    if not _NAME.fullmatch(text):
        raise StoreError(
            f"{what}: expected a name of letters, digits, dots, dashes and underscores, got"
            f" {printable(text[:60])!r}"
        )
    return text


def num_rows_of(file: h5py.File) -> int:
    """Candidates in a file."""
    return len(file["structures/id"])


def text_array(texts: Iterable[bytes]) -> np.ndarray:
    """Strings from their UTF-8, as ``printable`` leaves them."""
    values = [printable(text.decode()) for text in texts]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _read_numbers(file: h5py.File, field: Field) -> np.ndarray:
    if _is_younger(field, file):
        length = len(file["atoms/positions"]) if field.per_atom else num_rows_of(file)
        return np.full((length, *field.shape), field.default)
    dataset = file[field.path]
    values = dataset[...]
    _verify(checksum(values), dataset)
    return values


def _is_younger(field: Field, file: h5py.File) -> bool:
    return field.since > 1 and field.since > file.attrs["schema_version"]


def _verify(found: int, dataset: h5py.Dataset) -> None:
    if found != dataset.attrs["crc32"]:
        raise ValueError(f"checksum of {dataset.name} does not fit")


def _first_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
