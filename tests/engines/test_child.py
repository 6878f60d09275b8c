"""The LAMMPS child agrees with an independent code and forgets its last job."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk as crystal
from ase.calculators.eam import EAM
from ase.units import kB

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Anneal, RelaxJob
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.process import child_environment
from gcd_hpc.errors import PotentialError, SimulationError
from gcd_hpc.structures.frame import Frame

pytestmark = pytest.mark.lammps


@pytest.mark.parametrize(
    ("rattle", "force_tolerance"),
    # The tabulated embedding function has a kink, which the two codes smooth differently and only
    # strongly displaced atoms reach.
    [(0.05, 1e-6), (0.2, 0.05)],
)
def test_energies_and_forces_agree_with_ases_own_embedded_atom_code(
    rattle: float, force_tolerance: float, child: LammpsChild, potential: Potential
):
    atoms = crystal("W", "bcc", a=3.1648, cubic=True).repeat(3)
    atoms.rattle(rattle, seed=1)
    atoms.calc = EAM(potential=str(potential.files["W_zhou.eam.alloy"]))
    atoms.wrap()
    ours = child.evaluate(
        atoms.positions, np.array([np.zeros(3), atoms.cell.lengths()]), periodic_z=True
    )
    assert ours.energies.sum() / len(atoms) == pytest.approx(
        atoms.get_potential_energy() / len(atoms), abs=1e-6
    )
    np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=force_tolerance)


def test_a_relaxed_boundary_has_the_energy_and_forces_that_ase_finds(
    child: LammpsChild, potential: Potential, job: RelaxJob, frame: Frame
):
    relaxed = child.relax(job)
    atoms = frame.atoms(relaxed.positions)
    atoms.calc = EAM(potential=str(potential.files["W_zhou.eam.alloy"]))
    assert relaxed.energies.sum() / len(atoms) == pytest.approx(
        atoms.get_potential_energy() / len(atoms), abs=1e-6
    )
    free = ~(job.fixed | job.rigid)
    np.testing.assert_allclose(relaxed.forces[free], atoms.get_forces()[free], atol=1e-3)


def test_a_potential_is_read_from_a_path_relative_to_the_working_directory(
    job: RelaxJob, potential: Potential, tmp_path, monkeypatch
):
    """LAMMPS runs in a folder of its own, where such a path leads nowhere."""
    (name,) = potential.files
    shutil.copy(potential.files[name], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with LammpsChild(replace(potential, files={name: Path(name)}), 60.0) as child:
        assert np.isfinite(child.evaluate(job.positions, job.box).energies).all()


def test_a_potential_that_cannot_be_read_is_no_fault_of_the_structure(
    job: RelaxJob, potential: Potential, tmp_path
):
    """A candidate would be recorded as failed, and all that follow it."""
    (name,) = potential.files
    gone = replace(potential, files={name: tmp_path / "gone"})
    with LammpsChild(gone, 60.0) as child, pytest.raises(PotentialError, match="cannot open"):
        child.relax(job)


def test_a_used_child_gives_bitwise_what_a_new_one_gives(
    job: RelaxJob, child: LammpsChild, mortal_child: LammpsChild
):
    shifted = replace(job, positions=job.positions + 0.01, anneal=Anneal(800.0, 20, 0.002, 5))
    child.relax(shifted)
    with pytest.raises(SimulationError):
        child.relax(replace(job, positions=job.positions + 100.0))
    child.relax(shifted)
    child.evaluate(job.positions, job.box, near=job.positions[:, 2] > 30.0)
    used, new = child.relax(job), mortal_child.relax(job)
    np.testing.assert_array_equal(used.positions, new.positions)
    np.testing.assert_array_equal(used.energies, new.energies)
    assert (used.stop_reason, used.evaluations) == (new.stop_reason, new.evaluations)


def test_atoms_whose_energies_are_wanted_get_those_of_the_whole_structure(
    job: RelaxJob, child: LammpsChild, mortal_child: LammpsChild
):
    near = job.positions[:, 2] > 30.0
    whole = child.evaluate(job.positions, job.box)
    part = mortal_child.evaluate(job.positions, job.box, near=near)
    # Sums over neighbours in another order: some 1e-14 of 10 eV.
    np.testing.assert_allclose(part.energies[near], whole.energies[near], atol=1e-9)
    assert np.abs(part.energies - whole.energies)[~near].max() > 1.0
    assert part.cutoff == pytest.approx(7.8925)


def test_annealing_with_the_same_seed_is_the_same(
    job: RelaxJob, child: LammpsChild, mortal_child: LammpsChild
):
    annealed = replace(job, anneal=Anneal(1500.0, 50, 0.002, 5))
    np.testing.assert_array_equal(
        child.relax(annealed).positions, mortal_child.relax(annealed).positions
    )


@pytest.mark.parametrize("cooled_to", [1.0, 0.3])
def test_atoms_end_at_the_temperature_to_which_they_are_cooled(
    cooled_to: float, job: RelaxJob, child: LammpsChild
):
    """By equipartition, from the energy between the last step and the minimum below it."""
    anneal = Anneal(1500.0, 1500, 0.005, 5, cooled_to)
    stopped = replace(job.minimizer, max_evaluations=0)
    hot = child.relax(replace(job, anneal=anneal, minimizer=stopped))
    quenched = child.relax(replace(job, anneal=anneal))
    num_mobile = int((~(job.fixed | job.rigid)).sum())
    thermal_ev = 1.5 * num_mobile * kB * cooled_to * 1500.0
    assert hot.energies.sum() - quenched.energies.sum() == pytest.approx(thermal_ev, rel=0.25)


def test_annealing_with_another_seed_is_another(job: RelaxJob, child: LammpsChild):
    one, two = (
        child.relax(replace(job, anneal=Anneal(1500.0, 50, 0.002, seed))) for seed in (5, 6)
    )
    assert np.abs(one.positions - two.positions).max() > 0.01


def test_an_atom_outside_the_box_is_not_dropped_in_silence(job: RelaxJob, child: LammpsChild):
    outside = job.positions.copy()
    outside[3, 2] = job.box[1, 2] + 1.0
    with pytest.raises(SimulationError, match=f"took {len(outside) - 1} of {len(outside)} atoms"):
        child.relax(replace(job, positions=outside))


def test_a_bug_in_the_child_is_not_taken_for_a_refusal_of_lammps(child: LammpsChild, job: RelaxJob):
    """A box without edges makes Python stumble, not LAMMPS."""
    with pytest.raises(RuntimeError, match=r"(?s)ValueError.*Traceback.*lammps_worker.py"):
        child.relax(replace(job, box=np.zeros(1)))
    assert np.isfinite(child.relax(job).energies).all()


def test_the_child_never_takes_itself_for_a_rank_of_somebody_elses_job(
    monkeypatch: pytest.MonkeyPatch,
):
    for name in (
        "PMI_RANK",
        "PMIX_NAMESPACE",
        "OMPI_COMM_WORLD_RANK",
        "SLURM_STEP_ID",
        "HYDRA_BOOTSTRAP",
        "MPI_LOCALRANKID",
    ):
        monkeypatch.setenv(name, "1")
    environment = child_environment()
    assert not [
        name for name in environment if name.startswith(("PMI", "OMPI", "SLURM", "HYDRA", "MPI"))
    ]
    assert (environment["UCX_TLS"], environment["OMP_NUM_THREADS"]) == ("self,sm", "1")
