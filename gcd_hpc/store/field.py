"""One column of the store: its type, unit and meaning."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

Kind = Literal["text", "int", "float", "bool"]
DTYPES: dict[str, np.dtype] = {
    "int": np.dtype("<i8"),
    "float": np.dtype("<f8"),
    "bool": np.dtype(bool),
}

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Field:
    """One column of the store, with a value per candidate or per atom.

    Name, kind and default follow from the annotations and defaults of ``Candidate``.
    """

    title: str
    """Short label for the axis of a plot."""
    meaning: str
    unit: str = ""
    """Unit; "1" for pure numbers, "" for text."""
    since: int = 1
    labels: tuple[str, ...] = ()
    """Allowed values of a text field; empty if any text is allowed."""
    shape: tuple[int, ...] = ()
    """Shape of one value: () or (3,)."""
    per_atom: bool = False
    largest: int | None = None
    """Largest value of whole numbers per atom, which begin at 0; None if any is allowed."""
    name: str = ""
    kind: Kind = "float"
    default: Any = None
    """Value in files of versions before ``since``; NaN for numbers per atom without one."""

    @property
    def path(self) -> str:
        """Path of the dataset in the file."""
        return f"{'atoms' if self.per_atom else 'structures'}/{self.name}"

    @property
    def long_name(self) -> str:
        """Title with the unit in parentheses."""
        return f"{self.title} ({self.unit})" if self.unit not in ("", "1") else self.title

    def array(self, value: Any, num_atoms: int, name: str) -> np.ndarray:
        """Value of an array field, filled with NaN or, for whole numbers, zeros if it is empty.

        Args:
            name: of the candidate, for the message.

        Raises:
            ValueError: if the shape does not fit num_atoms, or a value is too small or large.
        """
        shape = (num_atoms, *self.shape) if self.per_atom else self.shape
        dtype = DTYPES[self.kind]
        empty = 0 if self.kind == "int" else np.nan
        array = np.full(shape, empty, dtype) if np.size(value) == 0 else np.array(value, dtype)
        if array.shape != shape:
            raise ValueError(f"{name}: {self.name} must have the shape {shape}, got {array.shape}")
        if self.largest is not None and ((array < 0) | (array > self.largest)).any():
            raise ValueError(f"{name}: {self.name} must lie between 0 and {self.largest}")
        return array


def fields_of(row: type) -> tuple[Field, ...]:
    """Columns derived from the annotations of a dataclass of rows."""
    hints = get_type_hints(row, include_extras=True)
    kinds: dict[Any, Kind] = {str: "text", int: "int", bool: "bool"}
    found = []
    for one in dataclasses.fields(row):
        of, about = get_args(hints[one.name])
        is_literal = get_origin(of) is Literal
        kind = "text" if is_literal else kinds.get(of, about.kind)
        default = one.default
        if default is dataclasses.MISSING:
            default = {"text": "", "int": 0}.get(kind, np.nan)
        found.append(
            dataclasses.replace(
                about,
                name=one.name,
                kind=kind,
                default=get_args(of)[0] if is_literal else default,
                labels=get_args(of) if is_literal else about.labels,
            )
        )
    return tuple(found)


def html_table(fields: Iterable[Field], values: Mapping[str, Any]) -> str:
    """HTML table of all known values of a row, without those of its atoms."""
    known = ((field, values[field.name]) for field in fields if not field.per_atom)
    rows = "".join(
        f"<tr><th>{field.title}</th><td>{escape(str(value))}</td><td>{field.unit}</td></tr>"
        for field, value in known
        if field.shape or (value == value and value != "")
    )
    return f"<table>{rows}</table>"


def html_rows(fields: Sequence[Field], records: Iterable[Mapping[str, Any]]) -> str:
    """HTML table of records, one row each; numbers with four digits after the point."""
    head = "".join(f"<th>{escape(field.long_name)}</th>" for field in fields)
    rows = "".join(f"<tr>{''.join(_cells(fields, one))}</tr>" for one in records)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _cells(fields: Sequence[Field], record: Mapping[str, Any]) -> Iterable[str]:
    for field in fields:
        value = record[field.name]
        text = f"{round(value, 4):g}" if field.kind == "float" else str(value)
        yield f"<td>{escape(text)}</td>"


def csv_cell(value: Any) -> Any:
    """Value of a CSV cell: empty for NaN, an apostrophe before text that looks like a formula.

    Spreadsheets would otherwise evaluate such a text.
    """
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value != value else value
