"""Spectra of single atoms, one row an atom, on one axis of energies."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.errors import StoreError

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Texts = NDArray[np.object_]

OK, FAILED = "ok", "failed"
"""Status of a row: its spectrum was computed, or ``reason`` says why not."""


@dataclass(frozen=True, eq=False)
class SpectrumTable:
    """Spectra of some atoms of some structures, all by one engine with one set of settings.

    The table is sparse: atoms that were not computed have no row. A structure is known by its
    number in the sequence that the table was made for, from 0. The spectra of a failed row are NaN.

    Raises:
        ValueError: if shapes differ, energies do not rise, numbers are not finite where they must
            be, or an atom has two rows.
    """

    structure: Indices
    """Number of the structure of each row, (A,)."""
    atom: Indices
    """Index of the atom in its structure, (A,)."""
    values: Array
    """Absorption, (A, K), in the engine's unit, which is the same in all rows."""
    status: Texts
    """``ok`` or ``failed``, (A,)."""
    reason: Texts
    """Why a row failed, (A,); empty otherwise."""
    seconds: Array
    """Processor time of each row, (A,) s; NaN where it is not known."""
    energies_ev: Array | None
    """Energies of the columns, (K,) eV, rising; None if the source of the spectra states none."""
    element: str
    """Chemical symbol of the absorbing atoms."""
    edge: str
    """Absorption edge, such as K or L3."""
    engine: str
    """What made the spectra, such as feff10."""
    version: str
    """Version of the engine; empty if it is not known."""
    settings: str
    """Settings of the engine as JSON."""

    def __post_init__(self) -> None:
        num, columns = len(self.structure), self.values.shape[-1]
        shapes = {
            "structure": (num,),
            "atom": (num,),
            "values": (num, columns),
            "status": (num,),
            "reason": (num,),
            "seconds": (num,),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {found}")
        if self.energies_ev is not None:
            check_energies(self.energies_ev, columns)
        if num and min(self.structure.min(), self.atom.min()) < 0:
            raise ValueError("numbers of structures and atoms begin at 0")
        if len({*zip(self.structure.tolist(), self.atom.tolist(), strict=True)}) != num:
            raise ValueError("an atom has two rows")
        if not set(self.status.tolist()) <= {OK, FAILED}:
            raise ValueError(f"the status of a row is {OK} or {FAILED}")
        if not np.isfinite(self.values[self.is_ok]).all():
            raise ValueError(f"a row with the status {OK} holds values that are not finite")
        if np.isfinite(self.values[~self.is_ok]).any():
            raise ValueError(f"a row with the status {FAILED} holds values")
        if (self.seconds < 0).any():
            raise ValueError("the seconds of a row are negative")

    def __len__(self) -> int:
        return len(self.structure)

    @property
    def is_ok(self) -> NDArray[np.bool_]:
        """Mask (A,) of the rows that hold a spectrum."""
        return np.asarray(self.status == OK, dtype=bool)

    @property
    def sha256(self) -> str:
        """Hash of all that a spectrum depends on beside the structure and the atom."""
        words = [self.engine, self.version, self.element, self.edge, self.settings]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def rows(self, chosen: ArrayLike) -> "SpectrumTable":
        """Some rows, by indices or by a mask (A,)."""
        places = np.asarray(chosen) if np.size(chosen) else np.empty(0, np.int64)
        names = ("structure", "atom", "values", "status", "reason", "seconds")
        return dataclasses.replace(self, **{name: getattr(self, name)[places] for name in names})

    def sorted(self) -> "SpectrumTable":
        """The same rows in the order of structures, then atoms."""
        return self.rows(np.lexsort((self.atom, self.structure)))

    def dense(self, structure: int, num_atoms: int) -> Array:
        """Spectra (N, K) of all atoms of a structure, NaN for those without one.

        Raises:
            StoreError: if the table names an atom that the structure does not have.
        """
        own = self.structure == structure
        if own.any() and self.atom[own].max() >= num_atoms:
            raise StoreError(
                f"the table of spectra has atom {self.atom[own].max()} of structure {structure},"
                f" which has {num_atoms} atoms; give the structures that it was made for"
            )
        spectra = np.full((num_atoms, self.values.shape[1]), np.nan)
        spectra[self.atom[own]] = self.values[own]
        return spectra


def check_energies(energies_ev: Array, num: int) -> None:
    """Check the energies of the columns of a table.

    Raises:
        ValueError: if they are not as many as there are columns, not finite or not rising.
    """
    if energies_ev.shape != (num,):
        raise ValueError(f"there are {num} columns, and energies of the shape {energies_ev.shape}")
    if not np.isfinite(energies_ev).all() or not (np.diff(energies_ev) > 0).all():
        raise ValueError("the energies of the columns must be finite and rise")


def texts(values: Iterable[str]) -> Texts:
    """Object array (A,) of texts."""
    given = list(values)
    array = np.empty(len(given), dtype=object)
    array[:] = given
    return array


def joined(tables: Sequence[SpectrumTable]) -> SpectrumTable:
    """One table of the rows of several, in the order of structures and atoms.

    Raises:
        StoreError: if they are of different engines, settings or energies, or share an atom.
        ValueError: if there are none.
    """
    if not tables:
        raise ValueError("no tables to join")
    first = tables[0]
    for other in tables[1:]:
        if other.sha256 != first.sha256 or not _same_energies(first, other):
            raise StoreError(
                f"spectra by {first.engine} {first.version} and by {other.engine} {other.version}"
                " cannot be joined: their settings or energies differ; keep them in two files"
            )
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("structure", "atom", "values", "status", "reason", "seconds")
    }
    try:
        return dataclasses.replace(first, **columns).sorted()
    except ValueError as error:
        raise StoreError(f"tables of spectra cannot be joined: {error}") from error


def _same_energies(first: SpectrumTable, other: SpectrumTable) -> bool:
    if first.energies_ev is None or other.energies_ev is None:
        same_kind = first.energies_ev is other.energies_ev
        return same_kind and first.values.shape[1] == other.values.shape[1]
    return np.array_equal(first.energies_ev, other.energies_ev)
