"""A machine-learned potential as an engine: CHGNet, whose weights come with its package."""

from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.calculators import find_calculator
from gcd_hpc.engines.child import Child
from gcd_hpc.structures.lattices import conventional_cell


@pytest.mark.slow
def test_copper_of_chgnet_is_that_of_its_own_package():
    pytest.importorskip("chgnet", reason="pip install 'gcd-hpc[mlip]' installs CHGNet")
    engine = find_calculator(CalculatorConfig(name="chgnet"), ["Cu"], "fcc", Path())
    assert engine.has_energies
    assert engine.identity["version"].startswith("chgnet ")
    assert len(engine.identity["weights"]) == 64
    bulk = measure_bulk(engine, "Cu", "fcc")
    # By CHGNet 0.3.0 itself: -4.08348 eV at 3.62 Å, more at 3.60 and 3.66 Å.
    assert 3.60 < bulk.a0 < 3.64
    assert bulk.cohesive_ev == pytest.approx(-4.0835, abs=5e-4)
    # Energies of single atoms add up, and surfaces are felt much less far than four layers of
    # message passing could reach.
    assert 5.0 < bulk.cutoff < 12.0
    crystal = conventional_cell("fcc", "Cu", bulk.a0).repeat(2)
    crystal.rattle(0.05, seed=1)
    box = np.array([np.zeros(3), crystal.cell.lengths()])
    with Child(engine, 300.0) as child:
        found = child.evaluate(crystal.positions, box, periodic_z=True)
    assert found.energies.std() > 1e-3
    assert found.energies.mean() == pytest.approx(-4.0835 + 0.05, abs=0.05)
    np.testing.assert_allclose(found.forces.sum(axis=0), 0.0, atol=1e-3)
