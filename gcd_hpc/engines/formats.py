"""Elements that the files of each pair style hold, read without LAMMPS."""

import re
from collections.abc import Sequence

from ase.data import atomic_masses, chemical_symbols

from gcd_hpc.engines.setfl import base_style, read_head

_NUMBERED = re.compile(r"^\s*\d+\s+[\d.Ee+-]+\s+([A-Z][a-z]?)\s*$", re.MULTILINE)
"""Line of atomic number, mass and symbol."""
_TRIPLE = re.compile(r"^\s*([A-Z][a-z]?)\s+\1\s+\1\s", re.MULTILINE)
"""Entry of an element with itself in a file that has one for every three elements."""
_LISTED = {
    "agni": re.compile(r"^element\s+(.*)$", re.MULTILINE),
    "bop": _NUMBERED,
    "edip": _TRIPLE,
    "eim": re.compile(r"^element:\s+(\w+)", re.MULTILINE),
    "extep": _TRIPLE,
    "gw": _TRIPLE,
    "mliap": re.compile(r"^elems\s+(.*)$", re.MULTILINE),
    "pace": re.compile(r"^elements:\s*\[?([^\]\n]*)", re.MULTILINE),
    "pod": re.compile(r"^species\s+(.*)$", re.MULTILINE),
    "polymorphic": _NUMBERED,
    "rann": re.compile(r"^atomtypes:\s*\n(.*)$", re.MULTILINE),
    "snap": re.compile(r"^([A-Z][a-z]?)\s+[\d.Ee+-]+\s+[\d.Ee+-]+\s*$", re.MULTILINE),
    "sw": _TRIPLE,
    "tersoff": _TRIPLE,
    "uf3": re.compile(r"^2B\s+(\w+)\s+\1\s", re.MULTILINE),
    "vashishta": _TRIPLE,
}
"""What names elements in the files of a pair style, and of its variants such as tersoff/mod."""
_FIXED = {"lcbop": ("C",), "airebo": ("C", "H"), "rebo": ("C", "H")}
"""Elements of styles that are for these alone."""
_SPLINE_HEAD = re.compile(r"^meam/spline\s+\d+\s+(.*)$", re.MULTILINE)
_LIBRARY_ENTRY = re.compile(
    r"^\s*'?(?P<label>[^\s'#]+)'?\s+'?(?P<lattice>[a-z]\w*)'?\s+(?P<neighbours>[\d.]+)"
    r"\s+(?P<number>\d+)\s+(?P<mass>[\d.Ee+-]+)\s*$",
    re.MULTILINE,
)


def elements_in(style: str, contents: Sequence[bytes]) -> tuple[str, ...] | None:
    """Elements that the files of one pair style hold, in their order.

    Args:
        style: name of the LAMMPS pair style, without arguments.
        contents: of all its files.

    Returns:
        None if the format does not name its elements, or is unknown.
    """
    name = base_style(style)
    if name in _FIXED:
        return _FIXED[name]
    heads = [head for content in contents if (head := read_head(name, content))]
    if heads:
        return heads[0].elements
    text = "\n".join(content.decode(errors="replace") for content in contents)
    if name == "meam" or name.startswith("meam/ms"):
        return tuple(dict.fromkeys(library_elements(text).values())) or None
    if name == "meam/spline":
        first = _SPLINE_HEAD.search(text)
        return tuple(first[1].split()) if first else None
    pattern = _LISTED.get(name.partition("/")[0])
    found = [] if pattern is None else re.split(r"[\s,]+", " ".join(pattern.findall(text)))
    known = [one for one in found if one in chemical_symbols[1:]]
    return tuple(dict.fromkeys(known)) or None


def library_elements(library: str) -> dict[str, str]:
    """Element of each label in a library of MEAM, such as Al of AlS."""
    found = ((entry["label"], _element(entry)) for entry in _LIBRARY_ENTRY.finditer(library))
    return {label: element for label, element in found if element}


def library_lattices(library: str) -> dict[str, str]:
    """Reference lattice of each label in a library of MEAM, in LAMMPS' words."""
    return {entry["label"]: entry["lattice"] for entry in _LIBRARY_ENTRY.finditer(library)}


def _element(entry: re.Match[str]) -> str | None:
    """Element of an entry.

    Its atomic number says so, except in libraries that have 1 for all elements. There the label
    does, whose mass is then nearer to that of the entry.
    """
    label, mass = entry["label"], float(entry["mass"])
    number = int(entry["number"])
    numbers = [number] if 0 < number < len(chemical_symbols) else []
    if label in chemical_symbols[1:]:
        numbers.append(chemical_symbols.index(label))
    nearest = min(numbers, key=lambda one: abs(atomic_masses[one] - mass), default=None)
    return None if nearest is None else chemical_symbols[nearest]
