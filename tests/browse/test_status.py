"""The status of campaigns in every state, from their files."""

import io
import os

import pytest
from rich.console import Console

from gcd_hpc.browse.status import status_record, status_view
from gcd_hpc.campaign.directory import write_config
from gcd_hpc.campaign.ledger import Event, Ledger, opened
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.tasks import Plan
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.reaper import start_time
from tests.campaign.conftest import make_config


@pytest.fixture
def write(tmp_path):
    """Writes the ledger of a campaign whose driver is this process or a dead one."""

    config = make_config()

    def record(*events: Event, alive: bool = True):
        write_config(RunDirectory(tmp_path), config)
        pid, created = (os.getpid(), start_time(os.getpid())) if alive else (2**22 + 1, 0.0)
        with Ledger(tmp_path) as ledger:
            for event in (
                opened(Plan.of(config, resolve(SiteConfig(cores=2))), "token", pid, created, 0.0),
                *events,
            ):
                ledger.append(event)
        return status_record(tmp_path)

    return record


SUBMITTED = Event("submitted", 1.0, {"tasks": ["search-00000", "search-00001", "search-00002"]})
DONE = Event(
    "finished",
    2.0,
    {
        "task": "search-00000",
        "started": 0.0,
        "seconds": 1.0,
        "work_s": 1.0,
        "cores": 1,
        "num": 2,
        "best": {"0.2": 2.5},
    },
)


@pytest.mark.parametrize(
    ("events", "alive", "status"),
    [
        ([SUBMITTED, DONE], True, "running"),
        ([SUBMITTED, DONE], False, "interrupted"),
        ([SUBMITTED, DONE, Event("paused", 3.0)], False, "paused"),
        (
            [SUBMITTED, Event("stopped", 3.0, {"reason": "train-01 failed", "failed": True})],
            False,
            "failed",
        ),
        (
            [SUBMITTED, Event("stopped", 3.0, {"reason": "rounds"}), Event("reported", 4.0)],
            False,
            "complete",
        ),
    ],
)
def test_the_status_says_whether_somebody_is_at_work_and_why_not(write, events, alive, status):
    assert write(*events, alive=alive)["status"] == status


def test_the_status_counts_what_is_done_and_at_work(write):
    record = write(SUBMITTED, DONE)
    assert record["done"] == {"search": 1}
    assert record["running"] == ["search-00001", "search-00002"]
    assert record["tried"] == 2
    assert record["best"] == {"0.2": {"gb_energy_j_m2": 2.5, "source": "search"}}
    assert "2/6 tries" in record["doing"]


def test_the_view_shows_fractions_as_they_are(write):
    console = Console(width=120, file=io.StringIO())
    console.print(status_view(write(SUBMITTED, DONE)))
    text = console.file.getvalue()
    assert "[n]" in text
    assert "running" in text


def test_a_folder_without_a_campaign_is_refused(tmp_path):
    with pytest.raises(
        RunDirectoryError, match=r"expected the run directory of a campaign, got no events\.jsonl"
    ):
        status_record(tmp_path)
