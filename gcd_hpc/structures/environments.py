"""Local environments of atoms: coordination, common-neighbour analysis, centro-symmetry, grain.

All of them look at the nearest atoms in the cell of a bicrystal, periodic in the boundary plane and
open along its normal.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from gcd_hpc.structures.periodic import Array, Indices, images, in_plane, tree_of, wrap

KINDS = ("other", "fcc", "hcp", "bcc", "icosahedral")
"""Kinds of the common-neighbour analysis, by their number."""
GRAINS = ("lower grain", "boundary", "upper grain")
"""Grains, by their number."""
NEIGHBORS = {
    "sc": 6,
    "bcc": 8,
    "fcc": 12,
    "hcp": 12,
    "diamond": 4,
    "b2": 8,
    "l12": 12,
    "rocksalt": 6,
    "zincblende": 4,
}
"""Number of nearest neighbours of an atom of each lattice."""
UNKNOWN_LATTICE = 12
"""Number of nearest neighbours that is assumed of other crystals."""
SURFACE_A = 8.0
"""Distance from the ends of the slab within which atoms count as the grain's, Å."""
_REACH_A = 8.0
_NUM_NEAREST = 14
_OTHER, _FCC, _HCP, _BCC, _ICOSAHEDRAL = range(5)


@dataclass(frozen=True)
class Environments:
    """Environments of N atoms.

    coordination: number of atoms within the bond length, (N,).
    kinds: number in KINDS by adaptive common-neighbour analysis, (N,).
    centro_symmetry: Å^2, 0 for an atom in the middle of pairs of opposite neighbours, (N,).
    grains: number in GRAINS, (N,).
    bond_a: longest distance of two neighbours, between the first shell of the crystal and the
        second, Å.
    """

    coordination: Indices
    kinds: Indices
    centro_symmetry: Array
    grains: Indices
    bond_a: float


def environments(positions: ArrayLike, cell: ArrayLike, lattice: str) -> Environments:
    """Environments of the atoms of a bicrystal.

    Args:
        positions: (N, 3) Å.
        cell: in-plane lengths or vectors as in ``periodic``; what it says of the normal is unused.
        lattice: name of the crystal's lattice.

    Raises:
        ValueError: if there are too few atoms for 14 neighbours, images included.
    """
    points = np.asarray(positions, dtype=float)
    vectors = _nearest(points, in_plane(cell))  # (N, 14, 3)
    distances = np.linalg.norm(vectors, axis=2)  # (N, 14), ascending
    num_first = NEIGHBORS.get(lattice, UNKNOWN_LATTICE)
    bond = float(np.median((distances[:, num_first - 1] + distances[:, num_first]) / 2))
    kinds = common_neighbor_kinds(vectors)
    return Environments(
        (distances <= bond).sum(axis=1),
        kinds,
        centro_symmetry(vectors[:, :num_first]),
        _grains(points[:, 2], kinds),
        bond,
    )


def common_neighbor_kinds(vectors: Array) -> Indices:
    """Kind of each atom by adaptive common-neighbour analysis, as numbers in KINDS, (N,).

    Two neighbours of an atom are bonded if their distance is below a cutoff midway between the
    first two shells of the lattice, scaled by the atom's own mean neighbour distances. The kind
    follows from how many neighbours each neighbour shares with the atom, and how these are bonded.

    Args:
        vectors: from each atom to its 14 nearest, nearest first, (N, 14, 3) Å.

    Source: Stukowski, Modelling Simul. Mater. Sci. Eng. 20 (2012) 045021.
    """
    distances = np.linalg.norm(vectors, axis=2)
    reach = (1 + sqrt(2)) / 2
    kinds = np.full(len(vectors), _OTHER, dtype=np.int64)
    close = _signatures(vectors[:, :12], reach * distances[:, :12].mean(axis=1))
    num_421 = close["421"].sum(axis=1)
    num_422 = close["422"].sum(axis=1)
    kinds[num_421 == 12] = _FCC
    kinds[(num_421 == 6) & (num_422 == 6)] = _HCP
    kinds[close["555"].sum(axis=1) == 12] = _ICOSAHEDRAL
    mean = (2 / sqrt(3) * distances[:, :8].sum(axis=1) + distances[:, 8:14].sum(axis=1)) / 14
    wide = _signatures(vectors, reach * mean)
    is_bcc = (wide["666"].sum(axis=1) == 8) & (wide["444"].sum(axis=1) == 6)
    kinds[is_bcc & (kinds == _OTHER)] = _BCC
    return kinds


