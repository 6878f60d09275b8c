"""Checks of the elements of a boundary and of their chemical potentials."""

from collections.abc import Mapping, Sequence

from gcd_hpc.config.section import refuse

COMPOUNDS = ("b2", "l12", "rocksalt", "zincblende")
"""Lattices of two elements, one on each sublattice."""
ONE_ELEMENT = "hcp"
"""Lattice that takes no solutes yet."""


def check_elements(element: str | None, elements: Sequence[str] | None, lattice: str) -> None:
    """Refuse elements that are missing, given twice, or too many or too few for the lattice."""
    if element is not None and elements is not None:
        refuse("and elements are both given; leave one of them out", "element")
    if elements is None:
        if element is None:
            refuse("is required but missing, or elements for several", "element")
        if lattice in COMPOUNDS:
            refuse(f"is one, but a {lattice} crystal has two; give elements: [Ni, Al]", "element")
        return
    if len(elements) < 2:
        refuse("must be two at least; name a single one by boundary.element", "elements")
    if len(set(elements)) < len(elements):
        refuse(f"must be different, got {', '.join(elements)}", "elements")
    if lattice == ONE_ELEMENT:
        refuse(f"must be one where lattice is {lattice}; name it by boundary.element", "elements")
    if lattice == "file" and len(elements) > 2:
        refuse(f"must be two beside slabs, which hold both, got {', '.join(elements)}", "elements")


def num_of_crystal(lattice: str) -> int:
    """Largest number of elements of a lattice; further ones of a boundary are solutes."""
    return 2 if lattice in (*COMPOUNDS, "file") else 1


def check_mu(symbols: Sequence[str], lattice: str, mu: Mapping[str, float]) -> None:
    """Refuse chemical potentials of other elements, and those that the crystal fixes."""
    for symbol in mu:
        if symbol not in symbols:
            refuse(f"names {symbol}, which is none of {', '.join(symbols)}", "mu")
    own = symbols[: num_of_crystal(lattice)]
    given = [symbol for symbol in own if symbol in mu]
    if len(given) == len(own):
        energy = "its cohesive energy" if len(own) == 1 else "the energy of a formula unit"
        refuse(
            f"must not give {' and '.join(given)}, because {energy} does; leave {given[-1]} out",
            "mu",
        )


def check_kinds(kinds: Sequence[int], num_atoms: int, symbols: Sequence[str]) -> None:
    """Refuse a record of slab files whose atoms of the basis are not of these elements."""
    if len(symbols) == 1 and not kinds:
        return
    if len(kinds) != num_atoms or set(kinds) != set(range(len(symbols))):
        refuse(
            f"must be one of 0 to {len(symbols) - 1} for each atom of the basis, and each of them"
            f" somewhere, got {list(kinds)}",
            "slabs.crystal.kinds",
        )
