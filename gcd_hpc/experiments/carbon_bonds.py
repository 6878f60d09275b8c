"""Bonds of carbon and what follows from them: coordination, tetrahedra, diamond sites."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.periodic import minimum_image, wrap

Array = NDArray[np.float64]

BOND = 1.85
"""Bond cutoff, Å, between the first (1.4-1.55) and second (2.5) neighbour shell of carbon."""
MAX_COORDINATION = 6
TETRAHEDRAL_DEG = 109.4712
ANGLE_TOLERANCE_DEG = 20.0
"""Tolerance of tetrahedral angles: above thermal disorder; excludes rings of three (60 deg)."""
SITE_TOLERANCE = 0.3
"""Tolerance of a diamond site, Å: a fifth of a bond."""


def bonds(positions: Array, lengths: Array, cutoff: float = BOND) -> tuple[NDArray[np.intp], Array]:
    """Bonded pairs (P, 2), each in both orders and sorted, and vectors (P, 3) Å along the bonds.

    Args:
        positions: (N, 3) Å in a periodic box of ``lengths`` (3,), wrapped or not.
    """
    wrapped = wrap(positions, lengths)
    found = cKDTree(wrapped, boxsize=lengths).query_pairs(cutoff, output_type="ndarray")
    pairs = np.concatenate([found, found[:, ::-1]])
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    vectors = wrapped[pairs[:, 1]] - wrapped[pairs[:, 0]]
    return pairs, minimum_image(vectors, lengths)


def coordination(positions: Array, lengths: Array) -> NDArray[np.intp]:
    """Number of bonds of every atom, (N,): 2, 3, 4 stand for sp, sp2, sp3."""
    pairs, _ = bonds(positions, lengths)
    return np.bincount(pairs[:, 0], minlength=len(positions))


def coordination_shares(structures: Array, lengths: Array) -> Array:
    """Share of atoms with 0, 1, ... 5 or at least 6 bonds in each of M structures, (M, 7)."""
    numbers = np.array(
        [np.minimum(coordination(positions, lengths), MAX_COORDINATION) for positions in structures]
    )  # (M, N)
    return np.stack(
        [(numbers == bonded).mean(axis=1) for bonded in range(MAX_COORDINATION + 1)], axis=1
    )


def bond_angles(positions: Array, lengths: Array) -> list[Array]:
    """Angles between the bonds of every atom, degrees; (n (n - 1) / 2,) for n bonds."""
    pairs, vectors = bonds(positions, lengths)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ends = np.cumsum(np.bincount(pairs[:, 0], minlength=len(positions)))
    of_atoms = np.split(units, ends[:-1])
    return [
        np.degrees(np.arccos(np.clip((unit @ unit.T)[np.triu_indices(len(unit), 1)], -1.0, 1.0)))
        for unit in of_atoms
    ]


def is_tetrahedral(positions: Array, lengths: Array) -> NDArray[np.bool_]:
    """Mask (N,) of atoms with four bonds and six tetrahedral angles within a tolerance."""
    off = [np.abs(angles - TETRAHEDRAL_DEG) for angles in bond_angles(positions, lengths)]
    return np.array(
        [len(angles) == 6 and bool((angles < ANGLE_TOLERANCE_DEG).all()) for angles in off]
    )


def on_diamond_sites(positions: Array, lengths: Array, a0: float) -> NDArray[np.bool_]:
    """Mask (N,) of atoms that are alone within a tolerance of a diamond site.

    The lattice is shifted to fit most atoms; the box must be periodic with it. Each atom is tried
    on each of the two basis sites; the mean residual of the fitting atoms then refines the shift.
    """
    basis = a0 / 4 * np.array(cubic_lattice("diamond").basis)
    best = np.zeros(len(positions), dtype=bool)
    for shift in (positions[:, None] - basis).reshape(-1, 3):  # (2 N, 3)
        fits = _alone_on_sites(positions - shift, lengths, a0)
        if fits.sum() <= best.sum():
            continue
        refined = shift + _from_sites(positions - shift, a0)[fits].mean(axis=0)
        again = _alone_on_sites(positions - refined, lengths, a0)
        best = again if again.sum() >= fits.sum() else fits
        if best.all():
            break
    return best


def _alone_on_sites(positions: Array, lengths: Array, a0: float) -> NDArray[np.bool_]:
    off = _from_sites(positions, a0)
    near = np.linalg.norm(off, axis=1) < SITE_TOLERANCE
    quarters = np.round(lengths / (a0 / 4)).astype(int)
    sites = np.round((positions - off) / (a0 / 4)).astype(int) % quarters  # (N, 3)
    numbers = np.ravel_multi_index(tuple(sites.T), tuple(quarters))
    return np.asarray(near & (np.bincount(numbers[near], minlength=quarters.prod())[numbers] == 1))


def _from_sites(positions: Array, a0: float) -> Array:
    """Vectors (N, 3) from the nearest site of the diamond lattice at the origin."""
    sites = np.array(cubic_lattice("diamond").sites) * (a0 / 4)
    vectors = minimum_image(positions[:, None] - sites, (a0, a0, a0))  # (N, 8, 3)
    nearest = np.square(vectors).sum(axis=-1).argmin(axis=1)
    return np.asarray(vectors[np.arange(len(positions)), nearest])
