import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from gcd_hpc.voxels.clusters import average_clusters
from gcd_hpc.voxels.grid import Grid

GRID = Grid.build((12, 12, 24), (10.008, 10.008))


def test_estimates_of_one_atom_become_their_mean_across_a_periodic_edge():
    edge = GRID.lengths[0]
    means = average_clusters(
        np.array([[0.1, 5.0, 5.0], [edge - 0.3, 5.0, 5.0], [4.0, 5.0, 5.0]]), GRID, distance=1.0
    )
    assert sorted(means[:, 0]) == pytest.approx([4.0, edge - 0.1])


def test_open_ends_do_not_meet():
    assert (
        len(
            average_clusters(
                np.array([[1.0, 1.0, 0.1], [1.0, 1.0, GRID.lengths[2] - 0.1]]), GRID, distance=1.0
            )
        )
        == 2
    )


def test_clusters_are_those_of_average_linkage_over_all_coordinates():
    coordinates = np.random.default_rng(0).uniform(0.0, GRID.lengths, (300, 3))
    first, second = np.triu_indices(300, k=1)
    gaps = np.linalg.norm(GRID.displacement(coordinates[first], coordinates[second]), axis=1)
    expected = fcluster(linkage(gaps, method="average"), 1.2, criterion="distance").max()
    assert len(average_clusters(coordinates, GRID, distance=1.2)) == expected


def test_nothing_makes_no_clusters():
    assert average_clusters(np.empty((0, 3)), GRID, 1.0).shape == (0, 3)
