"""Index file with the row columns of many parts; text is dictionary-encoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.checksums import checksum
from gcd_hpc.store.field import Field
from gcd_hpc.store.hdf5 import (
    attributes_of,
    image_for,
    text_array,
    write_attributes,
)
from gcd_hpc.store.numbering import places_in_order
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.schema import BY_NAME, ROW_FIELDS, SCHEMA_VERSION

FORMAT = 2
"""Version of the index format; an index of another format or schema version is made anew."""
_TEXTS = tuple(field for field in ROW_FIELDS if field.kind == "text")
_NUMBERS = tuple(field for field in ROW_FIELDS if field.kind != "text")
_FEW_TEXTS = 1000
"""Largest number of distinct texts of a column that are kept as strings."""
_SIGNATURES, _COUNTS = "covered/signatures", "covered/counts"


@dataclass(frozen=True)
class Coded:
    """Dictionary-encoded column of text: row i holds text ``codes[i]``.

    The texts stay one piece of bytes, joined by NUL: a million strings of Python take 70 MB.
    """

    codes: np.ndarray  # (M,)
    joined: bytes

    @property
    def values(self) -> list[bytes]:
        """The distinct texts."""
        return self.joined.split(b"\0")

    @cached_property
    def _starts(self) -> np.ndarray:
        """First byte of each text, and the end of a NUL behind the last, (K + 1,)."""
        ends = np.flatnonzero(np.frombuffer(self.joined, dtype=np.uint8) == 0)
        return np.concatenate([[0], ends + 1, [len(self.joined) + 1]])

    @cached_property
    def _few(self) -> np.ndarray:
        """All texts as strings, (K,)."""
        return text_array(self.values)

    def texts(self, rows: np.ndarray | slice) -> np.ndarray:
        """Strings of some rows, decoding only the values that occur."""
        codes = self.codes[rows]
        if len(self._starts) - 1 <= _FEW_TEXTS:
            return np.asarray(self._few[codes])
        if len(codes) < len(self._starts) - 1:
            starts = self._starts
            stops = starts[codes.astype(np.int64) + 1] - 1
            places = zip(starts[codes].tolist(), stops.tolist(), strict=True)
            return text_array(self.joined[start:stop] for start, stop in places)
        return np.asarray(text_array(self.values)[codes])

    @property
    def ranks(self) -> np.ndarray:
        """Place of each row's text among all texts in ascending order, (M,)."""
        return np.asarray(places_in_order(self.values)[self.codes])

    def rows_of(self, text: str) -> np.ndarray:
        """Ascending numbers of the rows that hold a text."""
        # What is no Unicode, from the command line, finds nothing.
        wanted = text.encode("utf-8", "surrogatepass")
        if b"\0" in wanted:
            return np.empty(0, dtype=np.int64)
        # Texts are joined by NUL, which none contains.
        if self.joined == wanted or self.joined.startswith(wanted + b"\0"):
            place = 0
        elif self.joined.endswith(b"\0" + wanted):
            place = len(self.joined) - len(wanted)
        else:
            place = self.joined.find(b"\0" + wanted + b"\0") + 1
            if not place:
                return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self.codes == np.searchsorted(self._starts, place))


class Catalogue:
    """An open index.

    Its columns do not change, even if a new index replaces the file meanwhile.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.path = Path(file.filename)
        self._known: dict[str, np.ndarray] = {}
        self._coded: dict[str, Coded] = {}
        counts = self._read(_COUNTS)
        stops = np.cumsum(counts)
        signatures = [text.decode() for text in self._read_texts(_SIGNATURES)[: len(counts)]]
        self.rows = {
            name: range(stop - count, stop)
            for name, stop, count in zip(signatures, stops.tolist(), counts.tolist(), strict=True)
        }
        """Range of rows of each part, by the part's signature."""

    def column(self, name: str, rows: np.ndarray | slice) -> np.ndarray:
        """Some rows of a column.

        Raises:
            StoreError: if the file is damaged.
        """
        if BY_NAME[name].kind == "text":
            return self.coded(name).texts(rows)
        return self._column(BY_NAME[name])[rows]

    def coded(self, name: str) -> Coded:
        """Whole dictionary-encoded column of text."""
        if name not in self._coded:
            joined = self._read(f"texts/{name}").tobytes()
            self._coded[name] = Coded(self._column(BY_NAME[name]), joined)
        return self._coded[name]

    def _column(self, field: Field) -> np.ndarray:
        if field.name not in self._known:
            self._known[field.name] = self._read(field.path)
        return self._known[field.name]

    def _read_texts(self, path: str) -> list[bytes]:
        return self._read(path).tobytes().split(b"\0")

    def _read(self, path: str) -> np.ndarray:
        try:
            dataset = self._file[path]
            values: np.ndarray = dataset[...]
            if checksum(values) == dataset.attrs["crc32"]:
                return values
        except (OSError, KeyError, ValueError, RuntimeError, TypeError):
            pass
        raise StoreError(
            f"{self.path}: expected a whole index, got a damaged one; delete it, it can be made"
            " again"
        )


