"""The status of a set of boundaries, from its ledger and those of its members."""

import os

import pytest

from gcd_hpc.browse.set_status import SetStatusReader
from gcd_hpc.campaign.events import Paused, Reported, Stopped
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.tasks import Plan
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.reaper import start_time
from tests.browse.sets import NOT_BEGUN, make_set
from tests.campaign.histories import finished, opened, submitted

WORK = (submitted("search-00000"), finished("search-00000", 2.0, best={2: 0.95}))


@pytest.fixture
def status_of(tmp_path):
    """Status of a set with these events in its own ledger, and in those of two boundaries."""
    opened_set = RunSet.open(make_set(tmp_path))
    plan = Plan.of(opened_set.config.first, resolve(SiteConfig(cores=2)))

    def status(own, first=(), second=(), alive=True):
        pid, created = (os.getpid(), start_time(os.getpid())) if alive else (2**22 + 1, 0.0)
        run = RunDirectory(opened_set.path)
        folders = [run.path, run.member("s5_310").path, run.member("s5_210").path]
        for folder, events in zip(folders, (own, first, second), strict=True):
            with Ledger(folder) as ledger:
                for event in (opened(plan, pid=pid, created=created), *events):
                    ledger.append(event)
        return SetStatusReader(opened_set).record()

    return status


def by_name(record):
    return {one["boundary"]: one["status"] for one in record["boundaries"]}


def test_a_boundary_that_has_ended_is_told_from_those_at_work(status_of):
    record = status_of((), (*WORK, Stopped(reason="patience")), WORK)
    assert record["status"] == "running"
    assert by_name(record) == {
        "s5_310": "ended",
        "s5_210": "running",
        "s13_320": "no ledger",
        NOT_BEGUN: "not begun",
    }
    assert record["boundaries"][0]["reason"] == "patience"
    assert record["boundaries"][1]["gb_energy_j_m2"] == 0.95


def test_a_damaged_ledger_is_said_in_the_line_of_its_boundary(tmp_path):
    opened_set = RunSet.open(make_set(tmp_path))
    RunDirectory(opened_set.directory("s5_210")).ledger.write_text("torn\n")
    record = SetStatusReader(opened_set).record()
    assert by_name(record)["s5_210"] == "cannot be read"
    assert "events.jsonl" in record["boundaries"][1]["reason"]


@pytest.mark.parametrize(
    ("own", "member", "expected"),
    [
        (Paused(), (*WORK, Paused()), "paused"),
        (Stopped(reason="plan"), (*WORK, Stopped(reason="plan"), Reported()), "complete"),
        (Stopped(reason="NaN", failed=True), (Stopped(reason="NaN", failed=True),), "failed"),
        (None, WORK, "interrupted"),
    ],
)
def test_the_end_of_a_session_is_that_of_the_set(status_of, own, member, expected):
    record = status_of(() if own is None else (own,), member, member, alive=False)
    assert record["status"] == by_name(record)["s5_310"] == expected
