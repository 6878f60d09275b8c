import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from gcd_hpc.campaign import progress
from gcd_hpc.campaign.display import LiveProgress, PlainProgress, open_progress
from gcd_hpc.campaign.events import Event
from gcd_hpc.campaign.progress import (
    Pace,
    Snapshot,
    best_so_far,
    clock,
    last_improvements,
    snapshot,
)
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import Tally
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from tests.browse.sets import make_set
from tests.campaign import histories
from tests.campaign.conftest import make_config

TRAINING = Snapshot(
    "toy",
    "train",
    1,
    2,
    120,
    400,
    "steps",
    "loss 0.0210",
    3.0,
    100.0,
    {"0.2": (2.297, "search"), "0.4": (2.5, "model 1")},
)


def finish(name: str, best: dict[int, float] | None = None) -> Event:
    return histories.finished(name, 5.0, best=best)


def state_after(*events: Event):
    plan = Plan.of(make_config(), resolve(SiteConfig()))
    return histories.state_after([histories.opened(plan), *events])


def plain(*snapshots: Snapshot) -> list[str]:
    out = io.StringIO()
    with PlainProgress(Console(file=out)) as display:
        for shown in snapshots:
            display.show(shown)
    return out.getvalue().splitlines()


def test_a_line_says_stage_counts_rate_and_time_left():
    (line,) = plain(TRAINING)
    counts, best = (
        "120/400 steps (3.0/s, 1:33 left), loss 0.0210",
        "best 2.297 J/m^2 at [n] = 0.2 (search)",
    )
    assert line == f"[1:40] round 1/2, training the model: {counts}; {best}"


def test_a_line_says_when_the_whole_campaign_ends():
    (line,) = plain(replace(TRAINING, campaign_s=3725.0))
    assert re.search(r"; campaign ends about (\d{4}-\d\d-\d\d )?\d\d:\d\d \(1:02:05 left\)$", line)
    (line,) = plain(replace(TRAINING, campaign_s=200 * 86400.0))
    assert re.search(r"; campaign ends about \d{4}-\d\d-\d\d \d\d:\d\d ", line)
    assert "ends" not in plain(replace(TRAINING, campaign_s=1e300))[0]


def test_plain_lines_are_seconds_apart_but_a_new_stage_shows_at_once():
    later = [
        Snapshot("toy", "train", 1, 2, step, 400, "steps", "", 3.0, 100.0)
        for step in range(121, 200)
    ]
    sampling = Snapshot("toy", "sample", 1, 2, 0, 40, "candidates", "", 0.0, 101.0)
    assert len(plain(TRAINING, *later, sampling)) == 2


def test_plain_lines_hold_no_control_characters():
    assert "\x1b" not in "".join(plain(TRAINING))


def test_the_live_panel_shows_best_energies_and_leaves_the_screen_clean():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with LiveProgress(console) as display:
        display.show(replace(TRAINING, improvements=("insert lowered [0.4] from 2.6 to 2.5",)))
        display.note("train-01: a process was lost")
        display._live.refresh()
    text = out.getvalue()
    assert "2.297" in text
    assert "[n]" in text
    assert "insert lowered [0.4] from 2.6 to 2.5" in text
    assert "a process was lost" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_bar_of_the_live_panel_has_a_line_of_its_own(width):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=width, color_system=None)
    with LiveProgress(console) as display:
        display.show(TRAINING)
        display._live.refresh()
    lines = text.getvalue().splitlines()
    assert [line for line in lines if "\u2501" in line]
    assert not [line for line in lines if "\u2501" in line and "[n]" in line]


def test_the_display_suits_the_output():
    assert isinstance(open_progress(Console(file=io.StringIO())), PlainProgress)
    assert isinstance(open_progress(Console(file=io.StringIO(), force_terminal=True)), LiveProgress)


def test_best_energies_name_the_source_that_had_them_first():
    state = state_after(
        finish("search-00000", {2: 2.5, 4: 2.6}),
        finish("relax-01-00000", {2: 2.3, 4: 2.6, 1: 3.0}),
    )
    assert best_so_far(state) == {
        "0.1": (3.0, "model 01"),
        "0.2": (2.3, "model 01"),
        "0.4": (2.6, "search"),
    }
    assert list(best_so_far(state)) == ["0.1", "0.2", "0.4"]


