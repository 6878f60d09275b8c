"""Parsers of LAMMPS dumps and data files: box with its origin, atoms and elements.

ASE's readers lose the origin of the box, the elements of dumps without masses, and most atom
styles.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.periodic import cartesian, with_tilt

_STYLES = {
    "atomic": (1, 2),
    "charge": (1, 3),
    "bond": (2, 3),
    "angle": (2, 3),
    "molecular": (2, 3),
    "full": (2, 4),
}
"""Atom styles of LAMMPS data: columns of the type and of x, counted from zero."""
Sections = dict[str, tuple[str, list[str]]]
"""Sections of LAMMPS data by title: the comment after the title, and the lines."""
_UNITS = ("metal", "real")
"""LAMMPS unit styles with lengths in Å."""
_MASS_TOLERANCE = 0.1
"""Largest difference of a mass from that of an element of the campaign, in atomic mass units.

Within it the atom is of this element, even if one that the campaign lacks is closer (Co and Ni).
"""


TILTED = "the normal of the box is tilted; write the slab in a box whose third edge is along z"


def cut_short(num_declared: int, num_read: int) -> StructureError:
    """Error of a file that holds another number of complete atoms than it declares."""
    return StructureError(
        f"cut short: it declares {num_declared} atoms and holds {num_read}; write it again"
    )


def parse_dumps(text: str, elements: Sequence[str]) -> Iterator[Atoms]:
    """Frames of a dump, in Å, with the corner of the box at the origin."""
    _check_units(re.search(r"^ITEM: UNITS\s+(\w+)", text, flags=re.MULTILINE))
    for frame in text.split("ITEM: TIMESTEP")[1:]:
        yield _dump(frame, elements)


def _dump(frame: str, elements: Sequence[str]) -> Atoms:
    """One frame of a dump; numeric per-atom columns are kept as arrays."""
    items = {part.split("\n", 1)[0].strip(): part.splitlines()[1:] for part in frame.split("ITEM:")}
    titles = {" ".join(title.split()[:2]): title for title in items if title}
    titles |= {title.split()[0]: title for title in items if title.startswith("ATOMS")}
    if not {"NUMBER OF", "BOX BOUNDS", "ATOMS"} <= set(titles):
        raise StructureError(
            "cannot be read as LAMMPS dump: cut short before the atoms; write it again"
        )
    words = titles["BOX BOUNDS"].split()[2:]
    low, cell = _dump_box(words, items[titles["BOX BOUNDS"]])
    names = titles["ATOMS"].split()[1:]
    rows = _counted(
        [line.split() for line in items[titles["ATOMS"]]],
        int(items[titles["NUMBER OF"]][0]),
        len(names),
    )
    columns = _by_id(dict(zip(names, np.array(rows, dtype=object).T, strict=True)))
    flags = words[-3:]
    periodic = [flag.startswith("p") for flag in flags] if len(flags) == 3 else [True, True, False]
    atoms = Atoms(
        _dump_symbols(columns, elements),
        positions=_dump_positions(columns, low, cell),
        cell=cell,
        pbc=periodic,
    )
    for name, values in columns.items():
        numbers = _numbers(values)
        if numbers is not None and name not in atoms.arrays:
            atoms.set_array(name, numbers)
    return atoms


def _dump_box(words: Sequence[str], lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Lower corner (3,) and vectors (3, 3) of the box, Å."""
    bounds = np.array([line.split() for line in lines[:3]], dtype=float)
    if words[:1] == ["abc"] or bounds[1:, 2:].any():
        raise StructureError(TILTED)
    tilt = float(bounds[0, 2]) if bounds.shape[1] > 2 else 0.0
    # The bounds enclose the box, which may lean beyond its lower corner.
    bounds[0, :2] -= min(0.0, tilt), max(0.0, tilt)
    return bounds[:, 0], with_tilt(bounds[:, 1] - bounds[:, 0], tilt)


def _dump_positions(
    columns: dict[str, np.ndarray], low: np.ndarray, cell: np.ndarray
) -> np.ndarray:
    for suffix in ("", "u", "s", "su"):
        if {f"{axis}{suffix}" for axis in "xyz"} <= set(columns):
            given = np.column_stack([columns[f"{axis}{suffix}"].astype(float) for axis in "xyz"])
            # Scaled coordinates count from the lower corner, the others from the origin.
            return cartesian(given, cell) if suffix.startswith("s") else given - low
    raise StructureError(
        "the dump has no positions; write it with columns x y z, xu yu zu, xs ys zs or xsu ysu zsu"
    )


