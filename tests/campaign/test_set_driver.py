"""Sets of toy campaigns with real Parsl: members side by side, failures, kills and limits."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gcd_hpc.campaign.directory import has_results
from gcd_hpc.campaign.display import Progress
from gcd_hpc.campaign.driver import run_campaign
from gcd_hpc.campaign.events import Finished, Paused, Stopped, Submitted
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.progress import Snapshot
from gcd_hpc.campaign.set_driver import SetOutcome, run_set
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.errors import GcdError, OrientationError
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from tests.campaign.conftest import ROOT, make_config
from tests.campaign.histories import read_events
from tests.campaign.test_resume import num_finished, results, wait_for
from tests.campaign.toy_set import NAMES, make_set
from tests.processes import processes_of
from tests.sharing import made_once

pytestmark = pytest.mark.mpi
EXPECTED = Counter(
    [
        *(f"search-{chunk:05d}" for chunk in range(3)),
        *(f"explore-00-{chunk:05d}" for chunk in range(6)),
    ]
)
"""Tasks of each member: its patience ends after the third generation."""


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


@pytest.fixture
def carry_out(run, stages, site):
    """Run a toy set in RUN = tmp_path / "run"."""

    def carry_out(**options) -> SetOutcome:
        config = options.pop("config", None) or make_set(**options.pop("changes", {}))
        return run_set(config, site, run.path, run.path.parent, **(stages | options))

    return carry_out


@pytest.fixture
def searched_set(run, stages, site, tmp_path_factory) -> RunDirectory:
    """RUN after the searches of the toy set: a copy of one that is made once in a session."""

    def search(folder: Path) -> None:
        run_set(make_set(), site, folder / "run", folder, until="search", **stages)

    made = made_once(tmp_path_factory, "toy-set", search)
    shutil.copytree(made / "run", run.path)
    return run


def members(run: RunDirectory, names: tuple[str, ...] = NAMES) -> dict[str, Path]:
    return {name: run.member(name).path for name in names}


def test_a_set_runs_every_task_of_every_member_once_and_the_same_call_does_nothing(run, carry_out):
    reports = []
    outcome = carry_out(report=lambda run_dir, state: reports.append(run_dir.name))
    assert (outcome.status, outcome.reason, dict(outcome.failures)) == ("complete", "rounds", {})
    assert {name: num_finished(path) for name, path in members(run).items()} == dict.fromkeys(
        NAMES, EXPECTED
    )
    assert sorted(reports) == list(NAMES)
    assert list(RunSet.open(run.path).campaigns) == list(NAMES)
    assert processes_of(run.path) == []
    again = carry_out(report=lambda run_dir, state: reports.append(run_dir.name))
    assert again.did_nothing
    assert len(reports) == len(NAMES)


class Recorder(Progress):
    """Keeps what a display would show."""

    def __init__(self) -> None:
        self.shown: list[Snapshot] = []

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)


@pytest.mark.slow
def test_progress_is_one_line_for_the_whole_set(run, carry_out):
    recorder = Recorder()
    for name in NAMES:
        (run.path.parent / name).mkdir()
        (run.path.parent / name / "slow-explore").write_text("0.3")
    carry_out(progress=recorder)
    lines = [one.headline() for one in recorder.shown]
    assert lines[0].startswith("0/3 boundaries done, 1 at work, ")
    assert any(line.startswith("0/3 boundaries done, 3 at work, ") for line in lines)
    assert any("2/3 boundaries done, 1 at work" in line for line in lines)
    last = recorder.shown[-1]
    # 0.001 J/m^2 apart, the two chunks of a generation improve it in either order.
    lowered = r"[abc]: explore lowered \[0.2\] from \d.\d{3} to 2.9(09|10) J/m\^2"
    assert re.fullmatch(lowered, last.improvement)
    assert last.campaign_s is not None and last.campaign_s < 60


def test_every_boundary_is_searched_before_any_is_explored_for_long(run, carry_out):
    """Workers may begin to explore one while the next is being opened, but no more."""
    carry_out()
    ended = [
        (event.time, event.task.stage)
        for path in members(run).values()
        for event in read_events(path)
        if isinstance(event, Finished)
    ]
    stages = [stage for _, stage in sorted(ended)]
    last_search = len(stages) - stages[::-1].index("search")
    assert stages[:last_search].count("explore") <= 3


@pytest.mark.slow
def test_a_member_that_cannot_be_prepared_is_left_out_until_it_can_be(run, carry_out, stages):
    def refuse(run_dir: Path, config: CampaignConfig, folder: Path) -> str:
        if config.name == "b":
            raise OrientationError("boundary.sigma: there is no such rotation")
        return "potential"

    outcome = carry_out(prepare=refuse)
    assert outcome.status == "complete"
    assert outcome.failures == {"b": "boundary.sigma: there is no such rotation"}
    assert not run.member("b").path.exists()
    assert num_finished(run.member("c").path) == EXPECTED
    # The same call, with the mistake mended, only does what is missing.
    assert carry_out().failures == {}
    assert {name: num_finished(path) for name, path in members(run).items()} == dict.fromkeys(
        NAMES, EXPECTED
    )


def test_a_set_of_which_no_member_can_be_prepared_leaves_nothing_behind(run, carry_out):
    def refuse(run_dir: Path, config: CampaignConfig, folder: Path) -> str:
        raise OrientationError("there is no such rotation")

    with pytest.raises(GcdError, match="3 of 3 boundaries could not be finished"):
        carry_out(prepare=refuse)
    assert list(run.path.parent.iterdir()) == []


def test_a_member_whose_task_fails_is_left_out_and_the_others_go_on(run, carry_out):
    (run.path.parent / "a").mkdir()
    (run.path.parent / "a" / "trouble-search-00001").write_text("mistake")
    outcome = carry_out()
    assert outcome.failures == {"a": "the toy was told to fail"}
    state = read_state(run.member("a").path)
    assert state is not None and state.failed
    assert num_finished(run.member("b").path) == EXPECTED
    assert carry_out().failures == {}


@pytest.mark.slow
def test_a_member_with_a_damaged_ledger_is_left_out_and_the_others_go_on(searched_set, carry_out):
    ledger = searched_set.member("b").ledger
    content = ledger.read_bytes()
    ledger.write_bytes(content.replace(b'"kind":"finished"', b'"kind":"furnished"'))
    outcome = carry_out()
    assert list(outcome.failures) == ["b"]
    assert "cannot be read as an event" in outcome.failures["b"]
    assert num_finished(searched_set.member("c").path) == EXPECTED
    ledger.write_bytes(content)
    assert carry_out().failures == {}


@pytest.mark.usefixtures("searched_set")
def test_a_changed_file_is_refused_by_all_members_with_results(carry_out):
    with pytest.raises(GcdError, match=r"3 of 3 .* cannot be resumed with seed = 1"):
        carry_out(changes={"seed": 1})


@pytest.mark.slow
def test_the_wall_time_holds_for_the_set_and_a_larger_one_continues_it(run, carry_out):
    for name in NAMES:
        (run.path.parent / name).mkdir()
        (run.path.parent / name / "slow").write_text("1")
    outcome = carry_out(changes={"budget": {"rounds": 0, "wall_time_s": 5.0}})
    assert (outcome.status, outcome.reason) == ("complete", "wall time")
    state = read_state(run.path)
    assert state is not None and state.elapsed_s >= 5.0
    # Nothing begins after the limit; what is at work then, and the workers, take their time to end.
    submitted = [
        event.elapsed_s
        for path in members(run).values()
        if RunDirectory(path).ledger.exists()
        for event in read_events(path)
        if isinstance(event, Submitted)
    ]
    # An event is stamped when it is written, a moment after the decision.
    assert submitted and max(submitted) < 6.0
    for name in NAMES:
        (run.path.parent / name / "slow").unlink()
    # Time is counted over all sessions.
    again = carry_out(changes={"budget": {"rounds": 0, "wall_time_s": 5.0}})
    assert again.reason == "wall time"
    assert carry_out().reason == "rounds"
    assert {name: num_finished(path) for name, path in members(run).items()} == dict.fromkeys(
        NAMES, EXPECTED
    )


def test_members_may_be_added_to_a_set(run, carry_out):
    carry_out(changes={"names": ("a", "b")})
    carry_out()
    assert num_finished(run.member("c").path) == EXPECTED
    assert list(RunSet.open(run.path).campaigns) == list(NAMES)


def test_the_directory_of_one_campaign_is_refused_for_a_set(carry_out, searched):
    with pytest.raises(GcdError, match="holds the campaign of one boundary"):
        carry_out()


def test_the_directory_of_a_set_is_refused_for_one_campaign(searched_set, stages, site):
    run_dir, before = searched_set.path, searched_set.ledger.read_bytes()
    with pytest.raises(GcdError, match="holds a set of boundaries"):
        run_campaign(make_config(), site, run_dir, run_dir.parent, **stages)
    assert searched_set.ledger.read_bytes() == before


def start(run_dir: Path) -> subprocess.Popen:
    with open(run_dir.parent / "driver.log", "a") as log:
        line = [sys.executable, "-m", "tests.campaign.toy_set", str(run_dir)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            line, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def interrupt(run: RunDirectory, stage: str, number: int) -> None:
    """Start the set, and send its driver a signal while b is at work on a stage."""
    slow = run.path.parent / "b" / f"slow-{stage}"
    slow.parent.mkdir(exist_ok=True)
    slow.write_text("2")
    driver = start(run.path)
    executed = run.member("b").path / "executed"
    before = set(executed.glob(f"{stage}-*"))
    wait_for(lambda: set(executed.glob(f"{stage}-*")) > before or driver.poll() is not None, stage)
    driver.send_signal(number)
    driver.wait(timeout=30)
    slow.unlink()


@pytest.mark.parametrize(
    "signals",
    [
        {"search": signal.SIGKILL, "explore": signal.SIGTERM},
        pytest.param({"search": signal.SIGTERM, "explore": signal.SIGKILL}, marks=pytest.mark.slow),
    ],
    ids=["killed in the search", "killed in the exploration"],
)
def test_a_set_whose_driver_was_killed_or_paused_goes_on_and_counts_nothing_twice(
    run, carry_out, signals
):
    for stage, number in signals.items():
        interrupt(run, stage, number)
        assert has_results(run.member("a"))
        if number == signal.SIGTERM:
            assert isinstance(read_events(run.path)[-1], Paused)
            assert processes_of(run.path) == []
    assert carry_out().status == "complete"
    assert {name: num_finished(path) for name, path in members(run).items()} == dict.fromkeys(
        NAMES, EXPECTED
    )
    assert results(run.member("a").path) == results(run.member("c").path)
    assert isinstance(read_events(run.path)[-1], Stopped)
    assert processes_of(run.path) == []
