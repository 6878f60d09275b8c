"""Damaged and hostile ledgers and records: every reader gives a true answer or one sentence."""

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.accounts.report import report_of
from gcd_hpc.browse.failures import failure_rows
from gcd_hpc.browse.status import StatusReader, state_of
from gcd_hpc.browse.timeline import work_of
from gcd_hpc.browse.usage import report_record
from gcd_hpc.campaign.directory import write_config
from gcd_hpc.campaign.driver import finished_before
from gcd_hpc.campaign.events import to_line
from gcd_hpc.campaign.inventory import verify
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.record import RECORD, begin, damage, find_record, record_of
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.findings import Report
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.conftest import make_config
from tests.fuzz.harness import few_and_many, mutations, outcome, write
from tests.store.synthetic import make_candidate

PLAN = Plan(3, 2, 2, relaxation_workers=2, chunk_sizes={"search": 2, "sample": 2, "relax": 2})
VALUES: tuple[Any, ...] = (
    *(-1, 0, 2**31, 10**30, -1e308, 1e308, 0.5, "", "x", "../../x", "\x1b[31m", "search-00001"),
    *(None, True, [], {}, [[]], [1], {"a": 1}, "9" * 5000),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A run with a part and the ledger of a simulated campaign, which was interrupted twice."""
    folder = tmp_path_factory.mktemp("sound")
    write_config(RunDirectory(folder), make_config())
    task = Task("search", 0, 0)
    rows = [make_candidate(index, num_atoms=9) for index in range(2)]
    entries = begin(task).attribute(StageResult(num=2, ok=2, atoms_per_plane=10))
    origin = campaign_provenance(make_config()) | entries
    write_part(RunDirectory(folder).search_part(0), rows, origin)
    events = Rehearsal(PLAN, Pace(lost=0.2), seed=5).run().events
    with Ledger(folder) as ledger:
        for event in [*events[:9], events[0], *events[9:14], events[0], *events[14:]]:
            ledger.append(event)
    return folder


@pytest.fixture
def run(sound, tmp_path) -> Path:
    """A copy."""
    return Path(shutil.copytree(sound, tmp_path / "run"))


def said(run: Path) -> Any:
    """What the readers of a ledger make of it, but for what hangs on the time of day."""
    state = state_of(run)
    status = {
        name: value for name, value in StatusReader(run).record().items() if name != "elapsed_s"
    }
    report = report_record(report_of(state))
    work = [(one.task.name, one.begin, one.end) for one in work_of(state)]
    overhead_s = cost_of(state).overhead_s
    return json.loads(json.dumps([status, report, failure_rows(run), work, overhead_s]))


def found(run: Path) -> list[str]:
    """What ``verify`` says."""
    report = Report()
    verify(run, report)
    return [str(finding) for finding in report.findings()]


def resumed(run: Path) -> list[str]:
    """What the campaign command reads before it starts anything."""
    finished_before(make_config(), SiteConfig(cores=2), run)
    with Ledger(run) as ledger:
        state = ledger.state
    tasks = state.finished.items() if state is not None else ()
    return [damage(run, task, 2, done.num_bytes) for task, done in tasks]


@few_and_many(1000)
def test_a_damaged_ledger_gives_the_answer_of_its_whole_lines_or_one_sentence(run, num):
    path = RunDirectory(run).ledger
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    true = []
    for number in range(1, len(lines) + 1):
        path.write_bytes(b"".join(lines[:number]))
        true.append(outcome(lambda: said(run), number).value)
    num_refused = 0
    for number, damaged in enumerate(mutations(content, num, seed=1, is_text=True)):
        path.write_bytes(damaged)
        got = outcome(lambda: said(run), number)
        num_refused += got.kind == "refused"
        assert got.kind == "refused" or got.value in true, number
        outcome(lambda: found(run), number)
        outcome(lambda: resumed(run), number)
    assert num_refused > num / 2


def hostile(value: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON value in which one entry somewhere is another, missing or new."""
    if isinstance(value, dict) and value:
        key = str(rng.choice(list(value)))
        kind = rng.integers(6)
        if kind == 0:
            return {name: one for name, one in value.items() if name != key}
        if kind == 1:
            return value | {"new": 1}
        return value | {key: hostile(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = int(rng.integers(len(value)))
        return [*value[:place], hostile(value[place], rng), *value[place + 1 :]]
    return VALUES[rng.integers(len(VALUES))]


@few_and_many(1000)
def test_a_ledger_of_hostile_values_with_right_checksums_gives_an_answer_or_one_sentence(run, num):
    path = RunDirectory(run).ledger
    plain = [json.loads(line) for line in path.read_bytes().splitlines()]
    bodies = [{name: one for name, one in line.items() if name != "crc"} for line in plain]
    for number in range(num):
        rng = np.random.default_rng([7, number])
        place = int(rng.integers(len(bodies)))
        changed = [*bodies[:place], hostile(bodies[place], rng), *bodies[place + 1 :]]
        crc, lines = 0, []
        for body in changed:
            text = json.dumps(body, separators=(",", ":")).encode()
            crc = zlib.crc32(text, crc)
            lines.append(b'%s,"crc":"%08x"}\n' % (text[:-1], crc))
        path.write_bytes(b"".join(lines))
        for read in (said, found, resumed):
            outcome(lambda read=read: read(run), f"{number}: {changed[place]}")


@few_and_many(1000)
def test_a_damaged_record_is_no_record_and_never_another_one(tmp_path, num):
    """In the text that parts and models hold, and in the whole file of a verdict."""
    task = Task("promote", 1)
    result = StageResult(num=4, ok=3, failed=1, atoms_per_plane=10, best={2: 2.297}, model=1)
    entries = begin(task).attribute(result)
    content = json.dumps({"model": 1, "promoted": True} | entries).encode()
    path = RunDirectory(tmp_path).promotion(1)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    sound = record_of(path, task)
    for number, damaged in enumerate(mutations(content, num, seed=2, is_text=True)):
        write(path.parent, path.name, damaged)
        got = outcome(lambda: record_of(path, task).text(), number)
        assert got.kind == "refused" or got.value == sound.text(), number


@few_and_many(1000)
def test_a_record_of_hostile_values_with_a_right_checksum_leads_nowhere(tmp_path, num):
    """Whatever it says, it makes no file outside its place be read, written or removed."""
    task = Task("search", 0, 1)
    text = begin(task).record(StageResult(num=2, ok=2, atoms_per_plane=10, best={2: 2.3})).text()
    plain = json.loads(text.partition(" ")[2])
    mine = write(tmp_path, "thesis.tex", b"mine")
    run = tmp_path / "run"
    for number in range(num):
        body = json.dumps(hostile(plain, np.random.default_rng([9, number]))).encode()
        entries = {RECORD: f"{zlib.crc32(body):08x} {body.decode()}"}
        write_part(RunDirectory(run).search_part(1), [], {"config": ""} | entries)
        outcome(lambda: str(find_record(run, task, 1)), f"{number}: {body!r}")
        assert mine.read_bytes() == b"mine"


def test_lines_of_the_ledger_are_chained(run):
    """The same event has another line after another one."""
    event = Rehearsal(PLAN, Pace(), seed=5).run().events[0]
    assert to_line(event, 0)[0] != to_line(event, 1)[0]
