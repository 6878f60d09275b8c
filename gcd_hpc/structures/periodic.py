"""Periodic boxes: positions folded into the box, and minimum-image vectors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def wrap(positions: ArrayLike, lengths: ArrayLike, periodic: ArrayLike = True) -> Array:
    """Positions with their periodic coordinates folded into [0, length); a copy, (..., 3) Å.

    Args:
        lengths: box lengths of the axes from x on, (1,) to (3,) Å; other axes are not folded.
        periodic: one flag for all of these axes, or one for each.
    """
    wrapped = np.array(positions, dtype=float)
    edges = np.where(periodic, lengths, 1.0)
    given = wrapped[..., : len(edges)]
    folded = given % edges
    # Floating point rounds the remainder of -1e-17 to the length itself.
    folded = np.where(folded >= edges, 0.0, folded)
    wrapped[..., : len(edges)] = np.where(periodic, folded, given)
    return wrapped


def minimum_image(vectors: ArrayLike, lengths: ArrayLike, periodic: ArrayLike = True) -> Array:
    """Shortest periodic image of each vector (minimum image); a copy, (..., 3) Å.

    Args:
        lengths, periodic: as for wrap.
    """
    shortest = np.array(vectors, dtype=float)
    edges = np.where(periodic, lengths, 1.0)
    given = shortest[..., : len(edges)]
    given -= np.where(periodic, edges * np.rint(given / edges), 0.0)
    return shortest
