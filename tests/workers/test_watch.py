"""When a pool of workers counts as one that does not work. The clock and the interchange are made
up; tests/campaign/test_driver.py has real ones.
"""

import time

import pytest

from gcd_hpc.stages.tasks import TaskRequest
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.watch import PATIENCE, Watch


class Executor:
    """Answers as Parsl's does."""

    label, is_cut_off = "workers", False
    managers: tuple[str, ...] = ()

    def connected_managers(self):
        return self.managers


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Submit a task, then look at the pool after so many seconds each time."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    RunDirectory(tmp_path).begun("task").parent.mkdir(parents=True)
    executor = Executor()

    def start(factor: float = 1.0):
        watch = Watch([executor], {"workers": 1}, PATIENCE.times(factor))
        request = TaskRequest(str(tmp_path), "task", cores=1, num_chunks=1)
        watch.hand(request, "workers")

        def after(seconds: float, suspended_s: float = 0.0) -> str | None:
            clock[0] += suspended_s
            for _ in range(int(seconds)):  # the session looks several times a second
                clock[0] += 1.0
                if reason := watch.check_health([request]):
                    return reason
            return None

        return after

    start.executor, start.begun = executor, RunDirectory(tmp_path).begun("task")
    return start


def test_workers_that_have_not_registered_yet_are_waited_for_longer_than_those_that_have(look):
    after = look()
    assert after(PATIENCE.first_begin_s + 60) is None
    look.executor.managers = ("one",)
    assert after(5) is None  # the interchange is asked every five seconds
    assert after(PATIENCE.first_begin_s - 1) is None
    assert after(2) == "a task has waited 121 s for a free worker of the pool workers"


def test_workers_that_never_register_are_given_up_with_the_time_that_was_waited(look):
    after = look()
    assert after(PATIENCE.register_s - 1) is None
    assert after(2) == "no worker of the pool workers has started within 601 s"


def test_a_pool_that_was_started_anew_is_given_twice_the_time(look):
    look.executor.managers = ("one",)
    after = look(factor=2.0)
    assert after(5) is None
    assert after(2 * PATIENCE.first_begin_s - 1) is None
    assert after(2) == "a task has waited 241 s for a free worker of the pool workers"


def test_a_suspended_machine_is_no_silence(look):
    after = look()
    look.begun.touch()
    assert after(10) is None
    assert after(PATIENCE.silent_s - 15, suspended_s=3600.0) is None
    look.begun.touch()
    assert after(PATIENCE.silent_s) is None


def test_a_task_without_a_heartbeat_is_noticed(look):
    after = look()
    look.begun.touch()
    assert after(1) is None
    assert after(PATIENCE.silent_s + 1) == "task gave no sign of life for 31 s"
