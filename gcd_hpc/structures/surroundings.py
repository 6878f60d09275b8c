"""The atoms around one atom, in a cell of any shape."""

from itertools import product
from math import ceil

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def surroundings(atoms: Atoms, atom: int, radius: float) -> tuple[Array, Indices]:
    """Atoms and periodic images of atoms that are closer to an atom than a radius.

    Args:
        atoms: of any cell, periodic along any of its vectors.
        radius: Å; may be longer than the cell.

    Returns:
        Vectors from the atom (M, 3) Å, the nearest first, and the index of each, (M,). The atom
        itself is left out, its images are not. Ties are in the order of indices.
    """
    vectors = atoms.positions - atoms.positions[atom]  # (N, 3)
    steps = np.zeros((1, 3))
    if atoms.pbc.any():
        # Missing vectors of a cell that is open along them are completed.
        cell = atoms.cell.complete().array
        inverse = np.linalg.inv(cell)
        whole = np.where(atoms.pbc, np.rint(vectors @ inverse), 0.0)
        vectors = vectors - whole @ cell
        # Folded, each vector is at most half a cell from the atom along every cell vector.
        heights = 1.0 / np.linalg.norm(inverse, axis=0)
        ranges = [
            range(-reach, reach + 1)
            for reach in (
                ceil(radius / height + 0.5) - 1 if periodic else 0
                for height, periodic in zip(heights, atoms.pbc, strict=True)
            )
        ]
        steps = np.array(list(product(*ranges))) @ cell  # (num_images, 3)
    around = vectors[None] + steps[:, None]  # (num_images, N, 3)
    distances = np.linalg.norm(around, axis=-1)
    image, index = np.nonzero(distances < radius)
    found = distances[image, index]
    others = ~((index == atom) & (found == 0.0))
    places = np.stack([image, index], axis=1)[others]  # (M, 2)
    order = np.lexsort((places[:, 0], places[:, 1], found[others]))
    return around[tuple(places[order].T)], places[order, 1]
