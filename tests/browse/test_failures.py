"""What went wrong in a run, counted and listed."""

import io
import json
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from rich.console import Console

from gcd_hpc.browse.failures import (
    MAX_LISTED,
    counts,
    failure_rows,
    failures_json,
    failures_table,
    general,
)
from gcd_hpc.campaign.events import Quarantined
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.errors import StoreError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.quarantine import set_aside
from gcd_hpc.stages.table import Task
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from tests.campaign.histories import failed, finished, opened
from tests.store.synthetic import CONFIG, make_candidate

TIMEOUT = "LAMMPS gave no answer within 12 s and was stopped"


def put(run_dir: Path, chunk: int, *candidates) -> None:
    write_part(run_dir / f"parts/search/part-{chunk:05d}.h5", candidates, {"config": CONFIG})


@pytest.fixture
def run_dir(tmp_path) -> Path:
    """Two physics failures of one kind and one of another, a bug, refused structures, and tasks
    that failed.
    """
    run_dir = tmp_path / "run"
    physics = {"status": "failed", "failure": "physics"}
    put(
        run_dir,
        0,
        make_candidate(0),
        make_candidate(
            1, reason="atoms overlap: expected at least 0.82 Å between two, got 0.41 Å", **physics
        ),
        make_candidate(
            2, reason="atoms overlap: expected at least 0.82 Å between two, got 1e-05 Å", **physics
        ),
        make_candidate(3, reason=TIMEOUT, **physics),
    )
    put(
        run_dir,
        1,
        make_candidate(4, status="failed", failure="bug", reason="bug: KeyError: 'x'"),
        *(
            make_candidate(index, status="invalid", reason=f"closest pair {index / 10} Å")
            for index in (5, 6, 7)
        ),
    )
    set_aside(run_dir / "quarantine" / make_candidate(4).id, KeyError("x"), None)
    with Ledger(run_dir) as ledger:
        ledger.append(opened(Plan(4, 4, 1)))
        for task in ("relax-01-00002", "relax-01-00003", "relax-01-00003"):
            ledger.append(failed(task))
        ledger.append(finished("relax-01-00002"))
        aside = Task.parse("relax-01-00003")
        ledger.append(Quarantined(task=aside, reason="worker lost"))
        mistake = replace(failed("train-01", "mistake"), reason="no such model file")
        ledger.append(mistake)
    return run_dir


def test_every_failure_is_listed_with_class_reason_and_outcome(run_dir):
    rows = {(row["name"], row["class"], row["outcome"]): row for row in failure_rows(run_dir)}
    assert list(rows) == [
        ("train-01", "mistake", "ended the campaign"),
        ("search-000004", "bug", "quarantined"),
        ("relax-01-00002", "infrastructure", "finished later"),
        ("relax-01-00003", "infrastructure", "run again"),
        ("relax-01-00003", "infrastructure", "quarantined"),
        ("search-000001", "physics", "recorded"),
        ("search-000002", "physics", "recorded"),
        ("search-000003", "physics", "recorded"),
        ("search-000005", "invalid", "refused"),
        ("search-000006", "invalid", "refused"),
        ("search-000007", "invalid", "refused"),
    ]
    assert rows["search-000003", "physics", "recorded"]["reason"] == TIMEOUT
    assert rows["train-01", "mistake", "ended the campaign"]["reason"] == "no such model file"


def test_a_bug_says_where_its_input_and_traceback_lie(run_dir):
    (bug,) = (row for row in failure_rows(run_dir) if row["class"] == "bug")
    assert (Path(bug["quarantine"]) / "traceback.txt").is_file()
    assert all(
        row["quarantine"] is None
        for row in failure_rows(run_dir)
        if row is not bug and row["class"] != "bug"
    )


