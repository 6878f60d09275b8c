"""Pair styles that ship files with LAMMPS: their energies, their reach, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from benchmarks import potentials as table
from gcd_hpc.campaign import soundness
from gcd_hpc.campaign.draft import potential_of
from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines import child as child_module
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Anneal, RelaxJob
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.errors import ConfigError, PotentialError
from tests.engines.test_child_time import sent_to

__all__ = ["sent_to"]
pytestmark = pytest.mark.lammps


def shipped(element: str, lattice: str, file: str) -> Potential:
    config = potential_of(element, lattice, file).config(element)
    return find_potential(config, element, Path())


@pytest.mark.parametrize(
    "file",
    ["Cu_u3.eam", pytest.param("Si.tersoff", marks=pytest.mark.slow), "Ni.meam", "Ta06A.snap"],
)
def test_the_crystal_is_that_of_an_evaluation_without_this_package(file: str, tmp_path: Path):
    (case,) = (one for one in table.CASES if one.file == file)
    potential, a0, cohesive_ev, _ = table.measured(case, tmp_path)
    other = table.by_ase(case) if case.ase else table.by_lammps(case, tmp_path)
    assert (a0, cohesive_ev) == (
        pytest.approx(other[0], abs=table.SAME_A0),
        pytest.approx(other[1], abs=table.SAME_EV),
    )
    assert table.sum_error(potential, case, a0) < table.SUM_EV


@pytest.mark.slow
@pytest.mark.parametrize("case", table.CASES, ids=lambda case: case.name)
def test_a_potential_is_sound_from_init_to_search(case: table.Case, tmp_path: Path):
    assert not list(table.faults(table.tried(case, tmp_path / "run")))


def test_the_page_has_the_rows_of_the_table():
    rows = table.kept_rows()
    assert table.PAGE.read_text(encoding="utf-8") == table.page(rows)
    assert not [fault for row in rows for fault in table.faults(row)]
    assert len(rows) >= 12
    assert len({row.pair_style for row in rows}) >= 8
    text = table.PAGE.read_text(encoding="utf-8")
    assert [case.file for case in table.CASES if f"`{case.file}`" not in text] == []


def test_new_rows_take_the_place_of_their_own_and_leave_those_of_other_potentials():
    rows = table.kept_rows()
    again = replace(rows[3], seconds=1.0)
    assert table.joined(rows, [again]) == [*rows[:3], again, *rows[4:]]
    assert table.joined([*rows[:3], *rows[4:]], [rows[3]]) == rows


@pytest.mark.parametrize(
    ("element", "lattice", "a0", "file"),
    [
        ("Cu", "fcc", 3.615, "Cu_u3.eam"),
        ("Al", "fcc", 4.05, "AlCu.bop.table"),
        ("Mo", "bcc", 3.15, "MoCoNiVFeAlCr_2nn.meam"),
        ("Si", "diamond", 5.43, "Si.sw"),
        ("Si", "diamond", 5.43, "Si_1.meam.spline"),
        ("Ta", "bcc", 3.316, "Ta06A.mliap"),
    ],
)
def test_an_atom_changes_no_energy_beyond_the_reach_and_local_energies_are_exact(
    element: str, lattice: str, a0: float, file: str
):
    """What a local relaxation and the sum over atoms beyond the surfaces rely on.

    Only rounding remains: energies of tens of eV times 1e-16 over some hundred neighbours.
    """
    potential = shipped(element, lattice, file)
    atoms = bulk(element, lattice, a0, cubic=True).repeat(int(np.ceil(20 / a0)))
    positions = atoms.positions + np.random.default_rng(1).normal(0.0, 0.05, (len(atoms), 3))
    lengths = atoms.cell.lengths()
    box = np.array([np.zeros(3), lengths])
    with LammpsChild(potential, 60.0) as child:
        before = child.evaluate(positions % lengths, box, periodic_z=True)
        moved = positions + 0.0
        moved[0] += [0.2, 0.15, 0.1]
        after = child.evaluate(moved % lengths, box, periodic_z=True)
        offsets = positions - moved[0]
        offsets -= lengths * np.rint(offsets / lengths)
        distances = np.linalg.norm(offsets, axis=1)
        assert before.cutoff is not None
        spread = potential.num_cutoffs
        changed = np.abs(after.energies - before.energies) > 1e-9
        assert 1.0 < distances[changed].max() <= spread * before.cutoff + 0.27
        near = distances <= (2 * spread - 1) * before.cutoff
        local = child.evaluate(moved % lengths, box, periodic_z=True, near=near)
        inside = distances <= spread * before.cutoff
        np.testing.assert_allclose(local.energies[inside], after.energies[inside], atol=1e-9)


def test_a_style_that_needs_atoms_beyond_its_cutoff_gets_them():
    """LAMMPS refuses bop without comm_modify; Zhou et al. (2015) give 4.05 Å and -3.36 eV."""
    crystal = measure_bulk(shipped("Al", "fcc", "AlCu.bop.table"), "Al", "fcc")
    assert crystal.a0 == pytest.approx(4.05, abs=2e-3)
    assert crystal.cohesive_ev == pytest.approx(-3.36, abs=2e-3)
    assert (crystal.cutoff, crystal.reach) == (pytest.approx(4.2), pytest.approx(8.4))


def test_a_minimum_of_a_fitted_potential_far_from_the_crystal_is_not_taken_for_it():
    """The energy of this SNAP falls without end below 3.1 Å."""
    crystal = measure_bulk(shipped("Cu", "fcc", "Cu_Zuo_JPCA2020.quadratic.snap"), "Cu", "fcc")
    assert crystal.a0 == pytest.approx(3.63, abs=0.02)


def test_a_style_without_energies_is_refused():
    config = PotentialConfig(pair_style="agni", pair_coeff="* * {file} Al", file="Al_jpc.agni")
    with pytest.raises(PotentialError, match="gives forces but no energies, which E_gb needs"):
        measure_bulk(find_potential(config, "Al", Path()), "Al", "fcc")


def test_a_style_that_this_lammps_lacks_is_named():
    config = PotentialConfig(
        pair_style="pace", pair_coeff="* * {file} Cu", file="Cu-PBE-core-rep.ace"
    )
    with pytest.raises(PotentialError, match=re.escape("part of the ML-PACE package")):
        measure_bulk(find_potential(config, "Cu", Path()), "Cu", "fcc")


def test_a_slow_potential_gets_more_time_once_it_has_exceeded_it(
    potential: Potential, job: RelaxJob, sent_to: list[int], monkeypatch: pytest.MonkeyPatch
):
    """About 1 s of dynamics of a potential that counts as a thousand times slower than others.

    One job is stopped, one measures the time, and two are finished, for the time is kept.
    """
    monkeypatch.setattr(child_module, "SECONDS_PER_ATOM_STEP", 0.0)
    monkeypatch.setattr(child_module, "USUAL_S", 1e-9)
    annealed = replace(job, anneal=Anneal(1500.0, 1200, 0.002, 5))
    with LammpsChild(potential, 0.1) as child:
        first = child.relax(annealed)
        np.testing.assert_array_equal(child.relax(annealed).positions, first.positions)
    assert len(sent_to) == 4
    assert len(set(sent_to)) == 2


@pytest.mark.parametrize("accelerator", ["opt", "omp"])
def test_an_accelerator_gives_the_same_energies_but_for_rounding(
    accelerator: str, potential: Potential, job: RelaxJob
):
    config = PotentialConfig(
        pair_style="eam/alloy",
        pair_coeff="* * {file} W",
        file="W_zhou.eam.alloy",
        accelerator=accelerator,
    )
    quick = find_potential(config, "W", Path())
    assert quick.sha256 != potential.sha256
    with LammpsChild(potential, 60.0) as child, LammpsChild(quick, 60.0) as other:
        expected, found = (one.evaluate(job.positions, job.box) for one in (child, other))
        np.testing.assert_allclose(found.energies, expected.energies, rtol=0, atol=1e-10)
        relaxed = other.relax(job)
        assert relaxed.energies.sum() == pytest.approx(child.relax(job).energies.sum(), abs=0.5)


def test_an_accelerator_that_this_lammps_lacks_is_refused():
    """By the check of a campaign file, and by LAMMPS where that could not tell."""
    config = PotentialConfig(
        pair_style="lj/cut 8.5", pair_coeff="* * 0.0104 3.4", accelerator="kokkos"
    )
    potential = find_potential(config, "Ar", Path())
    with pytest.raises(ConfigError, match=r"accelerator: is kokkos, but the LAMMPS that"):
        soundness._check_styles(potential, "a.yaml")
    with pytest.raises(PotentialError, match="cannot start with the accelerator kokkos"):
        measure_bulk(potential, "Ar", "fcc")
