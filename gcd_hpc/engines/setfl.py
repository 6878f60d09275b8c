"""What the head of an embedded-atom file says of its potential, read without LAMMPS."""

from dataclasses import dataclass
from pathlib import Path

LATTICES = {"bcc": "bcc", "fcc": "fcc", "dia": "diamond", "diamond": "diamond", "sc": "sc"}
HEAD_BYTES = 4096


@dataclass(frozen=True)
class PotentialHead:
    """Elements, cutoff in Å, and the crystal that the first element is stated to have."""

    elements: tuple[str, ...]
    """Empty for files of one element, which do not name it."""
    cutoff: float
    a0: float
    """Lattice constant of the first element, Å."""
    lattice: str
    """sc, bcc, fcc, diamond, or what else the file says."""


def read_head(pair_style: str, file: Path) -> PotentialHead | None:
    """The head of a DYNAMO file; None for other potentials and for files that are none.

    Args:
        pair_style: LAMMPS' pair_style with its arguments; eam/alloy and eam/fs read setfl files,
            eam reads funcfl files.
    """
    style = next(iter(pair_style.split()), "").removesuffix("/omp").removesuffix("/opt")
    if style not in ("eam", "eam/alloy", "eam/fs"):
        return None
    try:
        with file.open("rb") as stream:
            lines = stream.read(HEAD_BYTES).decode(errors="replace").splitlines()
        if style == "eam":
            elements, grid, crystal = [], lines[2].split(), lines[1].split()
        else:
            _, *elements = lines[3].split()
            grid, crystal = lines[4].split(), lines[5].split()
        lattice = LATTICES.get(crystal[3].lower(), crystal[3].lower())
        return PotentialHead(tuple(elements), float(grid[4]), float(crystal[2]), lattice)
    except (OSError, IndexError, ValueError):
        return None
