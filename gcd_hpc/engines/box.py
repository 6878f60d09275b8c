"""Boxes of slabs for LAMMPS: their low and high corners, and a row of tilts if an edge leans."""

import numpy as np
from numpy.typing import ArrayLike

from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import edges_and_tilt, with_tilt

FREE = 10.0
"""Empty space above and below the slab in LAMMPS' box, Å: room for the upper grain to shift."""


def box_around(positions: Positions, cell: ArrayLike) -> Positions:
    """Box (2, 3) or (3, 3) Å with free space below and above the atoms.

    The rows are the low corner, the high corner of the box before it leans, and, if it leans, the
    tilts (xy, xz, yz) of LAMMPS.

    Args:
        positions: (N, 3) Å.
        cell: of the slab in the plane: lengths (2,) or vectors (2, 2), Å.
    """
    edges, tilt = edges_and_tilt(cell)
    heights = np.asarray(positions)[:, 2]
    low = [0.0, 0.0, heights.min() - FREE]
    high = [edges[0], edges[1], heights.max() + FREE]
    return np.array([low, high, [tilt, 0.0, 0.0]] if tilt else [low, high])


def cell_of(box: Positions) -> Positions:
    """Vectors of a box as rows, (3, 3) Å."""
    return with_tilt(box[1] - box[0], float(box[2, 0]) if len(box) > 2 else 0.0)
