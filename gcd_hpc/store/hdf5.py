"""Columns in an HDF5 file, with a CRC-32 checksum on every dataset.

Atoms of all candidates lie in flat arrays; ``start`` is the first atom of each row.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.errors import FileFault, printable
from gcd_hpc.files import replacing
from gcd_hpc.store.checksums import (
    ROW_CHECKSUM,
    Columns,
    checksum,
    row_checksums,
    seal,
)
from gcd_hpc.store.field import DTYPES, Field
from gcd_hpc.store.schema import BY_NAME, FIELDS, LABELS_SINCE, SCHEMA_VERSION
from gcd_hpc.store.strict import is_text

START = Field(
    "first row in atoms",
    "first row of the candidate in atoms/*",
    "1",
    name="start",
    kind="int",
    default=0,
)
PLOT = (BY_NAME["gb_energy_j_m2"], BY_NAME["n_fraction"])
"""Default plot of NeXus readers (h5web, silx, NeXpy): the first field against the second."""
FORMAT = ("v110", "v110")
"""File format of HDF5 1.10, the first with checksums on HDF5's own metadata."""
TEXT = h5py.string_dtype("utf-8")
SCHEMA_IN_SHORT = (
    "structures/* has one row a candidate; its atoms are rows start to start + num_atoms of"
    " atoms/*. Every dataset has units, long_name and meaning; docs/schema.md of gcd-hpc has the"
    " table."
)
OF_THE_FILE = ("creator", "schema", "schema_version", "NX_class", "default", "crc32", "task_record")
"""Attributes that describe one file only and are not copied to files made from it."""
_ATOM_CHUNK = 16384
NAMES = ("id", "run")
"""Fields whose values become names of files and groups."""
_NAME = re.compile(r"\w[\w.-]{0,199}")


class ColumnWriter:
    """Writer that fills an open file of a given number of rows and atoms batch by batch."""

    def __init__(self, file: h5py.File, num_rows: int, num_atoms: int) -> None:
        self._file = file
        self._row = 0
        self._atom = 0
        self._fields = (*FIELDS, START, ROW_CHECKSUM)
        self._checksums = {field.name: 0 for field in self._fields}
        for field in self._fields:
            self._create(field, num_atoms if field.per_atom else num_rows)

    def _create(self, field: Field, length: int) -> None:
        shape = (length, *field.shape)
        options: dict[str, Any] = {}
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
        """Write the next rows; ``columns`` holds every field except start and row checksum."""
        counts = columns["num_atoms"]
        starts = (
            self._atom + np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
            if len(counts)
            else counts
        )
        # Start and row checksum follow from the other columns.
        made = {START.name: starts, ROW_CHECKSUM.name: row_checksums(columns)}
        for field in self._fields:
            values = made[field.name] if field.name in made else columns[field.name]
            first = self._atom if field.per_atom else self._row
            if len(values):
                self._file[field.path][first : first + len(values)] = values
            self._checksums[field.name] = checksum(values, self._checksums[field.name])
        self._row += len(counts)
        self._atom += int(np.sum(counts))

    def finish(self) -> None:
        """Write the column checksums and the default plot."""
        for field in self._fields:
            dataset = self._file[field.path]
            assert len(dataset) == (self._atom if field.per_atom else self._row), (
                f"{field.path} was not filled"
            )
            dataset.attrs["crc32"] = np.int64(self._checksums[field.name])
        _add_plot(self._file)


def attributes_of(field: Field, version: int) -> dict[str, str | list[str]]:
    """Attributes of a field's dataset in a schema version, except the checksum ``crc32``."""
    if version < 3:
        return {"unit": field.unit}
    known = [label for label in field.labels if LABELS_SINCE.get(label, 1) <= version]
    labels = {"labels": known} if known else {}
    # NeXus names, which h5web, silx and NeXpy display.
    return {"units": field.unit, "long_name": field.long_name, "meaning": field.meaning, **labels}


def _add_plot(file: h5py.File) -> None:
    """Add the NeXus default plot, which consists of links and no data."""
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


def write_attributes(file: h5py.File, attributes: dict[str, str]) -> None:
    """Write provenance and schema version as attributes of the file, then their checksum."""
    for name, text in attributes.items():
        file.attrs[name] = text
    file.attrs["creator"] = "gcd-hpc"
    file.attrs["schema"] = SCHEMA_IN_SHORT
    file.attrs["schema_version"] = SCHEMA_VERSION
    seal(file)


@contextmanager
def image_for(path: Path) -> Iterator[h5py.File]:
    """HDF5 file in memory that is written to ``path`` in one piece when the block ends.

    On a full disk HDF5 crashes the process when it closes a file; a plain write raises an OSError.
    """
    with h5py.File.in_memory(libver=FORMAT) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with replacing(path) as temporary:
        temporary.write_bytes(image)


def has_type(dataset: h5py.Dataset, field: Field) -> bool:
    """Whether a dataset has the type of the schema."""
    if field.kind == "text":
        return is_text(dataset)
    return bool(dataset.dtype == DTYPES[field.kind])


def check_names(field: str, texts: Iterable[str]) -> None:
    """Check values that become names of files or groups; only ``run`` may be empty.

    Raises:
        StoreError: as ``checked_name``.
    """
    if field in NAMES:
        for text in texts:
            if text or field == "id":
                checked_name(text, BY_NAME[field].path)


def checked_name(text: str, what: str) -> str:
    """The text itself, if it may be the name of a file or group.

    Raises:
        StoreError: if it holds anything but letters, digits, dots, dashes and underscores: such a
            name could lead outside the chosen folder.
    """
    if not _NAME.fullmatch(text):
        expected = "a name of letters, digits, dots, dashes and underscores"
        raise FileFault("", what, expected, repr(printable(text[:60])))
    return text


def text_array(texts: Iterable[bytes]) -> np.ndarray:
    """Object array (M,) of strings decoded from UTF-8, cleaned by ``printable``."""
    values = [printable(text.decode()) for text in texts]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