def _dump_symbols(columns: dict[str, np.ndarray], elements: Sequence[str]) -> list[str]:
    """Elements of the atoms from the column of elements, labels, masses or types."""
    types = columns.get("type")
    for name in ("element", "typelabel", "type"):
        if name in columns and (name == "element" or _numbers(columns[name]) is None):
            return [_symbol(word) for word in columns[name]]
    if "mass" in columns:
        return [_of_mass(float(mass), elements) for mass in columns["mass"]]
    if types is None:
        return [_of_type("", elements)] * len(next(iter(columns.values())))
    return [_of_type(str(kind), elements) for kind in types]


def parse_data(text: str, elements: Sequence[str]) -> Iterator[Atoms]:
    """The structure of a data file, in Å, with the corner of the box at the origin."""
    title, _, text = text.partition("\n")
    _check_units(re.search(r"\bunits = (\w+)", title))
    sections = _sections(text)
    header = "\n".join(_rows(sections, ""))
    # The header declares the number of atoms and the box.
    declared = int(_header(header, r"(\d+)\s+atoms\b")[0])
    if "Atoms" not in sections:
        raise cut_short(declared, 0)
    bounds = np.array(
        [_header(header, rf"(\S+)\s+(\S+)\s+{axis}lo\s+{axis}hi") for axis in "xyz"], dtype=float
    )
    lengths = bounds[:, 1] - bounds[:, 0]
    tilts = re.search(r"^\s*(\S+)\s+(\S+)\s+(\S+)\s+xy\s+xz\s+yz", header, flags=re.MULTILINE)
    tilt, *others = map(float, tilts.groups()) if tilts else (0.0,)
    if any(others):
        raise StructureError(TILTED)
    cell = with_tilt(lengths, tilt)
    # The atom style gives the columns of type and position; image flags may follow.
    comment, lines = sections["Atoms"]
    rows = [line.split("#")[0].split() for line in lines]
    width = len(rows[0]) if rows else 0
    style = _style(comment, rows, len(sections.get("Masses", ("", ()))[1]))
    kind, first = _STYLES[style]
    if width not in (first + 3, first + 6):
        raise StructureError(
            f"the {width} columns of its atoms do not fit atom_style {style}, which has {first + 3}"
            f" or {first + 6}; name the style behind Atoms, such as `Atoms # atomic`"
        )
    table = np.array(_counted(rows, declared, width), dtype=object)
    table = table[np.argsort(table[:, 0].astype(np.int64), kind="stable")]
    positions = table[:, first : first + 3].astype(float) - bounds[:, 0]
    if width == first + 6:
        positions += cartesian(table[:, first + 3 :].astype(int), cell)  # images of the box
    symbols = _data_symbols(table[:, kind], sections, elements)
    yield Atoms(symbols, positions=positions, cell=cell, pbc=(True, True, False))


def _sections(text: str) -> Sections:
    """Sections of LAMMPS data without empty lines; the header has the title ""."""
    title = ""
    sections: Sections = {title: ("", [])}
    for line in text.splitlines():
        content, _, comment = line.partition("#")
        if re.fullmatch("[A-Z][A-Za-z ]*", content.strip()):
            title = " ".join(content.split())
            sections[title] = (comment.strip(), [])
        elif content.strip():
            sections[title][1].append(line)
    return sections


def _header(header: str, pattern: str) -> tuple[str, ...]:
    match = re.search(rf"^\s*{pattern}", header, flags=re.MULTILINE)
    if match is None:
        raise StructureError(
            "cannot be read as LAMMPS data file: its header must state atoms, xlo xhi, ylo yhi and"
            " zlo zhi; write it again with write_data"
        )
    return match.groups()


def _style(comment: str, rows: Sequence[Sequence[str]], num_types: int) -> str:
    """Atom style from the comment after ``Atoms``, or else from the number of columns."""
    words = comment.split()
    if words[:1] and words[0] in _STYLES:
        return words[0]
    if len(words) == 1:
        raise StructureError(
            f"atom_style {words[0]!r} is not supported; write the file with one of"
            f" {', '.join(_STYLES)}"
        )
    width = len(rows[0]) if rows else 0
    if width in (5, 8):
        return "atomic"
    if width in (7, 10):
        return "full"
    if width in (6, 9):
        # The third column is a charge or, in molecular styles, the type.
        thirds = {row[2] for row in rows if len(row) == width}
        types = {str(number) for number in range(1, max(1, num_types) + 1)}
        return "molecular" if thirds <= types else "charge"
    raise StructureError(
        f"the atom_style of {width} columns is not known; write it behind Atoms, such as"
        " `Atoms # atomic`"
    )


