"""What a model learns from: low energies of every [n], each structure once."""

import numpy as np
import pytest

from gcd_hpc.errors import StoreError
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.stages.select import choose, select
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run_directory import RunDirectory

pytestmark = pytest.mark.lammps


def test_the_training_set_holds_relaxed_structures_within_the_window(searched_run):
    system = load_boundary_system(str(searched_run))
    everything = [
        row for row in read_part(RunDirectory(searched_run).search_part(0)) if row.status == "ok"
    ]
    chosen = read_part(RunDirectory(searched_run).training_set(1))
    assert chosen
    for row in chosen:
        lowest = min(
            other.gb_energy_j_m2
            for other in everything
            if np.isclose(other.n_fraction, row.n_fraction)
        )
        assert lowest <= row.gb_energy_j_m2 <= lowest + system.config.selection.energy_window_j_m2


def test_a_structure_that_was_found_twice_is_learnt_once(searched_run):
    system = load_boundary_system(str(searched_run))
    part = RunDirectory(searched_run).search_part(0)
    assert [row.id for row in choose(system, [part, part])] == [
        row.id for row in choose(system, [part])
    ]


def test_a_structure_with_fused_atoms_is_not_learnt(run_copy):
    run_dir = run_copy("run")
    part = RunDirectory(run_dir).search_part(0)
    rows = read_part(part)
    lowest = choose(load_boundary_system(str(run_dir)), [part])[0]
    spoilt = next(row for row in rows if row.id == lowest.id)
    object.__setattr__(spoilt, "gb_energy_j_m2", -1.6)
    spoilt.positions[150] = spoilt.positions[151] + [0.0, 0.0, 0.67]
    write_part(part, rows, {})
    chosen = choose(load_boundary_system(str(run_dir)), [part])
    assert chosen
    assert lowest.id not in [row.id for row in chosen]


def test_a_window_of_energies_withholds_what_lies_below(run_copy):
    run_dir = run_copy("run", "selection.min_energy_j_m2=3.0", "selection.energy_window_j_m2=5.0")
    chosen = choose(load_boundary_system(str(run_dir)), RunDirectory(run_dir).known_parts(1))
    assert chosen
    assert all(row.gb_energy_j_m2 >= 3.0 for row in chosen)


def test_a_window_without_structures_is_an_error(run_copy):
    run_dir = run_copy("run", "selection.min_energy_j_m2=50.0")
    with pytest.raises(StoreError, match="no relaxed structure lies in the energy window"):
        select(str(run_dir), 1)


def test_a_part_that_was_cut_short_is_named(run_copy):
    run_dir = run_copy("run")
    part = RunDirectory(run_dir).search_part(0)
    part.write_bytes(part.read_bytes()[:-2000])
    with pytest.raises(StoreError, match=r"part-00000\.h5"):
        select(str(run_dir), 1)
