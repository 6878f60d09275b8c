from dataclasses import replace

import pytest

from gcd_hpc.accounts.cost import at_work, cost_of, covered_s
from gcd_hpc.campaign.account import Done
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task

PLAN = Plan(2, 1, 1)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], 0.0),
        ([(0, 2), (1, 3)], 3.0),
        ([(0, 4), (1, 2)], 4.0),
        ([(5, 6), (0, 1)], 2.0),
        ([(0, 1), (1, 2)], 2.0),
    ],
)
def test_overlapping_times_count_once(intervals, expected):
    assert covered_s(intervals) == expected


def test_a_task_is_at_work_after_its_processes_have_started():
    assert at_work(Done(started=10.0, seconds=8.0, cores=2, work_s=5.0)) == (13.0, 18.0)


def test_overhead_is_the_wall_time_in_which_no_stage_was_at_work():
    state = State(PLAN, elapsed_s=20.0)
    state.finished[Task("search", 0, 0)] = Done(
        started=2.0, seconds=6.0, cores=1, work_s=6.0, num=50
    )
    state.finished[Task("search", 0, 1)] = Done(
        started=2.0, seconds=8.0, cores=1, work_s=8.0, num=50
    )
    state.finished[Task("train", 1)] = Done(started=10.0, seconds=9.0, cores=2, work_s=7.0, num=300)
    cost = cost_of(state)
    assert cost.overhead_s == 5.0  # 2 before the search, 2 to start the training, 1 at the end
    assert cost.overhead_share == 0.25
    assert (
        cost.stages["search"].wall_s,
        cost.stages["search"].core_s,
        cost.stages["search"].num_items,
    ) == (8.0, 14.0, 100)
    assert cost.core_s == 14.0 + 18.0


def test_core_seconds_are_processor_time_where_it_is_recorded():
    done = Done(started=0.0, seconds=6.0, cores=2, work_s=6.0)
    assert done.core_s == 12.0  # an earlier version recorded only the wall time
    assert replace(done, cpu_s=7.5).core_s == 7.5


def test_a_campaign_without_tasks_cost_nothing():
    assert cost_of(State(PLAN)).overhead_share == 0.0
