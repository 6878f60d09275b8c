"""Checkpoints of ledgers: fewer lines are parsed, and the state is never another one."""

import json
import os
import zlib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.campaign import checkpoint, ledger
from gcd_hpc.campaign.events import Finished, LineReader, Paused, Reported, Stopped
from gcd_hpc.campaign.ledger import Ledger, read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.histories import failed, finished, lost, opened, state_after, submitted
from tests.campaign.test_flow import PLAN as OVERLAPPING

NAMES = [f"search-{chunk:05d}" for chunk in range(6)]
EVENTS = [
    opened(Plan(6, 1, 1), expected_s={"search": 3.0}),
    submitted(*NAMES),
    failed(NAMES[5], elapsed_s=1.5),
    *(finished(name, 2.0, best={2: 2.5}, low=((2, 2.5),), worker="a:1") for name in NAMES[:4]),
]
LATER = finished(NAMES[4], 9.0, best={3: 2.1})


def write(run_dir, *events):
    with Ledger(run_dir) as file:
        for event in events:
            file.append(event)


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run whose ledger has a checkpoint of all its lines."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ledger, "MIN_EVENTS", 2)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    write(run_dir, *EVENTS)
    assert read_state(run_dir) == state_after(EVENTS)
    assert saved(tmp_path).is_file()
    return run_dir


def saved(tmp_path) -> Path:
    (path,) = (tmp_path / "cache/gcd-hpc").glob("ledger-*.state")
    return path


@pytest.fixture
def parsed(monkeypatch):
    """The lines that are parsed from now on."""
    lines = []
    parse = LineReader.event
    monkeypatch.setattr(
        LineReader, "event", lambda self, line: lines.append(line) or parse(self, line)
    )
    return lines


def test_lines_before_the_checkpoint_are_not_parsed_again(run_dir, parsed):
    assert read_state(run_dir) == state_after(EVENTS)
    assert parsed == []
    write(run_dir, LATER)
    assert read_state(run_dir) == state_after([*EVENTS, LATER])
    assert len(parsed) == 1


def test_a_changed_line_before_the_checkpoint_is_noticed(run_dir):
    path = RunDirectory(run_dir).ledger
    content = path.read_bytes()
    path.write_bytes(content.replace(b"2.5", b"2.4", 1))
    with pytest.raises(RunDirectoryError, match=r"line 4 .*a line that was changed"):
        read_state(run_dir)


def test_another_ledger_in_the_same_place_is_read_from_its_begin(run_dir, parsed):
    others = [*EVENTS[:-1], finished(NAMES[3], 2.0, best={2: 2.4}, low=((2, 2.4),), worker="a:1")]
    os.unlink(RunDirectory(run_dir).ledger)
    write(run_dir, *others)
    assert read_state(run_dir) == state_after(others) != state_after(EVENTS)
    copy = RunDirectory(run_dir).ledger
    content = copy.read_bytes()
    copy.rename(run_dir / "old")  # keeps its inode in use
    copy.write_bytes(content)
    assert read_state(run_dir) == state_after(others)


def test_a_ledger_that_was_cut_short_is_read_from_its_begin(run_dir):
    path = RunDirectory(run_dir).ledger
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert read_state(run_dir) == state_after(EVENTS[:3])


@pytest.mark.parametrize("place", [3, 200, -20])
def test_a_damaged_checkpoint_is_not_used(run_dir, tmp_path, parsed, place):
    content = bytearray(saved(tmp_path).read_bytes())
    content[place] ^= 4
    saved(tmp_path).write_bytes(content)
    assert read_state(run_dir) == state_after(EVENTS)
    assert len(parsed) == len(EVENTS)


def test_a_checkpoint_that_others_may_write_to_is_not_used(run_dir, tmp_path, parsed):
    saved(tmp_path).chmod(0o666)
    assert read_state(run_dir) == state_after(EVENTS)
    assert len(parsed) == len(EVENTS)


@pytest.mark.parametrize("body", [b"{}", b"not JSON", b"[" * 100_000])
def test_a_file_that_holds_no_checkpoint_is_not_used(run_dir, tmp_path, parsed, body):
    path = saved(tmp_path)
    header = json.loads(path.read_bytes().split(b"\n", 1)[0]) | {"body": zlib.crc32(body)}
    path.write_bytes(json.dumps(header).encode() + b"\n" + body)
    assert read_state(run_dir) == state_after(EVENTS)
    assert len(parsed) == len(EVENTS)


def all_fields(state):
    """Values and types of all fields; Counter's == does not tell a zero from a missing key."""
    return repr(replace(state, low=sorted(state.low)))


def test_reading_behind_a_checkpoint_leads_to_the_same_state_at_any_event(run_dir, parsed):
    plan = replace(
        OVERLAPPING,
        max_model_lag=0,
        chunk_sizes={**OVERLAPPING.chunk_sizes, "explore": 4},
        num_explore_chunks=5,
        generations=2,
    )
    events = Rehearsal(plan, Pace(train_s=200.0, lost=0.2), seed=1).run().events
    # A second driver begins while tasks are at work, and finds that a product was lost.
    half = len(events) // 2
    done = next(event.task for event in events if isinstance(event, Finished))
    events[half:half] = [*lost(done), events[0]]
    # What no rehearsal does.
    events += [finished("relax-01-09999", quarantined=1), failed("train-02", saved=0.5)]
    events += [Paused(), Stopped(reason="rounds", failed=True), Reported()]
    os.unlink(RunDirectory(run_dir).ledger)
    expected, seen = state_after(events[:1]), set()
    for begin in range(0, len(events), 50):
        write(run_dir, *events[begin : begin + 50])
        for event in events[max(begin, 1) : begin + 50]:
            expected.apply(event)
        parsed.clear()
        for _ in range(2):
            assert all_fields(read_state(run_dir)) == all_fields(expected)
        assert len(parsed) == len(events[begin : begin + 50])
        seen |= {name for name, value in vars(expected).items() if value}
    assert expected.account.num_dropped and expected.account.num_quarantined
    assert seen == {field.name for field in fields(State)}


def test_a_run_without_a_cache_folder_is_read_all_the_same(run_dir, monkeypatch):
    monkeypatch.setattr(checkpoint, "cache_file", lambda *_: None)
    assert read_state(run_dir) == state_after(EVENTS)
