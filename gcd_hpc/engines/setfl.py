"""Header of embedded-atom files, read without LAMMPS."""

import re
from dataclasses import dataclass

from ase.data import chemical_symbols

LATTICES = {"bcc": "bcc", "fcc": "fcc", "dia": "diamond", "diamond": "diamond", "sc": "sc"}
HEAD_BYTES = 4096
_FUNCFL = "eam"
_SETFL = ("eam/alloy", "eam/fs", "eam/he", "adp")


@dataclass(frozen=True)
class PotentialHead:
    """Elements, cutoff in Å, and the stated crystal of the first element."""

    elements: tuple[str, ...]
    cutoff: float
    a0: float
    """Lattice constant of the first element, Å."""
    lattice: str
    """sc, bcc, fcc, diamond, or another word of the file."""


def base_style(style: str) -> str:
    """Pair style without the suffix of an accelerator package."""
    return re.sub(r"/(gpu|intel|kk|omp|opt)$", "", style)


def read_head(style: str, content: bytes) -> PotentialHead | None:
    """Header of a DYNAMO file; None for other potentials and other files.

    Args:
        style: name of the LAMMPS pair style: eam reads funcfl files, its relatives read setfl
            files.
        content: content of the file, or its first ``HEAD_BYTES``.
    """
    lines = content[:HEAD_BYTES].decode(errors="replace").splitlines()
    try:
        if base_style(style) == _FUNCFL:
            grid, crystal = lines[2].split(), lines[1].split()
            elements = [chemical_symbols[int(float(crystal[0]))]]
        elif base_style(style) in _SETFL:
            grid, crystal = lines[4].split(), lines[5].split()
            elements = lines[3].split()[1:]
        else:
            return None
        lattice = LATTICES.get(crystal[3].lower(), crystal[3].lower())
        return PotentialHead(tuple(elements), float(grid[4]), float(crystal[2]), lattice)
    except (IndexError, ValueError):
        return None
