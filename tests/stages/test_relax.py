"""Relaxation of generated candidates: every one ends as a row, whatever LAMMPS makes of it."""

from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.config.loader import dump
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.search.windows import Parent, recentred
from gcd_hpc.stages.relax import relax_chunk
from gcd_hpc.stages.relaxing import ScreenWindow
from gcd_hpc.stages.sample import sample_task
from gcd_hpc.store.findings import Report
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.store.verify import verify_file
from gcd_hpc.structures.energetics import n_index

pytestmark = pytest.mark.lammps


@pytest.fixture
def sampled_run(run_copy):
    """A run with one sampled chunk: a good structure, one with two atoms in one place, one that was
    refused before.
    """
    run_dir = run_copy("run")
    good = min(
        (row for row in read_part(RunDirectory(run_dir).search_part(0))),
        key=lambda row: row.gb_energy_j_m2,
    )
    overlapping = good.positions.copy()
    middle = np.argsort(overlapping[:, 2])[len(overlapping) // 2]
    overlapping[middle] = overlapping[middle - 1] + 0.01
    rows = [
        sampled(good, 0, good.positions),
        sampled(good, 1, overlapping),
        sampled(good, 2, overlapping, "invalid", "closest pair"),
    ]
    write_part(RunDirectory(run_dir).sampled_part(1, 0), rows, {"config": ""})
    return run_dir


def sampled(
    source: Candidate, index: int, positions: np.ndarray, status="sampled", reason=""
) -> Candidate:
    return Candidate(
        id=candidate_id("model", 1, index),
        source="model",
        version=1,
        round=1,
        index=index,
        seed=0,
        status=status,
        reason=reason,
        registry=source.registry,
        num_atoms=len(positions),
        cell=source.cell,
        unrelaxed_positions=positions,
    )


def test_failed_candidates_are_recorded_with_their_reason_and_the_others_relaxed(sampled_run):
    report = relax_chunk(str(sampled_run), 1, 0)
    good, failed, invalid = read_part(RunDirectory(sampled_run).relaxed_part(1, 0))
    assert (good.status, failed.status, invalid.status) == ("ok", "failed", "invalid")
    assert np.isfinite(good.gb_energy_j_m2)
    assert "overlap" in failed.reason
    assert np.isnan(failed.gb_energy_j_m2)
    assert invalid.reason == "closest pair"
    assert (report.num, report.ok, report.failed, report.invalid) == (3, 1, 1, 1)


def test_a_relaxed_structure_stays_where_it_is(sampled_run):
    relax_chunk(str(sampled_run), 1, 0)
    good = read_part(RunDirectory(sampled_run).relaxed_part(1, 0))[0]
    before = min(row.gb_energy_j_m2 for row in read_part(RunDirectory(sampled_run).search_part(0)))
    assert good.gb_energy_j_m2 == pytest.approx(before, abs=2e-3)
    assert good.converged
    assert len(good.energies_ev) == good.num_atoms


def test_a_slab_that_relaxation_lifts_above_the_box_gets_a_higher_one(run_copy):
    run_dir = run_copy("run")
    system = load_boundary_system(str(run_dir))
    frame, crystal = system.frame, system.bicrystal
    # Four planes too many of the lower grain, between those of the upper one.
    lower = frame.lower(frame.centre + 4 * crystal.plane_spacing)
    registry = np.array([0.95, 0.05, 0.51])
    upper = frame.upper(registry, frame.centre + registry[2])
    positions = crystal.wrap(np.concatenate([lower, upper]))
    start = with_structure(system, new_candidate(system, "model", 0, 1, 1), positions, registry)
    assert np.array_equal(start.cell, np.diag(frame.cell))
    parts = RunDirectory(run_dir)
    write_part(parts.sampled_part(1, 0), [start], {"config": dump(system.config)})
    relax_chunk(str(run_dir), 1, 0)
    (row,) = read_part(parts.relaxed_part(1, 0))
    # Planes are 1.58 Å apart: the top rises from 57 to 61 Å, the box was 60.05 Å high.
    highest = row.positions[:, 2].max()
    assert highest > frame.height + 1
    np.testing.assert_allclose(row.cell, [*np.diag(frame.cell)[:2], highest + 2])
    report = Report()
    verify_file(parts.relaxed_part(1, 0), report)
    assert report.is_sound, list(report.findings())
    # As a parent it has the frame's planes again, and the same [n].
    excess = row.energies_ev - row.cohesive_ev
    parent = recentred(Parent(row.positions, excess, np.asarray(row.registry_relaxed)), frame)
    assert parent.positions[:, 2].max() < frame.height - 2
    assert n_index(len(parent.positions), crystal.atoms_per_plane) == row.n_index


def test_relaxing_twice_gives_the_same_file_content(sampled_run):
    relax_chunk(str(sampled_run), 1, 0)
    first = read_part(RunDirectory(sampled_run).relaxed_part(1, 0))[0]
    relax_chunk(str(sampled_run), 1, 0)
    second = read_part(RunDirectory(sampled_run).relaxed_part(1, 0))[0]
    assert np.array_equal(first.positions, second.positions)
    assert replace(first, relax_s=0.0).gb_energy_j_m2 == second.gb_energy_j_m2


def test_batches_of_a_chunk_relax_each_candidate_once_the_most_promising_first(trained_copy):
    run_dir = trained_copy("run")
    queue = sample_task(str(run_dir), 1, 1).queue
    reports = [relax_chunk(str(run_dir), 1, 2 + batch, num_batches=2) for batch in range(2)]
    batches = [read_part(RunDirectory(run_dir).relaxed_part(1, 2 + batch)) for batch in range(2)]
    assert sorted(row.index for batch in batches for row in batch) == [2, 3]
    assert [report.num for report in reports] == [len(batch) for batch in batches]
    for batch, listed in zip(batches, queue, strict=True):
        scored = [row for row in batch if np.isfinite(row.score_gb_energy_j_m2)]
        assert listed == tuple(
            (row.num_atoms % 10, round(row.score_gb_energy_j_m2, 4)) for row in scored
        )


def test_a_batch_of_nothing_is_a_part_of_nothing(sampled_run):
    report = relax_chunk(str(sampled_run), 1, 1, num_batches=4)
    assert (report.num, report.low) == (1, ())
    assert [row.index for row in read_part(RunDirectory(sampled_run).relaxed_part(1, 1))] == [1]
    assert relax_chunk(str(sampled_run), 1, 2, num_batches=4).num == 0
    assert read_part(RunDirectory(sampled_run).relaxed_part(1, 2)) == []


def test_a_chunk_reports_what_lies_near_the_lowest_of_its_fraction(run_copy):
    run_dir = run_copy("run", "selection.energy_window_j_m2=0.2")
    rows = [row for row in read_part(RunDirectory(run_dir).search_part(0)) if row.status == "ok"]
    write_part(
        RunDirectory(run_dir).sampled_part(1, 0),
        [sampled(row, n, row.positions) for n, row in enumerate(rows)],
        {"config": ""},
    )
    low = relax_chunk(str(run_dir), 1, 0).low
    relaxed = read_part(RunDirectory(run_dir).relaxed_part(1, 0))
    lowest = {}
    for row in [*relaxed, *read_part(RunDirectory(run_dir).training_set(1))]:
        lowest[row.n_index] = min(lowest.get(row.n_index, np.inf), row.gb_energy_j_m2)
    expected = [row for row in relaxed if row.gb_energy_j_m2 <= lowest[row.n_index] + 0.2]
    assert low == tuple((row.num_atoms % 10, round(row.gb_energy_j_m2, 4)) for row in expected)
    assert 0 < len(low) < len(relaxed)


def test_selection_sees_what_is_relaxed_so_far_of_the_rounds_before(sampled_run):
    relax_chunk(str(sampled_run), 1, 2, num_batches=3)
    relax_chunk(str(sampled_run), 1, 0, num_batches=3)
    search, first, last = RunDirectory(sampled_run).known_parts(2)
    assert (search, first, last) == (
        RunDirectory(sampled_run).search_part(0),
        RunDirectory(sampled_run).relaxed_part(1, 0),
        RunDirectory(sampled_run).relaxed_part(1, 2),
    )
    assert RunDirectory(sampled_run).known_parts(1) == [search]


def test_only_structures_near_the_best_of_their_fraction_are_worth_finishing():
    window = ScreenWindow(0.3, {2: 2.3})
    assert window(2, 2.59)
    assert not window(2, 2.61)
    assert window(7, 9.0)
    window.learn(7, 3.3)
    assert not window(7, 3.7)


def test_a_window_that_allows_more_learns_with_the_one_that_it_was_made_of():
    window = ScreenWindow(0.3, {2: 2.3})
    wider = window.wider(0.2)
    assert wider(2, 2.79) and not wider(2, 2.81)
    wider.learn(2, 2.1)
    assert not window(2, 2.45)
    window.learn(2, 2.0)
    assert wider(2, 2.49) and not wider(2, 2.51)
