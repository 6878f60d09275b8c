"""Exploration: chains of moves from the best structures, the same in every worker and any order."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.search.moves import LOCAL_MOVES
from gcd_hpc.search.windows import Parent, recentred
from gcd_hpc.stages.explore import explore_chunk
from gcd_hpc.stages.population import Population, population_of
from gcd_hpc.stages.proposals import ANNEAL, OWN_KINDS, Proposer
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.makers import MODEL_MOVES
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate

pytestmark = pytest.mark.lammps

EXPLORE = [
    "explore.generations=2",
    "explore.chains=4",
    "explore.chains_per_task=2",
    "explore.chain_length=2",
    "explore.md.num_steps=[20, 40]",
]


@pytest.fixture
def explored(run_copy):
    """Explores the chunks of the first round in an order, and returns the rows of each part."""
    folders = []

    def explore(name: str, chunks: list[int]) -> dict[int, list[Candidate]]:
        run_dir = run_copy(name, *EXPLORE)
        folders.append(str(run_dir))
        for chunk in chunks:
            explore_chunk(str(run_dir), 0, chunk)
        return {n: read_part(RunDirectory(run_dir).explored_part(0, n)) for n in chunks}

    explore.folders = folders
    yield explore
    for folder in folders:
        worker_child(folder).close()


def first_proposer(explored) -> Proposer:
    """Maker of the structures of the first generation of an explored run."""
    explored("run", [0, 1])
    run_dir = explored.folders[0]
    system, population = load_boundary_system(run_dir), population_of(run_dir)
    return Proposer(system, population, population.before(0, 0), Path(run_dir), 0)


def test_every_move_is_one_row_with_its_kind_its_parents_and_its_cost(explored):
    rows = [row for part in explored("run", [0, 1, 2, 3]).values() for row in part]
    assert [row.index for row in rows] == list(range(16))
    assert [row.id for row in rows[:2]] == ["explore-00-000000", "explore-00-000001"]
    assert {row.move for row in rows} <= set(OWN_KINDS)
    made = [row for row in rows if row.status == "ok"]
    assert made
    assert all(row.atom_evaluations > row.evaluations > 0 for row in made)
    assert all(row.cpu_s > 0 for row in made)
    assert all(bool(row.parents) == (row.move != "fresh") for row in rows)


def test_parents_were_known_when_the_generation_began_or_precede_in_the_chain(explored):
    parts = explored("run", [0, 1, 2, 3])
    for chunk, rows in parts.items():
        earlier = {row.id for n, part in parts.items() if n // 2 < chunk // 2 for row in part}
        for place, row in enumerate(rows):
            chain = {one.id for one in rows[place // 2 * 2 : place]}
            for parent in row.parents.split():
                assert parent.startswith("search") or parent in earlier | chain


@pytest.mark.slow
def test_chunks_do_not_depend_on_the_order_or_the_worker(explored):
    first = explored("first", [0, 1, 2, 3])
    population_of.cache_clear()
    second = explored("second", [1, 0, 3, 2])
    for chunk, rows in first.items():
        for one, other in zip(rows, second[chunk], strict=True):
            assert (one.id, one.move, one.parents) == (other.id, other.move, other.parents)
            np.testing.assert_array_equal(one.positions, other.positions)
            np.testing.assert_array_equal(one.energies_ev, other.energies_ev)


def test_moves_do_not_depend_on_how_many_chains_a_task_has(run_copy):
    rows = {}
    for chains_per_task in (1, 2):
        size = f"explore.chains_per_task={chains_per_task}"
        run_dir = run_copy(f"of-{chains_per_task}", *EXPLORE, size)
        for chunk in range(8 // chains_per_task):  # four chains, two generations
            explore_chunk(str(run_dir), 0, chunk)
        worker_child(str(run_dir)).close()
        parts = RunDirectory(run_dir).explored_parts(0)
        rows[chains_per_task] = [row for part in parts for row in read_part(part)]
    assert len(rows[1]) == len(rows[2]) == 16
    for one, other in zip(rows[1], rows[2], strict=True):
        assert (one.id, one.move, one.parents) == (other.id, other.move, other.parents)
        assert (one.status, one.num_atoms) == (other.status, other.num_atoms)
        assert np.array_equal(one.positions, other.positions, equal_nan=True)


def test_the_result_tells_what_each_kind_of_move_did(run_copy):
    run_dir = run_copy("run", *EXPLORE)
    result = explore_chunk(str(run_dir), 0, 0)
    worker_child(str(run_dir)).close()
    assert sum(tally.num for tally in result.sources.values()) == result.num == 4
    found = {n: e for tally in result.sources.values() for n, e in tally.best.items()}
    assert found.keys() == result.best.keys()


def test_a_structure_that_cannot_be_changed_gives_invalid_rows_and_no_bugs(run_copy):
    """Its boundary lies off the centre, and its lower grain beside the frame's lattice."""
    run_dir = run_copy("run", *EXPLORE)
    part = RunDirectory(run_dir).search_part(0)
    rows = read_part(part)
    for row in rows:
        row.positions[:] += [1.2, 0.4, 3.0]
    write_part(part, rows, {})
    population_of.cache_clear()
    result = explore_chunk(str(run_dir), 0, 0)
    worker_child(str(run_dir)).close()
    changed = [row for row in read_part(RunDirectory(run_dir).explored_part(0, 0)) if row.parents]
    spoilt = [row for row in changed if row.parents.startswith("search")]
    assert spoilt
    for row in spoilt:
        assert (row.status, row.failure) == ("invalid", "")
        assert row.reason.startswith("cannot bring the slab back into the frame: only")
        assert row.move in OWN_KINDS
    assert result.quarantined == 0


