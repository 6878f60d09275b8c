"""Selection and order of candidates: one query language for the terminal, web page and Python.

A selection is a list of conditions such as ``source=model``, ``n=0.2``, ``energy<2.4``,
``round=1,2``, ``status!=failed``; a candidate must meet all of them. A condition names a field of
the schema (``n`` and ``energy`` are short for n_fraction and gb_energy_j_m2, of a material
``error`` and ``energy`` for spectrum_error and energy_ev_atom), or the [n] of one element of a
compound, ``n_Ni``; ``=`` and ``!=`` take several values. A value with blanks stands in quotes, and
[n] may be a fraction, ``n=1/3``. An id alone is short for ``id=...``; blanks around relations and
commas are ignored.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from gcd_hpc.errors import StoreError, did_you_mean
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.element_fractions import element_field, element_of
from gcd_hpc.store.field import Field
from gcd_hpc.store.numbering import text_ranks
from gcd_hpc.store.rows import Rows
from gcd_hpc.store.schema import ROW_FIELDS

SHORT = {"n": "n_fraction", "energy": "gb_energy_j_m2"}
SHORT_OF_MATERIAL = {"energy": "energy_ev_atom", "error": "spectrum_error"}
"""Short forms of fields in rows of a boundary, and in those of a material."""
FRACTION_TOLERANCE = 5e-5
"""Tolerance of [n] in a condition, so that the four printed digits select their rows."""
_ID = re.compile(r"([\w.-]+\.)?(search|(model|explore|quench|given)-\d+)-\d{6,}")
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s,"'][^\s,]*)"""
_CONDITION = re.compile(rf"(\w+)\s*(!=|<=|>=|=|<|>)\s*({_VALUE}(?:\s*,\s*{_VALUE})*)(?=\s|$)")
_WORD = re.compile(r"\S+")
_ORDERS: dict[str, Callable[[Any, Any], np.ndarray]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """One condition of a selection."""

    field: Field
    relation: str
    values: tuple[str | float, ...]

    def holds(self, rows: Rows) -> np.ndarray:
        """Mask (M,) of the M rows that meet the condition.

        An unknown number (NaN) meets only ``!=``.
        """
        name, equal = self.field.name, np.zeros(len(rows), dtype=bool)
        if self.field.kind == "text":
            for text in self.values:
                equal[rows.numbers_of(name, str(text))] = True
            return ~equal if self.relation == "!=" else equal
        column = rows.columns([name])[name]
        if self.relation in _ORDERS:
            return _ORDERS[self.relation](column, self.values[0])
        for value in self.values:
            equal |= (
                _same_fraction(column, float(value))
                if _is_fraction(self.field)
                else column == value
            )
        return ~equal if self.relation == "!=" else equal


_FRACTIONS = ("n_fraction", "target_n_fraction")
_SELECTABLE = {field.name: field for field in ROW_FIELDS if not field.shape}


def _is_fraction(field: Field) -> bool:
    return field.name in _FRACTIONS or bool(element_of(field.name))


def _same_fraction(column: np.ndarray, value: float) -> np.ndarray:
    """Mask of equal [n]; [n] is periodic, so a 0.9999999 from rounding equals 0."""
    apart = column - value
    return np.abs(apart - np.rint(apart)) <= FRACTION_TOLERANCE


def parse_selection(text: str, short: Mapping[str, str] = SHORT) -> tuple[Condition, ...]:
    """Conditions of a selection; none for an empty text.

    Args:
        short: short forms of fields.

    Raises:
        StoreError: naming the condition that is wrong.
    """
    found, rest = [], text.strip()
    while rest:
        match = _CONDITION.match(rest) or _WORD.match(rest)
        assert match is not None
        found.append(_condition(match, short))
        rest = rest[match.end() :].lstrip()
    return tuple(found)


def _condition(match: re.Match[str], short: Mapping[str, str]) -> Condition:
    word = match[0]
    if match.re is _WORD:
        if _ID.fullmatch(word):
            return Condition(_SELECTABLE["id"], "=", (word,))
        raise StoreError(
            "selection: expected FIELD=VALUE (or != < <= > >=), for example n=0.2 or energy<2.4,"
            f" and quotes around a value with blanks, got {word}"
        )
    name, relation, text = match.groups()
    field = sortable(name, short)
    values = [value.strip("\"'") for value in re.findall(_VALUE, text)]
    if relation in _ORDERS and field.kind in ("text", "bool"):
        raise StoreError(
            f"selection: expected = or != for {field.name}, which is no number, got {word}"
        )
    if relation in _ORDERS and len(values) > 1:
        raise StoreError(f"selection: expected one number after {relation}, got {word}")
    return Condition(field, relation, tuple(_value(field, value, word) for value in values))


def _value(field: Field, text: str, word: str) -> str | float:
    if field.labels and text not in field.labels:
        expected = ", ".join(filter(None, field.labels))
        raise StoreError(
            f"selection: expected one of {expected} for {field.name}, got {word}"
            + did_you_mean(text, field.labels)
        )
    if field.name == "id" and not _ID.fullmatch(text):
        raise StoreError(
            f"selection: expected an id such as search-000012 or model-01-000012, got {word}"
        )
    if field.kind == "text":
        return text
    if field.kind == "bool" and text in ("true", "false"):
        return float(text == "true")
    try:
        number = float(Fraction(text) if _is_fraction(field) else text)
    except (ValueError, ZeroDivisionError):
        number = math.nan
    expected = {"bool": "true or false", "int": "a whole number"}.get(field.kind, "a number")
    if (
        not math.isfinite(number)
        or field.kind == "bool"
        or (field.kind == "int" and not number.is_integer())
    ):
        raise StoreError(f"selection: expected {expected} for {field.name}, got {word}")
    return number


def sortable(name: str, short: Mapping[str, str] = SHORT) -> Field:
    """Field by its name or short form.

    Raises:
        StoreError: if rows cannot be selected or sorted by it.
    """
    field = _SELECTABLE.get(short.get(name, name)) or element_field(name)
    if field is None:
        raise StoreError(
            f"selection: expected one of {', '.join([*short, *_SELECTABLE])}, got {name[:80]}"
            + did_you_mean(name, [*short, *_SELECTABLE])
        )
    return field


def selected(rows: Rows, conditions: tuple[Condition, ...]) -> np.ndarray:
    """Mask (M,) of the rows that meet all conditions."""
    chosen = np.ones(len(rows), dtype=bool)
    for condition in conditions:
        holds = condition.holds(rows)
        if condition.field.name == "n_fraction" and condition.relation == "=" and not holds.any():
            _check_possible(rows, condition)
        chosen &= holds
    return chosen


def _check_possible(rows: Rows, condition: Condition) -> None:
    """Refuse an [n] that no structure of these rows' boundaries can have."""
    planes = {int(num) for num in rows.columns(["atoms_per_plane"])["atoms_per_plane"].tolist()}
    planes.discard(0)  # a file of an old version does not know it
    for value in map(float, condition.values):
        nearest = [round(value * num) / num for num in planes]
        if planes and not _same_fraction(np.array(nearest), value).any():
            raise StoreError(
                f"selection: there can be no structure with [n] = {value:g}, because [n] is a"
                f" multiple of {' or '.join(f'1/{num}' for num in sorted(planes))}; the nearest is"
                f" {min(nearest, key=lambda one: abs(one - value)):.4g}"
            )


def ordered(rows: Rows, chosen: np.ndarray, name: str, descending: bool = False) -> np.ndarray:
    """Row numbers ``chosen`` sorted by a field; a stable sort with unknown numbers (NaN) last."""
    names = sort_fields(name)
    texts = [one for one in names if sortable(one).kind == "text"]
    numbers = [one for one in names if one not in texts]
    columns = {one: rows.text_ranks(one, chosen) for one in texts}
    columns |= rows.take(numbers, chosen) if numbers else {}
    return np.asarray(chosen[sort_order(columns, name, descending)])


def sort_fields(name: str) -> list[str]:
    """Fields by which ``sort_order`` sorts where the user names one, the most important first."""
    field = sortable(name)
    # Sorting ids by the numbers in them is faster than sorting a million texts.
    return ["run", "source", "round", "index"] if field.name == "id" else [field.name]


def sort_order(columns: Columns, name: str, descending: bool = False) -> np.ndarray:
    """Indices (M,) that sort rows by a field; a stable sort with unknown numbers (NaN) last.

    Args:
        columns: the fields of ``sort_fields``, (M,) each; of texts their ranks do as well.
    """
    field = sortable(name)
    if field.kind == "float":
        values = columns[field.name]
        signed = -values if descending else values
        return np.argsort(np.where(np.isfinite(values), signed, np.nan), kind="stable")  # NaN last
    every = [columns[one] for one in sort_fields(name)]
    keys = [text_ranks(one) if one.dtype == object else one.astype(np.int64) for one in every]
    # A key that all rows share sorts nothing: the name of the run, unless runs were merged.
    used = [key for key in keys if len(key) and key.min() < key.max()]
    if not used:
        return np.arange(len(keys[0]))
    return np.lexsort([-key if descending else key for key in reversed(used)])