def open_catalogue(path: Path) -> Catalogue | None:
    """Open the index of a run; None if it is missing, damaged or of another format.

    HDF5 closes the file when the catalogue is no longer referenced.
    """
    try:
        file = h5py.File(path, "r", locking=False)
        made_by = file.attrs.get("index_format"), file.attrs.get("schema_version")
        return Catalogue(file) if made_by == (FORMAT, SCHEMA_VERSION) else None
    except (StoreError, OSError, RuntimeError):
        return None


def write_catalogue(
    path: Path, parts: Sequence[tuple[str, Path]], before: Catalogue | None
) -> None:
    """Write the index of parts given with their signatures.

    Only parts that are not in the index ``before`` are read.

    Raises:
        StoreError: naming the part that is damaged.
        RunDirectoryError: if the index cannot be written.
    """
    gathered = _Gathered(before)
    for signature, part in parts:
        gathered.add(signature, part)
    with image_for(path) as file:
        for name, values in gathered.datasets():
            file[name] = values
            file[name].attrs["crc32"] = np.int64(checksum(values))
        for field in _NUMBERS:
            file[field.path].attrs.update(attributes_of(field, SCHEMA_VERSION))
        file.attrs["index_format"] = FORMAT
        write_attributes(file, package_provenance())


class _Gathered:
    """Columns of a new index, gathered part by part."""

    def __init__(self, before: Catalogue | None) -> None:
        self._before = before
        self._old = {field.name: before.coded(field.name) for field in _TEXTS} if before else {}
        self._codes: dict[str, dict[bytes, int]] = {
            field.name: (
                {text: code for code, text in enumerate(self._old[field.name].values)}
                if before
                else {}
            )
            for field in _TEXTS
        }
        self._pieces: dict[str, list[np.ndarray]] = {field.name: [] for field in ROW_FIELDS}
        self._signatures: list[bytes] = []
        self._counts: list[int] = []

    def add(self, signature: str, part: Path) -> None:
        """Append a part's rows, copied from the index before if it has them, else read."""
        if self._before is not None and signature in self._before.rows:
            self._copy(self._before, self._before.rows[signature])
        else:
            self._read(part)
        self._signatures.append(signature.encode())

    def _copy(self, before: Catalogue, rows: range) -> None:
        chosen = slice(rows.start, rows.stop)
        for field in _NUMBERS:
            self._pieces[field.name].append(before.column(field.name, chosen))
        for field in _TEXTS:
            self._pieces[field.name].append(self._old[field.name].codes[chosen])
        self._counts.append(len(rows))

    def _read(self, part: Path) -> None:
        with reading(part) as file:
            numbers = file.columns(field.name for field in _NUMBERS)
            texts = {field.name: file.texts(field) for field in _TEXTS}
            self._counts.append(file.num_rows)
        for name, values in numbers.items():
            self._pieces[name].append(values)
        for name, column in texts.items():
            codes = self._codes[name]
            self._pieces[name].append(
                np.array([codes.setdefault(text, len(codes)) for text in column], dtype=np.int64)
            )

    def datasets(self) -> Iterator[tuple[str, np.ndarray]]:
        """Paths and values of all datasets; each column is freed when it has been yielded."""
        yield _COUNTS, np.array(self._counts, dtype=np.int64)
        yield _SIGNATURES, _joined(self._signatures)
        for field in ROW_FIELDS:
            pieces = self._pieces.pop(field.name)
            empty = np.empty((0, *field.shape), dtype=np.int64)
            values = np.concatenate(pieces) if pieces else empty
            if field.kind == "text":
                # Drop the texts of removed parts, which no row refers to, and renumber the codes.
                used, codes = np.unique(values, return_inverse=True)
                every = list(self._codes.pop(field.name))
                yield f"texts/{field.name}", _joined([every[code] for code in used.tolist()])
                values = codes.astype(np.min_scalar_type(max(len(used) - 1, 0)))
            yield field.path, values


def _joined(texts: list[bytes]) -> np.ndarray:
    """Bytes of texts joined by NUL, which no text contains."""
    return np.frombuffer(b"\0".join(texts), dtype=np.uint8)
