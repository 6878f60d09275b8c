"""Modes and harmonic free energies: of a chain, of crystals against phonopy, and by derivative."""

from pathlib import Path

import numpy as np
import pytest
from ase import units

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.simulation import PotentialConfig
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.errors import SimulationError
from gcd_hpc.phases.harmonic import (
    ZERO_THZ,
    classical_free_energy,
    commensurate_phases,
    modes_of,
    quantum_entropy,
    quantum_free_energy,
)
from gcd_hpc.phases.held import crystal_modes
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.grain import cubic_grain

TEMPERATURES = np.array([0.0, 100.0, 300.0, 1000.0])
AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
SIGMA5_TILT = BoundaryConfig(element="Cu", lattice="fcc", sigma=5, axis=(0, 0, 1), plane=(2, 1, 0))


def chain(num_cells: int, stiffness: float) -> np.ndarray:
    """Force constants (1, 3, S, 1, 3) of a ring of atoms with one spring a neighbour and axis."""
    constants = np.zeros((1, 3, num_cells, 1, 3))
    for axis in range(3):
        constants[0, axis, 0, 0, axis] = 2 * stiffness
        constants[0, axis, 1, 0, axis] -= stiffness
        constants[0, axis, -1, 0, axis] -= stiffness
    return constants


def test_modes_of_a_chain_are_those_of_the_textbook():
    """v = sqrt(4 K / m) |sin(pi k / S)| / 2 pi; three modes without a restoring force."""
    num, stiffness, mass = 6, 2.0, 50.0
    factors, weights = commensurate_phases((num, 1))
    modes = modes_of(chain(num, stiffness), factors, np.array([mass]), weights)
    assert weights.sum() == pytest.approx(1.0)
    found = np.sort(np.repeat(modes.thz, np.rint(weights * num).astype(int), axis=0).ravel())
    waves = np.repeat(np.arange(num), 3)
    omega = np.sqrt(4 * stiffness / mass) * np.abs(np.sin(np.pi * waves / num))
    np.testing.assert_allclose(
        found, np.sort(omega / (2 * np.pi) * units.s * 1e-12), rtol=1e-9, atol=1e-6
    )
    assert modes.num_zero == 3
    modes.check("the chain", num_zero=3)
    with pytest.raises(SimulationError, match="the chain has no harmonic free energy, because 3"):
        modes.check("the chain")


def test_imaginary_modes_are_refused_with_the_name_of_the_phase_and_the_frequency():
    factors, weights = commensurate_phases((6, 1))
    modes = modes_of(chain(6, -2.0), factors, np.array([50.0]), weights)
    expected = np.sqrt(8.0 / 50.0) / (2 * np.pi) * units.s * 1e-12
    with pytest.raises(SimulationError, match=rf"phase 1/5-1 .* {expected:.3f}i THz"):
        modes.check("phase 1/5-1", num_zero=3)


def test_free_energies_agree_with_their_derivatives_and_limits():
    thz = np.array([0.5, 3.0, 10.0])
    step = 0.01
    for kelvin in (30.0, 300.0, 2000.0):
        slope = (
            quantum_free_energy(thz, kelvin + step) - quantum_free_energy(thz, kelvin - step)
        ) / (2 * step)
        np.testing.assert_allclose(-slope, quantum_entropy(thz, kelvin), rtol=1e-5)
    # Quantum oscillators become classical: the next term is (hv)^2 / 24 kT.
    hot = 1e5
    quantum = units._hplanck * units.J * 1e12 * thz
    np.testing.assert_allclose(
        quantum_free_energy(thz, hot) - classical_free_energy(thz, hot),
        quantum**2 / (24 * units.kB * hot),
        rtol=1e-3,
    )
    np.testing.assert_allclose(quantum_free_energy(thz, 0.0), 0.5 * quantum)
    assert not classical_free_energy(thz, 0.0).any() and not quantum_entropy(thz, 0.0).any()


def test_shares_of_the_atoms_add_up_to_the_modes():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(12, 12))
    stiff = (root @ root.T + 5 * np.eye(12)).reshape(4, 3, 1, 4, 3)
    masses = np.array([10.0, 20.0, 30.0, 40.0])
    modes = modes_of(stiff, np.ones((1, 1)), masses, np.ones(1))
    np.testing.assert_allclose(modes.shares.sum(axis=2), 1.0)
    np.testing.assert_allclose(modes.shares.sum(axis=1), 3.0)
    for kelvin in (0.0, 500.0):
        whole = quantum_free_energy(modes.thz, kelvin).sum()
        assert modes.free_energies(np.array([kelvin])).sum() == pytest.approx(whole)


