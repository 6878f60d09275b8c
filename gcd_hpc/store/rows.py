"""Rows of a run, numbered part after part, read from the index where it covers them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.catalogue import Catalogue
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.element_fractions import with_element_fractions
from gcd_hpc.store.numbering import numbered, places_in_order, text_ranks
from gcd_hpc.store.parts import (
    check_row_fields,
    each_of_part,
    each_with,
    read_columns,
    read_provenance,
)
from gcd_hpc.store.schema import BY_NAME, Candidate

Chosen = slice | np.ndarray
Row = TypeVar("Row")
EVERY = slice(None)
FEW_IDS = 3
"""Largest number of ids that are looked up one by one."""
_BATCH = 256
"""Candidates held in memory at once when they are read in another order than the files'."""


class Rows:
    """Row columns of many parts, numbered as at the moment when the parts were listed.

    Row numbers stay valid for the lifetime of this object while a campaign adds parts.
    """

    def __init__(self, pieces: Sequence["PartRows | IndexedRows"], in_memory: bool = False) -> None:
        """Args:
        in_memory: keep every column that was read of a part; those of the index are kept anyway.
        """
        self._pieces = pieces
        for piece in pieces:
            if in_memory and isinstance(piece, PartRows):
                piece.keep()

    def columns(self, names: Sequence[str]) -> Columns:
        """Columns of all rows, of fields and of [n] of a compound's elements, such as n_Ni."""
        return with_element_fractions(names, self._stored, self._config)

    def _stored(self, names: Sequence[str]) -> Columns:
        """Columns of fields of all rows."""
        check_row_fields(names)
        columns = [piece.read(names, EVERY) for piece in self._pieces] or [read_columns([], names)]
        return (
            columns[0]
            if len(columns) == 1
            else {name: np.concatenate([one[name] for one in columns]) for name in names}
        )

    def take(self, names: Sequence[str], rows: np.ndarray) -> Columns:
        """Columns of the rows with the numbers ``rows`` (M,), in their order, (M, ...) each."""
        return with_element_fractions(names, lambda some: self._taken(some, rows), self._config)

    def _taken(self, names: Sequence[str], rows: np.ndarray) -> Columns:
        """Columns of fields of the rows with the numbers ``rows`` (M,)."""
        check_row_fields(names)
        if len(self._pieces) == 1:
            return self._pieces[0].read(names, rows)
        order = np.argsort(rows, kind="stable")
        borders = np.searchsorted(rows[order], self._starts)
        columns = [
            piece.read(names, rows[order[first:last]] - start)
            for piece, start, (first, last) in zip(
                self._pieces, self._starts.tolist(), pairwise(borders.tolist()), strict=False
            )
            if first < last
        ]
        columns = columns or [read_columns([], names)]
        back = np.argsort(order, kind="stable")
        return {name: np.concatenate([one[name] for one in columns])[back] for name in names}

    def text_ranks(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Order of the texts of a field: equal numbers for equal texts, greater for later, (M,)."""
        if len(self._pieces) == 1:
            return self._pieces[0].text_ranks(name, rows)
        return text_ranks(self._taken([name], rows)[name])

    def numbered(self, name: str, rows: np.ndarray) -> tuple[list[Any], np.ndarray]:
        """``numbering.numbered`` of a field of some rows, without a string for each of them."""
        if BY_NAME[name].kind != "text":
            return numbered(self._taken([name], rows)[name])
        ranks, own = numbered(self.text_ranks(name, rows))
        # First row of each text: of equal places the last assignment holds.
        firsts = np.empty(len(ranks), dtype=np.int64)
        firsts[own[::-1]] = np.arange(len(own))[::-1]
        order = np.argsort(firsts)
        texts = self._taken([name], rows[firsts[order]])[name].tolist()
        return texts, places_in_order(firsts.tolist())[own]

    def places_of(self, ids: Sequence[str], rows: np.ndarray) -> dict[str, int]:
        """Place of each id among the rows with the numbers ``rows`` (M,), the last of several.

        Ids that none of them has are left out.
        """
        if len(ids) <= FEW_IDS:
            found = {
                name: np.flatnonzero(np.isin(rows, self.numbers_of("id", name))) for name in ids
            }
            return {name: int(places[-1]) for name, places in found.items() if len(places)}
        wanted, every = set(ids), self.take(["id"], rows)["id"].tolist()
        return {name: place for place, name in enumerate(every) if name in wanted}

    def numbers_of(self, name: str, text: str) -> np.ndarray:
        """Ascending numbers of the rows in which a field of texts holds ``text``."""
        found = [
            start + piece.numbers_of(name, text)
            for piece, start in zip(self._pieces, self._starts.tolist(), strict=False)
        ]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _config(self) -> str:
        """Attribute ``config`` of the first file; empty if there is none."""
        return read_provenance(self.parts[0][0]).get("config", "") if self.parts else ""

    @cached_property
    def parts(self) -> list[tuple[Path, int]]:
        """Files with their number of rows, in the order of the rows."""
        return [part for piece in self._pieces for part in piece.parts]

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._starts[-1])

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum([0, *(sum(num for _, num in piece.parts) for piece in self._pieces)])


class PartRows:
    """The rows of a part that is not in the index."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_rows: int | None = None
        self._known: Columns | None = None

    def keep(self) -> None:
        """Keep every column that is read from now on."""
        self._known = {}

    @property
    def parts(self) -> list[tuple[Path, int]]:
        """The one file with its number of rows."""
        if self._num_rows is None:
            self.read(["version"], EVERY)
        assert self._num_rows is not None
        return [(self._path, self._num_rows)]

    def read(self, names: Sequence[str], rows: Chosen) -> Columns:
        """Columns of some rows; whole columns are read because checksums cover whole columns."""
        known = {} if self._known is None else self._known
        missing = [name for name in names if name not in known]
        known |= read_columns([self._path], missing) if missing else {}
        self._num_rows = len(known[names[0]])
        return {name: known[name][rows] for name in names}

    def text_ranks(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Order of the texts of a field, see ``Rows``."""
        return text_ranks(self.read([name], rows)[name])

    def numbers_of(self, name: str, text: str) -> np.ndarray:
        """Ascending numbers of the rows in which a field of texts holds ``text``."""
        return np.flatnonzero(self.read([name], EVERY)[name] == text)


class IndexedRows:
    """The rows of parts that follow one another in the index."""

    def __init__(self, index: Catalogue, start: int, parts: list[tuple[Path, int]]) -> None:
        self._index = index
        self._start = start
        self.parts = parts

    def read(self, names: Sequence[str], rows: Chosen) -> Columns:
        """Columns of some rows; a damaged index is deleted and the parts are read instead."""
        chosen = slice(self._start, self._stop) if isinstance(rows, slice) else rows + self._start
        try:
            return {name: self._index.column(name, chosen) for name in names}
        except StoreError:
            # The index is only a copy; the next reader makes it again.
            with suppress(OSError):
                self._index.path.unlink()
            return {
                name: values[rows]
                for name, values in read_columns([path for path, _ in self.parts], names).items()
            }

    def text_ranks(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Order of the texts of a field, see ``Rows``."""
        try:
            return np.asarray(self._index.coded(name).ranks[rows + self._start])
        except StoreError:  # damaged; reading it once more deletes it
            return text_ranks(self.read([name], rows)[name])

    def numbers_of(self, name: str, text: str) -> np.ndarray:
        """Ascending numbers of the rows in which a field of texts holds ``text``."""
        try:
            found = self._index.coded(name).rows_of(text)
        except StoreError:  # damaged; reading it once more deletes it
            return np.flatnonzero(self.read([name], EVERY)[name] == text)
        return found[(found >= self._start) & (found < self._stop)] - self._start

    @property
    def _stop(self) -> int:
        return self._start + sum(num for _, num in self.parts)


def read_numbered(parts: Sequence[tuple[Path, int]], numbers: np.ndarray) -> Iterator[Candidate]:
    """Iterator over candidates by row number, in the order of ``numbers`` (M,).

    At most a batch of candidates is in memory at once.

    Args:
        parts: files with their number of rows, ``Rows.parts``.
    """
    if np.all(np.diff(numbers) >= 0):
        yield from _each_ascending(parts, numbers, each_of_part)
        return
    for first in range(0, len(numbers), _BATCH):
        batch = numbers[first : first + _BATCH]
        order = np.argsort(batch, kind="stable")
        found = list(_each_ascending(parts, batch[order], each_of_part))
        for place in np.argsort(order).tolist():
            yield found[place]


def read_fields(
    parts: Sequence[tuple[Path, int]], numbers: np.ndarray, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Iterator over some fields of rows by ascending row number (M,), as ``parts.each_with``.

    Args:
        parts: files with their number of rows, ``Rows.parts``.
    """
    return _each_ascending(parts, numbers, lambda path, rows: each_with(path, rows, names))


def _each_ascending(
    parts: Sequence[tuple[Path, int]],
    numbers: np.ndarray,
    read: Callable[[Path, list[int]], Iterator[Row]],
) -> Iterator[Row]:
    starts = np.cumsum([0, *(num for _, num in parts)])
    borders = np.searchsorted(numbers, starts).tolist()
    for (path, _), start, (first, last) in zip(
        parts, starts.tolist(), pairwise(borders), strict=False
    ):
        if first < last:
            yield from read(path, (numbers[first:last] - start).tolist())


def rows_of(
    parts: Iterable[tuple[str, Path]], index: Catalogue | None, in_memory: bool = False
) -> Rows:
    """Rows of parts given with their signatures; neighbouring parts in the index form one piece."""
    pieces: list[PartRows | IndexedRows] = []
    stop = -1
    for signature, path in parts:
        if index is None or signature not in index.rows:
            pieces.append(PartRows(path))
            continue
        rows = index.rows[signature]
        last = pieces[-1] if pieces else None
        if isinstance(last, IndexedRows) and rows.start == stop:
            last.parts.append((path, len(rows)))
        else:
            pieces.append(IndexedRows(index, rows.start, [(path, len(rows))]))
        stop = rows.stop
    return Rows(pieces, in_memory)
