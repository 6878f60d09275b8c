"""What computes spectra of atoms: an engine, and a table on disk that stands for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from gcd_hpc.spectra.table import FAILED, OK, SpectrumTable, texts
from gcd_hpc.spectra.table_file import Labelled

Array = NDArray[np.float64]
Axis = NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class SpectrumResult:
    """Spectrum of one atom, or why there is none."""

    values: Array | None
    """Absorption (K,) at the engine's energies; None if it failed."""
    reason: str
    """Why it failed; empty otherwise."""
    seconds: float
    """Processor time, s."""


class SpectrumEngine(Protocol):
    """Source of spectra of single atoms, all at the same energies.

    Another engine is one class with these members. It is used in a ``with`` block.
    """

    @property
    def name(self) -> str:
        """Name of the engine, such as feff10."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def settings(self) -> str:
        """All settings that a spectrum depends on, as JSON."""

    @property
    def element(self) -> str:
        """Chemical symbol of the absorbing atoms."""

    @property
    def edge(self) -> str:
        """Absorption edge, such as K."""

    @property
    def energies_ev(self) -> Axis:
        """Energies (K,) eV of the spectra, rising; None if they are not known."""

    def spectrum(self, structure: Atoms, atom: int) -> SpectrumResult:
        """Spectrum of one atom. What fails for this atom alone is a result with a reason.

        Raises:
            GcdError: if the engine cannot be used at all, so that other atoms would fail as well.
        """

    def __enter__(self) -> "SpectrumEngine": ...

    def __exit__(self, *_: object) -> None: ...


def labelled_by(
    engine: SpectrumEngine,
    structures: Sequence[Atoms],
    chosen: Sequence[tuple[int, int]],
    results: Sequence[SpectrumResult],
) -> Labelled:
    """Structures and the table of some results of an engine.

    Args:
        chosen: structure and atom of each result.
    """
    axis = engine.energies_ev
    columns = next((len(one.values) for one in results if one.values is not None), 0)
    values = np.full((len(results), columns if axis is None else len(axis)), np.nan)
    for row, result in enumerate(results):
        if result.values is not None:
            values[row] = result.values
    table = SpectrumTable(
        structure=np.array([number for number, _ in chosen], dtype=np.int64),
        atom=np.array([atom for _, atom in chosen], dtype=np.int64),
        values=values,
        status=texts(OK if one.values is not None else FAILED for one in results),
        reason=texts(one.reason for one in results),
        seconds=np.array([one.seconds for one in results], dtype=float),
        energies_ev=axis,
        element=engine.element,
        edge=engine.edge,
        engine=engine.name,
        version=engine.version,
        settings=engine.settings,
    )
    return Labelled(structures, table)


class TableEngine:
    """Engine that takes the spectra from a file; atoms without a row there fail.

    A structure is recognised by its atoms and cell, not by its number or name.
    """

    def __init__(self, labelled: Labelled) -> None:
        table = labelled.table
        self.name = table.engine
        self.version = table.version
        self.settings = table.settings
        self.element = table.element
        self.edge = table.edge
        self.energies_ev = table.energies_ev
        keys = [_key(atoms) for atoms in labelled.structures]
        self._table = table
        self._rows = {
            (keys[number], atom): row
            for row, (number, atom) in enumerate(
                zip(table.structure.tolist(), table.atom.tolist(), strict=True)
            )
        }

    def __enter__(self) -> "TableEngine":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def spectrum(self, structure: Atoms, atom: int) -> SpectrumResult:
        """Spectrum of the atom's row; a failure if there is none."""
        row = self._rows.get((_key(structure), atom))
        if row is None:
            return SpectrumResult(None, "the table has no spectrum of this atom", 0.0)
        if self._table.status[row] != OK:
            return SpectrumResult(None, str(self._table.reason[row]), 0.0)
        return SpectrumResult(self._table.values[row].copy(), "", 0.0)


def _key(atoms: Atoms) -> bytes:
    """All bytes of a structure that a spectrum depends on."""
    parts = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