@pytest.mark.lammps
@pytest.mark.parametrize(
    ("element", "lattice", "file", "length"),
    [
        pytest.param("W", "bcc", "W_zhou.eam.alloy", 15.0, marks=pytest.mark.slow),
        ("Cu", "fcc", "Cu_mishin1.eam.alloy", 14.0),
    ],
)
def test_a_crystal_has_the_free_energy_that_phonopy_finds(element, lattice, file, length):
    """To 1e-4 eV an atom: with equal supercells, forces by the same engine, and fine meshes.

    Meshes of both differ. Displacements of phonopy are along symmetry's directions, ours along the
    axes, both of 0.01 Å.
    """
    import phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    config = PotentialConfig(
        pair_style="eam/alloy", pair_coeff=f"* * {{file}} {element}", file=file
    )
    potential = find_potential(config, (element,), Path())
    a0 = measure_bulk(potential, element, lattice).a0
    with LammpsChild(potential, 60.0) as child:
        modes = crystal_modes(child, cubic_grain(AXES, lattice, element, a0), 0.01, length)
        repeats = int(np.ceil(length / a0))
        sites = {"bcc": [[0, 0, 0], [0.5] * 3]}.get(
            lattice, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        )
        cell = PhonopyAtoms(
            symbols=[element] * len(sites), cell=a0 * np.eye(3), scaled_positions=sites
        )
        oracle = phonopy.Phonopy(cell, supercell_matrix=[repeats] * 3, primitive_matrix="P")
        oracle.generate_displacements(distance=0.01)
        forces = []
        for image in oracle.supercells_with_displacements:
            box = np.array([np.zeros(3), np.diag(image.cell)])
            forces.append(child.evaluate(image.positions, box, periodic_z=True).forces)
    oracle.forces = forces
    oracle.produce_force_constants()
    oracle.run_mesh([24, 24, 24])
    oracle.run_thermal_properties(temperatures=TEMPERATURES)
    per_atom = oracle.thermal_properties.free_energy * units.kJ / units.mol / len(sites)
    modes.check("the crystal")
    ours = modes.free_energies(TEMPERATURES).mean(axis=1)
    np.testing.assert_allclose(ours, per_atom, atol=1e-4)


@pytest.mark.lammps
def test_a_crystal_that_is_no_minimum_is_refused():
    """Tungsten in simple cubic order falls apart."""
    config = PotentialConfig(
        pair_style="eam/alloy", pair_coeff="* * {file} W", file="W_zhou.eam.alloy"
    )
    with LammpsChild(find_potential(config, ("W",), Path()), 60.0) as child:
        modes = crystal_modes(child, cubic_grain(AXES, "sc", "W", 2.65), 0.01, 10.0)
    with pytest.raises(SimulationError, match=r"the crystal has no harmonic .* imaginary"):
        modes.check("the crystal")


@pytest.mark.slow
@pytest.mark.lammps
def test_a_crystal_has_one_free_energy_in_whatever_orientation_and_block():
    config = PotentialConfig(
        pair_style="eam/alloy", pair_coeff="* * {file} Cu", file="Cu_mishin1.eam.alloy"
    )
    tilted = Bicrystal.build(SIGMA5_TILT, 3.615).lower
    with LammpsChild(find_potential(config, ("Cu",), Path()), 60.0) as child:
        one, other = (
            crystal_modes(child, grain, 0.01, 15.0).free_energies(TEMPERATURES).mean(axis=1)
            for grain in (tilted, cubic_grain(AXES, "fcc", "Cu", 3.615))
        )
    # Force constants beyond half of the repeated crystals are cut in different places.
    np.testing.assert_allclose(one, other, atol=3e-4)


def test_modes_near_zero_do_not_enter_the_free_energy():
    modes = modes_of(chain(6, 1e-9), commensurate_phases((6, 1))[0], np.ones(1), np.ones(4) / 4)
    assert (np.abs(modes.thz) < ZERO_THZ).all()
    assert not modes.free_energies(np.array([300.0])).any()
