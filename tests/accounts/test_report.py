"""Accounts of hand-made and of simulated campaigns."""

from dataclasses import replace

import pytest

from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.accounts.report import Report, gaps, occupancy, report_of
from gcd_hpc.campaign.events import Dropped, Event, Failed, Finished, Submitted
from gcd_hpc.stages.plan import Plan
from tests.campaign.histories import failed, finished, opened, state_after, submitted

PLAN = Plan(4, 2, 1, relaxation_workers=2)
LARGE = Plan(
    num_search_chunks=100,
    num_sample_chunks=100,
    rounds=4,
    mode="asynchronous",
    num_batches=5,
    relaxation_workers=50,
    sampling_workers=4,
    retrain_after=60,
    chunk_sizes={"search": 4, "sample": 20, "relax": 4},
)


def done(task: str, begin: float, seconds: float, worker: str = "a") -> Finished:
    end = begin + seconds
    return finished(
        task, end + 0.01, started=begin, seconds=seconds, time=end + 0.01, worker=worker
    )


def report_after(*events: Event) -> Report:
    return report_of(state_after(events))


def test_occupancy_is_the_share_of_worker_time_from_the_first_task_to_the_last():
    one = occupancy([(0.0, 10.0), (0.0, 5.0), (15.0, 20.0)], num_workers=2)
    assert one.whole == pytest.approx(20 / 40)
    assert one.busy_s == 20


def test_the_best_hour_is_found_in_a_long_campaign():
    idle_then_busy = [(0.0, 600.0)] + [
        (20000.0 + 600 * k, 20000.0 + 600 * k + 590) for k in range(6)
    ]
    one = occupancy(idle_then_busy, num_workers=1)
    assert one.whole < 0.3
    assert one.best_hour == pytest.approx(590 / 600, abs=0.005)


def test_a_steady_pool_is_as_busy_in_its_best_hour_as_ever():
    steady = [(10.0 * k, 10.0 * k + 9) for k in range(1000)]
    one = occupancy(steady, num_workers=1)
    assert one.best_hour == pytest.approx(0.9, abs=0.002)


def test_gaps_leave_out_waiting_for_other_work():
    assert gaps([(0.0, 1.0), (1.004, 2.0), (2.003, 3.0), (9.0, 10.0)]) == pytest.approx(
        [0.004, 0.003]
    )


def test_a_report_tells_delays_waste_and_resumes():
    report = report_after(
        opened(PLAN),
        submitted("search-00000", "search-00001", elapsed_s=0.0),
        done("search-00000", 0.0, 4.0),
        failed("search-00001", elapsed_s=6.0),
        submitted("search-00001", elapsed_s=6.0),
        opened(PLAN, 9.0, startup_s=1.0),
        submitted("search-00001", elapsed_s=9.5),
        done("search-00001", 9.5, 3.0),
    )
    assert report.state.account.wasted_s == pytest.approx(
        6.0 + 3.0
    )  # the lost attempt, and what ran when the first driver was killed
    assert report.state.account.resume_s == pytest.approx([1.5])
    assert report.decision_s == pytest.approx([0.01, 0.01])
    assert (report.state.account.num_failed, report.state.num_tried) == (1, 4)


def test_a_task_that_finished_twice_counts_once():
    twice = [done("search-00000", 0.0, 4.0)] * 2
    assert report_after(opened(PLAN), *twice).state.num_tried == 2


def test_a_clock_that_went_backwards_makes_no_negative_times():
    late = replace(done("search-00001", 5.0, 4.0), time=3.0)
    report = report_after(opened(PLAN), done("search-00000", 0.0, 4.0), late)
    assert min(report.decision_s) == 0.0


def test_a_large_campaign_keeps_its_relaxation_workers_busy_and_reports_what_it_knows():
    simulated = Rehearsal(
        LARGE,
        Pace(search_s=60, sample_s=0.1, relax_s=60, train_s=300, stragglers=0.0, lost=0.002),
        seed=0,
    ).run()
    report = report_of(simulated.state)
    account = report.state.account
    finished = [event.task for event in simulated.events if isinstance(event, Finished)]
    assert account.num_failed == sum(isinstance(event, Failed) for event in simulated.events) > 0
    assert account.num_dropped == sum(
        len(event.tasks) for event in simulated.events if isinstance(event, Dropped)
    )
    assert report.state.num_tried == 4 * sum(task.stage in ("search", "relax") for task in finished)
    assert report.pools["relaxation"].whole > 0.6
    assert len(account.first_sample_s) == LARGE.rounds
    assert sum(account.lag.values()) == sum(
        task.stage == "relax"
        for event in simulated.events
        if isinstance(event, Submitted)
        for task in event.tasks
    )


def test_a_rehearsal_with_the_same_seed_is_the_same():
    first, second = (Rehearsal(LARGE, Pace(), seed=3).run().events for _ in range(2))
    assert first[1:] == second[1:]
