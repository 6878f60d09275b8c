"""benchmarks/time_to_target.py: costs until a target, and the table of them."""

import sys
from dataclasses import replace
from math import inf

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks import time_to_target
from benchmarks.target_table import (
    Improvement,
    Run,
    Times,
    ratio,
    ratios,
    read_runs,
    read_targets,
    table,
)
from benchmarks.time_to_target import Search, campaign_of
from gcd_hpc.campaign.draft import Draft
from gcd_hpc.cli.application import app
from gcd_hpc.config.loader import load_campaign, parse_campaign
from gcd_hpc.engines.library import potentials_for

BOUNDARIES = sorted((time_to_target.HERE / "boundaries").glob("*.yaml"))
MELTING_K = {"W": 3695, "Cu": 1358, "Si": 1687, "Al": 933}
TINY = """
name: tiny
boundary:
  element: Cu
  lattice: fcc
  lower: {x: [-1, 3, 0], y: [0, 0, 1], z: [3, 1, 0]}
  upper: {x: [1, 3, 0], y: [0, 0, 1], z: [3, -1, 0]}
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} Cu", file: Cu_mishin1.eam.alloy}
voxels: {shape: [8, 4, 76]}
search: {num_tries: 4, chunk_size: 2}
explore: {chains: 2, chains_per_task: 1, chain_length: 2}
sampling: {num_candidates: 4}
"""


def run_of(seed: int = 0, method: str = "moves", *found: tuple[float, int, float]) -> Run:
    """A run of 600 core-s with the improvements (core-s, n_index, J/m^2)."""
    some = tuple(Improvement(*one, "fresh") for one in found)
    return Run("b", method, seed, 600.0, 610.0, 100, 1, some, "0", "abc", "")


def test_a_target_is_reached_at_the_first_energy_within_two_mj_m2_of_it():
    one = run_of(0, "moves", (10.0, 2, 2.4476), (20.0, 2, 2.4474), (30.0, 2, 2.4455))
    assert one.reached_s("2", 2.4455) == 20.0
    assert one.reached_s("any", 2.4455) == 20.0
    assert one.reached_s("1", 2.4455) == inf


def test_a_run_is_the_same_after_it_was_written_and_read():
    one = run_of(3, "fresh", (10.0, 2, 2.5))
    assert Run.parse(one.line()) == one


def test_censored_runs_count_as_failures_and_are_shown_at_their_budget():
    runs = [run_of(0, "moves", (10.0, 0, 1.0)), run_of(1), run_of(2, "moves", (605.0, 0, 1.0))]
    times = Times.of(runs, {"0": 1.0})
    # The last one was found in the task during which the budget ended.
    assert times.times == (10.0, inf, inf)
    assert times.all() == "10 >600 >600"
    assert times.successes().startswith("1 of 3 (")
    assert times.median() == ">600 (10 to >600)"


def test_all_targets_of_a_boundary_are_reached_with_the_last_of_them():
    runs = [run_of(0, "moves", (10.0, 0, 1.0), (50.0, 1, 2.0))]
    assert Times.of(runs, {"0": 1.0, "1": 2.0}).times == (50.0,)
    assert Times.of(runs, {"0": 1.0, "2": 2.0}).times == (inf,)


def test_a_run_that_ended_at_an_earlier_target_is_not_taken_for_a_censored_one():
    ended = replace(run_of(0, "moves", (10.0, 0, 1.0)), spent_s=10.0)
    with pytest.raises(ValueError, match="ended after 10 core-s at an earlier target"):
        Times.of([ended], {"0": 0.9})


def test_a_ratio_with_a_censored_method_is_a_limit():
    assert ratio([100.0] * 5, [10.0] * 5, (600.0, 600.0)) == "10 (10 to 10)"
    assert ratio([inf] * 5, [60.0] * 5, (600.0, 600.0)) == "> 10 (10 to 10)"
    assert ratio([60.0] * 5, [inf] * 5, (600.0, 600.0)) == "< 0.1 (0.1 to 0.1)"


def test_every_method_that_was_run_has_its_row_in_the_tables():
    runs = [run_of(0, "moves-cooled", (10.0, 0, 1.0)), run_of(0, "fresh-md", (1.0, 0, 1.1))]
    rows = list(table(runs, {"b": {"0": 1.0}}))
    assert [row.split(" | ")[2] for row in rows[2:]] == ["fresh-md", "moves-cooled"]
    (row,) = list(ratios(runs, {"b": {"0": 1.0}}))[2:]
    assert row == "| b | 1.0000 | > 60 (60 to 60) | not measured | not measured |"


@pytest.mark.parametrize("file", BOUNDARIES, ids=lambda file: file.stem)
def test_every_boundary_is_sound_and_anneals_at_a_fifth_to_half_of_the_melting_point(file):
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 0, result.output
    assert "sound" in result.output
    assert "warning" not in result.output
    config = load_campaign(file)
    assert config.name == file.stem
    melting = MELTING_K[config.boundary.element]
    for md in (config.search.md, config.explore.md):
        low, high = (temperature / melting for temperature in md.temperature_k)
        # The files state rounded temperatures.
        assert low == pytest.approx(0.2, abs=0.01)
        assert high == pytest.approx(0.5, abs=0.01)


