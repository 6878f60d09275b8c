"""Amorphous carbon from the melt: the dynamics do what they were told, and the glass is one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.data import atomic_masses

from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Leg, QuenchJob, QuenchResult
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.engines.quench import RELAX, MeltQuench, box_length, melt_quench
from gcd_hpc.errors import SimulationError
from gcd_hpc.experiments.carbon_budget import CARBON
from gcd_hpc.seeds import CARBON as CARBON_STREAM
from gcd_hpc.seeds import generator
from gcd_hpc.structures.analysis import rdf
from gcd_hpc.structures.lattices import conventional_cell

pytestmark = pytest.mark.lammps
SHORT = MeltQuench(liquid_steps=1_000, quench_steps=3_000, hold_steps=500)
NUM_ATOMS = 64


@pytest.fixture(scope="module")
def carbon() -> Potential:
    return find_potential(CARBON, "C", Path())


@pytest.fixture(scope="module")
def carbon_child(carbon: Potential) -> Iterator[LammpsChild]:
    with LammpsChild(carbon, 60.0) as process:
        yield process


@pytest.fixture(scope="module")
def glass(carbon_child: LammpsChild) -> QuenchResult:
    return melt_quench(carbon_child, NUM_ATOMS, SHORT, generator(3, CARBON_STREAM, 0))


def test_all_atoms_come_back_inside_the_box_with_finite_energies(glass: QuenchResult):
    length = box_length("C", NUM_ATOMS, SHORT.density_g_cm3)
    assert glass.positions.shape == glass.forces.shape == (NUM_ATOMS, 3)
    assert glass.energies.shape == (NUM_ATOMS,)
    assert np.isfinite(glass.energies).all()
    assert (glass.positions >= 0).all()
    assert (glass.positions <= length).all()


def test_the_melt_is_hot_and_the_glass_was_at_room_temperature_before_its_relaxation(
    glass: QuenchResult,
):
    liquid, quenched, held = glass.temperatures_k
    spread = np.sqrt(
        2 / (3 * NUM_ATOMS)
    )  # of the instantaneous temperature of so few atoms, relative
    assert liquid == pytest.approx(SHORT.liquid_k, rel=4 * spread)
    assert held == pytest.approx(SHORT.final_k, rel=4 * spread)
    assert quenched < 2 * SHORT.final_k


def test_the_relaxed_glass_is_free_of_forces(glass: QuenchResult):
    assert np.linalg.norm(glass.forces, axis=1).max() < 10 * RELAX.ftol


def test_the_glass_lies_between_the_crystal_and_free_atoms(glass: QuenchResult, carbon: Potential):
    crystal = measure_bulk(carbon, "C", "diamond")
    assert crystal.cohesive_ev + 0.1 < glass.energies.mean() < 0.8 * crystal.cohesive_ev


def test_the_first_neighbours_of_the_glass_are_where_bonds_are(glass: QuenchResult):
    length = box_length("C", NUM_ATOMS, SHORT.density_g_cm3)
    r, g = rdf(glass.positions, [length] * 3, r_max=4.0, num_bins=40)
    assert 1.4 < r[np.argmax(g)] < 1.6, "between the double and the single bond"


def test_the_same_stream_gives_the_same_glass_and_another_stream_another(
    carbon_child: LammpsChild, glass: QuenchResult
):
    again = melt_quench(carbon_child, NUM_ATOMS, SHORT, generator(3, CARBON_STREAM, 0))
    other = melt_quench(carbon_child, NUM_ATOMS, SHORT, generator(3, CARBON_STREAM, 1))
    assert np.array_equal(again.positions, glass.positions)
    assert not np.allclose(other.positions, glass.positions, atol=0.1)


def test_a_box_has_the_density_it_was_made_for():
    gram = 216 * atomic_masses[6] / units._Nav
    assert gram / (box_length("C", 216, 2.5) * 1e-8) ** 3 == pytest.approx(2.5, rel=1e-12)


def test_a_relaxation_that_stops_too_early_is_an_error(carbon_child: LammpsChild):
    short, stream = replace(RELAX, max_evaluations=2), generator(3, CARBON_STREAM, 0)
    with pytest.raises(SimulationError, match=r"kept a force of .* max"):
        melt_quench(carbon_child, NUM_ATOMS, SHORT, stream, short)


def test_tersoff_diamond_has_its_published_lattice_constant_and_energy(carbon: Potential):
    crystal = measure_bulk(carbon, "C", "diamond")
    assert crystal.a0 == pytest.approx(3.566, abs=1e-3)
    assert crystal.cohesive_ev == pytest.approx(-7.37, abs=0.01)


def test_dynamics_without_heat_leave_the_crystal_where_it_is(carbon_child: LammpsChild):
    atoms = conventional_cell("diamond", "C", 3.5658353532553804).repeat(2)
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    result = carbon_child.quench(
        QuenchJob(atoms.positions, box, (Leg(1e-6, 1e-6, 200),), 0.001, 5, RELAX)
    )
    moved = result.positions - atoms.positions
    moved -= atoms.cell.lengths() * np.round(moved / atoms.cell.lengths())
    assert np.abs(moved).max() < 1e-4
