"""Invariants of the surroundings of atoms: which neighbours lie how far, and at which angles.

They do not change when a structure is turned, reflected, shifted, renumbered or repeated.
"""

from itertools import chain, product
from math import factorial

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.structures.periodic import Indices, images, in_plane, tree_of, wrap

Array = NDArray[np.float32]

CUTOFF = 2.2
"""Distance up to which neighbours count, in nearest-neighbour distances."""
NUM_RADIAL, DEGREE = 8, 4
"""Radial functions, and the highest degree of the polynomials of the angle."""
_CENTRES = np.linspace(0.5, 2.1, NUM_RADIAL, dtype=np.float32)
_WIDTH = 0.16
"""Centres of the Gaussian radial functions, and their width, in nearest-neighbour distances."""
_OWN = 1e-3
"""Distance below which a neighbour is the atom itself, Å."""
# Monomials x^a y^b z^c of the direction, up to the degree, in the order of a + b + c. Weighted by
# the root of their multinomial coefficient, those of one degree l give (u . v)^l as a dot product.
_MONOMIALS = np.array(
    sorted((one for one in product(range(DEGREE + 1), repeat=3) if sum(one) <= DEGREE), key=sum)
)
_DEGREES = _MONOMIALS.sum(axis=1)
_ROOTS = np.sqrt(
    [
        factorial(a + b + c) / (factorial(a) * factorial(b) * factorial(c))
        for a, b, c in _MONOMIALS.tolist()
    ],
    dtype=np.float32,
)
# Row l holds the coefficients of the Legendre polynomial P_l.
_LEGENDRE = np.array(
    [
        np.pad(legendre.leg2poly([0] * degree + [1]), (0, DEGREE - degree))
        for degree in range(DEGREE + 1)
    ],
    dtype=np.float32,
)


def num_invariants(num_kinds: int) -> int:
    """Number of invariants of an atom, if there are so many elements."""
    functions = num_kinds * NUM_RADIAL
    own = num_kinds if num_kinds > 1 else 0
    return functions + (DEGREE + 1) * functions * (functions + 1) // 2 + own


def invariants(
    positions: ArrayLike,
    cell: ArrayLike,
    index: NDArray[np.integer],
    nearest_neighbor: float,
    kinds: NDArray[np.integer] | None = None,
    num_kinds: int = 1,
) -> Array:
    """Sums over the neighbours, and over their pairs, of some atoms of a slab, (M, D) float32.

    With radial functions R_n of the distance, these are sum_j R_n(r_j) and, for Legendre
    polynomials of degree 0 to DEGREE, sum_jk R_n(r_j) R_m(r_k) P_l(cos angle_jk). Each element of
    the neighbours has radial functions of its own, and the atom's own element is added.

    Args:
        positions: (N, 3) Å, periodic in the plane and open along z.
        cell: lengths (3,) or vectors (3, 3) of the box, Å.
        index: (M,) the atoms.
        nearest_neighbor: nearest-neighbour distance of the crystal, Å: the unit of all distances.
        kinds: (N,) number of each atom's element, from 0 to num_kinds - 1.

    Source: Bartók et al. (2013), arXiv 1209.3140; docs/science.md#energy-network.
    """
    species = np.zeros(len(np.asarray(positions)), dtype=int) if kinds is None else kinds
    center, neighbor, vectors = _edges(positions, cell, index, CUTOFF * nearest_neighbor)
    vectors /= np.float32(nearest_neighbor)
    sums, moments = _moments(len(index), center, vectors, np.asarray(species)[neighbor], num_kinds)
    # Dot products of the moments of each degree are sums over pairs of powers of the cosine.
    first, second = np.triu_indices(moments.shape[1])
    powers = []
    for degree in range(DEGREE + 1):
        part = moments[:, :, degree == _DEGREES]  # (M, F, monomials)
        powers.append((part @ part.transpose(0, 2, 1))[:, first, second])
    pairs = np.einsum("lp,pmf->mlf", _LEGENDRE, np.stack(powers))  # (M, DEGREE + 1, F (F + 1) / 2)
    own = np.eye(num_kinds, dtype=np.float32)[np.asarray(species)[index]]
    every = [sums, *np.moveaxis(pairs, 1, 0), *([own] if num_kinds > 1 else [])]
    return np.concatenate(every, axis=1)


