"""Average-linkage clustering, with periodic distances, of repeated estimates of atom positions."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gcd_hpc.structures.periodic import Neighbors
from gcd_hpc.voxels.grid import Grid


def average_clusters(coordinates: np.ndarray, grid: Grid, distance: float) -> np.ndarray:
    """Means of the average-linkage clusters of coordinates, (N, 3) Å.

    Average linkage never joins groups if every pair between them is further apart than the
    distance. Each connected group of closer pairs is therefore clustered by itself; most groups are
    one atom.

    Args:
        coordinates: (K, 3) Å.
        distance: largest mean distance of joined clusters, Å.
    """
    if not len(coordinates):
        return np.empty((0, 3))
    wrapped = grid.wrap(coordinates)
    groups = _connected(wrapped, grid, distance)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    means = [mean for group in members for mean in _split(wrapped[group], grid, distance)]
    return grid.wrap(np.stack(means))


def _connected(coordinates: np.ndarray, grid: Grid, distance: float) -> np.ndarray:
    """Group index (K,) of each coordinate; groups are connected by pairs within the distance."""
    pairs = Neighbors(coordinates, grid.cell, grid.periodic).pairs(distance)  # (P, 2)
    shape = (len(coordinates), len(coordinates))
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    return np.asarray(connected_components(links, directed=False)[1])


def _split(members: np.ndarray, grid: Grid, distance: float) -> list[np.ndarray]:
    """Means of the clusters within one connected group (K, 3) Å."""
    first, second = np.triu_indices(len(members), k=1)
    gaps = np.linalg.norm(grid.displacement(members[first], members[second]), axis=1)
    if not len(gaps) or gaps.max() <= distance:
        labels = np.ones(len(members), dtype=int)
    else:
        labels = fcluster(linkage(gaps, method="average"), distance, criterion="distance")
    clusters = [members[labels == label] for label in np.unique(labels)]
    return [
        cluster[0] + grid.displacement(cluster[0], cluster).mean(axis=0) for cluster in clusters
    ]
