"""What a bad disk, an interrupted copy or a clock does to a run directory: the same command says so
and makes it good.

Real driver and Parsl, toy stages. Damaged training states are in tests/stages/test_train.py.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.campaign.display import Progress
from gcd_hpc.campaign.driver import Outcome, run_campaign
from gcd_hpc.campaign.events import Finished, Paused, Stopped
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.engines.bulk import Bulk, BulkRecord
from gcd_hpc.errors import GcdError, LaunchError, RunDirectoryError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.backend import BackendStartError
from tests.campaign.conftest import ROOT, TOYS, make_config
from tests.campaign.histories import finished, opened, read_events, state_after
from tests.campaign.toy import content

pytestmark = pytest.mark.mpi
NUM_TASKS = 3 + 6
NUM_TRIED = 6 + 4


class Notes(Progress):
    """Keeps what the driver has to say."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def run_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the workers import the toy stages
    return tmp_path / "run"


def carry_out(run_dir: Path, **options: object) -> tuple[Outcome, list[str]]:
    """Run the toy campaign, or the rest of it; what the driver said comes back too."""
    changes = options.pop("changes", {})
    notes = Notes()
    outcome = run_campaign(
        make_config(**changes),
        SiteConfig(cores=2),
        run_dir,
        run_dir.parent,
        progress=notes,
        **(TOYS | options),
    )
    return outcome, notes.lines


def num_executions(run_dir: Path, task: str) -> int:
    return len(list((run_dir / "executed").glob(f"{task}.*")))


def cut_short(path: Path) -> None:
    """Take the last byte off a file."""
    os.truncate(path, path.stat().st_size - 1)


def test_damaged_results_are_named_and_made_again_by_the_same_command(run_dir):
    """Only those: what was made from them before they were damaged is still good."""
    (run_dir.parent / "trouble-relax-01-00001").write_text("mistake")
    with pytest.raises(GcdError, match="told to fail"):
        carry_out(run_dir)
    damaged = {
        "search-00001": RunDirectory(run_dir).search_part(1),
        "train-01": RunDirectory(run_dir).model_file(1),
        "sample-01": RunDirectory(run_dir).sampled_part(1, 1),
    }
    values = {task: content(path) for task, path in damaged.items()}
    for path in damaged.values():
        cut_short(path)
    damaged["search-00001"].unlink()
    outcome, notes = carry_out(run_dir)
    assert outcome.status == "complete"
    assert len(outcome.state.finished) == NUM_TASKS
    for task, path in damaged.items():
        got = "got no such file" if task == "search-00001" else r"expected \d+ bytes, got \d+"
        (note,) = (note for note in notes if note.startswith(f"{task} is run again: {run_dir}"))
        assert re.search(got, note)
        assert content(path) == values[task]
        assert num_executions(run_dir, task) == 2
    assert {
        num_executions(run_dir, task) for task in ("search-00000", "select-01", "promote-01")
    } == {1}
    assert read_state(run_dir).num_tried == NUM_TRIED


def test_a_result_that_was_finished_when_the_driver_was_killed_is_not_adopted_damaged(searched):
    """Its record is there, its line in the ledger is not."""
    (RunDirectory(searched).ledger).unlink()
    cut_short(RunDirectory(searched).search_part(2))
    carry_out(searched, until="search")
    assert num_executions(searched, "search-00002") == 2
    assert num_executions(searched, "search-00000") == 1


def test_an_error_that_ends_a_session_stands_in_the_ledger(run_dir, monkeypatch):
    """Also one that no task told: the workers cannot be started."""

    def refuse(*_: object) -> None:
        raise BackendStartError("no workers today")

    monkeypatch.setattr("gcd_hpc.workers.parsl_backend.ParslBackend.__init__", refuse)
    with pytest.raises(LaunchError, match="no workers today, 4 times in a row"):
        carry_out(run_dir, until="search")
    last = read_events(run_dir)[-1]
    assert isinstance(last, Stopped) and last.failed and "no workers today" in last.reason


def test_another_version_goes_on_with_a_word(searched, monkeypatch):
    monkeypatch.setattr("gcd_hpc.campaign.session.software", lambda: "gcd-hpc 9.9")
    monkeypatch.setattr("gcd_hpc.campaign.driver.software", lambda: "gcd-hpc 9.9")
    outcome, notes = carry_out(searched, until="select-01")
    assert any(note.startswith("gcd-hpc 9.9 goes on with what gcd-hpc 0") for note in notes)
    packages = [session.package for session in outcome.state.account.sessions]
    assert packages[1] == "gcd-hpc 9.9" != packages[0]


def test_another_potential_is_refused_with_both_hashes(searched):
    with pytest.raises(
        RunDirectoryError,
        match=r"the potential is not .* its sha256 was potential and is other now",
    ):
        carry_out(searched, prepare=lambda *_: "other")


def test_an_edited_crystal_is_refused(run_dir):
    record = BulkRecord("potential", "W", "bcc", None, Bulk(3.16, -8.9, 4.0))
    RunDirectory(run_dir).bulk.parent.mkdir()
    record.write(RunDirectory(run_dir).bulk)
    changes = {"voxels": {"shape": (4, 4, 80)}}  # high enough for the slabs of this crystal
    carry_out(run_dir, changes=changes, until="search")
    replace(record, bulk=Bulk(3.16, -8.8, 4.0)).write(RunDirectory(run_dir).bulk)
    with pytest.raises(RunDirectoryError, match=r"measured crystal in bulk\.json is not what"):
        carry_out(run_dir, changes=changes)


@pytest.mark.slow
def test_a_campaign_goes_on_from_a_torn_ledger(run_dir):
    (run_dir.parent / "trouble-search-00002").write_text("mistake")
    with pytest.raises(GcdError, match="told to fail"):
        carry_out(run_dir, until="search")
    before = read_events(run_dir)
    with open(RunDirectory(run_dir).ledger, "ab") as ledger:
        ledger.write(b'{"kind":"finished","elapsed_s":9.0,"task":"search-0')
    outcome, _ = carry_out(run_dir, until="search")
    assert outcome.status == "complete"
    assert read_events(run_dir)[: len(before)] == before
    finished_before = [event.task.name for event in before if isinstance(event, Finished)]
    assert finished_before
    assert {num_executions(run_dir, name) for name in finished_before} == {1}


def test_a_clock_that_goes_backwards_makes_no_time_negative():
    """An hour back between two tasks, and a driver that is opened before it was closed."""
    plan = Plan.of(make_config(), resolve(SiteConfig(cores=2)))
    events = [opened(plan, created=7200.0)]
    for chunk, (started, elapsed_s) in enumerate([(7200.0, 5.0), (3600.0, 9.0)]):
        name = f"search-{chunk:05d}"
        events.append(finished(name, elapsed_s, started=started, seconds=4.0, work_s=3.0))
    state = state_after([*events, opened(plan, 4.0, created=3500.0), Paused(elapsed_s=6.0)])
    cost = cost_of(state)
    assert state.elapsed_s == 9.0
    assert (cost.stages["search"].wall_s, cost.core_s) == (6.0, 8.0)
    assert 0.0 <= cost.overhead_s <= state.elapsed_s
