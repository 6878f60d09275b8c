"""Excess properties against published energies, and two routes to the excess stress."""

import numpy as np
import pytest

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.excess import ExcessSlab, measure_excess, slab_half_height
from tests.phases.published import campaign, candidate
from tests.phases.systems import copper_twin, joined, row_of, subject_of, system_of
from tests.reference import ENERGIES_J_M2, GROUND_STATE, METASTABLE, phase

pytestmark = pytest.mark.lammps

NOISE_N_M = 1e-4
"""Accuracy of the twin's stress from energies that are known to 1e-9 eV."""


def both_routes(found):
    names = "excess_stress_n_m", "excess_stress_by_strain_n_m"
    return [np.array(found[name]) for name in names]


@pytest.fixture(scope="module")
def twin():
    """Excess properties of the coherent twin of copper."""
    system = system_of(copper_twin())
    with LammpsChild(system.potential, 60.0) as child:
        subject = subject_of(child, system, row_of(system, joined(child, system, (0, 0, 0))))
        return measure_excess(subject, {"strain": 1e-3}).values


def test_the_coherent_twin_of_copper_has_its_published_energy(twin):
    """22.24 mJ/m^2: Mishin et al., Phys. Rev. B 63 (2001) 224106."""
    assert twin["gb_energy_j_m2"] == pytest.approx(0.02224, abs=5e-5)


def test_both_routes_to_the_stress_of_the_twin_agree(twin):
    by_virials, by_strain = both_routes(twin)
    np.testing.assert_allclose(by_strain, by_virials, rtol=0.02, atol=NOISE_N_M)
    # By symmetry it is the same in all directions of the plane.
    assert by_virials[0] == pytest.approx(by_virials[1], abs=1e-6)
    np.testing.assert_allclose(by_virials[2], 0.0, atol=1e-6)
    np.testing.assert_allclose(twin["normal_stress_n_m"], 0.0, atol=NOISE_N_M)


def slab_under(strain, a0):
    """Twin in crystals that are stretched in the plane and free along the normal."""
    system = system_of(copper_twin(a0=a0 * (1 + strain)))
    heights = (slab_half_height(system),) * 2
    return system_of(copper_twin(a0=a0 * (1 + strain), slab_heights=heights))


def test_the_twin_has_no_excess_stress_at_its_equilibrium_strain():
    """There its energy is stationary: 0.57 % in the plane, where the stress, which is nearly linear
    in the strain, goes through zero.
    """
    a0 = system_of(copper_twin()).bulk.a0

    def measured(strain):
        system = slab_under(strain, a0)
        with LammpsChild(system.potential, 60.0) as child:
            atoms = system.frame.join((0.0, 0.0, 0.0))
            slab = ExcessSlab.relaxed(child, system, system.bicrystal, atoms)
            return slab.stress_n_m()["xx"], slab.derivative_n_m("xx", 1e-3)

    near, far = measured(0.005)[0], measured(0.0065)[0]
    equilibrium = 0.005 + 0.0015 * near / (near - far)
    assert near > 0 > far
    assert equilibrium == pytest.approx(0.0057, abs=2e-4)
    assert measured(equilibrium) == pytest.approx((0.0, 0.0), abs=NOISE_N_M)


@pytest.mark.parametrize(
    ("path", "cells"),
    [
        pytest.param(GROUND_STATE, (1, 1), id="1of5"),
        pytest.param(METASTABLE, (2, 1), id="2of5", marks=pytest.mark.slow),
    ],
)
def test_published_phases_have_their_energy_and_one_stress_by_both_routes(path, cells):
    system = system_of(campaign(cells))
    with LammpsChild(system.potential, 120.0) as child:
        row = candidate(0, phase(path), potential_sha256=system.potential.sha256)
        found = measure_excess(subject_of(child, system, row), {"strain": 1e-3}).values
    # Published with four digits after the point.
    assert found["gb_energy_j_m2"] == pytest.approx(ENERGIES_J_M2[path], abs=1e-4)
    by_virials, by_strain = both_routes(found)
    np.testing.assert_allclose(by_strain, by_virials, rtol=0.02, atol=0.002)
    np.testing.assert_allclose(found["normal_stress_n_m"], 0.0, atol=1e-3)


def test_a_structure_that_relaxes_to_another_energy_is_refused():
    system = system_of(copper_twin())
    with LammpsChild(system.potential, 60.0) as child:
        row = row_of(system, joined(child, system, (0, 0, 0)))
        vars(row)["gb_energy_j_m2"] += 0.01
        with pytest.raises(SimulationError, match="so that they are not one structure"):
            measure_excess(subject_of(child, system, row), {"strain": 1e-3})
