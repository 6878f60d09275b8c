"""Free energy of a boundary phase: against ASE's vibrations, by derivative, and resumed."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.thermochemistry import HarmonicThermo
from ase.vibrations import Vibrations

from gcd_hpc.engines.box import box_around
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.errors import GcdError, SimulationError
from gcd_hpc.phases import held
from gcd_hpc.phases.free_energy import Sizes, measure_free_energy, settings_of, transitions
from gcd_hpc.phases.held import HeldSlab, crystal_modes, held_crystal, held_phase, kept_array
from gcd_hpc.phases.measuring import Subject
from gcd_hpc.phases.slabs import bicrystal_of
from gcd_hpc.phases.temperatures import temperature_of, temperatures_of
from gcd_hpc.structures.energetics import J_PER_M2
from tests.phases.twin import made_twin

KELVIN = [0.0, 300.0, 600.0]


@pytest.fixture(scope="module")
def subject(twin_subject: Subject, tmp_path_factory) -> Subject:
    return replace(twin_subject, folder=tmp_path_factory.mktemp("free-energy"))


@pytest.fixture(scope="module")
def values(subject: Subject) -> dict:
    return measure_free_energy(subject, settings_of(KELVIN, 10.0)).values


class Forces(Calculator):
    """Forces of a slab by the engine, for ASE."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - as in ASE

    def __init__(self, child: LammpsChild, box: np.ndarray) -> None:
        super().__init__()
        self.child, self.box = child, box

    def calculate(self, atoms=None, properties=None, system_changes=None):
        found = self.child.evaluate(atoms.positions, self.box)
        self.results = {"energy": found.total_ev, "forces": found.forces}


@pytest.mark.lammps
def test_a_held_slab_has_the_free_energy_that_ase_finds(subject: Subject, tmp_path):
    """ASE's own finite differences, modes and sum over oscillators, in the cell as it is."""
    slab = held_phase(subject.child, subject.system, subject.candidate)
    constants = slab.constants(subject.child, (1, 1), 0.01)
    ours = slab.modes(constants, (1, 1)).free_energies(np.array([300.0])).sum()
    atoms = Atoms(f"Cu{len(slab.positions)}", slab.positions)
    atoms.calc = Forces(subject.child, box_around(slab.positions, slab.cell))
    vibrations = Vibrations(atoms, np.flatnonzero(slab.moving), tmp_path / "vib", delta=0.01)
    vibrations.run()
    energies = vibrations.get_energies().real
    expected = HarmonicThermo(energies).get_helmholtz_energy(300.0, verbose=False)
    assert ours == pytest.approx(expected, abs=1e-5)


@pytest.mark.lammps
def test_the_modes_of_a_repeated_slab_are_those_of_its_wave_vectors(subject: Subject):
    """Force constants of one cell against those of a slab that is repeated as it stands."""
    slab = held_phase(subject.child, subject.system, subject.candidate)
    ours = slab.modes(slab.constants(subject.child, (2, 1), 0.01), (2, 1))
    edge = np.array([*slab.cell[0], 0.0])
    twice = replace(
        slab,
        positions=np.concatenate([slab.positions, slab.positions + edge]),
        cell=slab.cell * [[2.0], [1.0]],
        moving=np.tile(slab.moving, 2),
        numbers=np.tile(slab.numbers, 2),
    )
    plain = twice.modes(twice.constants(subject.child, (1, 1), 0.01), (1, 1))
    np.testing.assert_allclose(np.sort(ours.thz.ravel()), plain.thz[0], atol=1e-4)
    kelvin = np.array([300.0])
    assert 2 * ours.free_energies(kelvin).sum() == pytest.approx(
        plain.free_energies(kelvin).sum(), abs=1e-6
    )


@pytest.mark.slow
@pytest.mark.lammps
def test_the_entropy_is_the_slope_of_the_free_energy(subject: Subject, values: dict):
    near = measure_free_energy(subject, settings_of([299.0, 300.0, 301.0], 10.0)).values
    slope = (near["free_energy_j_m2"][2] - near["free_energy_j_m2"][0]) / 2.0
    assert -1e3 * slope == pytest.approx(near["excess_entropy_mj_m2_k"][1], rel=1e-3)
    assert near["free_energy_j_m2"][1] == pytest.approx(values["free_energy_j_m2"][1])


@pytest.mark.lammps
def test_a_coherent_twin_has_about_the_free_energy_of_its_energy(values: dict):
    """Its atoms have the neighbours of the crystal; the twin energy is 22 mJ/m^2."""
    assert values["gb_energy_j_m2"] == pytest.approx(0.0222, abs=0.001)
    np.testing.assert_allclose(values["free_energy_j_m2"], 0.0222, atol=0.02)
    assert max(values["error_j_m2"]) < 0.005
    assert values["num_zero_modes"] == 0


@pytest.mark.lammps
def test_the_excess_of_a_perfect_crystal_is_nothing(subject: Subject):
    """Held layers cancel, and an atom beyond the crystals has the free energy of the crystal."""
    slab = held_phase(subject.child, subject.system, subject.candidate)
    bicrystal = bicrystal_of(subject.candidate, subject.system)
    thin = held_crystal(slab, bicrystal, "lower")
    positions, numbers = bicrystal.lattice_sites(
        "lower",
        (0.0, 0.0, 0.0),
        0.0,
        float(np.ptp(thin.positions[:, 2])) + 4.5 * bicrystal.plane_spacing,
    )
    thick = type(thin).between(positions, thin.cell, thin.num_held, numbers)
    repeats, kelvin = (6, 4), np.array(KELVIN)
    sums = [
        one.modes(one.constants(subject.child, repeats, 0.01), repeats)
        .free_energies(kelvin)
        .sum(axis=1)
        for one in (thick, thin)
    ]
    crystal = crystal_modes(subject.child, bicrystal.lower, 0.01)
    atom = crystal.free_energies(kelvin).mean(axis=1)
    num = len(thick.positions) - len(thin.positions)
    excess = (sums[0] - sums[1] - num * atom) / bicrystal.area * J_PER_M2
    # 3 mJ/m^2 at 600 K for five planes, whose waves are sampled at 24 points in the plane. Phases
    # have less than one plane beyond the crystals.
    np.testing.assert_allclose(excess, 0.0, atol=4e-3)