def _edges(
    positions: ArrayLike, cell: ArrayLike, index: NDArray[np.integer], cutoff: float
) -> tuple[Indices, Indices, Array]:
    """Edges from some atoms to their neighbours: the number of the first among ``index`` and that
    of the second among all atoms, (E,) each, and the vector between them, (E, 3) Å.
    """
    box = in_plane(cell)
    points = wrap(positions, box)
    centers, height = points[index], points[:, 2]
    lowest, highest = centers[:, 2].min(initial=np.inf), centers[:, 2].max(initial=-np.inf)
    near = np.flatnonzero((height > lowest - cutoff) & (height < highest + cutoff))
    around, source = images(points[near], box, cutoff)
    found = tree_of(around).query_ball_point(centers, cutoff, return_sorted=True)
    counts = np.fromiter(map(len, found), dtype=int, count=len(found))
    neighbor = np.fromiter(chain.from_iterable(found), dtype=int, count=counts.sum())
    center = np.repeat(np.arange(len(index)), counts)
    vectors = (around[neighbor] - centers[center]).astype(np.float32)
    is_edge = np.einsum("ei,ei->e", vectors, vectors) > _OWN**2
    return center[is_edge], near[source[neighbor[is_edge]]], vectors[is_edge]


def _moments(
    num_atoms: int, center: Indices, vectors: Array, kinds: Indices, num_kinds: int
) -> tuple[Array, Array]:
    """Sums over neighbours of the radial functions, (M, F), and of these times the weighted
    monomials of the direction, (M, F, monomials), F = num_kinds NUM_RADIAL.

    Args:
        center: (E,) ascending.
        vectors: (E, 3) in nearest-neighbour distances.
        kinds: (E,) element of the neighbour.
    """
    distances = np.sqrt(np.einsum("ei,ei->e", vectors, vectors))
    # Radial functions, which fade to zero at the cutoff.
    fade = 0.5 + 0.5 * np.cos(np.float32(np.pi / CUTOFF) * distances)
    radial = np.exp(-0.5 * ((distances[:, None] - _CENTRES) / _WIDTH) ** 2) * fade[:, None]
    # Monomials of the direction from the powers of its components.
    powers = np.ones((DEGREE + 1, 3, len(center)), dtype=np.float32)
    powers[1:] = (vectors / distances[:, None]).T
    np.cumprod(powers, axis=0, out=powers)
    angular = np.empty((len(_MONOMIALS), len(center)), dtype=np.float32)
    for row, (a, b, c) in enumerate(_MONOMIALS):
        angular[row] = _ROOTS[row] * powers[a, 0] * powers[b, 1] * powers[c, 2]
    # Rows of neighbours of equal length, so that the sums are products of small matrices.
    counts = np.bincount(center, minlength=num_atoms)
    slot = np.arange(len(center)) - np.repeat(np.cumsum(counts) - counts, counts)
    longest = counts.max(initial=0)
    of_distance = np.zeros((num_atoms, longest, num_kinds * NUM_RADIAL), dtype=np.float32)
    of_angle = np.zeros((num_atoms, longest, len(_MONOMIALS)), dtype=np.float32)
    functions = np.arange(NUM_RADIAL) + NUM_RADIAL * kinds[:, None]
    of_distance[center[:, None], slot[:, None], functions] = radial
    of_angle[center, slot] = angular.T
    return of_distance.sum(axis=1), of_distance.transpose(0, 2, 1) @ of_angle
