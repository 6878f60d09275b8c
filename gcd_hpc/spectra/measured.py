"""Measured spectra: what a text file of columns says of energies, absorption, element and edge."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from gcd_hpc.errors import StoreError, did_you_mean, shortened
from gcd_hpc.spectra.column_file import ColumnFile, read_columns

Array = NDArray[np.float64]
Unit = Literal["eV", "keV", "bins"]
MIN_POINTS = 10
_LOWEST_EV, _HIGHEST_EV = 30.0, 150_000.0
"""Range of the energies of X-ray edges: Li K lies at 55 eV, U K at 115.6 keV."""
_EV_PER = {"ev": 1.0, "kev": 1000.0}
_OTHER_UNITS = (
    *("mev", "ry", "rydberg", "hartree", "ha", "j", "hz", "nm", "pm", "a", "angstrom"),
    *("angstroms", "degree", "degrees", "deg", "rad"),
)
_BINS = ("bin", "bins", "channel", "index")
"""Names by which a column says that it holds no energies."""
_ABSORPTION = (
    *("norm", "flat", "normalized", "mu", "xmu", "mutrans", "mufluor", "absorption", "absorbance"),
    *("fluorescence", "intensity", "tey", "values"),
)
"""Names of columns of absorption, the first of them preferred."""
_EDGES = re.compile(r"K|[LMN][1-7](,[1-7])?|[LMN]")


@dataclass(frozen=True, eq=False)
class MeasuredSpectrum:
    """A measured spectrum, or another target, at rising energies.

    Raises:
        ValueError: if shapes differ, energies do not rise, or numbers are not finite.
    """

    energies_ev: Array | None
    """(M,) eV; None if the source states none, and the points are equidistant bins."""
    values: Array
    """Absorption (M,), in any unit."""
    element: str
    """Chemical symbol of the absorbing atoms."""
    edge: str
    """Absorption edge, such as K or L3."""
    source: str = ""
    """Where it comes from, for people."""

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not np.isfinite(self.values).all():
            raise ValueError("absorption must be a list of finite numbers")
        if self.energies_ev is not None:
            if self.energies_ev.shape != self.values.shape:
                raise ValueError("there must be as many energies as values of absorption")
            if not (np.diff(self.energies_ev) > 0).all():
                raise ValueError("energies must rise")


def import_columns(
    path: Path,
    element: str | None = None,
    edge: str | None = None,
    unit: Unit | None = None,
    column: str | None = None,
) -> MeasuredSpectrum:
    """Spectrum of a CSV, Athena or XDI file.

    Args:
        element, edge: needed where the file does not state them, and compared where it does.
        unit: of the energies, where the file does not state it; ``bins`` says that there are none.
        column: name of the column of absorption, or its number from 1.

    Raises:
        StoreError: if something is missing, contradicts the file, or cannot be a spectrum; the
            message names the file and, where there is one, the line.
    """
    file = read_columns(path)
    stated = _stated_unit(file, unit)
    values = _absorption(file, column, has_energies=stated != "bins")
    if len(values) < MIN_POINTS:
        raise StoreError(
            f"{path}: holds {len(values)} points, and a spectrum has at least {MIN_POINTS}; give"
            " the whole of it"
        )
    energies = None if stated == "bins" else _energies(file, stated)
    symbol = _agreed(path, "element", element, file.fields.get("element.symbol", ""))
    line = _agreed(path, "edge", edge, file.fields.get("element.edge", ""))
    if symbol not in atomic_numbers or symbol == "X":
        near = did_you_mean(symbol, atomic_numbers)
        raise StoreError(f"{path}: {shortened(repr(symbol))} is no chemical element{near}")
    if not _EDGES.fullmatch(line):
        raise StoreError(
            f"{path}: {shortened(repr(line))} is no absorption edge; name one such as K or L3"
        )
    places = np.arange(len(values)) if energies is None else energies
    with np.errstate(over="ignore"):
        area = float(np.trapezoid(values, places))
    if not 0 < area < np.inf:
        raise StoreError(
            f"{path}: its absorption must have a positive area, got {area:g}; name the column of"
            " the absorption with --column, after its background was subtracted"
        )
    return MeasuredSpectrum(energies, values, symbol, line, path.name)


def _agreed(path: Path, what: str, given: str | None, stated: str) -> str:
    """Element or edge by the option and by the file.

    Raises:
        StoreError: if both are missing or differ.
    """
    if given and stated and given != stated:
        raise StoreError(
            f"{path}: is a spectrum of the {what} {shortened(stated)}, and {given} was asked for;"
            f" name another file, or leave out --{what}"
        )
    if not given and not stated:
        raise StoreError(
            f"{path}: does not state its {what}; say it with --{what}, or in a line"
            f" '# Element.{'symbol: C' if what == 'element' else 'edge: K'}'"
        )
    return given or stated


def _name_and_unit(label: str) -> tuple[str, str]:
    """Name and unit, in small letters, of a label such as "energy eV", "Energy (keV)", "E_eV"."""
    words = re.findall(r"[a-z0-9]+", label.lower())
    if len(words) > 1 and (words[-1] in _EV_PER or words[-1] in _OTHER_UNITS):
        return "_".join(words[:-1]), words[-1]
    return "_".join(words), ""


def _energy_column(file: ColumnFile) -> int:
    """Place of the column of energies: the first one unless another is named so."""
    names = [_name_and_unit(label)[0] for label in file.labels]
    return next((place for place, name in enumerate(names) if "energy" in name), 0)


def _stated_unit(file: ColumnFile, given: Unit | None) -> Unit:
    """Unit of the energies; Athena and XDI files without another statement have eV.

    Raises:
        StoreError: if there are no energies and that was not said, the unit is not known, or it is
            another one than was said.
    """
    if given == "bins":
        return given
    if file.values.shape[1] == 1:
        raise StoreError(
            f"{file.path}: holds no energies, only one column; add them as the first one, or say"
            " with --unit bins that there are none"
        )
    label = file.labels[_energy_column(file)] if file.labels else ""
    name, stated = _name_and_unit(label)
    if name in _BINS:
        return "bins"
    if stated and stated not in _EV_PER:
        raise StoreError(
            f"{file.path}: its first column, {shortened(repr(label))}, is in {shortened(stated)};"
            " convert it to energies in eV or keV"
        )
    unit: Unit | None = {"ev": "eV", "kev": "keV"}.get(stated)  # type: ignore[assignment]
    if unit and given and unit != given:
        raise StoreError(
            f"{file.path}: states its energies in {unit}, and --unit says {given}; leave it out"
        )
    is_by_athena = bool(file.fields) and "energy" in name
    found = unit or given or ("eV" if is_by_athena else None)
    if found is None:
        raise StoreError(
            f"{file.path}: does not state the unit of its energies; say --unit eV or --unit keV,"
            " or --unit bins if they are none"
        )
    return found


def _energies(file: ColumnFile, unit: Unit) -> Array:
    """Energies (M,) eV of a file.

    Raises:
        StoreError: if they do not rise or cannot be in this unit.
    """
    energies = file.values[:, _energy_column(file)] * _EV_PER[unit.lower()]
    if (fallen := np.flatnonzero(np.diff(energies) <= 0)).size:
        place = int(fallen[0]) + 1
        same = energies[place] == energies[place - 1]
        how = "the same energy as" if same else "a lower energy than"
        raise StoreError(
            f"{file.path}: line {file.lines[place]}: has {how} the row above; sort the rows by"
            " energy and keep one of each"
        )
    if energies[0] < _LOWEST_EV or energies[-1] > _HIGHEST_EV:
        other = "keV" if unit == "eV" else "eV"
        raise StoreError(
            f"{file.path}: energies from {energies[0]:g} to {energies[-1]:g} eV are those of no"
            f" X-ray edge; if they are in {other}, say --unit {other}"
        )
    return np.asarray(energies)


def _absorption(file: ColumnFile, column: str | None, has_energies: bool) -> Array:
    """Absorption (M,): a column, or the logarithm or ratio of two measured intensities.

    Raises:
        StoreError: if it is not clear which column it is.
    """
    names = [_name_and_unit(label)[0] for label in file.labels]
    num = file.values.shape[1]
    if column is not None:
        return file.values[:, _place_of(file, column, names, num)]
    for name in _ABSORPTION:
        if name in names:
            return file.values[:, names.index(name)]
    if num == 1 or (num == 2 and has_energies):
        return file.values[:, 1 - _energy_column(file)] if num == 2 else file.values[:, 0]
    incident = file.values[:, names.index("i0")] if "i0" in names else None
    for name in ("itrans", "it", "ifluor", "if"):
        if incident is not None and name in names:
            ratio = file.values[:, names.index(name)] / np.where(incident == 0, np.nan, incident)
            is_transmitted = name in ("itrans", "it")
            good = np.isfinite(ratio) & ((ratio > 0) | (not is_transmitted))
            if not good.all():
                line = file.lines[int(np.argmin(good))]
                raise StoreError(
                    f"{file.path}: line {line}: {name} and i0 must be positive for an absorption;"
                    " mend or remove the line"
                )
            return np.asarray(-np.log(ratio) if is_transmitted else ratio)
    known = ", ".join(file.labels) or f"{num} columns without names"
    raise StoreError(
        f"{file.path}: does not say which of its columns is the absorption; say it with --column"
        f" and a name or number, among: {shortened(known)}"
    )


def _place_of(file: ColumnFile, column: str, names: list[str], num: int) -> int:
    if column.isdigit() and 1 <= int(column) <= num:
        return int(column) - 1
    if column.lower() in names:
        return names.index(column.lower())
    known = ", ".join(names) or f"1 to {num}"
    raise StoreError(
        f"{file.path}: has no column {shortened(repr(column))}; choose one of {shortened(known)}"
    )