@pytest.mark.slow
@pytest.mark.lammps
def test_a_killed_measurement_goes_on_after_its_last_force_constants(
    subject: Subject, values: dict, tmp_path, monkeypatch
):
    resumed = replace(subject, folder=tmp_path / "unfinished")
    made = HeldSlab.constants
    calls = []

    def dying(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return made(self, *arguments)

    monkeypatch.setattr(HeldSlab, "constants", dying)
    with pytest.raises(KeyboardInterrupt):
        measure_free_energy(resumed, settings_of(KELVIN, 10.0))
    again = measure_free_energy(resumed, settings_of(KELVIN, 10.0)).values
    assert len(calls) == 3 + 7
    np.testing.assert_allclose(again["free_energy_j_m2"], values["free_energy_j_m2"], atol=1e-7)


@pytest.mark.lammps
def test_a_structure_that_was_not_relaxed_is_refused(subject: Subject):
    rattled = subject.candidate.positions.copy()
    middle = np.abs(rattled[:, 2] - rattled[:, 2].mean()) < 3
    rattled[middle] += np.random.default_rng(1).normal(0, 0.05, rattled[middle].shape)
    wrong = replace(subject, candidate=replace(subject.candidate, positions=rattled))
    with pytest.raises(SimulationError, match=r"gains .* J/m\^2 when it is relaxed"):
        measure_free_energy(wrong, settings_of(KELVIN, 10.0))


@pytest.mark.lammps
def test_a_phase_at_a_saddle_is_refused_with_its_name_and_the_frequency(tmp_path, monkeypatch):
    """Atoms of both grains on top of each other, where a single step of the minimiser leaves them
    and many do not.
    """
    monkeypatch.setattr(held, "FULLY", replace(held.FULLY, max_evaluations=1))
    with made_twin(tmp_path, max) as subject:
        assert subject.candidate.gb_energy_j_m2 > 0.3
        with pytest.raises(SimulationError, match=r"phase 0-1 has no harmonic .* imaginary.*i THz"):
            measure_free_energy(subject, settings_of(KELVIN, 10.0))


def test_an_intermediate_array_that_was_cut_is_made_again(tmp_path):
    path, whole = tmp_path / "a.npy", np.arange(6.0)
    assert (kept_array(path, lambda: whole) == whole).all()
    assert (kept_array(path, lambda: whole + 1) == whole).all()
    path.write_bytes(path.read_bytes()[:100])
    assert (kept_array(path, lambda: whole) == whole).all()


def test_the_cells_of_the_error_differ_and_the_work_is_known():
    assert Sizes.of(np.diag([10.008, 10.008]), 20.0) == Sizes((1, 1), (2, 2))
    assert Sizes.of(np.diag([2.556, 4.427]), 20.0) == Sizes((4, 3), (8, 5))
    assert Sizes.of(np.diag([30.0, 30.0]), 20.0) == Sizes((1, 1), (2, 2))


def record(energies: list[float], error: float = 0.01) -> SimpleNamespace:
    results = {
        "temperatures_k": [0.0, 500.0, 1000.0],
        "free_energy_j_m2": energies,
        "error_j_m2": [error] * 3,
    }
    return SimpleNamespace(results=results)


def test_a_transition_lies_where_two_free_energies_cross_and_has_an_error():
    low, high = record([2.0, 1.8, 1.6]), record([2.1, 1.8 + 0.02, 1.5])
    (found,) = transitions({"1/5-1": low, "2/5-1": high})  # type: ignore[dict-item]
    assert (found.below, found.above) == ("1/5-1", "2/5-1")
    # The gap falls from 0.02 at 500 K to -0.1 at 1000 K.
    assert found.temperature_k == pytest.approx(500 + 500 / 6)
    assert found.from_k == pytest.approx(500 + 500 / 6 * (0.02 - 0.01414) / 0.02, abs=2)
    assert found.to_k == pytest.approx(500 + 500 * (0.02 + 0.01414) / 0.12, abs=2)
    # Equal to the last bit at a temperature of the list.
    (exact,) = transitions({"1/5-1": low, "2/5-1": record([2.1, 1.8, 1.5])})  # type: ignore[dict-item]
    assert exact.temperature_k == pytest.approx(500.0)
    assert not transitions({"1/5-1": low, "2/5-1": record([2.1, 1.9, 1.7])})  # type: ignore[dict-item]


def test_temperatures_are_taken_in_kelvin_and_in_melting_points():
    assert temperature_of("0.3Tm", "W") == pytest.approx(0.3 * 3695)
    assert temperatures_of("0:0.5Tm:3", "Cu") == pytest.approx([0.0, 339.5, 679.0])
    assert len(temperatures_of("300:900", "Cu")) == 11
    for wrong in ("hot", "1:2:3:4", "900:300", "0:100:1", "-5"):
        with pytest.raises(GcdError, match="temperature"):
            temperatures_of(wrong, "Cu")
    with pytest.raises(GcdError, match="melting point of Xe is not known"):
        temperature_of("0.3Tm", "Xe")
