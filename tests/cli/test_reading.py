"""Commands that read results: terminals of any encoding, and places that are no run."""

import io
import sys
from pathlib import Path

import pytest

from gcd_hpc import cli
from gcd_hpc.browse.status import state_of
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.allocation import resolve
from tests.browse.sets import make_set
from tests.campaign.histories import finished, opened


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> RunDirectory:
    """A set in a folder with letters that ASCII lacks; one boundary has a ledger."""
    run = RunDirectory(make_set(tmp_path_factory.mktemp("größe-Å")))
    begin(run.member("s5_310").path)
    return run


def begin(run_dir: Path) -> None:
    config = load_campaign(RunDirectory(run_dir).config)
    with Ledger(run_dir) as ledger:
        ledger.append(opened(Plan.of(config, resolve(SiteConfig(cores=1))), pid=2**22 + 1))
        ledger.append(finished("search-00000", 5.0, best={0: 0.905}))


def called(*words: str, encoding: str = "utf-8") -> tuple[str, int]:
    """What a command prints on a terminal with this encoding, and its exit code."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gcd-hpc", *words])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", out)
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    out.flush()
    return out.buffer.getvalue().decode(encoding), code


# RUN is a boundary of the set, OTHER another one, SET the set.
READING = [
    "status RUN",
    "status SET",
    "failures RUN",
    "failures SET",
    "report RUN",
    "top RUN --per-n",
    "top SET --unique",
    "ls RUN --per-n --num 2",
    "ls SET",
    "show RUN search-000001",
    "show RUN search-000001 --ancestry",
    "compare RUN OTHER",
    "overview SET",
    "plot RUN --out OUT/a.png",
    "phases RUN",
    "export RUN --format csv --out OUT/a.csv",
    "verify RUN",
    "check RUN/campaign.yaml",
    "boundaries --element Cu --axis 001",
    "model show builtin",
    "merge RUN RUN --out OUT/a.h5",
]


@pytest.mark.parametrize("command", READING)
def test_a_terminal_that_knows_ascii_only_is_no_reason_to_fail(runs, tmp_path, command):
    places = {
        "RUN": str(runs.member("s5_310").path),
        "OTHER": str(runs.member("s13_320").path),
        "SET": str(runs.path),
        "OUT": str(tmp_path),
    }
    words = [
        next((word.replace(name, place, 1) for name, place in places.items() if name in word), word)
        for word in command.split()
    ]
    text, code = called(*words, encoding="ascii")
    assert code == 0 or command.startswith("verify"), text
    assert text.strip()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("top PLACE", "holds no results (a folder without a run)"),
        ("ls PLACE", "holds no results (a folder without a run)"),
        ("compare PLACE PLACE", "holds no results (a folder without a run)"),
        ("failures PLACE", "holds no results (a folder without a run)"),
        ("status PLACE", "is not the run directory of a campaign"),
        ("report PLACE --html PLACE/a.html", "holds no results (a folder without a run)"),
        ("browse PLACE --no-open", "holds no results (a folder without a run)"),
        ("status FILE", "is not the run directory of a campaign"),
        ("report FILE", "is not the run directory of a campaign"),
        ("model show PLACE", "is a folder"),
        ("plot PLACE", "holds no results (a folder without a run)"),
        ("status MISSING", "is not the run directory of a campaign"),
        ("top MISSING", "holds no results (no such file)"),
    ],
)
def test_a_place_that_is_no_run_gets_a_sentence_and_a_code(tmp_path, runs, command, sentence):
    (tmp_path / "notes.txt").write_text("mine")
    part = runs.member("s5_310").search_part(0)
    places = {"PLACE": tmp_path, "FILE": part, "MISSING": tmp_path / "nowhere"}
    for name, place in places.items():
        command = command.replace(name, str(place))
    text, code = called(*command.split())
    assert code == 2, text
    assert sentence in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


def test_results_that_a_campaign_has_not_written_yet_lead_to_its_run_directory(runs):
    run = runs.member("s5_310").path
    text, code = called("top", str(run / "results.h5"))
    assert code == 2
    assert f"name the run directory {run}, which can be read at any time" in text


def test_a_run_that_holds_nothing_yet_is_said_to_be_empty(tmp_path, runs):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(runs.member("s5_310").config.read_text())
    with Ledger(run.path) as ledger:
        config = load_campaign(run.config)
        ledger.append(opened(Plan.of(config, resolve(SiteConfig(cores=1))), pid=2**22 + 1))
    assert state_of(run.path).num_tried == 0
    report = ("report", str(run.path), "--html", str(tmp_path / "a.html"))
    for words in (report, ("plot", str(run.path))):
        text, code = called(*words)
        assert code == 2, text
        assert "nothing to " in text
    assert not (tmp_path / "a.html").exists()
    for command in ("status", "top", "ls", "report", "failures"):
        text, code = called(command, str(run.path))
        assert code == 0, text
    other = str(runs.member("s5_310").path)
    assert called("compare", str(run.path), other)[1] == 0
