"""Periodic cells: positions folded into the cell, shortest images of vectors, and nearest points.

A cell is given by the lengths of its edges, (1,) to (3,) Å from x on, if its angles are right, or
by its vectors as rows: (2, 2) in the boundary plane, [[ax, 0], [bx, by]], or (3, 3) with z upright.
Only the second vector may lean, along x. Both forms give the same bits where bx = 0.
"""

from itertools import product
from math import atan2, ceil, degrees, hypot, inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def edges_and_tilt(cell: ArrayLike) -> tuple[Array, float]:
    """Extents of a cell along the axes, (ax, by, height), and the lean bx of its second vector, Å.

    Args:
        cell: lengths of the edges (k,), or vectors as rows (k, k), Å.

    Raises:
        ValueError: if other vectors lean, or if a cell that leans has no area.
    """
    box = np.asarray(cell, dtype=float)
    if box.ndim == 1:
        return box, 0.0
    edges, tilt = np.diag(box), float(box[1, 0])
    others = box - np.diag(edges)
    others[1, 0] = 0.0
    if np.abs(others).max() > 1e-9 or (tilt and min(edges[:2]) <= 0):
        raise ValueError(
            "the rows of a cell must be (ax, 0, 0), (bx, by, 0) and (0, 0, height) with positive ax"
            f" and by, got {box.tolist()}"
        )
    return edges, tilt


def in_plane(cell: ArrayLike) -> Array:
    """The first two axes of a cell: lengths (2,) or vectors (2, 2), Å."""
    box = np.asarray(cell, dtype=float)
    return box[:2] if box.ndim == 1 else box[:2, :2]


def with_tilt(edges: ArrayLike, tilt: float) -> Array:
    """Vectors of a cell as rows (k, k) Å, from what ``edges_and_tilt`` returns."""
    cell = np.diag(np.asarray(edges, dtype=float))
    cell[1, 0] = tilt
    return cell


def heights(cell: ArrayLike) -> Array:
    """Distances (k,) between the opposite faces of a cell, Å."""
    edges, tilt = edges_and_tilt(cell)
    return np.asarray(edges * _cosines(edges, tilt))


def depths(positions: ArrayLike, cell: ArrayLike) -> Array:
    """Distances (..., k) of positions (..., 3) from the faces of a cell through the origin, Å."""
    edges, tilt = edges_and_tilt(cell)
    upright = np.array(positions, dtype=float)[..., : len(edges)]
    if tilt:
        upright[..., 0] -= tilt * (upright[..., 1] / edges[1])
    return np.asarray(upright * _cosines(edges, tilt))


def _cosines(edges: Array, tilt: float) -> Array:
    """Cosines (k,) between the edges of a cell and the normals of its faces."""
    cosines = np.ones(len(edges))
    if tilt:
        cosines[0] = edges[1] / hypot(tilt, edges[1])
    return cosines


def spelled_cell(cell: ArrayLike, digits: int = 2) -> str:
    """In-plane cell for people: the lengths of its edges, and their angle if it is no right one."""
    (x, y), tilt = edges_and_tilt(in_plane(cell))
    lengths = f"{x:,.{digits}f} x {hypot(tilt, y):,.{digits}f} Å"
    return f"{lengths} at {degrees(atan2(y, tilt)):.2f} degrees" if tilt else lengths


def area(cell: ArrayLike) -> float:
    """Area of a cell in the xy plane, Å^2."""
    edges, _ = edges_and_tilt(cell)
    return float(edges[0] * edges[1])


def cartesian(fractions: ArrayLike, cell: ArrayLike) -> Array:
    """Positions (..., k) Å from their fractional coordinates (..., k) in a cell."""
    edges, tilt = edges_and_tilt(cell)
    given = np.asarray(fractions, dtype=float)
    positions = given * edges
    if tilt:
        positions[..., 0] += given[..., 1] * tilt
    return np.asarray(positions)


def fractional(positions: ArrayLike, cell: ArrayLike) -> Array:
    """Fractional coordinates (..., k) in a cell from positions (..., k) Å."""
    edges, tilt = edges_and_tilt(cell)
    upright = np.array(positions, dtype=float)
    if tilt:
        upright[..., 0] -= tilt * (upright[..., 1] / edges[1])
    return np.asarray(upright / edges)


