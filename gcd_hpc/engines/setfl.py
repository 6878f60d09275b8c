"""Embedded-atom files, read without LAMMPS: their header, and copies with a shorter cutoff."""

import re
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

LATTICES = {"bcc": "bcc", "fcc": "fcc", "dia": "diamond", "diamond": "diamond", "sc": "sc"}
HEAD_BYTES = 4096
TAIL_EV = 1e-8
"""Interactions of two atoms that are weaker count as none, eV."""
WORTH = 0.9
"""Largest ratio of a shorter cutoff to the file's that is worth a copy."""
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


def is_embedded_atom(style: str) -> bool:
    """Whether a pair style is one of those that read DYNAMO files."""
    return base_style(style) in (_FUNCFL, *_SETFL)


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


def shortened(content: bytes) -> bytes | None:
    """Copy of an eam/alloy file whose cutoff leaves out only the weak tail of its interactions.

    Beyond the new cutoff the pair energy of two atoms, and the energy that one changes in the
    density around the other, are below ``TAIL_EV``. Up to it the functions are the same.

    Returns:
        None if the cutoff would hardly change, or if the content is not understood.
    """
    try:
        lines = content.decode().splitlines()
        num_elements, grid = int(lines[3].split()[0]), lines[4].split()
        num_rho, num_r = int(grid[0]), int(grid[2])
        step_rho, step_r = float(grid[1]), float(grid[3])
        cutoff = float(grid[4])
        words = " ".join(lines[5:]).split()
        radii = np.arange(1, num_r) * step_r
        strength = np.zeros(num_r - 1)
        for _ in range(num_elements):
            # Four words on the element, its embedding energy, and its density.
            numbers = np.array(words[4 : 4 + num_rho + num_r], dtype=float)
            embedding, density = numbers[:num_rho], numbers[num_rho + 1 :]
            steepest = np.abs(np.diff(embedding)).max() / step_rho
            strength = np.maximum(strength, steepest * np.abs(density))
            del words[: 4 + num_rho + num_r]
        # Pair energies are tabulated times the distance.
        pairs = np.array(words, dtype=float).reshape(-1, num_r)[:, 1:] / radii
        if len(pairs) != num_elements * (num_elements + 1) // 2:
            return None
        strength = np.maximum(strength, np.abs(pairs).max(axis=0))
    except (IndexError, ValueError):
        return None
    # The last radius at which two atoms interact, and one more.
    strong = np.flatnonzero(~(strength < TAIL_EV) & (radii < cutoff))
    shorter = float(radii[min(strong[-1] + 1, num_r - 2)]) if len(strong) else cutoff
    if shorter > WORTH * cutoff:
        return None
    lines[4] = " ".join([*grid[:4], f"{shorter:.17g}", *grid[5:]])
    return "\n".join([*lines, ""]).encode()
