"""Files of spectra: an HDF5 file with a table and the structures that it was made for.

``spectra/*`` has one row an atom, ``structures/*`` one a structure, and ``atoms/*`` one an atom of
these. Every dataset has units, a meaning and a checksum, and so have the attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from gcd_hpc.errors import printable
from gcd_hpc.spectra.datasets import Column, check_kind, read_column, seal_file, write_column
from gcd_hpc.spectra.table import SpectrumTable, texts
from gcd_hpc.store.hdf5 import image_for
from gcd_hpc.store.strict import opened

SCHEMA_VERSION = 1
KIND = "spectra of atoms"
"""Attribute ``kind`` of the file, by which readers tell it from other files of ours."""
_WHAT = "an HDF5 file of spectra, as gcd-hpc spectra label writes it"
_ABOUT = ("element", "edge", "engine", "version", "settings")


ENERGIES = "spectra/energy_ev"
"""Dataset that is left out where the source of the spectra states no energies."""
COLUMNS = (
    Column("spectra/structure", "int", "1", "number of the structure in structures/*, from 0"),
    Column("spectra/atom", "int", "1", "index of the atom in its structure, from 0"),
    Column("spectra/values", "float", "1", "absorption, NaN if it failed", (None,)),
    Column("spectra/status", "text", "", "ok or failed"),
    Column("spectra/reason", "text", "", "why it failed"),
    Column("spectra/seconds", "float", "s", "processor time"),
    Column(ENERGIES, "float", "eV", "energy of each column of spectra/values"),
    Column("structures/num_atoms", "int", "1", "number of atoms, which follow in atoms/*"),
    Column("structures/cell", "float", "angstrom", "cell vectors as rows", (3, 3)),
    Column("structures/periodic", "bool", "1", "whether it repeats along each vector", (3,)),
    Column("structures/name", "text", "", "name of the structure"),
    Column("atoms/positions", "float", "angstrom", "position", (3,)),
    Column("atoms/numbers", "int", "1", "atomic number"),
)
_ROW_NAMES = ("structure", "atom", "values", "status", "reason", "seconds")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Structures and the spectra of some of their atoms.

    Raises:
        ValueError: if the table names a structure or an atom that is not there, or an atom of
            another element.
    """

    structures: Sequence[Atoms]
    table: SpectrumTable

    def __post_init__(self) -> None:
        table = self.table
        if len(table) and table.structure.max() >= len(self.structures):
            raise ValueError(
                f"a row is of structure {table.structure.max()}; there are {len(self.structures)}"
            )
        for number, atom in zip(table.structure.tolist(), table.atom.tolist(), strict=True):
            atoms = self.structures[number]
            if atom >= len(atoms):
                raise ValueError(f"structure {number} has no atom {atom}")
            if atoms[atom].symbol != table.element:
                found = atoms[atom].symbol
                raise ValueError(f"atom {atom} of structure {number} is {found}")


def write_labelled(
    path: Path, labelled: Labelled, entries: Mapping[str, str] | None = None
) -> None:
    """Write a file of spectra; an existing file is replaced when the new one is complete.

    Args:
        entries: further attributes of the file.

    Raises:
        RunDirectoryError: if it cannot be written.
    """
    table, structures = labelled.table, labelled.structures
    values: dict[str, Any] = {f"spectra/{name}": getattr(table, name) for name in _ROW_NAMES} | {
        ENERGIES: table.energies_ev,
        "structures/num_atoms": [len(atoms) for atoms in structures],
        "structures/cell": [atoms.cell.array for atoms in structures],
        "structures/periodic": [atoms.pbc for atoms in structures],
        "structures/name": texts(str(atoms.info.get("name", "")) for atoms in structures),
        "atoms/positions": np.concatenate(
            [np.empty((0, 3)), *(atoms.positions for atoms in structures)]
        ),
        "atoms/numbers": np.concatenate(
            [np.empty(0, int), *(atoms.numbers for atoms in structures)]
        ),
    }
    with image_for(path) as file:
        for column in COLUMNS:
            if values[column.path] is not None:
                write_column(file, column, values[column.path])
        about = file["spectra"].attrs
        for name in _ABOUT:
            about[name] = getattr(table, name)
        about["sha256"] = table.sha256
        about["axis"] = "bins" if table.energies_ev is None else "eV"
        file.attrs.update(entries or {})
        seal_file(file, KIND, SCHEMA_VERSION, "spectra")


def is_labelled(path: Path) -> bool:
    """Whether a path is a file of spectra, whole or damaged."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("kind") == KIND)
    except OSError:
        return False


def read_entries(path: Path) -> dict[str, str]:
    """Attributes of a file of spectra as text; errors as ``read_labelled``."""
    with opened(path, _WHAT) as file:
        check_kind(path, file, KIND, _WHAT, SCHEMA_VERSION, "spectra")
        return {name: str(value) for name, value in file.attrs.items()}


def read_labelled(path: Path) -> Labelled:
    """Structures and spectra of a file of ``write_labelled``.

    Raises:
        StoreError: if the file is missing, cut short, changed, of another kind, or declares more
            than it holds.
    """
    with opened(path, _WHAT) as file:
        check_kind(path, file, KIND, _WHAT, SCHEMA_VERSION, "spectra")
        group = file["spectra"]
        has_energies = group.attrs["axis"] == "eV"
        values = {
            column.path: read_column(file, column)
            for column in COLUMNS
            if column.path != ENERGIES or has_energies
        }
        rows: dict[str, Any] = {name: values[f"spectra/{name}"] for name in _ROW_NAMES}
        about: dict[str, Any] = {name: printable(str(group.attrs[name])) for name in _ABOUT}
        table = SpectrumTable(**rows, energies_ev=values.get(ENERGIES), **about)
        if table.sha256 != group.attrs["sha256"]:
            raise ValueError("the settings of the engine do not have their hash")
        return Labelled(_structures(values), table)


def _structures(values: dict[str, Any]) -> list[Atoms]:
    """Structures from the columns of a file.

    Raises:
        ValueError: if the numbers of their atoms do not add up, or are not finite.
    """
    counts, cells = values["structures/num_atoms"], values["structures/cell"]
    periodic, names = values["structures/periodic"], values["structures/name"]
    positions, numbers = values["atoms/positions"], values["atoms/numbers"]
    lengths = {len(counts), len(cells), len(periodic), len(names)}
    if len(lengths) != 1 or len(positions) != len(numbers):
        raise ValueError("the datasets of the structures differ in length")
    if (counts < 0).any() or counts.sum() != len(positions):
        raise ValueError(f"the structures count {counts.sum()} atoms, and {len(positions)} follow")
    if not (np.isfinite(positions).all() and np.isfinite(cells).all()):
        raise ValueError("positions or cells are not finite")
    if not ((numbers >= 0) & (numbers < len(chemical_symbols))).all():
        raise ValueError("an atomic number is not that of an element")
    stops = np.cumsum(counts)
    return [
        Atoms(
            numbers[stop - count : stop],
            positions[stop - count : stop],
            cell=cell,
            pbc=flags,
            info={"name": name} if name else {},
        )
        for stop, count, cell, flags, name in zip(
            stops, counts, cells, periodic, names, strict=True
        )
    ]
