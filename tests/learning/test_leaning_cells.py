"""The boundary system of a cell that leans: its voxels, larger cells, and augmented samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.config.learning import MOSAIC_CELLS
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.learning.batches import FIT, TrainingBatches
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.learning.conditions import ConditionScale
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.search.moves import tile
from gcd_hpc.search.windows import Parent
from gcd_hpc.structures.fingerprint import fingerprint
from gcd_hpc.voxels.encoder import encode

pytestmark = pytest.mark.lammps  # the potential file is among those that LAMMPS ships
CAMPAIGN = Path(__file__).parents[2] / "campaigns/cu_sigma7_twist.yaml"


@pytest.fixture(scope="module")
def system() -> BoundarySystem:
    config = load_campaign(CAMPAIGN)
    potential = find_potential(config.potential, "Cu", Path())
    return BoundarySystem.of(config, potential, Bulk(3.615, -3.54, 5.50679))


@pytest.mark.parametrize("cell", MOSAIC_CELLS)
def test_voxels_of_a_larger_cell_are_those_of_the_cell_over_and_over(system, cell):
    """Two rhombs side by side have a steeper second edge, but the voxels keep their lean."""
    positions = system.frame.join((0.7, 1.1, 0.4)).positions
    larger = system.replicated(*cell)
    assert np.allclose(larger.grid.voxel, system.grid.voxel, atol=1e-12)
    parent = Parent(positions, np.zeros(len(positions)), np.zeros(3))
    tiled = tile(parent, system.bicrystal.cell, cell).positions
    once = encode(positions, system.grid).numpy()
    for same in (tiled, larger.bicrystal.wrap(tiled)):
        assert np.allclose(encode(same, larger.grid).numpy(), np.tile(once, (*cell, 1)), atol=1e-6)


def test_training_samples_hold_whole_structures_turned_and_shifted(system):
    positions = system.frame.join((0.7, 1.1, 0.4)).positions
    empty = replace(new_candidate(system, "search", 0), status="ok", gb_energy_j_m2=0.5)
    row = with_structure(system, empty, positions, np.array([0.7, 1.1, 0.4]))
    row = replace(
        row,
        positions=positions,
        energies_ev=np.full(len(positions), -3.54),
        registry_relaxed=row.registry,
    )
    assert len(system.bicrystal.symmetry_operations) >= 6  # turns by 120 degrees, and two-fold axes
    weights = np.ones(len(positions))
    nearest = system.bicrystal.nearest_neighbor
    expected = fingerprint(positions, row.box, weights, nearest)
    for operation in system.bicrystal.symmetry_operations:
        turned = system.frame.transform(positions, operation)
        found = fingerprint(turned, row.box, weights, nearest)
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)
    batches = TrainingBatches(
        [TrainingSource(system, [row], "leaning")], [ConditionScale(0.5, 0.1)], 1.0, 1
    )
    for step in range(4):
        batch = batches.batch(FIT, step, range(3), 3)
        sums = batch.clean.double().sum(dim=(1, 2, 3, 4)).numpy() / len(positions)
        # One structure, or a mosaic of several.
        assert np.allclose(sums, np.rint(sums), atol=1e-5)