def _data_symbols(types: np.ndarray, sections: Sections, elements: Sequence[str]) -> list[str]:
    """Elements of the atoms' types from masses, their comments, and labels."""
    labels = {line.split()[1]: line.split()[0] for line in _rows(sections, "Atom Type Labels")}
    named: dict[str, set[str]] = {}
    for label, number in labels.items():
        if label in atomic_numbers:
            named.setdefault(number, set()).add(label)
    for line in _rows(sections, "Masses"):
        values, _, comment = line.partition("#")
        number, mass = values.split()[:2]
        number = labels.get(number, number)
        named.setdefault(number, set()).add(_of_mass(float(mass), elements))
        if comment.strip() in atomic_numbers:
            named[number].add(comment.strip())
    for label in set(types.tolist()):
        if not label.isdigit() and label not in labels:
            named[label] = {_symbol(label)}
    symbols = {
        kind: _only(kind, named.get(labels.get(kind, kind)), elements)
        for kind in set(types.tolist())
    }
    return [symbols[kind] for kind in types]


def _only(kind: str, stated: set[str] | None, elements: Sequence[str]) -> str:
    """The element of a type: the stated one, or that of its number.

    A type that is stated to be several elements counts as one that the campaign lacks, if there is
    such a one among them.

    Raises:
        StructureError: if it is stated to be several of the campaign's elements.
    """
    if not stated:
        return _of_type(kind, elements)
    own, others = sorted(stated & set(elements)), sorted(stated - set(elements))
    if not others and len(own) > 1:
        raise StructureError(
            f"type {kind} is {' and '.join(own)} at once, by its mass, label or comment; mend the"
            " file"
        )
    return (others or own)[0]


def _of_type(kind: str, elements: Sequence[str]) -> str:
    """Element of a type of which only the number is known.

    Types count the elements of the campaign, as those of its own LAMMPS runs do. If it has one
    element, all types are of it.
    """
    if len(elements) == 1:
        return elements[0]
    if kind.isdigit() and 1 <= int(kind) <= len(elements):
        return elements[int(kind) - 1]
    raise StructureError(
        f"does not name the elements of its atoms{f' of type {kind}' if kind else ''}, and the"
        f" types of {', '.join(elements)} are 1 to {len(elements)}; write the elements or masses"
        " into the file"
    )


def _rows(sections: Sections, name: str) -> list[str]:
    return sections.get(name, ("", []))[1]


def _check_units(match: re.Match[str] | None) -> None:
    if match and match[1] not in _UNITS:
        raise StructureError(
            f"LAMMPS units {match[1]} are not supported; write the file in {' or '.join(_UNITS)}"
        )


def _counted(rows: list[list[str]], declared: int, width: int) -> list[list[str]]:
    """Leading rows that have this many columns; their number must be the declared one."""
    count = next((i for i, row in enumerate(rows) if len(row) != width), len(rows))
    if not 0 < declared == count:
        raise cut_short(declared, count)
    return rows[:count]


def _by_id(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "id" not in columns:
        return columns
    order = np.argsort(columns["id"].astype(np.int64), kind="stable")
    return {name: values[order] for name, values in columns.items()}


def _numbers(values: np.ndarray) -> np.ndarray | None:
    try:
        return values.astype(float)
    except ValueError:
        return None


def _symbol(word: str) -> str:
    symbol = str(word).capitalize()
    if symbol not in atomic_numbers:
        raise StructureError(f"{word!r} is no chemical element; name the elements of the atoms")
    return symbol


def _of_mass(mass: float, elements: Sequence[str]) -> str:
    """Element with a mass in atomic mass units."""
    distances = [abs(mass - atomic_masses[atomic_numbers[element]]) for element in elements]
    if min(distances) < _MASS_TOLERANCE:
        return elements[distances.index(min(distances))]
    return chemical_symbols[int(np.nanargmin(np.abs(atomic_masses[1:] - mass))) + 1]
