"""Which candidates are relaxed first: those whose energy is low at a glance, against what is known
for their [n].
"""

from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.stages.ranking import (
    batches_of,
    lowest_energies,
    lowest_nearby,
    queue_entries,
    with_score,
)
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, candidate_id

LOWEST = {0: 2.0, 4: 3.0}


def row(index: int, score: float = np.nan, n_index: int = 0, status="sampled") -> Candidate:
    ident = candidate_id("model", 1, index)
    values = {"score_gb_energy_j_m2": score, "n_index": n_index, "atoms_per_plane": 10}
    return Candidate(
        id=ident, source="model", version=1, round=1, index=index, seed=0, status=status, **values
    )


def indices(batches) -> list[list[int]]:
    return [[candidate.index for candidate in batch] for batch in batches]


def test_the_most_promising_candidates_come_first_measured_against_their_own_fraction():
    rows = [row(0, 2.9), row(1, 2.3), row(2, 3.1, 4), row(3, 3.6, 4)]
    assert indices(batches_of(rows, LOWEST, 2)) == [[1, 2], [0, 3]]


def test_candidates_of_the_same_promise_keep_their_order():
    assert indices(batches_of([row(index, 2.5) for index in range(6)], LOWEST, 3)) == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]


def test_candidates_without_a_score_come_after_the_others_and_invalid_ones_last():
    rows = [
        row(0, status="invalid"),
        row(1),
        row(2, 9.0),
        row(3, status="invalid"),
        row(4, 2.1),
        row(5),
    ]
    assert indices(batches_of(rows, LOWEST, 3)) == [[2, 4], [1, 5], [0, 3]]


@pytest.mark.parametrize(
    ("num", "num_batches"), [(50, 7), (40, 5), (9, 3), (3, 3), (10, 1), (2, 5)]
)
def test_every_candidate_is_in_exactly_one_batch(num, num_batches):
    rng = np.random.default_rng(num)
    rows = [
        row(
            index,
            float(rng.normal()),
            0.1 * float(rng.integers(10)),
            str(rng.choice(["sampled", "invalid"])),
        )
        for index in range(num)
    ]
    batches = batches_of(rows, LOWEST, num_batches)
    assert len(batches) == num_batches
    assert sorted(index for batch in indices(batches) for index in batch) == list(range(num))
    assert all(batch == sorted(batch) for batch in indices(batches))


def test_one_batch_is_the_chunk_as_it_is():
    rows = [row(0, status="invalid"), row(1, 5.0), row(2, 2.0), row(3)]
    assert indices(batches_of(rows, LOWEST, 1)) == [[0, 1, 2, 3]]


def test_the_queue_lists_the_scores_of_each_batch():
    batches = [[row(0, 2.12345, 4)], [row(1), row(2, status="invalid")]]
    assert queue_entries(batches) == (((4, 2.1235),), ())


def test_a_full_plane_is_no_plane_when_a_fraction_is_looked_up():
    assert lowest_energies([4, 4, 0], [3.1, 3.0, 2.0]) == LOWEST
    assert lowest_nearby(LOWEST, 9, 10) == 2.0
    assert lowest_nearby(LOWEST, 5, 10) == 3.0


@pytest.mark.lammps
def test_the_score_is_near_the_energy_of_a_relaxed_structure_and_above_that_of_a_shaken_one(
    searched_run,
):
    system = load_boundary_system(str(searched_run))
    best = min(
        read_part(RunDirectory(searched_run).search_part(0)), key=lambda known: known.gb_energy_j_m2
    )
    shaken = best.positions + np.random.default_rng(0).normal(0.0, 0.3, best.positions.shape)
    overlapping = best.positions.copy()
    overlapping[0] = overlapping[1]
    fresh = replace(best, status="sampled", unrelaxed_positions=best.positions)
    with LammpsChild(system.potential, 30.0) as child:
        score = with_score(system, child, fresh).score_gb_energy_j_m2
        worse = with_score(
            system, child, replace(fresh, unrelaxed_positions=shaken)
        ).score_gb_energy_j_m2
        none = with_score(
            system, child, replace(fresh, unrelaxed_positions=overlapping)
        ).score_gb_energy_j_m2
        refused = with_score(system, child, replace(fresh, status="invalid")).score_gb_energy_j_m2
    assert score == pytest.approx(best.gb_energy_j_m2, abs=0.01)
    assert worse > score + 0.1
    assert np.isnan(none) and np.isnan(refused)
