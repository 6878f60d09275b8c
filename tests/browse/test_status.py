"""The status of campaigns in every state, from their files."""

import io
import os
import time
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from gcd_hpc.browse.status import StatusReader, state_of, status_view
from gcd_hpc.campaign.directory import write_config
from gcd_hpc.campaign.events import Event, Paused, Reported, Stopped
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import STAGES
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.reaper import start_time
from tests.campaign.conftest import make_config
from tests.campaign.histories import finished, opened, submitted


@pytest.fixture
def write(tmp_path):
    """Writes the ledger of a campaign whose driver is this process or a dead one."""

    config = make_config()
    plan = Plan.of(config, resolve(SiteConfig(cores=2)))

    def record(*events: Event, alive: bool = True, **session: Any):
        write_config(RunDirectory(tmp_path), config)
        pid, created = (os.getpid(), start_time(os.getpid())) if alive else (2**22 + 1, 0.0)
        with Ledger(tmp_path) as ledger:
            for event in (
                opened(plan, pid=pid, created=created, **session),
                *events,
            ):
                ledger.append(event)
        return StatusReader(tmp_path).record()

    return record


SUBMITTED = submitted("search-00000", "search-00001", "search-00002")
DONE = finished("search-00000", 2.0, best={2: 2.5})


@pytest.mark.parametrize(
    ("events", "alive", "status"),
    [
        ([SUBMITTED, DONE], True, "running"),
        ([SUBMITTED, DONE], False, "interrupted"),
        ([SUBMITTED, DONE, Paused(elapsed_s=3.0)], False, "paused"),
        (
            [SUBMITTED, Stopped(reason="train-01 failed", failed=True)],
            False,
            "failed",
        ),
        (
            [SUBMITTED, Stopped(reason="rounds"), Reported()],
            False,
            "complete",
        ),
    ],
)
def test_the_status_says_whether_somebody_is_at_work_and_why_not(write, events, alive, status):
    assert write(*events, alive=alive)["status"] == status


def test_the_status_counts_what_is_done_and_at_work(write, tmp_path):
    """At work is what has a heartbeat file, not what waits for a worker."""
    run = RunDirectory(tmp_path)
    run.begun("search-00001").parent.mkdir()
    for task in ("search-00001", "search-00009"):
        run.begun(task).touch()
    record = write(SUBMITTED, DONE)
    assert record["done"] == {"search": 1}
    assert record["running"] == ["search-00001"]
    assert record["tried"] == 2
    assert record["best"] == {"0.2": {"gb_energy_j_m2": 2.5, "source": "search"}}
    assert "2/6 tries" in record["doing"]


def test_the_status_tells_the_last_improvement(write):
    lower = finished("search-00001", 3.0, best={2: 2.4})
    record = write(SUBMITTED, DONE, lower)
    assert record["improvements"] == ["search lowered [0.2] from 2.500 to 2.400 J/m^2"]
    assert record["sources"] == {"search": {"improvements": 2, "lowest_of": ["0.2"]}}
    console = Console(width=120, file=io.StringIO())
    console.print(status_view(record))
    assert "last improvement: search lowered [0.2]" in console.file.getvalue()


def test_parts_that_a_cut_ledger_does_not_tell_of_are_mentioned(write, tmp_path):
    part = RunDirectory(tmp_path).search_part(2)
    write_part(part, [], {"config": ""})
    record = write(Paused(elapsed_s=3.0))
    assert record["uncounted"] == 1
    console = Console(width=120, file=io.StringIO())
    console.print(status_view(record))
    assert "1 parts on disk that the ledger does not tell of" in console.file.getvalue()


def test_nothing_is_at_work_in_a_campaign_without_a_driver(write, tmp_path):
    run = RunDirectory(tmp_path)
    run.begun("search-00001").parent.mkdir()
    run.begun("search-00001").touch()
    assert write(SUBMITTED, DONE, Paused(elapsed_s=3.0))["running"] == []


def test_the_time_of_a_running_campaign_goes_on_between_events(write):
    """A training of nine minutes writes no events."""
    when = time.time() - 540.0
    running = write(SUBMITTED, replace(DONE, time=when))
    assert running["elapsed_s"] == pytest.approx(DONE.elapsed_s + 540.0, abs=5.0)


def test_a_running_campaign_says_when_it_ends(write):
    expected = dict.fromkeys(STAGES, 10.0)
    assert write(SUBMITTED, DONE, expected_s=expected)["remaining_s"] > 0
    assert write(SUBMITTED, DONE, Paused(elapsed_s=3.0))["remaining_s"] is None
    console = Console(width=120, file=io.StringIO())
    console.print(status_view(write(SUBMITTED, DONE, expected_s=expected)))
    assert "; campaign ends about " in console.file.getvalue()


def test_the_view_shows_fractions_as_they_are(write):
    console = Console(width=120, file=io.StringIO())
    console.print(status_view(write(SUBMITTED, DONE)))
    text = console.file.getvalue()
    assert "[n]" in text
    assert "running" in text


def test_a_folder_without_a_campaign_is_refused(tmp_path):
    with pytest.raises(
        RunDirectoryError,
        match=r"is not the run directory of a campaign, because it holds no events\.jsonl",
    ):
        StatusReader(tmp_path).record()


def test_a_file_is_no_run_directory_of_a_campaign(tmp_path):
    (tmp_path / "results.h5").touch()
    with pytest.raises(RunDirectoryError, match=r"results\.h5: is not the run directory of a"):
        state_of(tmp_path / "results.h5")