def test_the_last_noticeable_improvement_is_told_with_the_move_that_made_it():
    def move(name, kind, energy):
        tally = Tally(1, 2.0, {2: energy})
        return histories.finished(name, best={2: energy}, sources={kind: tally})

    first, again, better = (
        move("explore-00-00000", "insert", 2.5),
        move("explore-00-00001", "shake", 2.4994),
        move("explore-00-00002", "remove", 2.4),
    )
    assert last_improvements(state_after(first)) == (), "the first of its [n] lowers nothing"
    state = state_after(first, again)
    assert last_improvements(state) == (), "half a millijoule is no improvement"
    assert best_so_far(state) == {"0.2": (2.4994, "insert")}
    told = "remove lowered [0.2] from 2.499 to 2.400 J/m^2"
    assert last_improvements(state_after(first, again, better)) == (told,)


def test_plain_lines_tell_an_improvement_once():
    text = io.StringIO()
    display = PlainProgress(Console(file=text, width=200))
    told = "insert lowered [0.3] from 2.633 to 2.590 J/m^2"
    for stage in ("explore", "train", "relax"):
        display.show(replace(TRAINING, stage=stage, improvements=(told,)))
    assert text.getvalue().count(told) == 1


def test_a_snapshot_counts_candidates_of_finished_chunks(tmp_path):
    shown = snapshot(
        make_config(),
        state_after(finish("search-00000"), finish("search-00002")),
        tmp_path,
        10.0,
        Pace(),
    )
    assert (shown.stage, shown.done, shown.total, shown.unit) == ("search", 4, 6, "tries")


@pytest.mark.parametrize("damaged", [None, "{", '{"step": 3}'])
def test_training_without_a_readable_progress_file_is_starting(tmp_path, damaged):
    folder = tmp_path / "models" / "01"
    folder.mkdir(parents=True)
    if damaged is not None:
        (folder / "progress.json").write_text(damaged)
    assert progress.training_progress(tmp_path, 1) == (0.0, 0.0, "starting")


def test_training_and_sampling_are_followed_on_disk(tmp_path):
    done = [
        finish(task.name)
        for task in [*(Task("search", 0, chunk) for chunk in range(3)), Task("select", 1)]
    ]
    (tmp_path / "models" / "01").mkdir(parents=True)
    (tmp_path / "models" / "01" / "progress.json").write_text(
        '{"step": 120, "num_steps": 400, "loss": 0.021}'
    )
    training = snapshot(make_config(), state_after(*done), tmp_path, 15.0, Pace())
    assert (training.stage, training.done, training.total, training.detail) == (
        "train",
        120,
        400,
        "loss 0.0210",
    )
    (tmp_path / "parts" / "model-01" / "sampled").mkdir(parents=True)
    (tmp_path / "parts" / "model-01" / "sampled" / "part-00001.h5").touch()
    sampling = snapshot(
        make_config(),
        state_after(*done, finish("train-01"), finish("promote-01")),
        tmp_path,
        15.0,
        Pace(),
    )
    assert (sampling.stage, sampling.done, sampling.total) == ("sample", 2, 4)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "0:05"), (75.9, "1:15"), (3725, "1:02:05"), (None, "?")]
)
def test_times_are_written_as_clocks(seconds, text):
    assert clock(seconds) == text


def test_the_pace_of_a_session_leaves_out_what_was_done_before_it():
    pace = Pace()
    assert pace.rate("search", 0, 100, 50.0) == 0.0
    assert pace.rate("search", 0, 130, 60.0) == 3.0
    assert pace.rate("relax", 1, 0, 70.0) == 0.0


def test_the_pace_of_training_begins_with_its_first_step():
    pace = Pace()
    assert [
        pace.rate("train", 1, *seen) for seen in ((0, 10.0), (0, 15.0), (5, 16.0), (25, 20.0))
    ] == [0.0, 0.0, 0.0, 5.0]


def test_a_boundary_of_a_set_follows_the_training_of_the_set(tmp_path):
    run = RunDirectory(make_set(tmp_path))
    member = run.member("s5_310")
    waiting = (0.0, 0.0, "waiting for the other boundaries")
    assert progress.training_progress(member.path, 1) == waiting
    run.sources(1).parent.mkdir(parents=True)
    run.sources(1).write_text("{}")
    run.training_progress(1).write_text('{"step": 12, "num_steps": 40, "loss": 0.25}')
    assert progress.training_progress(member.path, 1) == (12.0, 40.0, "loss 0.2500")
    assert progress.training_progress(run.path, 1) == (12.0, 40.0, "loss 0.2500")
