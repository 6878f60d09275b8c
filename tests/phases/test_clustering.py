"""Phases of files that hold the published structures of the W Sigma5 twist boundary."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gcd_hpc.cli.application import app
from gcd_hpc.errors import StoreError
from gcd_hpc.phases.clustering import find_phases, unique
from gcd_hpc.phases.measuring import Results, measure
from gcd_hpc.phases.phase import phase_named
from gcd_hpc.structures.fingerprint import SAME_FINGERPRINT, distance, slab_fingerprint
from tests.phases.published import (
    COHESIVE_EV,
    REACH,
    bicrystal,
    candidate,
    rattled,
    repeated,
    run_of,
)
from tests.reference import ATOM_ENERGY, ENERGIES_J_M2, GROUND_STATE, METASTABLE, phase


@pytest.fixture(scope="module")
def ground():
    return phase(GROUND_STATE)


@pytest.fixture(scope="module")
def metastable():
    return phase(METASTABLE)


def turned(atoms, operation):
    """A structure after a symmetry operation of the boundary."""
    one = atoms.copy()
    one.positions[:] = bicrystal().wrap(atoms.positions @ operation.T)
    one.positions[:, 2] += 5.0 - one.positions[:, 2].min()
    return one


def test_all_finds_of_one_structure_are_one_phase_with_its_name(tmp_path, ground):
    """Finds differ by what a relaxation leaves open, and by symmetry operations."""
    operations = bicrystal().symmetry_operations
    rows = [candidate(number, turned(ground, one)) for number, one in enumerate(operations)]
    rows.append(candidate(len(rows), rattled(ground, 0.001), gb_energy_j_m2=2.2972))
    (found,) = find_phases(run_of(tmp_path / "results.h5", rows))
    assert len(operations) == 8
    assert (found.name, found.file_name) == ("1/5-1", "1of5-1")
    assert set(found.members) == {row.id for row in rows}
    assert found.gb_energy_j_m2 == pytest.approx(ENERGIES_J_M2[GROUND_STATE], abs=1e-4)


def test_a_phase_in_a_larger_cell_is_the_same_and_its_smallest_cell_represents_it(
    tmp_path, ground, metastable
):
    small = run_of(tmp_path / "a.h5", [candidate(3, ground)])
    double = candidate(0, repeated(ground, 2, 1), gb_energy_j_m2=2.2960)
    large = run_of(tmp_path / "b.h5", [double, candidate(1, metastable)], (2, 1))
    first, second = find_phases(small, larger={"b": large})
    assert (first.name, first.members) == ("1/5-1", ("b.search-000000", "search-000003"))
    assert (first.representative.id, first.replicas) == ("search-000003", (1, 1))
    assert (second.name, second.members) == ("2/5-1", ("b.search-000001",))
    assert second.replicas == (2, 1)


def test_another_structure_of_the_same_n_has_the_next_rank(tmp_path, ground):
    z = ground.positions[:, 2]
    # A vacancy beside an interstitial: the number of atoms stays.
    other = ground.copy()
    middle = int(np.argmin(np.abs(z - z.mean())))
    other.positions[middle, 2] += 2.0
    rows = [candidate(0, other, gb_energy_j_m2=2.5), candidate(1, ground)]
    names = [(one.name, one.members) for one in find_phases(run_of(tmp_path / "a.h5", rows))]
    assert names == [("1/5-1", ("search-000001",)), ("1/5-2", ("search-000000",))]


def test_candidates_that_were_not_relaxed_to_the_end_are_no_phases(tmp_path, ground):
    rows = [candidate(0, ground, preset="screen"), candidate(1, ground)]
    (found,) = find_phases(run_of(tmp_path / "a.h5", rows))
    assert found.members == ("search-000001",)


def test_finding_phases_writes_nothing(tmp_path, ground):
    run = run_of(tmp_path / "a.h5", [candidate(0, ground)])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    find_phases(run)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_phase_is_named_by_its_name_its_file_name_or_a_member(tmp_path, ground):
    rows = [candidate(0, ground), candidate(1, rattled(ground, 0.001))]
    phases = find_phases(run_of(tmp_path / "a.h5", rows))
    for name in ("1/5-1", "1of5-1", "search-000001"):
        assert phase_named(phases, name) is phases[0]
    with pytest.raises(StoreError, match=r"no phase .* called 1/5-2; .* did you mean 1/5-1"):
        phase_named(phases, "1/5-2")


def test_runs_of_two_potentials_have_no_phases_together(tmp_path, ground):
    small = run_of(tmp_path / "a.h5", [candidate(0, ground)])
    other = run_of(tmp_path / "b.h5", [candidate(0, ground, potential_sha256="cd")])
    with pytest.raises(StoreError, match="not of one potential; leave b out"):
        find_phases(small, larger={"b": other})


def test_unique_rows_are_the_lowest_of_each_phase_in_the_order_of_their_energies(tmp_path, ground):
    other = ground.copy()
    del other[int(np.argmin(np.abs(other.positions[:, 2] - other.positions[:, 2].mean())))]
    rows = [
        candidate(0, other, gb_energy_j_m2=2.6),
        candidate(1, rattled(ground, 0.001), gb_energy_j_m2=2.2972),
        candidate(2, ground, gb_energy_j_m2=2.2969),
        candidate(3, ground, gb_energy_j_m2=2.2, preset="screen"),
    ]
    run = run_of(tmp_path / "a.h5", rows)
    assert unique(run).columns(["id"])["id"].tolist() == ["search-000002", "search-000000"]
    listed = CliRunner().invoke(app, ["ls", str(run.path), "--unique", "--json"])
    assert [row["id"] for row in json.loads(listed.output)] == ["search-000002", "search-000000"]
    out = tmp_path / "a.csv"
    exported = ["export", str(run.path), "--unique", "--format", "csv", "--out", str(out)]
    assert CliRunner().invoke(app, exported).exit_code == 0
    assert len(out.read_text().splitlines()) == 3


def test_phases_are_listed_as_json_with_all_their_members(tmp_path, ground):
    rows = [candidate(0, rattled(ground, 0.001), gb_energy_j_m2=2.2972), candidate(1, ground)]
    run = run_of(tmp_path / "a.h5", rows)
    result = CliRunner().invoke(app, ["phases", str(run.path), "--json"])
    (found,) = json.loads(result.output)
    assert (found["phase"], found["num_found"], found["layer_group"]) == ("1/5-1", 2, "1 p1")
    assert found["members"] == ["search-000001", "search-000000"]
    assert found["excess"] is None


def test_a_file_without_its_campaign_is_not_measured(tmp_path, ground):
    run = run_of(tmp_path / "a.h5", [candidate(0, ground)])
    with pytest.raises(StoreError, match=r"a\.h5: phases cannot be measured, because there is no"):
        measure(run, find_phases(run), "excess", {}, lambda subject, settings: Results({}))


def test_rows_of_older_files_have_the_plane_of_their_boundary(tmp_path, ground):
    """Before schema version 3 a row did not say how many atoms a lattice plane has."""
    run = run_of(tmp_path / "a.h5", [candidate(0, ground, atoms_per_plane=0)])
    assert [one.name for one in find_phases(run)] == ["1/5-1"]


def test_a_selection_keeps_the_names_among_all_candidates(tmp_path, ground):
    other = ground.copy()
    other.positions[int(np.argmin(np.abs(other.positions[:, 2] - 38.0))), 2] += 2.0
    rows = [candidate(0, other, gb_energy_j_m2=2.5), candidate(1, ground)]
    run = run_of(tmp_path / "a.h5", rows)
    words = ["phases", str(run.path), "--select", "energy>2.4", "--json"]
    (found,) = json.loads(CliRunner().invoke(app, words).output)
    assert (found["phase"], found["candidate"]) == ("1/5-2", "search-000000")


def test_strained_layers_near_the_held_ends_do_not_part_a_phase(tmp_path, ground):
    """They depend on the height of the slab. Counted in full they would make two phases."""
    strained = ground.copy()
    above = np.abs(ground.positions[:, 2] - ground.positions[:, 2].mean())
    strained.arrays[ATOM_ENERGY][(above > 10) & (above < 14)] += 0.02
    rows = [candidate(0, ground), candidate(1, strained, gb_energy_j_m2=2.2975)]
    (found,) = find_phases(run_of(tmp_path / "a.h5", rows))
    assert found.num_found == 2
    marks = [
        slab_fingerprint(
            *(one.positions, one.cell, one.arrays[ATOM_ENERGY], COHESIVE_EV),
            *(bicrystal().nearest_neighbor, REACH),
        )
        for one in (ground, strained)
    ]
    assert distance(*marks) > SAME_FINGERPRINT


def test_two_larger_runs_of_one_name_are_refused(tmp_path, ground):
    run = run_of(tmp_path / "a.h5", [candidate(0, ground)])
    words = ["phases", str(run.path), *("--larger", str(run.path)) * 2]
    result = CliRunner().invoke(app, words)
    assert "two runs have one name" in str(result.exception)
