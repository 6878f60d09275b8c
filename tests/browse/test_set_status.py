"""The status of a set of boundaries, from its ledger and those of its members."""

import io
import os

import pytest
from rich.console import Console

from gcd_hpc.browse.failures import set_failure_rows
from gcd_hpc.browse.set_status import SetStatusReader, set_status_view
from gcd_hpc.campaign.events import Paused, Reported, Stopped
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.reaper import start_time
from tests.browse.sets import NOT_BEGUN, make_set
from tests.campaign.histories import failed, finished, opened, submitted

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


def test_the_training_of_the_shared_model_is_followed_on_disk(status_of, tmp_path):
    progress = RunDirectory(tmp_path / "run").training_progress(1)
    progress.parent.mkdir(parents=True)
    progress.write_text('{"step": 12, "num_steps": 40, "loss": 0.25}')
    lost = failed("train-01")
    record = status_of((submitted("train-01"), lost, submitted("train-01")), WORK)
    assert record["doing"] == "model 1: 12/40 steps, loss 0.2500"
    assert (record["model"], record["failed_attempts"]) == (0, 1)
    console = Console(width=200, file=io.StringIO())
    console.print(set_status_view(record))
    text = console.file.getvalue()
    assert "1 failed attempts at the model: see gcd-hpc failures" in text
    assert "candidates tried; model 1: 12/40 steps, loss 0.2500" in text
    (row,) = set_failure_rows(RunSet.open(tmp_path / "run"))[:1]
    assert (row["boundary"], row["name"]) == ("(all)", "train-01")


def test_the_verdict_on_the_shared_model_is_followed_too(status_of):
    own = (submitted("train-01"), finished("train-01"), submitted("promote-01"))
    assert status_of(own, WORK)["doing"] == "model 1: comparing it with the model before"
    assert status_of((*own, finished("promote-01")), WORK)["model"] == 1