def wrap(positions: ArrayLike, cell: ArrayLike, periodic: ArrayLike = True) -> Array:
    """Positions folded into the cell, to fractions from 0 up to 1; a copy, (..., 3) Å.

    Positions that are folded again stay as they are, bit for bit.

    Args:
        cell: of the axes from x on, Å; other axes are not folded.
        periodic: one flag for all of these axes, or one for each.
    """
    wrapped = np.array(positions, dtype=float)
    edges, tilt = edges_and_tilt(cell)
    flags = np.broadcast_to(periodic, len(edges))
    first = 0
    if tilt:
        _fold_leaning(wrapped, edges, tilt, flags)
        first = 2
    edges, flags = np.where(flags, edges, 1.0)[first:], flags[first:]
    given = wrapped[..., first : first + len(edges)]
    folded = given % edges
    # Floating point rounds the remainder of -1e-17 to the length itself.
    folded = np.where(folded >= edges, 0.0, folded)
    wrapped[..., first : first + len(edges)] = np.where(flags, folded, given)
    return wrapped


def minimum_image(vectors: ArrayLike, cell: ArrayLike, periodic: ArrayLike = True) -> Array:
    """Shortest periodic image of each vector (minimum image); a copy, (..., 3) Å.

    Args:
        cell, periodic: as for wrap.
    """
    shortest = np.array(vectors, dtype=float)
    edges, tilt = edges_and_tilt(cell)
    flags = np.broadcast_to(periodic, len(edges))
    first = 0
    if tilt:
        _shorten_leaning(shortest, edges, tilt, flags)
        first = 2
    edges, flags = np.where(flags, edges, 1.0)[first:], flags[first:]
    given = shortest[..., first : first + len(edges)]
    given -= np.where(flags, edges * np.rint(given / edges), 0.0)
    return shortest


def shortest_vectors(cell: ArrayLike) -> Array:
    """The two shortest vectors that span the in-plane lattice of a cell, as rows (2, 2) Å."""
    edges, tilt = edges_and_tilt(cell)
    short, long = np.array([edges[0], 0.0]), np.array([tilt, edges[1]])
    while True:
        if long @ long < short @ short:
            short, long = long, short
        steps = np.rint((long @ short) / (short @ short))
        if steps == 0:
            return np.stack([short, long])
        long = long - steps * short


def images(
    positions: ArrayLike, cell: ArrayLike, margin: float, periodic: ArrayLike = True
) -> tuple[Array, Indices]:
    """Points and their periodic images within a margin around the cell.

    Args:
        positions: (N, 3) Å, in the cell.
        margin: distance from the faces of the cell, Å.
        cell, periodic: as for wrap.

    Returns:
        The images (M, 3) Å, and the index of the point that each is an image of, (M,).
    """
    points = np.asarray(positions, dtype=float)
    edges, _ = edges_and_tilt(cell)
    axes = np.flatnonzero(np.broadcast_to(periodic, len(edges)))
    between = heights(cell)
    ranges: list[tuple[int, ...]] = [(0,)] * len(edges)
    for axis in axes:
        number = ceil(margin / between[axis])
        ranges[axis] = tuple(range(-number, number + 1))
    steps = np.array(list(product(*ranges)), dtype=float)
    offsets = np.zeros((len(steps), 3))
    offsets[:, : len(edges)] = cartesian(steps, cell)
    # (num_images, N, 3) -> (num_images N, 3)
    every = (points + offsets[:, None]).reshape(-1, 3)
    inside = depths(every, cell)[:, axes]
    near = np.flatnonzero(np.all((inside > -margin) & (inside < between[axes] + margin), axis=1))
    return every[near], near % max(1, len(points))


