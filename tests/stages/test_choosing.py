"""A campaign with an energy model makes several structures and relaxes the most promising one."""

from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.config.learning import AtomicConfig, EnergyModelConfig, NetworkConfig
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.candidates import new_candidate
from gcd_hpc.learning.energy_training import train_energy_model
from gcd_hpc.stages.choosing import Chooser, kept_chooser
from gcd_hpc.stages.energy_job import rows_of
from gcd_hpc.stages.explore import explore_chunk
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import chosen_start, started_from
from gcd_hpc.store.makers import FRESH
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.stages.test_explore import EXPLORE

pytestmark = pytest.mark.lammps
SMALL = EnergyModelConfig(
    network=NetworkConfig(width=4, num_levels=2, num_blocks=1, context=4),
    num_steps=2,
    batch_size=2,
    atoms=AtomicConfig(width=8, num_steps=8),
)
RANKED = [
    *EXPLORE,
    "explore.generations=1",
    "energy_model=energy.safetensors",
    "ranking.tries=3",
    "ranking.moves=3",
]


@pytest.fixture
def ranked(run_copy):
    """Run directories whose campaign has an energy model of the run's own search."""
    folders = []

    def make(name: str, *settings: str) -> str:
        run_dir = run_copy(name, *RANKED, *settings)
        model = train_energy_model([rows_of(run_dir, name)], SMALL, seed=0)
        model.save(RunDirectory(run_dir).energy_model)
        folders.append(str(run_dir))
        return str(run_dir)

    yield make
    for folder in folders:
        worker_child(folder).close()


def test_the_try_of_lowest_estimate_is_taken_and_has_as_many_atoms_as_the_first(ranked):
    run_dir = ranked("run")
    system, chooser = load_boundary_system(run_dir), kept_chooser(run_dir)
    for index in range(4):
        empty = new_candidate(system, "search", index)
        first, anneal = started_from(system, empty)
        removed = system.frame.num_atoms - first.num_atoms
        tries = [first] + [started_from(system, empty, one, removed)[0] for one in (1, 2)]
        estimates = [chooser.model.estimate(system, row) for row in tries]
        chosen, schedule = chosen_start(system, empty, chooser)
        assert {row.num_atoms for row in tries} == {first.num_atoms}
        best = tries[int(np.argmin(estimates))]
        assert np.array_equal(chosen.unrelaxed_positions, best.unrelaxed_positions)
        assert chosen.score_gb_energy_j_m2 == min(estimates)
        assert schedule == anneal
        assert (chosen.id, chosen.index) == (empty.id, index)


def test_without_an_energy_model_a_try_is_what_it_was(ranked):
    system = load_boundary_system(ranked("run"))
    empty = new_candidate(system, "search", 3)
    plain, _ = chosen_start(system, empty, None)
    first, _ = started_from(system, empty)
    assert np.array_equal(plain.unrelaxed_positions, first.unrelaxed_positions)
    assert np.isnan(plain.score_gb_energy_j_m2)


def test_energies_are_compared_relative_to_the_lowest_known_of_their_n(ranked):
    run_dir = ranked("run")
    system, model = load_boundary_system(run_dir), kept_chooser(run_dir).model
    rows = [started_from(system, new_candidate(system, "search", one))[0] for one in range(3)]
    rows = [replace(row, n_index=n) for n, row in enumerate(rows)]
    energies = [model.estimate(system, row) for row in rows]

    def taken(rows, known):
        chooser = Chooser(system, model)
        return chooser.lowest(
            len(rows), rows[0], rows.__getitem__, lambda r: r, lambda _, r: r, known
        ).id

    for best in range(3):
        known = {n: energy + (n == best) for n, energy in enumerate(energies)}
        assert taken(rows, known) == rows[best].id
    # A structure that was refused is never taken before one that was not.
    refused = [replace(rows[0], status="invalid"), rows[1], rows[2]]
    known = {n: energy + (n == 0) for n, energy in enumerate(energies)}
    assert taken(refused, known) != rows[0].id


def test_ranked_exploration_is_the_same_in_any_order_and_states_the_score(ranked):
    parts = {}
    for name, order in (("forward", [0, 1]), ("backward", [1, 0])):
        run_dir = ranked(name)
        for chunk in order:
            explore_chunk(run_dir, 0, chunk)
        files = RunDirectory(run_dir)
        parts[name] = [row for chunk in (0, 1) for row in read_part(files.explored_part(0, chunk))]
    for one, other in zip(parts["forward"], parts["backward"], strict=True):
        assert np.array_equal(one.positions, other.positions, equal_nan=True)
        assert one.score_gb_energy_j_m2 == pytest.approx(other.score_gb_energy_j_m2, nan_ok=True)
        assert one.move == other.move
    made = [row for row in parts["forward"] if row.status == "ok"]
    assert made
    assert all(np.isfinite(row.score_gb_energy_j_m2) for row in made)
    assert all(row.cpu_s > 0 for row in made)


def test_only_tries_are_ranked_where_moves_are_not_to_be(ranked):
    run_dir = ranked("run", "ranking.moves=1")
    for chunk in (0, 1):
        explore_chunk(run_dir, 0, chunk)
    files = RunDirectory(run_dir)
    rows = [row for chunk in (0, 1) for row in read_part(files.explored_part(0, chunk))]
    scored = {row.move for row in rows if np.isfinite(row.score_gb_energy_j_m2)}
    assert scored == {FRESH} & {row.move for row in rows}
    chooser = kept_chooser(run_dir)
    numbers = [chooser.num_of(move) for move in (FRESH, "insert", "inpaint-window")]
    assert (chooser.num_tries, numbers) == (3, [3, 1, 1])
