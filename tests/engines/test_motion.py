"""Virials of single atoms, force constants and stretches of dynamics, by LAMMPS and by ASE."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk as crystal
from ase.calculators.eam import EAM

from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.calculators import find_calculator
from gcd_hpc.engines.child import Child, LammpsChild
from gcd_hpc.engines.jobs import DisplacementJob, DynamicsJob, RelaxJob
from gcd_hpc.engines.motion import force_constants, run_dynamics
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.errors import SimulationError

LAMMPS = pytest.mark.lammps


@pytest.fixture(scope="module")
def emt_child() -> Iterator[Child]:
    calculator = find_calculator(CalculatorConfig(name="emt"), ["Cu"], "fcc", Path())
    with Child(calculator, 120.0) as process:
        yield process


def rattled(symbol: str, lattice: str, a0: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) Å of a small disturbed crystal, and its edges (3,) Å."""
    atoms = crystal(symbol, lattice, a=a0, cubic=True).repeat(3)
    atoms.rattle(0.05, seed=1)
    atoms.wrap()
    return atoms.positions, atoms.cell.lengths()


def strained_ev(
    child: Child, positions: np.ndarray, edges: np.ndarray, component: int, strain: float
) -> float:
    """Energy of a crystal under one strain in the order xx yy zz yz xz xy, eV."""
    row, column = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][component]
    change = np.eye(3)
    change[column, row] += strain  # positions x become x + strain z, and so on
    cell = np.diag(edges) @ change
    box = np.array(
        [np.zeros(3), cell.diagonal(), [cell[1, 0], cell[2, 0], cell[2, 1]]], dtype=float
    )
    return child.evaluate(positions @ change, box, periodic_z=True).total_ev


@LAMMPS
def test_virials_of_atoms_are_the_derivatives_of_the_energy_with_respect_to_strain(
    child: LammpsChild,
):
    """In the order xx yy zz yz xz xy and positive under tension, and together -pressure V."""
    positions, edges = rattled("W", "bcc", 3.20)
    box = np.array([np.zeros(3), edges])
    found = child.evaluate(positions, box, periodic_z=True, virials=True)
    plain = child.evaluate(positions, box, periodic_z=True)
    assert found.virials_ev is not None and found.virials_ev.shape == (len(positions), 6)
    assert plain.virials_ev is None
    np.testing.assert_array_equal(found.forces, plain.forces)
    total = found.virials_ev.sum(axis=0)
    volume = float(np.prod(edges))
    # LAMMPS' bar and that of ase differ by 2e-7.
    assert total[:3].mean() == pytest.approx(-found.pressure_bar * units.bar * volume, rel=1e-6)
    for component in range(6):
        step = 1e-4
        up, down = (
            strained_ev(child, positions, edges, component, sign * step) for sign in (1, -1)
        )
        # The tables of the potential are splines, whose second derivative limits the differences.
        assert total[component] == pytest.approx((up - down) / (2 * step), abs=2e-3)


def test_virials_of_a_calculator_are_the_derivatives_of_its_energy_too():
    """Lennard-Jones of ASE, whose per-atom stresses are relative to the volume of the structure."""
    arguments = {"sigma": 2.3, "epsilon": 0.4, "rc": 6.0}
    config = CalculatorConfig(name="ase.calculators.lj:LennardJones", arguments=arguments)
    positions, edges = rattled("Cu", "fcc", 3.65)
    box = np.array([np.zeros(3), edges])
    with Child(find_calculator(config, ["Cu"], "fcc", Path()), 60.0) as child:
        found = child.evaluate(positions, box, periodic_z=True, virials=True)
        assert found.virials_ev is not None and found.virials_ev.shape == (len(positions), 6)
        for component in (0, 1, 2, 5):  # boxes of slabs lean along x alone
            up, down = (
                strained_ev(child, positions, edges, component, sign * 1e-4) for sign in (1, -1)
            )
            assert found.virials_ev.sum(axis=0)[component] == pytest.approx(
                (up - down) / 2e-4, abs=1e-3
            )


def test_a_calculator_without_stresses_of_atoms_refuses_virials(emt_child: Child):
    positions, edges = rattled("Cu", "fcc", 3.61)
    with pytest.raises(SimulationError, match="no stresses of single atoms"):
        emt_child.evaluate(positions, np.array([np.zeros(3), edges]), periodic_z=True, virials=True)


