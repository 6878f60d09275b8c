"""Mosaics: several structures of equal registry in one larger cell."""

from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.config.learning import MOSAIC_CELLS
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.mosaics import SQUEEZED, Mosaics
from gcd_hpc.seeds import generator
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.energetics import closest_pair, n_index
from gcd_hpc.structures.periodic import minimum_image

pytestmark = pytest.mark.lammps


def mosaics_of(system, structures):
    return Mosaics(system, structures, np.full(len(structures), 1 / len(structures)))


@pytest.fixture(scope="module")
def system(searched_run):
    return load_boundary_system(str(searched_run))


@pytest.fixture(scope="module")
def structures(searched_run):
    return read_part(RunDirectory(searched_run).training_set(1))


@pytest.fixture(scope="module")
def alike(structures):
    """The structures as if all had one registry, so that any may stand beside any other."""
    registry = structures[0].registry_relaxed
    return [replace(row, registry_relaxed=registry) for row in structures]


@pytest.mark.parametrize("cell", MOSAIC_CELLS)
def test_a_structure_that_matches_no_other_is_repeated(system, structures, cell):
    row = structures[0]
    x, y, z = row.registry_relaxed
    # A third of the shortest translation of both grains away, in the plane.
    elsewhere = replace(row, registry_relaxed=np.array([x + 0.33, y + 0.33, z]))
    mosaics = Mosaics(system, [row, elsewhere], np.array([0.0, 1.0]))
    piece = mosaics.draw(0, system.replicated(*cell), generator(0, 0))
    copies = cell[0] * cell[1]
    assert piece.energy_j_m2 == row.gb_energy_j_m2
    assert piece.fraction == row.n_fraction
    # In the single cell every atom lies on one of the structure's, to rounding.
    offsets = piece.parent.positions[:, None] - row.positions
    apart = np.linalg.norm(minimum_image(offsets, system.bicrystal.cell), axis=2)
    assert apart.min(axis=1).max() < 1e-9
    assert np.array_equal(np.bincount(apart.argmin(axis=1)), np.full(row.num_atoms, copies))
    assert np.array_equal(
        piece.parent.excess_ev, mosaics.single(0).parent.excess_ev[apart.argmin(axis=1)]
    )


@pytest.mark.parametrize("cell", MOSAIC_CELLS)
def test_a_mosaic_joins_structures_without_squeezing_their_atoms(system, alike, cell):
    mosaics, larger = mosaics_of(system, alike), system.replicated(*cell)
    shortest = min(closest_pair(row.positions, system.frame.cell) for row in alike)
    plane = larger.bicrystal.atoms_per_plane
    num_joined = 0
    for index in range(len(alike)):
        piece = mosaics.draw(index, larger, generator(0, index))
        positions = piece.parent.positions
        assert closest_pair(positions, larger.frame.cell) >= SQUEEZED * shortest
        assert len(piece.parent.excess_ev) == len(positions)
        assert piece.fraction == n_index(len(positions), plane) / plane
        num_joined += piece.energy_j_m2 != alike[index].gb_energy_j_m2
    assert num_joined > len(alike) / 2


def test_the_outer_layers_of_a_mosaic_are_those_of_one_structure(system, alike):
    mosaics, larger = mosaics_of(system, alike), system.replicated(2, 2)
    frame = larger.frame
    sites = frame.lower(frame.bottom + 8.0)  # the layers that relaxation holds
    for index in range(len(alike)):
        positions = mosaics.draw(index, larger, generator(1, index)).parent.positions
        low = positions[positions[:, 2] < frame.bottom + 9.0]
        offsets = minimum_image(sites[:, None] - low, frame.bicrystal.cell)
        assert np.linalg.norm(offsets, axis=2).min(axis=1).max() < 1e-6
