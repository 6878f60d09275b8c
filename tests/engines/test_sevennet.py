"""A machine-learned potential as an engine: SevenNet, whose weights come with its package."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.calculators import find_calculator
from gcd_hpc.engines.child import Child


@pytest.mark.slow
def test_copper_of_sevennet_is_that_of_its_own_package():
    reason = "pip install 'gcd-hpc[mlip]' installs SevenNet"
    package = pytest.importorskip("sevenn.calculator", reason=reason)
    engine = find_calculator(CalculatorConfig(name="sevennet"), ["Cu"], "fcc", Path())
    assert engine.has_energies
    assert engine.identity["version"].startswith("sevenn ")
    assert len(engine.identity["weights"]) == 64
    found = measure_bulk(engine, "Cu", "fcc")
    with pytest.warns(UserWarning, match="No tensor product accelerator"):
        calculator = package.SevenNetCalculator("7net-0", device="cpu")
    # Its own energies: a parabola through three lattice constants is good to 1e-3 Å.
    trial = np.array([3.59, 3.61, 3.63])
    energies = []
    for a in trial:
        crystal = bulk("Cu", cubic=True, a=a)
        crystal.calc = calculator
        energies.append(crystal.get_potential_energy() / 4)
    fit = np.polynomial.Polynomial.fit(trial, energies, 2)
    (lowest,) = fit.deriv().roots()
    assert found.a0 == pytest.approx(lowest, abs=2e-3)
    assert found.cohesive_ev == pytest.approx(fit(lowest), abs=1e-5)
    crystal = bulk("Cu", cubic=True, a=found.a0).repeat(2)
    crystal.rattle(0.05, seed=1)
    box = np.array([np.zeros(3), crystal.cell.lengths()])
    with Child(engine, 300.0) as child:
        ours = child.evaluate(crystal.positions, box, periodic_z=True)
    crystal.calc = calculator
    # Single precision, with neighbours in another order.
    np.testing.assert_allclose(ours.energies, crystal.get_potential_energies(), atol=1e-5)
    np.testing.assert_allclose(ours.forces, crystal.get_forces(), atol=1e-4)
    assert ours.total_ev == pytest.approx(float(ours.energies.sum()), abs=1e-4)
    assert ours.energies.std() > 1e-3
