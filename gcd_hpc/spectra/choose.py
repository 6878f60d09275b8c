"""Which atoms to label: those whose surroundings differ most from the ones chosen before.

Surroundings are described by numbers that neither a rotation nor the order of atoms changes. The
next atom is the one farthest from all chosen ones (farthest-point sampling), so that a smaller
budget chooses the first atoms of a larger one.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from gcd_hpc.errors import StructureError
from gcd_hpc.seeds import LABELS, generator
from gcd_hpc.spectra.feff10 import Feff10Settings

Array = NDArray[np.float64]
Place = tuple[int, int]
"""Number of a structure, and index of an atom in it."""

CUTOFF_A = Feff10Settings.cluster_a
"""Radius of the surroundings, Å: that of FEFF10's cluster."""
_RADII = np.linspace(0.8, CUTOFF_A, 14)
_COSINES = np.linspace(-1, 1, 8)
_SAME = 1e-3
"""Distance below which surroundings are the same, in standard deviations of a number."""
_FLOOR = 1e-6
"""Smallest standard deviation that is more than rounding, relative to the largest number."""


def describe(atoms: Atoms, elements: Sequence[str]) -> Array:
    """Description of the surroundings of every atom, (N, D).

    The numbers are of two kinds, both smooth where atoms cross the cutoff: how many neighbours of
    each element lie near some distances, and how many pairs of neighbours span near some angles.

    Args:
        elements: chemical symbols of all structures that are compared.
    """
    centre, other, vectors = neighbor_list("ijD", atoms, CUTOFF_A)
    distances = np.linalg.norm(vectors, axis=1)
    weight = 0.5 * (1 + np.cos(np.pi * distances / CUTOFF_A))  # (E,)
    shells = _bumps(distances, _RADII) * weight[:, None]  # (E, R)
    symbols = np.array(atoms.symbols)[other]
    radial = np.zeros((len(atoms), len(elements), len(_RADII)))
    for place, element in enumerate(elements):
        own = symbols == element
        np.add.at(radial[:, place], centre[own], shells[own])
    angular = np.zeros((len(atoms), len(_COSINES)))
    # The neighbour list is sorted by the central atom.
    bounds = np.searchsorted(centre, np.arange(len(atoms) + 1))
    directions = vectors / distances[:, None]
    for atom in range(len(atoms)):
        part = slice(bounds[atom], bounds[atom + 1])
        cosines = directions[part] @ directions[part].T  # (n, n)
        # Near neighbours count more: the weight falls to zero at the cutoff.
        pairs = np.outer(weight[part], weight[part]) ** 2
        np.fill_diagonal(pairs, 0.0)
        angular[atom] = np.tensordot(pairs, _bumps(cosines, _COSINES), axes=2)
    return np.concatenate([radial.reshape(len(atoms), -1), angular], axis=1)


def _bumps(values: Array, centres: Array) -> Array:
    """Gaussians (..., C) of some values around equidistant centres, as wide as their distance."""
    return np.asarray(
        np.exp(-0.5 * ((values[..., None] - centres) / (centres[1] - centres[0])) ** 2)
    )


def choose_atoms(
    structures: Sequence[Atoms],
    element: str,
    num: int,
    seed: int = 0,
    known: Sequence[Place] = (),
) -> list[Place]:
    """Atoms of an element to be labelled, in the order of choice.

    The first one is drawn by the seed, unless some are known. Atoms whose surroundings are those of
    a chosen or known one are left out, so that there may be fewer than ``num``.

    Args:
        known: atoms that are labelled already and are not chosen.

    Raises:
        StructureError: if no structure has an atom of the element.
    """
    elements = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    places = [
        (number, int(atom))
        for number, atoms in enumerate(structures)
        for atom in np.flatnonzero(np.array(atoms.symbols) == element)
    ]
    if not places:
        raise StructureError(
            f"there is no atom of {element}, only of {', '.join(elements)}; name the absorbing"
            " element (--element)"
        )
    described = [describe(atoms, elements) for atoms in structures]
    points = _scaled(np.array([described[number][atom] for number, atom in places]))
    row_of = {place: row for row, place in enumerate(places)}
    # Squared distance of each atom from the nearest chosen one.
    left = np.full(len(places), np.inf)
    for place in known:
        left = np.minimum(left, _squares(points, row_of[place]))
    limit = _SAME**2 * points.shape[1]
    chosen: list[Place] = []
    while len(chosen) < min(num, len(places)):
        if np.isinf(left).all():
            row = int(generator(seed, LABELS).integers(len(places)))
        else:
            row = int(left.argmax())
        if left[row] <= limit:
            break
        chosen.append(places[row])
        left = np.minimum(left, _squares(points, row))
    return chosen


def _squares(points: Array, row: int) -> Array:
    """Squared distances (P,) of all points from one of them."""
    return np.asarray(np.square(points - points[row]).sum(axis=1))


def _scaled(points: Array) -> Array:
    """Points in standard deviations of their numbers; numbers that only rounding changes are 0."""
    spread = points.std(axis=0)
    is_noise = spread <= _FLOOR * np.abs(points).max(initial=1.0)
    scaled = (points - points.mean(axis=0)) / np.where(is_noise, 1.0, spread)
    return np.where(is_noise, 0.0, scaled)
