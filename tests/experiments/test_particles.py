"""The particle models of the crystals: what an atom sees."""

import numpy as np
import pytest

from gcd_hpc.experiments.particles import particle_config
from gcd_hpc.experiments.voxel_crystals import LATTICES, crystal_cell


@pytest.mark.parametrize("budget", ["quick", "full"])
@pytest.mark.parametrize("lattice", LATTICES)
def test_an_atom_of_a_crystal_sees_at_least_its_second_shell_and_no_image_of_itself(
    lattice, budget
):
    config = particle_config(lattice, budget)
    distances = np.linalg.norm(
        crystal_cell(lattice) - crystal_cell(lattice)[0], axis=1
    )  # at most half the box along each axis or wrapped
    shells = np.unique(distances[1:].round(6))
    assert shells[1] < config.cutoff <= 2.0
    assert config.max_sigma == 0.4  # of a lattice constant, as in the paper