def _signatures(vectors: Array, cutoffs: Array) -> dict[str, np.ndarray]:
    """Which of the neighbours (N, k) have each signature of shared neighbours and their bonds."""
    between = np.linalg.norm(vectors[:, :, None] - vectors[:, None], axis=3)  # (N, k, k)
    bonded = (between <= cutoffs[:, None, None]) & ~np.eye(vectors.shape[1], dtype=bool)
    # A neighbour within the cutoff of all others only counts if the atom itself reaches it.
    within = np.linalg.norm(vectors, axis=2) <= cutoffs[:, None]
    bonded &= within[:, :, None] & within[:, None]
    num_shared = bonded.sum(axis=2)  # (N, k)
    # degrees[a, j, l]: bonds of l with atoms that j shares with atom a, where j shares l.
    degrees = np.einsum("ajm,aml->ajl", bonded.astype(np.int16), bonded.astype(np.int16)) * bonded
    num_bonds, most = degrees.sum(axis=2) // 2, degrees.max(axis=2)
    is_ring = (num_bonds == num_shared) & (most == 2)
    return {
        "421": (num_shared == 4) & (num_bonds == 2) & (most == 1),
        "422": (num_shared == 4) & (num_bonds == 2) & (most == 2),
        "444": (num_shared == 4) & is_ring,
        "555": (num_shared == 5) & is_ring,
        "666": (num_shared == 6) & is_ring,
    }


def centro_symmetry(vectors: Array) -> Array:
    """Centro-symmetry parameter of each atom, (N,) Å^2.

    It is the sum of the k/2 smallest |r_i + r_j|^2 over all pairs of neighbours: 0 where each
    neighbour has an opposite one. In crystals without inversion at the atoms, such as diamond, the
    bulk has a value of its own.

    Args:
        vectors: from each atom to its nearest neighbours, (N, k, 3) Å.

    Source: Kelchner, Plimpton, Hamilton, Phys. Rev. B 58 (1998) 11085.
    """
    first, second = np.triu_indices(vectors.shape[1], k=1)
    sums = ((vectors[:, first] + vectors[:, second]) ** 2).sum(axis=2)  # (N, k (k - 1) / 2)
    sums.sort(axis=1)
    return np.asarray(sums[:, : vectors.shape[1] // 2].sum(axis=1))


def _nearest(points: Array, cell: ArrayLike) -> Array:
    """Vectors from each atom to its 14 nearest, nearest first, (N, 14, 3) Å."""
    inside = wrap(points, cell)
    margin = _REACH_A
    while True:
        around, _ = images(inside, cell, margin)
        if len(around) <= _NUM_NEAREST:
            raise ValueError(f"expected atoms with 14 neighbours, got {len(around)} with images")
        distances, index = tree_of(around).query(inside, k=_NUM_NEAREST + 1)
        if distances.max() <= margin:
            break
        margin = float(distances.max()) + 0.1
    return np.asarray(around[index[:, 1:]] - inside[:, None])


def _grains(heights: Array, kinds: Indices) -> Indices:
    """Grain of each atom, as numbers in GRAINS, (N,).

    Boundary are the atoms whose kind is not the most common one; those near the free surfaces count
    as the grain's. The plane between the grains is the mean height of the boundary's atoms. Where
    no kind is known of most atoms, it is the middle of the slab, and all atoms are of the grains.
    """
    inner = (heights > heights.min() + SURFACE_A) & (heights < heights.max() - SURFACE_A)
    common = int(np.bincount(kinds).argmax())
    is_boundary = inner & (kinds != common) & (common != _OTHER)
    middle = heights.min() + np.ptp(heights) / 2
    plane = heights[is_boundary].mean() if is_boundary.any() else middle
    return np.where(is_boundary, 1, np.where(heights < plane, 0, 2)).astype(np.int64)
