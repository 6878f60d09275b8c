"""Structure files of others, read and written through ASE: LAMMPS dump and data, extended XYZ, POSCAR.

What a file holds is told from its text, not from its name.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import ase.io
import numpy as np
from ase import Atoms

from gcd_hpc.errors import StructureError

FileFormat = Literal["extxyz", "lammps-data", "poscar"]

_TYPES_ONLY = {"lammps-dump-text", "lammps-data"}
_FREE = 4.0
"""Least empty height of a cell that is periodic along z, Å: less, and the file may hold a second boundary."""


def read_structure(path: str | Path, element: str) -> Atoms:
    """The one bicrystal in a file: orthorhombic box at the origin, periodic in x and y, boundary normal along z.

    A cell that is periodic along z as well (POSCAR, extended XYZ) is taken for a slab: atoms move along z as one if its
    empty part lies inside. LAMMPS types become the element given; dumps keep their per-atom columns as arrays.

    Raises:
        StructureError: if the file is missing, damaged, in another format, of another element, or no such bicrystal.
    """
    path = Path(path)
    text = _text(path)
    file_format = _recognized(path, text)
    try:
        options: dict[str, Any] = {"atom_style": "atomic"} if file_format == "lammps-data" else {}
        images = ase.io.read(path, index=":", format=file_format, **options)
    except Exception as error:  # ASE's readers raise whatever a damaged file makes them stumble over
        raise StructureError(f"{path}: cannot be read as {file_format}: {type(error).__name__}: {error}") from error
    if len(images) != 1:
        raise StructureError(f"{path}: expected one structure, got {len(images)}")
    (atoms,) = images
    _check_complete(path, text, atoms)
    if file_format in _TYPES_ONLY:
        atoms.symbols[:] = element
    elif set(atoms.symbols) != {element}:
        raise StructureError(f"{path}: expected only {element} atoms, got {', '.join(sorted(set(atoms.symbols)))}")
    return _as_slab(path, atoms, fully_periodic=file_format != "lammps-data" and bool(atoms.pbc[2]))


def write_structures(path: str | Path, structures: Sequence[Atoms], file_format: FileFormat) -> None:
    """Structures to a file; only extended XYZ holds more than one.

    Raises:
        StructureError: if the format is unknown or cannot hold that many structures.
    """
    if file_format not in get_args(FileFormat):
        raise StructureError(f"{path}: expected the format {', '.join(get_args(FileFormat))}, got {file_format}")
    if not structures or (len(structures) > 1 and file_format != "extxyz"):
        raise StructureError(f"{path}: a {file_format} file holds one structure, got {len(structures)}")
    if file_format == "extxyz":
        ase.io.write(path, list(structures), format="extxyz")
    elif file_format == "lammps-data":
        ase.io.write(path, structures[0], format="lammps-data", atom_style="atomic", masses=True)
    else:
        ase.io.write(path, structures[0], format="vasp", direct=False)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise StructureError(f"{path}: expected a text file, got binary data") from None
    except OSError as error:
        raise StructureError(f"{path}: cannot be read: {error.strerror}") from None


def _recognized(path: Path, text: str) -> str:
    lines = text.splitlines()[:30]
    if lines and lines[0].startswith("ITEM:"):
        return "lammps-dump-text"
    if any(re.match(r"\s*\d+\s+atoms\b", line) for line in lines):
        return "lammps-data"
    if len(lines) > 1 and lines[0].strip().isdigit() and "Lattice=" in lines[1]:
        return "extxyz"
    if len(lines) > 7 and re.fullmatch(r"\s*-?[\d.]+([eE][+-]?\d+)?\s*", lines[1]) and len(lines[2].split()) == 3:
        return "vasp"
    raise StructureError(f"{path}: expected a LAMMPS dump, LAMMPS data, extended XYZ or POSCAR file with a cell, got something else")


def _check_complete(path: Path, text: str, atoms: Atoms) -> None:
    """LAMMPS files that are cut short are read without complaint; their headers tell."""
    header = re.search(r"^ITEM: NUMBER OF ATOMS\s+(\d+)|^\s*(\d+)\s+atoms\b", text, flags=re.MULTILINE)
    declared = int(header.group(1) or header.group(2)) if header else len(atoms)
    if len(atoms) != declared:
        raise StructureError(f"{path}: cut short: expected {declared} atoms, got {len(atoms)}")
    if not len(atoms) or not np.isfinite(atoms.positions).all():
        raise StructureError(f"{path}: expected atoms with finite positions, got {len(atoms)} atoms")


def _as_slab(path: Path, atoms: Atoms, fully_periodic: bool) -> Atoms:
    cell = np.asarray(atoms.cell)
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-6 or np.diag(cell).min() <= 0:
        raise StructureError(f"{path}: expected an orthorhombic box along x, y and z, got the cell {cell.round(4).tolist()}")
    if not atoms.pbc[:2].all():
        flags = " ".join("periodic" if flag else "open" for flag in atoms.pbc)
        raise StructureError(f"{path}: expected the boundary normal along z with periodic x and y, got {flags}")
    positions = atoms.positions - np.asarray(atoms.get_celldisp()).reshape(3)
    if fully_periodic:
        positions[:, 2] = _closed_up(path, positions[:, 2], cell[2, 2])
    atoms.set_celldisp(np.zeros(3))
    atoms.set_cell(np.diag(np.diag(cell)))
    atoms.set_positions(positions)
    atoms.set_pbc((True, True, False))
    return atoms


def _closed_up(path: Path, heights: np.ndarray, period: float) -> np.ndarray:
    """Heights of a slab in a periodic cell, with the empty part of the cell at its ends."""
    order = np.sort(heights % period)
    gaps = np.diff(order, append=order[0] + period)
    widest = int(np.argmax(gaps))
    if gaps[widest] < _FREE:
        raise StructureError(
            f"{path}: periodic along z with at most {gaps[widest]:.2f} Å between layers, so that it may hold two boundaries; "
            f"expected a slab with {_FREE:g} Å of free space"
        )
    if widest == len(order) - 1:
        return heights % period
    first = order[widest + 1]  # lowest atom above the empty part
    return (heights - first + 1e-9) % period + gaps[widest] / 2
