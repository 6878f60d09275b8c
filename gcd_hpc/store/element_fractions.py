"""[n] of each element of a compound, such as n_Ni: columns that follow from what rows store."""

import re
from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from gcd_hpc.config.elements import COMPOUNDS
from gcd_hpc.errors import StoreError
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.field import Field
from gcd_hpc.store.provenance import section_of
from gcd_hpc.structures.composition import counts_of, element_fractions
from gcd_hpc.structures.lattices import cubic_lattice

_NAME = re.compile(r"n_([A-Z][a-z]?)")
_STORED = ("formula", "atoms_per_plane")
"""Fields that [n] of an element follows from."""


def element_of(name: str) -> str:
    """Chemical symbol of the element whose [n] has this name; empty if it is no such name."""
    match = _NAME.fullmatch(name)
    return match[1] if match and match[1] in atomic_numbers else ""


def element_field(name: str) -> Field | None:
    """Field of the [n] of one element by its name, such as n_Ni; None for other names."""
    element = element_of(name)
    if not element:
        return None
    meaning = f"[n] of {element} alone: its atoms modulo those of one lattice plane, over these"
    return Field(f"[n] of {element}", meaning, "1", name=name, default=nan)


def basis_of(config: Any) -> tuple[str, ...]:
    """Chemical symbols of a compound's basis, one for each of its atoms, the first element first.

    Args:
        config: attribute of a file.

    Returns:
        Nothing for a crystal of one element, and where the attribute describes no boundary.
    """
    section = section_of(str(config), "boundary")
    elements, lattice = section.get("elements"), section.get("lattice")
    if not isinstance(elements, list | tuple) or lattice not in COMPOUNDS or len(elements) < 2:
        return ()
    return tuple(str(elements[kind]) for kind in sorted(cubic_lattice(str(lattice)).kinds))


def element_names(config: Any) -> tuple[str, ...]:
    """Names of the [n] of a compound's elements; none in a crystal of one element."""
    return tuple(f"n_{element}" for element in dict.fromkeys(basis_of(config)))


def fractions_of(formula: str, atoms_per_plane: int, basis: Sequence[str]) -> dict[str, float]:
    """[n] of each element of a compound; NaN if the numbers of atoms are not known.

    Args:
        formula: numbers of atoms by element, as the field of a candidate.
        basis: chemical symbols, one for each atom of the crystal's basis.
    """
    counts = counts_of(formula)
    if not basis or not counts or atoms_per_plane < len(basis):
        return dict.fromkeys(basis, nan)
    return element_fractions(counts, basis, atoms_per_plane)


def with_element_fractions(
    names: Sequence[str], read: Callable[[Sequence[str]], Columns], config: Callable[[], Any]
) -> Columns:
    """Columns of rows, of which some are [n] of an element.

    Args:
        read: reads stored columns.
        config: attribute of the files; only asked for where it is needed.

    Raises:
        StoreError: if the crystal has no such element, or no other one.
    """
    wanted = [name for name in names if element_of(name)]
    if not wanted:
        return read(names)
    basis = basis_of(config())
    for name in wanted:
        _check_element(name, basis)
    stored = [name for name in names if name not in wanted]
    columns = read(list(dict.fromkeys([*stored, *_STORED])))
    pairs = list(zip(*(columns[name].tolist() for name in _STORED), strict=True))
    known = {(text, num): fractions_of(text, num, basis) for text, num in set(pairs)}
    for name in wanted:
        element = element_of(name)
        columns[name] = np.array([known[pair][element] for pair in pairs], dtype=np.float64)
    return {name: columns[name] for name in names}


def _check_element(name: str, basis: Sequence[str]) -> None:
    if not basis:
        raise StoreError(
            f"{name}: only compounds have an [n] of each element, and these structures are of none;"
            " choose n, the [n] of all atoms"
        )
    if element_of(name) not in basis:
        known = " and ".join(f"n_{element}" for element in dict.fromkeys(basis))
        raise StoreError(
            f"{name}: the crystal has no {element_of(name)}; expected {known}; surplus counts atoms"
            " of solutes"
        )