@LAMMPS
def test_force_constants_are_those_of_ases_own_embedded_atom_code(
    child: LammpsChild, potential: Potential
):
    positions, edges = rattled("W", "bcc", 3.1648)
    moving, step = np.array([1, 5, 30]), 0.01
    box = np.array([np.zeros(3), edges])
    job = DisplacementJob(positions, box, moving, np.array([5, 1]), step, periodic_z=True)
    found = force_constants(child, job)
    assert found.shape == (6, 9)
    # Displaced atoms 5 and 1, moving atoms 1, 5 and 30: the block of 5 and 1 is there twice.
    blocks = found.reshape(2, 3, 3, 3)
    np.testing.assert_allclose(blocks[0, :, 0], blocks[1, :, 1].T, atol=1e-3)
    atoms = crystal("W", "bcc", a=3.1648, cubic=True).repeat(3)
    atoms.calc = EAM(potential=str(potential.files["W_zhou.eam.alloy"]))
    sides = []
    for sign in (1, -1):
        atoms.positions = positions
        atoms.positions[5, 1] += sign * step
        sides.append(atoms.get_forces()[moving])
    expected = (sides[1] - sides[0]) / (2 * step)
    np.testing.assert_allclose(blocks[0, 1], expected, atol=2e-3)


@LAMMPS
def test_force_constants_do_not_depend_on_the_number_of_jobs(
    child: LammpsChild, job: RelaxJob, monkeypatch
):
    moving = np.flatnonzero(~(job.fixed | job.rigid))
    displaced = moving[:7]
    wanted = DisplacementJob(job.positions, job.box, moving, displaced, 0.01)
    steps: list[int] = []
    whole = force_constants(child, wanted, steps.append)
    monkeypatch.setattr("gcd_hpc.engines.motion.STEPS_PER_JOB", 12)
    parts = force_constants(child, wanted, steps.append)
    assert steps == [42, 12, 12, 12, 6]
    # Each displaced atom is put back, which costs its last bit.
    np.testing.assert_allclose(parts, whole, atol=1e-8)


def test_force_constants_of_a_calculator_are_symmetric_and_do_not_feel_a_shift(emt_child: Child):
    positions, edges = rattled("Cu", "fcc", 3.61)
    every = np.arange(len(positions))
    box = np.array([np.zeros(3), edges])
    found = force_constants(
        emt_child, DisplacementJob(positions, box, every, every[:2], 0.01, periodic_z=True)
    )
    np.testing.assert_allclose(found[:3, 3:6], found[3:6, :3].T, atol=1e-3)
    np.testing.assert_allclose(found.reshape(6, -1, 3).sum(axis=1), 0.0, atol=1e-8)


@pytest.fixture
def dynamics_job(job: RelaxJob) -> DynamicsJob:
    return DynamicsJob(job.positions, job.box, job.fixed, job.rigid, 600.0, 400, 0.002, 5)


@LAMMPS
def test_a_stretch_of_dynamics_holds_the_bottom_and_moves_the_top_as_one_body(
    child: LammpsChild, mortal_child: LammpsChild, job: RelaxJob, dynamics_job: DynamicsJob
):
    start = replace(dynamics_job, positions=child.relax(job).positions)
    first = run_dynamics(child, start)
    second = run_dynamics(
        child, replace(start, positions=first.positions, velocities=first.velocities, seed=6)
    )
    np.testing.assert_array_equal(second.positions[job.fixed], start.positions[job.fixed])
    rigid = second.velocities[job.rigid]
    np.testing.assert_allclose(rigid, np.broadcast_to(rigid[0], rigid.shape), atol=1e-12)
    # 0.8 ps of some 150 atoms after the start; the mean of one stretch has a spread of 3 %.
    assert second.temperature_k == pytest.approx(600.0, rel=0.12)
    assert second.potential_ev > child.evaluate(start.positions, job.box).total_ev
    # The same stretch from the same state is bit for bit the same in another process.
    again = run_dynamics(mortal_child, start)
    np.testing.assert_array_equal(again.positions, first.positions)
    np.testing.assert_array_equal(again.velocities, first.velocities)


@LAMMPS
def test_dynamics_at_a_temperature_that_tears_the_slab_apart_are_refused(
    child: LammpsChild, dynamics_job: DynamicsJob
):
    with pytest.raises(SimulationError):
        run_dynamics(child, replace(dynamics_job, temperature_k=1e7))


def test_a_calculator_runs_stretches_of_dynamics(emt_child: Child):
    atoms = crystal("Cu", "fcc", a=3.61, cubic=True).repeat((2, 2, 5))
    z = atoms.positions[:, 2]
    box = np.array([[0, 0, -10], [*atoms.cell.lengths()[:2], z.max() + 10]])
    fixed, rigid = z < 3.0, z > z.max() - 3.0
    job = DynamicsJob(atoms.positions, box, fixed, rigid, 300.0, 100, 0.002, 3)
    first = run_dynamics(emt_child, job)
    second = run_dynamics(
        emt_child, replace(job, positions=first.positions, velocities=first.velocities, seed=4)
    )
    # ASE counts positions from the corner of the box, which costs the last bit.
    np.testing.assert_allclose(second.positions[fixed], atoms.positions[fixed], atol=1e-12)
    assert 150.0 < second.temperature_k < 450.0
    moved = second.positions[rigid] - atoms.positions[rigid]
    moved -= np.rint(moved / box[1]) * box[1] * [1, 1, 0]
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-9)
