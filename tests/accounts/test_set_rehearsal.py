"""Simulated sets of boundaries."""

import json

import pytest

from gcd_hpc.accounts.rehearsal import Pace
from gcd_hpc.accounts.set_rehearsal import SetRehearsal
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import SHARED, Task
from tests.cli.test_set_readers import call
from tests.config.test_set import SET

PLAN = Plan(
    num_search_chunks=4,
    num_sample_chunks=0,
    rounds=0,
    relaxation_workers=20,
    num_explore_chunks=4,
    generations=6,
    patience=2,
    chunk_sizes={"search": 10, "explore": 20},
)
PACE = Pace(lost=0.05)


def simulated(num_workers: int, pace: Pace = PACE) -> SetRehearsal:
    plan = Plan(**(vars(PLAN) | {"relaxation_workers": num_workers}))
    return SetRehearsal(plan, pace, 12).run()


def test_every_boundary_ends_and_lost_tasks_are_repeated():
    report = simulated(20).report()
    assert report.num_lost > 0
    least, _, most = report.generations
    assert 2 <= least <= most <= 6
    assert report.num_tasks >= 12 * (4 + 4 * least)
    assert 0 < report.occupancy <= report.most_occupancy <= 1


def test_what_is_found_does_not_depend_on_the_number_of_workers():
    pace = Pace(lost=0.0)
    assert simulated(1, pace).report().generations == simulated(50, pace).report().generations


def test_one_worker_is_always_busy_and_very_many_take_as_long_as_the_longest_boundary():
    pace = Pace(lost=0.0, answer_s=0.0)
    assert simulated(1, pace).report().occupancy == pytest.approx(1.0)
    report = simulated(10_000, pace).report()
    assert report.elapsed_s == pytest.approx(report.longest_s)


def test_many_boundaries_on_more_workers_are_rehearsed_to_their_end():
    plan = Plan(**(vars(PLAN) | {"relaxation_workers": 200, "generations": 20, "patience": 4}))
    assert SetRehearsal(plan, PACE, 80).run().report().num_members == 80


def test_the_command_rehearses_a_set(tmp_path):
    (tmp_path / "s.yaml").write_text(SET)
    words = ["rehearse", "s.yaml", "--workers", "5", "--set", "explore.generations=2", "--json"]
    code, text, _ = call(tmp_path, *words)
    assert code == 0
    assert json.loads(text)["num_members"] == 2
    code, text, _ = call(tmp_path, *words[:-1])
    assert text.startswith("2 boundaries on 5 workers:")


LEARNED = Plan(
    **vars(PLAN)
    | {"mode": "asynchronous", "rounds": 2, "num_sample_chunks": 3, "sampling_workers": 2}
    | {"chunk_sizes": {"search": 10, "explore": 20, "sample": 10, "relax": 10}}
)


def test_every_boundary_waits_for_each_model_and_samples_it():
    found = SetRehearsal(LEARNED, PACE, 6).run()
    report = found.report()
    assert report.num_models == 2
    assert report.training_s >= 2 * (PACE.train_s + PACE.promote_s)
    assert report.waiting_s > 0
    for member in found._members:
        for round in (1, 2):
            # Half of the samples of a round may be left to the next, whose model is due.
            assert member.state.num_done["sample", round] > 0
            shared = [member.state.finished[Task(stage, round)] for stage in SHARED]
            assert [done.core_s for done in shared] == [0.0, 0.0]
    assert any("shared model was trained: 2;" in line for line in report.lines())
