"""Bonds of atoms in a periodic box of any elements, by their covalent radii."""

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import NDArray

BOND_FACTOR = 1.2
"""Atoms are bonded up to this multiple of the sum of their covalent radii, which for carbon is
1.82 Å: between first neighbours (1.4 to 1.55 Å) and second ones (2.5 Å)."""
MAX_BONDS = 6


def bond_length(element: str) -> float:
    """Distance up to which two atoms of an element are bonded, Å."""
    return float(BOND_FACTOR * 2 * covalent_radii[atomic_numbers[element]])


def num_bonds(atoms: Atoms) -> NDArray[np.int64]:
    """Number of bonds of each atom, (N,)."""
    first = neighbor_list("i", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR))
    return np.bincount(first, minlength=len(atoms))


def bond_shares(atoms: Atoms) -> NDArray[np.float64]:
    """Share of the atoms with 0, 1, ... 5 or at least 6 bonds, (7,)."""
    bonds = np.minimum(num_bonds(atoms), MAX_BONDS)
    return np.bincount(bonds, minlength=MAX_BONDS + 1) / len(atoms)
