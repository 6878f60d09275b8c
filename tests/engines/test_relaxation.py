"""Relaxation and what is measured on it, against published structures, perfect crystals and
structures that no relaxation can save.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms

from gcd_hpc.config.campaign import BoundaryConfig, PotentialConfig, RelaxationConfig, Triad
from gcd_hpc.engines.box import cell_of
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Anneal, Minimizer, RelaxJob
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.engines.relaxation import PRESETS, Slab, relax_boundary
from gcd_hpc.errors import SimulationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image
from tests.reference import ENERGIES_J_M2, GROUND_STATE, METASTABLE, phase

pytestmark = pytest.mark.lammps


@pytest.mark.parametrize(("path", "fraction"), [(GROUND_STATE, 0.2), (METASTABLE, 0.4)])
def test_reference_structures_have_the_published_energies(
    path: Path,
    fraction: float,
    child: LammpsChild,
    frame: Frame,
    bulk: Bulk,
    config: RelaxationConfig,
):
    """To 0.0002 J/m^2: the published figures have four digits."""
    relaxed = relax_boundary(child, phase(path), frame.bicrystal, bulk, config)
    assert relaxed.gb_energy_j_m2 == pytest.approx(ENERGIES_J_M2[path], abs=2e-4)
    assert relaxed.n_fraction == pytest.approx(fraction)
    assert relaxed.converged
    assert np.abs(relaxed.shift).max() < 0.01, "it was relaxed already"


def test_a_boundary_between_equal_grains_costs_nothing(
    child: LammpsChild, bulk: Bulk, config: RelaxationConfig
):
    triad = Triad(x=(1, 0, 0), y=(0, 1, 0), z=(0, 0, 1))
    boundary = BoundaryConfig(element="W", lattice="bcc", lower=triad, upper=triad, replicas=(3, 3))
    crystal = Frame.build(Bicrystal.build(boundary, bulk.a0), (27.0, 27.0), 66.0)
    relaxed = relax_boundary(child, crystal.join((0.0, 0.0, 0.0)), crystal.bicrystal, bulk, config)
    assert relaxed.gb_energy_j_m2 == pytest.approx(0.0, abs=1e-3)
    assert relaxed.excess_volume == pytest.approx(0.0, abs=1e-3)
    assert relaxed.n_fraction == 0.0


def copper_tilt() -> tuple[Potential, Bicrystal]:
    """Cu Sigma5 (310)[001] and a potential that binds two fused atoms with 3.3 eV each."""
    config = PotentialConfig(pair_style="eam", pair_coeff="* * {file}", file="Cu_u3.eam")
    boundary = BoundaryConfig(
        element="Cu",
        lattice="fcc",
        lower=Triad(x=(0, 0, 1), y=(-1, 3, 0), z=(-3, -1, 0)),
        upper=Triad(x=(0, 0, 1), y=(1, 3, 0), z=(-3, 1, 0)),
        replicas=(2, 1),
    )
    return find_potential(config, "Cu", Path()), Bicrystal.build(boundary, 3.615)


def test_two_atoms_that_fused_are_a_failure_with_their_distance(config: RelaxationConfig):
    """The minimiser converges, and the energy would be the lowest of the whole campaign."""
    potential, bicrystal = copper_tilt()
    frame = Frame.build(bicrystal, (27.0, 27.0), 70.0)
    atoms = frame.join((0.0, 0.0, 0.5))
    near = np.argsort(np.abs(atoms.positions[:, 2] - frame.centre))[:2]
    atoms.positions[near[1]] = atoms.positions[near[0]] + [0.0, 0.9, 0.0]
    bulk = measure_bulk(potential, "Cu", "fcc")
    fused = pytest.raises(SimulationError, match=r"two relaxed atoms are 0\.\d+ Å apart")
    with LammpsChild(potential, 60.0) as child, fused:
        relax_boundary(child, atoms, bicrystal, bulk, config, finish=False)


def test_grains_that_were_pulled_apart_are_no_boundary(
    child: LammpsChild, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    """The forces end at the cutoff of 7.9 Å, so the minimiser stops at once."""
    atoms = frame.join((0.0, 0.0, 0.0))
    atoms.positions[atoms.positions[:, 2] > frame.centre, 2] += 10.0
    atoms.cell[2, 2] += 20.0
    with pytest.raises(SimulationError, match=r"excess volume of 10\.\d\d Å is not between"):
        relax_boundary(child, atoms, frame.bicrystal, bulk, config, finish=False)


def test_a_rigid_shift_of_equal_grains_is_taken_back(
    child: LammpsChild, bulk: Bulk, config: RelaxationConfig
):
    triad = Triad(x=(1, 0, 0), y=(0, 1, 0), z=(0, 0, 1))
    boundary = BoundaryConfig(element="W", lattice="bcc", lower=triad, upper=triad, replicas=(3, 3))
    crystal = Frame.build(Bicrystal.build(boundary, bulk.a0), (27.0, 27.0), 66.0)
    relaxed = relax_boundary(child, crystal.join((0.3, 0.2, 0.4)), crystal.bicrystal, bulk, config)
    assert relaxed.gb_energy_j_m2 == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(relaxed.shift, [-0.3, -0.2, -0.4], atol=0.02)


def test_the_bottom_stays_and_the_top_moves_as_one_body(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    relaxed = relax_boundary(child, start, frame.bicrystal, bulk, config)
    z = start.positions[:, 2]
    moves = minimum_image(relaxed.positions - start.positions, frame.bicrystal.cell)
    np.testing.assert_allclose(moves[z < z.min() + 7.9], 0.0, atol=1e-12)
    top = moves[z > z.max() - 7.9]
    np.testing.assert_allclose(top, np.broadcast_to(relaxed.shift, top.shape), atol=1e-9)
    assert np.linalg.norm(relaxed.shift) > 0.01


def test_upright_atoms_move_along_the_normal_only(child: LammpsChild, job: RelaxJob):
    """Also those of the top, which still move as one body, and also while they are annealed."""
    everything = np.ones(len(job.positions), dtype=bool)
    anneal = Anneal(temperature_k=1000.0, num_steps=50, timestep_ps=0.002, seed=1)
    for one in (job, replace(job, anneal=anneal)):
        result = child.relax(replace(one, upright=everything))
        moved = minimum_image(result.positions - job.positions, cell_of(job.box))
        assert np.array_equal(moved[:, :2], np.zeros((len(moved), 2)))
        top = moved[job.rigid, 2]
        np.testing.assert_allclose(top, top[0], atol=1e-10)
        assert abs(top[0]) > 0.01
        assert np.ptp(moved[~job.rigid, 2]) > 0.1


def test_atoms_between_upright_ends_move_along_all_axes(child: LammpsChild, job: RelaxJob):
    result = child.relax(replace(job, upright=job.rigid))
    moved = minimum_image(result.positions - job.positions, cell_of(job.box))
    assert np.array_equal(moved[job.rigid, :2], np.zeros((int(job.rigid.sum()), 2)))
    assert np.abs(moved[~job.rigid, :2]).max() > 0.1


def test_the_structure_given_is_not_changed(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    before = start.positions.copy()
    relax_boundary(child, start, frame.bicrystal, bulk, config, finish=False)
    np.testing.assert_array_equal(start.positions, before)


def test_the_energy_does_not_depend_on_where_the_slab_lies(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    moved = start.copy()
    moved.translate([2.0, 3.0, -0.5])
    one, two = (
        relax_boundary(child, atoms, frame.bicrystal, bulk, config, finish=False)
        for atoms in (start, moved)
    )
    assert one.gb_energy_j_m2 == pytest.approx(two.gb_energy_j_m2, abs=1e-6)


def test_a_screened_structure_keeps_its_screen_and_is_finished_only_if_asked(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    asked = []

    def never(n_index: int, energy: float) -> bool:
        asked.append((n_index, energy))
        return False

    screened = relax_boundary(child, start, frame.bicrystal, bulk, config, finish=never)
    finished = relax_boundary(child, start, frame.bicrystal, bulk, config)
    assert asked == [(screened.n_index, screened.gb_energy_j_m2)]
    assert (screened.preset, finished.preset) == ("screen", "tight")
    assert (
        finished.screen_gb_energy_j_m2 == screened.gb_energy_j_m2 == screened.screen_gb_energy_j_m2
    )
    assert finished.gb_energy_j_m2 <= screened.gb_energy_j_m2
    assert finished.max_force < screened.max_force
    assert finished.evaluations > screened.evaluations


def test_without_a_screen_there_is_no_screened_energy(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk
):
    relaxed = relax_boundary(
        child, start, frame.bicrystal, bulk, RelaxationConfig(preset="paper", screen=False)
    )
    assert np.isnan(relaxed.screen_gb_energy_j_m2)
    assert relaxed.preset == "paper"


def test_tight_is_as_good_as_the_tolerances_of_grip(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    slab = Slab.of(start, frame.bicrystal, bulk, config)
    screened = child.relax(slab.job(PRESETS["paper"], slab.positions, None)).positions
    grip = Minimizer(etol=1e-15, ftol=1e-15, max_evaluations=100_000)
    tight, reference = (
        slab.energy(child.relax(slab.job(minimizer, screened, None)))
        for minimizer in (PRESETS["tight"], grip)
    )
    assert tight == pytest.approx(reference, abs=1e-4)


def test_annealing_leaves_a_relaxed_structure(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    relaxed = relax_boundary(
        child, start, frame.bicrystal, bulk, config, anneal=Anneal(1500.0, 200, 0.002, 3)
    )
    calm = relax_boundary(child, start, frame.bicrystal, bulk, config)
    assert relaxed.max_force < 0.01
    assert np.abs(relaxed.positions - calm.positions).max() > 0.1
    z = start.positions[:, 2]
    np.testing.assert_allclose(
        relaxed.positions[z < z.min() + 7.9, 2], z[z < z.min() + 7.9], atol=1e-12
    )


def test_a_structure_that_needs_more_evaluations_than_allowed_has_not_converged(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    slab = Slab.of(start, frame.bicrystal, bulk, config)
    result = child.relax(
        slab.job(replace(PRESETS["tight"], max_evaluations=10), slab.positions, None)
    )
    assert not slab.relaxed([result], {"tight": 3.0}, "tight", 0.0).converged


def test_the_cost_is_counted_as_evaluations_and_steps_of_dynamics_times_atoms(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    calm, annealed = (
        relax_boundary(child, start, frame.bicrystal, bulk, config, anneal=anneal)
        for anneal in (None, Anneal(1500.0, 200, 0.002, 3))
    )
    assert calm.atom_evaluations == calm.evaluations * len(start)
    assert annealed.atom_evaluations == (annealed.evaluations + 200) * len(start)


def test_the_processor_time_is_that_of_lammps_and_of_this_process(
    mortal_child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    relax_boundary(mortal_child, start, frame.bicrystal, bulk, config)  # starts LAMMPS
    lammps, before_s = psutil.Process(mortal_child.pid), time.process_time()
    lammps_before_s = sum(lammps.cpu_times()[:2])
    relaxed = [relax_boundary(mortal_child, start, frame.bicrystal, bulk, config) for _ in range(5)]
    spent_s = time.process_time() - before_s + sum(lammps.cpu_times()[:2]) - lammps_before_s
    # The kernel counts the time of another process in steps of 10 ms.
    assert sum(one.cpu_s for one in relaxed) == pytest.approx(spent_s, rel=0.1, abs=0.03)


def overlapping(positions: np.ndarray) -> None:
    positions[170] = positions[171] + [0.01, 0.0, 0.0]


def not_a_number(positions: np.ndarray) -> None:
    positions[170, 1] = np.nan


def outside(positions: np.ndarray) -> None:
    positions[170, 2] = 500.0


def flat(positions: np.ndarray) -> None:
    positions[:, 2] *= 0.3


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (overlapping, "atoms overlap: expected at least 0.82 Å between two, got 0.01 Å"),
        (not_a_number, "1 of .* positions are not finite"),
        (outside, "atom 170 lies outside the box: expected 0 <= z <= 60.05 Å, got 500.00"),
        (flat, "expected a slab of at least 40.0 Å"),
    ],
)
def test_a_spoilt_structure_is_told_and_the_next_one_relaxes(
    spoil,
    reason: str,
    child: LammpsChild,
    start: Atoms,
    frame: Frame,
    bulk: Bulk,
    config: RelaxationConfig,
):
    spoilt = start.copy()
    spoil(spoilt.positions)
    with pytest.raises(SimulationError, match=reason):
        relax_boundary(child, spoilt, frame.bicrystal, bulk, config)
    assert (
        relax_boundary(child, start, frame.bicrystal, bulk, config, finish=False).gb_energy_j_m2
        < 6.0
    )


def test_layers_thinner_than_the_cutoff_are_refused(
    child: LammpsChild, start: Atoms, frame: Frame, bulk: Bulk
):
    with pytest.raises(
        SimulationError,
        match=r"outer_thickness is 5 Å, less than the potential's reach of 7\.893 Å",
    ):
        relax_boundary(child, start, frame.bicrystal, bulk, RelaxationConfig(outer_thickness=5.0))


def test_an_energy_that_no_crystal_has_is_refused(
    start: Atoms, child: LammpsChild, frame: Frame, bulk: Bulk, config: RelaxationConfig
):
    slab = Slab.of(start, frame.bicrystal, bulk, config)
    result = child.relax(slab.job(PRESETS["paper"], slab.positions, None))
    with pytest.raises(
        SimulationError, match=r"energy per atom, .* eV, is too far from the crystal's"
    ):
        slab.energy(replace(result, energies=result.energies * 2))
