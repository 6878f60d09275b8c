"""Potentials that LAMMPS ships for an element, of styles whose commands follow from the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.config.simulation import PotentialConfig
from gcd_hpc.engines.potentials import shipped_potentials
from gcd_hpc.engines.setfl import HEAD_BYTES, read_head
from gcd_hpc.errors import PotentialError

STYLES = {
    ".eam.alloy": "eam/alloy",
    ".eam.fs": "eam/fs",
    ".adp": "adp",
    ".eam": "eam",
    ".sw": "sw",
    ".tersoff": "tersoff",
    ".edip": "edip",
}
"""Pair style of each ending of a file name; the first ones are preferred."""


@dataclass(frozen=True)
class LibraryPotential:
    """A potential file and what it says of itself.

    elements: those that the file holds.
    lattice: crystal of its first element, where the file states it.
    citation: publication, as far as the first line names it.
    """

    path: Path
    pair_style: str
    elements: tuple[str, ...]
    lattice: str | None
    citation: str

    def config(self, element: str, file: str) -> PotentialConfig:
        """The potential section of a campaign.

        Args:
            file: name of the file in the campaign.
        """
        types = "" if self.pair_style == "eam" else f" {element}"
        return PotentialConfig(
            pair_style=self.pair_style, pair_coeff=f"* * {{file}}{types}", file=file
        )


def potentials_for(element: str, lattice: str) -> list[LibraryPotential]:
    """Shipped potentials of an element: those for its crystal and for it alone come first."""
    styles = list(STYLES.values())
    return sorted(
        (one for one in _library() if element in one.elements),
        key=lambda one: (
            one.lattice not in (None, lattice),
            len(one.elements),
            styles.index(one.pair_style),
            one.path.name,
        ),
    )


def read_potential(path: Path) -> LibraryPotential:
    """A potential file of one of the known endings.

    Raises:
        PotentialError: if its ending or its content is not known, or if it cannot be read.
    """
    style = next((style for end, style in STYLES.items() if path.name.endswith(end)), None)
    if style is None:
        raise PotentialError(
            f"{path}: its pair style does not follow from its name, which should end in"
            f" {', '.join(STYLES)}; write the potential section yourself"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PotentialError(f"potential file {path} cannot be read: {reason}") from error
    first = content[:HEAD_BYTES].decode(errors="replace").partition("\n")[0]
    citation = re.search(r"CITATION: *(.*?) *(?:COMMENT:|$)", first)
    head = read_head(style, content)
    elements = head.elements if head else _entries(content)
    if not elements or re.search(r"UNITS: (?!metal)", first):
        raise PotentialError(f"{path}: is no potential of pair style {style} in metal units")
    lattice = head.lattice if head else None
    return LibraryPotential(path, style, elements, lattice, citation[1] if citation else "")


def _entries(content: bytes) -> tuple[str, ...]:
    """Elements of a file with an entry for every three elements: those with one of their own."""
    text = content.decode(errors="replace")
    return tuple(dict.fromkeys(re.findall(r"^([A-Z][a-z]?)\s+\1\s+\1\s", text, re.MULTILINE)))


def _library() -> Iterator[LibraryPotential]:
    for folder in shipped_potentials():
        for path in sorted(folder.glob("*")):
            if path.name.endswith(tuple(STYLES)):
                try:
                    yield read_potential(path)
                except PotentialError:
                    # A file of another unit or format: the campaign could not use it.
                    continue
