"""Text files of columns: CSV, Athena's exports, and XDI, the XAS Data Interchange format.

A file is a header of comments, a line of column names, which may be missing, and rows of numbers.
Comments begin with ``#`` or ``%``. Those of the form ``# Element.symbol: C`` are fields.

The fields are those of XDI/1.0 (github.com/XraySpectroscopy/XAS-Data-Interchange). The packages
that read it bring far more with them than these hundred lines: xraylarch a whole analysis program,
xdi-pandas pandas.
"""

import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import StoreError, shortened

MAX_BYTES = 1 << 25
"""Largest size of a file of one spectrum."""
_FIELD = re.compile(r"[#%]\s*([A-Za-z][\w-]*\.[\w-]+)\s*:\s*(.*)")
_COMMENT = ("#", "%")


@dataclass(frozen=True, eq=False)
class ColumnFile:
    """Numbers of a text file by columns, and what its header states."""

    path: Path
    values: NDArray[np.float64]
    """(M, C)."""
    lines: list[int]
    """Number of the line of each row, (M,), from 1."""
    labels: list[str]
    """Name of each column with its unit, (C,); empty if the file has none."""
    fields: dict[str, str]
    """Fields of the header by their names in small letters, such as element.symbol."""


def read_columns(path: Path) -> ColumnFile:
    """Columns of a text file.

    Raises:
        StoreError: if the file is missing, binary, too large, empty, or a row does not hold as many
            finite numbers as the first one.
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    fields: dict[str, str] = {}
    comments: list[str] = []
    labels: list[str] = []
    rows: list[list[float]] = []
    places: list[int] = []
    for number, line in enumerate(lines, 1):
        if line.startswith(_COMMENT):
            if match := _FIELD.match(line):
                fields[match[1].lower()] = match[2].strip()
            elif not rows:
                comments.append(line.lstrip("#% \t"))
        elif line:
            cells = _cells(line)
            if not rows and not labels and not any(map(_is_number, cells)):
                labels = cells
                continue
            rows.append(_numbers(path, number, cells, len(rows[0]) if rows else len(cells)))
            places.append(number)
    if not rows:
        raise StoreError(
            f"{path}: holds no numbers; give a text file with one row of energy and absorption for"
            " each point"
        )
    named = _labels(fields, labels, comments, len(rows[0]))
    return ColumnFile(path, np.array(rows), places, named, fields)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StoreError(
                f"{path}: is larger than {MAX_BYTES >> 20} MiB, which no spectrum is; cut it out of"
                " the file"
            )
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read: {error.strerror}; name a file of one spectrum"
        ) from None
    if b"\0" in content:
        raise StoreError(
            f"{path}: holds binary data and not columns of text; export the spectrum as CSV or XDI"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # titles with the encoding of old programs


def _cells(line: str) -> list[str]:
    """Cells of a line; where semicolons part them, a comma is a decimal point."""
    if ";" in line:
        return [cell.strip().replace(",", ".") for cell in line.split(";")]
    if "," in line:
        return [cell.strip() for cell in line.split(",")]
    return line.split("\t") if "\t" in line and _has_words(line) else line.split()


def _has_words(line: str) -> bool:
    return any(not _is_number(cell) for cell in line.split())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(path: Path, line: int, cells: list[str], num: int) -> list[float]:
    """Numbers of a row.

    Raises:
        StoreError: if there are more or fewer than in the first row, or one is not finite.
    """
    if len(cells) != num:
        raise StoreError(
            f"{path}: line {line}: has {len(cells)} cells where the first row has {num}; mend or"
            " remove the line"
        )
    numbers = []
    for cell in cells:
        if not _is_number(cell) or not isfinite(float(cell)):
            raise StoreError(
                f"{path}: line {line}: {shortened(repr(cell))} is no finite number; mend or remove"
                " the line"
            )
        numbers.append(float(cell))
    return numbers


def _labels(fields: dict[str, str], labels: list[str], comments: list[str], num: int) -> list[str]:
    """Names of the columns: of the fields Column.1 and so on, of the line above the numbers, or of
    the last comment if it has as many words as there are columns.
    """
    stated = [fields.get(f"column.{place + 1}", "") for place in range(num)]
    if all(stated):
        return stated
    if len(labels) == num:
        return labels
    last = _cells(comments[-1]) if comments else []
    return last if len(last) == num and num > 1 else []
