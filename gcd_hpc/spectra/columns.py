"""Spectra as columns of extended XYZ files, for programs that read structures and not our files.

The column ``xanes`` holds the spectrum of each atom, NaN where none was computed. The comment line
states the energies (``xanes_energy_ev``), element and edge (``xanes_edge="C K"``), the engine with
its version and settings, and their hash. Reasons and times of failed atoms are left out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.table import OK, SpectrumTable, joined, texts
from gcd_hpc.spectra.table_file import Labelled

COLUMN = "xanes"
_ENERGIES = "xanes_energy_ev"
_EDGE = "xanes_edge"
_ENGINE = "xanes_engine"
_VERSION = "xanes_version"
_SETTINGS = "xanes_settings"
_HASH = "xanes_settings_sha256"


def with_columns(labelled: Labelled) -> list[Atoms]:
    """Copies of the structures with the column ``xanes`` (N, K) and its description."""
    table = labelled.table
    info: dict[str, Any] = {
        _EDGE: f"{table.element} {table.edge}",
        _ENGINE: table.engine,
        _VERSION: table.version,
        _SETTINGS: table.settings,
        _HASH: table.sha256,
    }
    if table.energies_ev is not None:
        info[_ENERGIES] = table.energies_ev
    described = []
    for number, atoms in enumerate(labelled.structures):
        copy = atoms.copy()
        copy.arrays[COLUMN] = table.dense(number, len(atoms))
        copy.info |= {name: value for name, value in info.items() if np.size(value)}
        described.append(copy)
    return described


def from_columns(structures: Sequence[Atoms]) -> Labelled:
    """Structures and table from structures with the column ``xanes``; the others have no row.

    Raises:
        StoreError: if no structure has the column, its description is missing or contradicts
            itself, or the structures have spectra of different kinds.
    """
    tables = [
        _table_of(number, atoms)
        for number, atoms in enumerate(structures)
        if COLUMN in atoms.arrays
    ]
    if not tables:
        raise StoreError(
            f"no structure has the column {COLUMN}, which holds the spectrum of each atom; write it"
            f" as {COLUMN}:R:K with K energies, NaN for atoms without a spectrum"
        )
    plain = [atoms.copy() for atoms in structures]
    for atoms in plain:
        atoms.arrays.pop(COLUMN, None)
        for name in (_ENERGIES, _EDGE, _ENGINE, _VERSION, _SETTINGS, _HASH):
            atoms.info.pop(name, None)
    try:
        return Labelled(plain, joined(tables))
    except ValueError as error:
        raise StoreError(f"the column {COLUMN} does not fit its structures: {error}") from error


def _table_of(number: int, atoms: Atoms) -> SpectrumTable:
    values = np.asarray(atoms.arrays[COLUMN], dtype=float).reshape(len(atoms), -1)  # (N, K)
    words = str(atoms.info.get(_EDGE, "")).split()
    if len(words) != 2:
        raise StoreError(
            f"structure {number} has the column {COLUMN} and does not state its element and edge;"
            f' add {_EDGE}="C K" to its comment line'
        )
    energies = atoms.info.get(_ENERGIES)
    atom = np.flatnonzero(np.isfinite(values).all(axis=1))
    try:
        table = SpectrumTable(
            structure=np.full(len(atom), number),
            atom=atom,
            values=values[atom],
            status=texts([OK] * len(atom)),
            reason=texts([""] * len(atom)),
            seconds=np.full(len(atom), np.nan),
            energies_ev=None if energies is None else np.atleast_1d(np.asarray(energies, float)),
            element=words[0],
            edge=words[1],
            engine=str(atoms.info.get(_ENGINE, "")),
            version=str(atoms.info.get(_VERSION, "")),
            settings=str(atoms.info.get(_SETTINGS, "")),
        )
    except ValueError as error:
        raise StoreError(f"structure {number}: {COLUMN}: {error}") from error
    stated = atoms.info.get(_HASH)
    if stated is not None and stated != table.sha256:
        raise StoreError(
            f"structure {number}: {_HASH} is not that of the engine and settings beside it; leave"
            " it out if they were edited on purpose"
        )
    return table