@pytest.mark.slow
def test_the_archive_is_the_same_for_a_reader_that_comes_later(explored, tmp_path):
    explored("run", [0, 1, 2, 3])
    run_dir = tmp_path / "run"
    system = load_boundary_system(str(run_dir))
    kept = population_of(str(run_dir)).before(0, 1)
    fresh = Population(RunDirectory(run_dir), system).before(0, 1)
    assert kept == fresh
    assert all(
        id.startswith("search") or int(id[-6:]) < 8 for ids in fresh.archive.values() for id in ids
    )


def test_with_a_model_some_moves_are_in_paintings_that_name_it(trained_copy):
    run_dir = trained_copy("run", *EXPLORE, "explore.chain_length=6")
    for chunk in (0, 1):
        explore_chunk(str(run_dir), 1, chunk)
    rows = [row for n in (0, 1) for row in read_part(RunDirectory(run_dir).explored_part(1, n))]
    painted = [row for row in rows if row.move in MODEL_MOVES]
    assert {row.move for row in painted} == set(MODEL_MOVES)
    assert {row.version for row in painted} == {1}
    assert len({row.model_sha256 for row in painted} - {""}) == 1
    assert all(row.voxel_evaluations > 0 and row.parents for row in painted)
    others = [row for row in rows if row.move not in MODEL_MOVES]
    assert {(row.version, row.model_sha256, row.voxel_evaluations) for row in others} == {
        (0, "", 0)
    }


def test_the_first_round_explores_without_torch():
    code = "import sys, gcd_hpc.stages.explore; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_local_move_knows_the_energies_of_the_structure_that_it_changed(explored):
    proposer = first_proposer(explored)
    origins = 0
    for number in range(20):
        rng = np.random.default_rng(number)
        current = proposer.first(rng)
        made = proposer.propose(current, number, rng)
        if made.row.move not in (*LOCAL_MOVES, ANNEAL):
            assert made.origin is None
        elif made.origin is not None:
            origins += 1
            np.testing.assert_array_equal(made.origin.positions, current.positions)
            np.testing.assert_array_equal(made.origin.energies, current.energies_ev)
            unchanged = np.isin(made.row.unrelaxed_positions, made.origin.positions).all(axis=1)
            assert unchanged.any() or made.row.move == "shift"
    assert origins


def test_most_annealed_moves_begin_with_the_structure_as_it_is(explored):
    proposer = first_proposer(explored)
    system = proposer.system
    unchanged, layers = 0, 0
    for number in range(60):
        rng = np.random.default_rng(number)
        current = proposer.first(rng)
        made = proposer.propose(current, number, rng, "anneal")
        if made.row.status == "sampled":
            assert made.anneal is not None
            registry, excess_ev = np.array(current.registry_relaxed), excess_energies(vars(current))
            parent = recentred(Parent(current.positions, excess_ev, registry), system.frame)
            after = made.row.unrelaxed_positions
            is_unchanged = np.array_equal(after, system.bicrystal.wrap(parent.positions))
            unchanged += is_unchanged
            if made.origin is not None:
                assert (made.origin.layer is not None) == is_unchanged
                layers += is_unchanged
    assert layers
    # Four standard deviations about 45.
    assert 31 <= unchanged < 60


def test_generations_that_patience_ended_are_not_part_of_the_history(run_copy):
    run_dir = run_copy("patient", *EXPLORE, "explore.generations=5", "explore.patience=1")
    population = population_of(str(run_dir))
    for chunk in (0, 1):
        explore_chunk(str(run_dir), 0, chunk)
    worker_child(str(run_dir)).close()
    assert len(population.before(1, 0).history) == 1
