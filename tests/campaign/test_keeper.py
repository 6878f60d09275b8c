"""Running tasks while the machine is suspended. The backend is made up: it answers when told."""

import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from gcd_hpc.campaign.keeper import SUSPENDED_S, Job, PoolKeeper
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import MODULES, Task
from gcd_hpc.workers import parsl_backend
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.backend import WorkerLostError


class Backend:
    """Keeps the futures of the tasks that were submitted last."""

    is_lost = False
    futures: list[Future]

    def __init__(self, *_: object) -> None:
        type(self).futures = []

    def submit(self, request: object, call: object) -> Future:
        self.futures.append(Future())
        return self.futures[-1]


def test_the_attempt_that_a_suspension_interrupted_is_known_and_the_next_one_is_not(monkeypatch):
    monkeypatch.setattr(parsl_backend, "ParslBackend", Backend)
    job, plan = Job(Path("run"), Task("search", 0, 0)), Plan(1, 1, 1)
    keeper = PoolKeeper(resolve(SiteConfig(cores=1)), Path("run"), plan, MODULES, print)

    def submit() -> None:
        keeper.add([job])
        keeper.feed()

    def lose(slept_s: float) -> None:
        clock, asleep = time.time, iter([0.0, slept_s])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: clock() + next(asleep))
            assert keeper.next_ended(0.01) is None
        Backend.futures[-1].set_exception(WorkerLostError("lost"))
        assert keeper.next_ended(1.0) is not None

    submit()
    lose(SUSPENDED_S + 1.0)
    assert keeper.was_suspended(job)
    submit()
    lose(0.0)
    assert not keeper.was_suspended(job)