class Neighbors:
    """Search for the nearest of some points, or for close pairs of them, in a periodic cell.

    Where the angles are right, this is scipy's periodic k-d tree. Otherwise the tree holds the
    points and their images around the cell.

    Args:
        positions: (N, 3) Å.
        cell, periodic: as for wrap; the third axis is open if the cell has two.
    """

    def __init__(self, positions: ArrayLike, cell: ArrayLike, periodic: ArrayLike = True) -> None:
        edges, tilt = edges_and_tilt(cell)
        flags = np.broadcast_to(periodic, len(edges))
        self._cell, self._flags = cell, flags
        self._leans = bool(tilt)
        self._points = wrap(positions, cell, flags)
        self._trees: dict[float, tuple[cKDTree, Indices]] = {}
        # The shortest periods, and a distance within which a point has an image of any other.
        if tilt:
            short = np.linalg.norm(shortest_vectors(cell), axis=1)
            self._periods = np.append(edges[2:][flags[2:]], short)
            self._reach = 0.5 * float(max(short.sum(), *self._periods))
        else:
            self._periods, self._reach = edges[flags], 0.0

    def nearest(self, positions: ArrayLike, limit: float = inf) -> tuple[Array, Indices]:
        """Distance (M,) in Å of each position (M, 3) from the nearest point, and the point's index.

        Without a point within the limit (Å) the distance is infinite and the index is N.
        """
        tree, source = self._tree(min(limit, self._reach))
        places = wrap(positions, self._cell, self._flags) if self._leans else positions
        distances, index = tree.query(places, distance_upper_bound=limit)
        return distances, np.append(source, len(self._points))[index]

    def pairs(self, limit: float) -> Indices:
        """Pairs of points at most this far apart (Å), as indices (P, 2), the lower one first."""
        tree, source = self._tree(limit if self._leans else 0.0)
        if not self._leans:
            return np.asarray(tree.query_pairs(limit, output_type="ndarray"))
        found = tree_of(self._points).sparse_distance_matrix(tree, limit, output_type="ndarray")
        pairs = np.stack([found["i"], source[found["j"]]], axis=1)
        return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)

    def closest(self) -> float:
        """Shortest distance of two points or of a point and its own image, Å; infinite if none."""
        tree, _ = self._tree(self._reach)
        distances, _ = tree.query(self._points, k=2)
        return float(min(distances[:, 1].min(initial=inf), *self._periods, inf))

    def _tree(self, margin: float) -> "tuple[cKDTree, Indices]":
        """Tree of the points, with their images within the margin where the cell leans.

        Returns:
            The tree, and the index of the point that each of its entries is an image of.
        """
        if margin not in self._trees:
            if self._leans:
                around, source = images(self._points, self._cell, margin, self._flags)
                self._trees[margin] = tree_of(around), source
            else:
                boxsize = np.zeros(3)
                boxsize[: len(self._flags)] = np.where(
                    self._flags, edges_and_tilt(self._cell)[0], 0
                )
                self._trees[margin] = (
                    tree_of(self._points, boxsize),
                    np.arange(len(self._points)),
                )
        return self._trees[margin]


def tree_of(points: Array, boxsize: Array | None = None) -> "cKDTree":
    """k-d tree of points (N, 3) in Å, periodic with the lengths (3,) of a box if they are given."""
    # Checking a campaign file and listing a run search nothing, and scipy takes long to import.
    from scipy.spatial import cKDTree

    return cKDTree(points, boxsize=boxsize)


def _fold_leaning(positions: Array, edges: Array, tilt: float, flags: NDArray[np.bool_]) -> None:
    """Fold x and y of positions (..., 3) into a cell whose second vector leans, in place."""
    _refuse_half_open(flags)
    x, y = positions[..., 0], positions[..., 1]
    folded = y % edges[1]
    folded = np.where(folded >= edges[1], 0.0, folded)
    x -= np.rint((y - folded) / edges[1]) * tilt
    y[...] = folded
    # Whole edges are taken off x, so that what lies in the cell keeps its bits.
    edge_x = y / edges[1] * tilt  # x of the cell's left side at this height
    x -= np.floor((x - edge_x) / edges[0]) * edges[0]
    outside = np.floor((x - edge_x) / edges[0]) != 0
    x[...] = np.where(outside, edge_x, x)


def _shorten_leaning(vectors: Array, edges: Array, tilt: float, flags: NDArray[np.bool_]) -> None:
    """Take the shortest images in x and y of vectors (..., 3) of such a cell, in place."""
    _refuse_half_open(flags)
    basis = shortest_vectors([[edges[0], 0.0], [tilt, edges[1]]])
    flat = vectors[..., :2]
    # The nearest lattice point is a corner of the cell of shortest vectors that holds the end.
    first = np.floor(flat @ np.linalg.inv(basis))
    corners = (first[..., None, :] + np.array(list(product((0, 1), repeat=2)))) @ basis
    left = flat[..., None, :] - corners  # (..., 4, 2)
    best = (left**2).sum(axis=-1).argmin(axis=-1)
    flat[...] = np.take_along_axis(left, best[..., None, None], axis=-2)[..., 0, :]


def _refuse_half_open(flags: NDArray[np.bool_]) -> None:
    if not flags[:2].all():
        raise ValueError("a cell that leans must be periodic along both of its in-plane vectors")