def test_cooled_methods_have_the_search_and_the_annealing_that_init_writes():
    file = time_to_target.HERE / "boundaries" / "cu_sigma5_210_1x4.yaml"
    name = {"sigma": 5, "plane": [2, 1, 0], "axis": [0, 0, 1]}
    draft = Draft("Cu", "fcc", name, potentials_for("Cu", "fcc")[0])
    written = parse_campaign(draft.text("cu"), "init")
    fresh, moves = (campaign_of(file, method, 0) for method in ("fresh-cooled", "moves-cooled"))
    for config in (fresh, moves):
        # Copper melts at 1,358 K. A try begins at half to three quarters of it.
        assert config.search.md.temperature_k == written.search.md.temperature_k == (680, 1020)
        assert config.search.md.num_steps == written.search.md.num_steps
        # Copper is a third as heavy as tungsten.
        step_ps = 0.015 * (63.5 / 183.8) ** 0.5
        assert config.search.md.timestep_ps == pytest.approx(step_ps, abs=0.0005)
        assert config.search.md.cooled_to == written.search.md.cooled_to == 0.3
        assert config.search.chunk_size == written.search.chunk_size
    assert fresh.search.md.probability == 1
    assert moves.search.md == written.search.md
    assert moves.search.num_tries == written.search.num_tries
    # A move between held grains begins at six to nine tenths of the melting point.
    assert moves.explore.md == written.explore.md
    assert moves.explore.md.temperature_k == (810, 1220)
    assert moves.explore.anneal_share == written.explore.anneal_share


def test_every_target_belongs_to_a_boundary():
    assert read_targets().keys() <= {file.stem for file in BOUNDARIES}


def test_rounds_of_the_model_lie_between_generations_of_moves(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    config = campaign_of(file, "moves-model", 0)
    config = config.model_copy(
        update={
            "explore": config.explore.model_copy(update={"generations": 1}),
            "budget": config.budget.model_copy(update={"rounds": 1}),
        }
    )
    tasks = [task.name for task in Search(tmp_path, config, {}).tasks("moves-model")]
    assert tasks == [
        *["search-00000", "search-00001", "explore-00-00000", "explore-00-00001"],
        *["select-01", "train-01", "promote-01", "sample-01-00000", "relax-01-00000"],
        *["explore-01-00000", "explore-01-00001"],
    ]


@pytest.mark.slow
@pytest.mark.lammps
def test_an_interrupted_run_ends_with_what_an_undisturbed_one_finds(tmp_path, monkeypatch):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    out = tmp_path / "out.jsonl"

    def measure(runs: str, *more: str) -> None:
        words = ["time_to_target.py", str(file), "--seeds", "0", "--budget", "3", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", [*words, "--runs", str(tmp_path / runs), *more])
        time_to_target.main()

    measure("disturbed", "--wall", "0.5")
    assert read_runs(out) == []
    measure("disturbed")
    (one,) = read_runs(out)
    assert one.spent_s >= one.budget_s
    # The order of tasks and their candidates do not depend on the interruption; times do.
    config = campaign_of(file, "moves", 0)
    search = Search(tmp_path / "undisturbed", config, {})
    search.prepare(tmp_path)
    for task in search.tasks("moves"):
        search.do(task)
        if search.tries == one.tries:
            break
    search.close()
    assert search.lowest == pytest.approx(one.lowest(), abs=1e-5)
    # A seed in the file is not run again.
    measure("undisturbed")
    assert read_runs(out) == [one]


@pytest.mark.slow
@pytest.mark.lammps
def test_a_round_of_the_model_runs_in_this_process_and_its_training_is_counted(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    short = {
        "training": {"num_steps": 2, "retrain_steps": 2, "checkpoint_every": 2},
        "promotion": {"num_canaries": 0},
        "sampling": {"num_candidates": 2, "chunk_size": 2, "num_steps": 2},
        "explore": {"generations": 1, "chains": 1, "chains_per_task": 1, "chain_length": 2},
    }
    file.write_text(yaml.safe_dump(yaml.safe_load(TINY) | short))
    search = Search(tmp_path / "run", campaign_of(file, "moves-model", 0), {})
    search.prepare(tmp_path)
    before = 0.0
    for task in search.tasks("moves-model"):
        search.do(task)
        if task.stage == "train":
            before = search.spent_s
        if task.stage == "promote":
            # Two steps of training and the comparison take processor time of their own.
            assert search.spent_s > before > 0.0
        if task.phase == ("explore", 1):
            break
    search.close()
    # Four tries, two moves, two candidates and again two moves.
    assert search.tries == 10


def test_the_tables_of_the_docs_are_those_of_the_measured_runs():
    runs, targets = read_runs(time_to_target.HERE / "time_to_target.jsonl"), read_targets()
    page = (time_to_target.HERE.parent / "docs" / "search.md").read_text()
    for line in (*table(runs, targets), *ratios(runs, targets)):
        assert f"{line}\n" in page, "python -m benchmarks.time_to_target --table prints them"
