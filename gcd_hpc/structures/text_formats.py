"""Parsers of text structure files: LAMMPS dump and data, extended XYZ, POSCAR, CIF.

The format is recognised by the content. The declared number of atoms is compared with the file's
length before anything is allocated. Extended XYZ, POSCAR and CIF are read by ASE after their
headers are normalised.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from io import StringIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.lammps_formats import cut_short, parse_data, parse_dumps

FORMAT_NAMES = {
    "lammps-dump": "LAMMPS dump",
    "lammps-data": "LAMMPS data file",
    "extxyz": "extended XYZ file",
    "poscar": "POSCAR",
    "cif": "CIF",
}
_MAX_TYPE = 9
"""Largest number in the species column that is a type where a campaign has one element."""


def recognized(text: str) -> str | None:
    """Format of a text; None if it is no known format or has no cell."""
    lines = text.split("\n", 31)[:30]
    if lines[0].startswith("ITEM:"):
        return "lammps-dump"
    if lines[0].strip().isdigit() and "Lattice=" in "".join(lines[1:2]):
        return "extxyz"
    if _is_poscar(lines):
        return "poscar"
    # The first line of LAMMPS data is a free title.
    if any(re.match(r"\s*\d+\s+atoms\b", line) for line in lines[1:]):
        return "lammps-data"
    if any(line.startswith("data_") for line in lines) and "_cell_length_a" in text:
        return "cif"
    return None


def parse(text: str, file_format: str, elements: Sequence[str]) -> list[Atoms]:
    """Structures of a text, in Å, with the corner of the box at the origin.

    Args:
        elements: of the campaign. Types without a stated element are of them, in this order.

    Raises:
        StructureError: if the text is cut short, damaged or uses an unsupported feature. The
            message lacks the file's name, which the caller adds.
    """
    parser = {
        "lammps-dump": parse_dumps,
        "lammps-data": parse_data,
        "extxyz": _extended_xyz,
        "poscar": _poscar,
        "cif": _cif,
    }[file_format]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns of data that atoms do not need
            return list(parser(text, elements))
    except StructureError:
        raise
    except Exception as error:  # a damaged text makes ASE's readers and the parsing of numbers fail
        raise StructureError(
            f"cannot be read as {FORMAT_NAMES[file_format]}: the file is damaged or uses a part of"
            " the format that is not supported; write it again, for example as extended XYZ"
        ) from error


def _read(text: str, ase_format: str) -> list[Atoms]:
    from ase.io import read  # late, as in files.py

    images = read(StringIO(text), index=":", format=ase_format)
    assert isinstance(images, list)
    return images


def _extended_xyz(text: str, elements: Sequence[str]) -> Iterator[Atoms]:
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        declared = int(lines[start])
        stop = start + 2 + declared
        if declared < 1 or stop > len(lines):
            got = max(0, len(lines) - start - 2)
            raise cut_short(declared, got)
        header, rows = _named_species(lines[start + 1], lines[start + 2 : stop], elements)
        frame = "\n".join([lines[start], header, *rows, ""])
        for atoms in _read(frame, "extxyz"):
            atoms.positions -= np.array(atoms.info.pop("Origin", np.zeros(3)), dtype=float)
            yield atoms
        start = stop


def _named_species(header: str, rows: list[str], elements: Sequence[str]) -> tuple[str, list[str]]:
    """Header and rows with numbers replaced by element symbols; ASE takes symbols only.

    Numbers are types if no atom has another one, and else atomic numbers. In a campaign of one
    element all low numbers are types.
    """
    properties = re.search(r'Properties="?([\w:]+)', header)
    fields = properties[1].split(":") if properties else ["species", "S", "1"]
    names, widths = fields[::3], [int(width) for width in fields[2::3]]
    if "species" not in names:
        return header, rows
    column = sum(widths[: names.index("species")])
    split = [row.split() for row in rows]
    kinds = {row[column] for row in split}
    if not all(kind.isdigit() for kind in kinds):
        return header, rows
    is_types = all(1 <= int(kind) <= len(elements) for kind in kinds)
    for row in split:
        number = int(row[column])
        if len(elements) == 1 and number <= _MAX_TYPE:
            row[column] = elements[0]
        elif is_types:
            row[column] = elements[number - 1]
        else:
            row[column] = _of_number(number)
    return header.replace("species:I:1", "species:S:1"), [" ".join(row) for row in split]


def _of_number(number: int) -> str:
    if number >= len(chemical_symbols):
        raise StructureError(f"{number} is no atomic number; name the elements of the atoms")
    return chemical_symbols[number]


def _is_poscar(lines: Sequence[str]) -> bool:
    """Whether the second line has one or three scale factors, followed by three vectors."""
    if len(lines) < 8:
        return False
    vectors = [_floats(line) for line in lines[1:5]]
    return len(vectors[0]) in (1, 3) and all(len(vector) >= 3 for vector in vectors[1:])


def _floats(line: str) -> list[float]:
    """Numbers at the beginning of a line."""
    numbers = []
    for word in line.split():
        try:
            numbers.append(float(word))
        except ValueError:
            break
    return numbers


def _poscar(text: str, elements: Sequence[str]) -> Iterator[Atoms]:
    lines = text.splitlines()
    if lines[5].split()[0].isdigit():  # VASP 4 format, without symbols
        count = len(_floats(lines[5]))
        title = lines[0].split()
        named = len(title) == count and all(word in atomic_numbers for word in title)
        if not named and len(elements) > 1:
            raise StructureError(
                "does not name the elements of its atoms; write them into a line above their"
                f" numbers, such as `{' '.join(elements)}`"
            )
        lines.insert(5, " ".join(title if named else [elements[0]] * count))
    lines[0] = "structure"
    lines[1] = " ".join(map(str, _floats(lines[1])))
    declared = int(sum(_floats(lines[6])))
    first = 9 if lines[7].strip()[:1].lower() == "s" else 8
    rows = lines[first : first + declared]
    complete = next((i for i, row in enumerate(rows) if len(_floats(row)) < 3), len(rows))
    if not 0 < declared == complete:
        raise cut_short(declared, complete)
    yield from _read("\n".join(lines[:first] + rows) + "\n", "vasp")


def _cif(text: str, elements: Sequence[str]) -> Iterator[Atoms]:
    for atoms in _read(text, "cif"):
        formula = re.search(r"^_chemical_formula_sum\s+['\"]?([\w. ]+)", text, flags=re.MULTILINE)
        if formula:
            numbers = re.findall(r"[A-Z][a-z]?(\d*\.?\d*)", formula.group(1))
            unit = sum(float(number or 1) for number in numbers)
            if unit <= 0 or len(atoms) % unit:
                raise StructureError(
                    f"cut short: it holds {len(atoms)} atoms, no multiple of the {unit:g} of its"
                    " formula; write it again"
                )
        yield atoms
