"""Structure files of others, read and written through ASE: LAMMPS dump and data, extended XYZ,
POSCAR, CIF, ASE's database.

What a file holds is told from its content, not from its name.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import ase.io
import numpy as np
from ase import Atoms

from gcd_hpc.errors import StructureError

FileFormat = Literal["extxyz", "lammps-data", "lammps-dump", "poscar", "cif"]
ATOM_ENERGY = "c_energy"
"""Name of the column of a dump that holds the energy of each atom, eV: as LAMMPS writes that of a
compute called energy.
"""

_TYPES_ONLY = {"lammps-dump-text", "lammps-data"}
_FREE = 4.0
"""Least empty height of a cell that is periodic along z, Å: less, and the file may hold a second
boundary.
"""
_DATABASE = b"SQLite format 3\0"


def read_structure(path: str | Path, element: str) -> Atoms:
    """The one bicrystal in a file, as ``read_structures`` returns it.

    Raises:
        StructureError: as there, and if the file holds several structures.
    """
    structures = read_structures(path, element)
    if len(structures) != 1:
        raise StructureError(f"{path}: expected one structure, got {len(structures)}")
    return structures[0]


def read_structures(path: str | Path, element: str) -> list[Atoms]:
    """The bicrystals in a file: orthorhombic boxes at the origin, periodic in x and y, boundary
    normal along z.

    A cell that is periodic along z as well (POSCAR, CIF, extended XYZ) is taken for a slab: atoms
    move along z as one if its empty part lies inside. LAMMPS types become the element given; dumps
    keep their per-atom columns as arrays. ``info["id"]`` names a structure where the file does.

    Raises:
        StructureError: if the file is missing, damaged, in another format, of another element, or
            one is no such bicrystal.
    """
    path = Path(path)
    content = _content(path)
    if content.startswith(_DATABASE):
        text, file_format = "", "db"
    else:
        text = _text(path, content)
        file_format = _recognized(path, text)
    try:
        options: dict[str, Any] = {"atom_style": "atomic"} if file_format == "lammps-data" else {}
        images = list(
            _database(path)
            if file_format == "db"
            else ase.io.iread(path, index=":", format=file_format, **options)
        )
    except (
        Exception
    ) as error:  # ASE's readers raise whatever a damaged file makes them stumble over
        raise StructureError(
            f"{path}: cannot be read as {file_format}: {type(error).__name__}: {error}"
        ) from error
    _check_complete(path, text, images)
    for atoms in images:
        if file_format in _TYPES_ONLY:
            atoms.symbols[:] = element
        elif set(atoms.symbols) != {element}:
            raise StructureError(
                f"{path}: expected only {element} atoms, got"
                f" {', '.join(sorted(set(atoms.symbols)))}"
            )
    return [
        _as_slab(path, atoms, fully_periodic=file_format != "lammps-data" and bool(atoms.pbc[2]))
        for atoms in images
    ]


def write_structures(
    path: str | Path, structures: Sequence[Atoms], file_format: FileFormat
) -> None:
    """Structures to a file; only extended XYZ holds more than one.

    Raises:
        StructureError: if the format is unknown or cannot hold that many structures.
    """
    if file_format not in get_args(FileFormat):
        raise StructureError(
            f"{path}: expected the format {', '.join(get_args(FileFormat))}, got {file_format}"
        )
    if not structures or (len(structures) > 1 and file_format != "extxyz"):
        raise StructureError(
            f"{path}: a {file_format} file holds one structure, got {len(structures)}"
        )
    match file_format:
        case "extxyz":
            ase.io.write(path, list(structures), format="extxyz")
        case "lammps-data":
            ase.io.write(
                path, structures[0], format="lammps-data", atom_style="atomic", masses=True
            )
        case "lammps-dump":
            Path(path).write_text(_dump(structures[0]), encoding="utf-8")
        case "poscar":
            ase.io.write(path, structures[0], format="vasp", direct=False)
        case "cif":
            ase.io.write(path, structures[0], format="cif", wrap=False)


def _dump(atoms: Atoms) -> str:
    """A LAMMPS dump in metal units, with the energy of each atom if it is known; ASE reads dumps
    but writes none.
    """
    x, y, z = atoms.cell.lengths().tolist()
    columns = ["id", "type", "element", "x", "y", "z"]
    values = [
        range(1, len(atoms) + 1),
        [1] * len(atoms),
        list(atoms.symbols),
        *atoms.positions.T.tolist(),
    ]
    if atoms.calc is not None:
        columns.append(ATOM_ENERGY)
        values.append(atoms.get_potential_energies().tolist())
    ends = " ".join("pp" if periodic else "ff" for periodic in atoms.pbc)
    lines = [
        *("ITEM: UNITS", "metal", "ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", str(len(atoms))),
        *(
            f"ITEM: BOX BOUNDS {ends}",
            f"0.0 {x!r}",
            f"0.0 {y!r}",
            f"0.0 {z!r}",
            f"ITEM: ATOMS {' '.join(columns)}",
        ),
        *(" ".join(map(str, row)) for row in zip(*values, strict=True)),
    ]
    return "\n".join(lines) + "\n"


def _database(path: Path) -> Iterator[Atoms]:
    from ase.db import connect  # half a second that only databases need

    with connect(path, type="db", serial=True) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info = {"id": row.get("candidate", f"row {row.id}")}
            yield atoms


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StructureError(f"{path}: cannot be read: {error.strerror}") from None


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise StructureError(f"{path}: expected a text file, got binary data") from None


def _recognized(path: Path, text: str) -> str:
    lines = text.splitlines()[:30]
    if lines and lines[0].startswith("ITEM:"):
        return "lammps-dump-text"
    if any(re.match(r"\s*\d+\s+atoms\b", line) for line in lines):
        return "lammps-data"
    if len(lines) > 1 and lines[0].strip().isdigit() and "Lattice=" in lines[1]:
        return "extxyz"
    if any(line.startswith("data_") for line in lines) and "_cell_length_a" in text:
        return "cif"
    if (
        len(lines) > 7
        and re.fullmatch(r"\s*-?[\d.]+([eE][+-]?\d+)?\s*", lines[1])
        and len(lines[2].split()) == 3
    ):
        return "vasp"
    expected = (
        "expected a LAMMPS dump, LAMMPS data, extended XYZ, POSCAR, CIF or ASE database file with a"
        " cell"
    )
    raise StructureError(f"{path}: {expected}, got something else")


def _check_complete(path: Path, text: str, images: Sequence[Atoms]) -> None:
    """Files of LAMMPS and CIF that are cut short are read without complaint; their headers tell."""
    headers = re.findall(
        r"^ITEM: NUMBER OF ATOMS\s+(\d+)|^\s*(\d+)\s+atoms\b", text, flags=re.MULTILINE
    )
    counts = [len(atoms) for atoms in images]
    declared = [int(dump or data) for dump, data in headers] or counts
    if counts != declared:
        wrong = next(
            (pair for pair in zip(declared, counts, strict=False) if pair[0] != pair[1]),
            (sum(declared), sum(counts)),
        )
        raise StructureError(f"{path}: cut short: expected {wrong[0]} atoms, got {wrong[1]}")
    formula = re.search(r"^_chemical_formula_sum\s+['\"]?([\w. ]+)", text, flags=re.MULTILINE)
    if formula:
        unit = sum(
            float(number or 1) for number in re.findall(r"[A-Z][a-z]?([\d.]*)", formula.group(1))
        )
        if counts[0] % unit:
            raise StructureError(
                f"{path}: cut short: expected {unit:g} atoms or whole multiples, got {counts[0]}"
            )
    if not counts or not all(
        count and np.isfinite(atoms.positions).all()
        for count, atoms in zip(counts, images, strict=True)
    ):
        raise StructureError(
            f"{path}: expected atoms with finite positions, got {sum(counts)} atoms"
        )


def _as_slab(path: Path, atoms: Atoms, fully_periodic: bool) -> Atoms:
    cell = np.asarray(atoms.cell)
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-6 or np.diag(cell).min() <= 0:
        raise StructureError(
            f"{path}: expected an orthorhombic box along x, y and z, got the cell"
            f" {cell.round(4).tolist()}"
        )
    if not atoms.pbc[:2].all():
        flags = " ".join("periodic" if flag else "open" for flag in atoms.pbc)
        raise StructureError(
            f"{path}: expected the boundary normal along z with periodic x and y, got {flags}"
        )
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
            f"{path}: periodic along z with at most {gaps[widest]:.2f} Å between layers, so that it"
            f" may hold two boundaries; expected a slab with {_FREE:g} Å of free space"
        )
    if widest == len(order) - 1:
        return heights % period
    first = order[widest + 1]  # lowest atom above the empty part
    return (heights - first + 1e-9) % period + gaps[widest] / 2