def test_reasons_that_differ_in_numbers_only_are_counted_together_with_their_range(run_dir):
    numbers = {
        (count["class"], count["reason"]): count["num"] for count in counts(failure_rows(run_dir))
    }
    assert (
        numbers[
            "physics", "atoms overlap: expected at least 0.82 Å between two, got 1e-05 to 0.41 Å"
        ]
        == 2
    )
    assert numbers["invalid", "closest pair 0.5 to 0.7 Å"] == 3
    assert numbers["physics", "LAMMPS gave no answer within 12 s and was stopped"] == 1


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "the energy per atom, -3.25 eV, is too far from the crystal's -8.76 eV",
            "the energy per atom, # eV, is too far from the crystal's # eV",
        ),
        ("the LAMMPS process was ended by signal 11", "the LAMMPS process was ended by signal 11"),
        ("the LAMMPS process ended with code 1: x", "the LAMMPS process ended with code 1: x"),
        ("libmpi.so.12: no such file", "libmpi.so.12: no such file"),
        ("took 369 of 370 atoms", "took # of # atoms"),
        ("got nan, 1e-05 and -inf", "got #, # and #"),
        ("atom 12 lies at z = 3.5.", "atom # lies at z = #."),
        ("W2 and chunk-00003", "W2 and chunk-00003"),
    ],
)
def test_only_numbers_of_one_candidate_are_left_out(reason, expected):
    assert general(reason) == expected


def test_refused_structures_are_counted_and_listed_only_on_demand(run_dir):
    rows = failure_rows(run_dir)
    short, whole = json.loads(failures_json(rows)), json.loads(failures_json(rows, every=True))
    assert short["counts"] == whole["counts"]
    assert "invalid" in {count["class"] for count in short["counts"]}
    assert "invalid" not in {row["class"] for row in short["failures"]}
    assert whole["failures"] == rows


def printed(rows, every=False) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(failures_table(rows, every))
    return console.file.getvalue()


def test_the_table_shows_counts_reasons_and_folders(run_dir):
    text = printed(failure_rows(run_dir))
    assert "atoms overlap: expected at least 0.82 Å between two, got 1e-05 to 0.41 Å" in text
    assert "got 0.41 Å" in text
    assert str(run_dir / "quarantine" / "search-000004") in text
    assert "closest pair 0.5 to 0.7 Å" in text and "search-000007" not in text
    assert "search-000007" in printed(failure_rows(run_dir), every=True)


def test_each_reason_names_candidates_to_look_at(run_dir):
    rows = failure_rows(run_dir)
    for count in counts(rows):
        assert count["names"], count
        assert len(count["names"]) == min(count["num"], MAX_LISTED)
        for name in count["names"]:
            (reason,) = {row["reason"] for row in rows if row["name"] == name}
            assert general(reason) == general(count["reason"]).replace("# to #", "#")
    lines = printed(rows).splitlines()
    assert "search-000005" in next(line for line in lines if "closest pair" in line)


def test_a_long_list_is_cut_unless_all_of_it_is_wanted(run_dir):
    put(
        run_dir,
        2,
        *(
            make_candidate(index, status="failed", failure="physics", reason=TIMEOUT)
            for index in range(100, 200)
        ),
    )
    rows = failure_rows(run_dir)
    assert "search-000199" not in printed(rows)
    assert f"{100 + 8 - MAX_LISTED} more; --all lists them" in printed(rows)
    assert "search-000199" in printed(rows, every=True)


def test_a_run_without_failures_says_so(tmp_path):
    put(tmp_path, 0, make_candidate(0))
    assert failure_rows(tmp_path) == []
    assert "none" in printed([])


def test_failures_of_older_files_are_physics(tmp_path):
    put(tmp_path, 0, make_candidate(0, status="failed", reason=TIMEOUT))
    with h5py.File(tmp_path / "parts/search/part-00000.h5", "a") as file:
        del file["structures/failure"], file["structures/score_gb_energy_j_m2"]
        file.attrs["schema_version"] = 1
        del file.attrs["crc32"]
    (row,) = failure_rows(tmp_path)
    assert row["class"] == "physics"


def test_failures_can_be_read_while_the_campaign_writes(run_dir):
    """A part that is not complete has another name, and the last line of the ledger may be half
    written.
    """
    before = failure_rows(run_dir)
    (run_dir / "parts/search/.part-00002.0123.tmp.h5").write_bytes(b"\x89HDF half")
    with open(run_dir / "events.jsonl", "a") as ledger:
        ledger.write('{"kind":"failed","elapsed_s":14.0,"ta')
    assert failure_rows(run_dir) == before


def test_no_run_is_one_sentence(tmp_path):
    with pytest.raises(StoreError, match="holds no results"):
        failure_rows(tmp_path / "nothing")


def test_the_failures_of_a_merged_file_are_listed_too(run_dir):
    candidates = [row for row in failure_rows(run_dir) if row["kind"] == "candidate"]
    merged = failure_rows(RunStore(run_dir).merge())
    assert [(row["name"], row["reason"]) for row in merged] == [
        (row["name"], row["reason"]) for row in candidates
    ]
