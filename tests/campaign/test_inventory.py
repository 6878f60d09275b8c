"""`gcd-hpc verify` on a whole run: a real search with its ledger, and what may happen to it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from gcd_hpc.campaign.events import Finished
from gcd_hpc.campaign.inventory import files_of, verify
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.errors import StoreError
from gcd_hpc.stages.record import RECORD
from gcd_hpc.store.findings import Report
from gcd_hpc.store.parts import read_part, read_provenance, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import candidate_id
from tests.campaign.histories import read_events

pytestmark = pytest.mark.lammps


def gcd_hpc(*words: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "gcd_hpc.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=150,
    )


@pytest.fixture
def searched(small_search) -> Path:
    """Six tries of a search in three parts; do not write to it."""
    return small_search / "run"


@pytest.fixture
def run(searched, tmp_path) -> Path:
    """A copy."""
    return Path(shutil.copytree(searched, tmp_path / "run"))


def sentences(path: Path) -> list[str]:
    report = Report()
    verify(path, report)
    return [str(finding) for finding in report.findings()]


def test_nothing_is_wrong_with_a_real_run(searched):
    done = gcd_hpc("verify", searched, "--json")
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout)
    assert said["ok"] and said["findings"] == []
    assert {check["check"]: check["status"] for check in said["checks"]} == dict.fromkeys(
        [
            "structure",
            "units",
            "checksums",
            "ids",
            "status",
            "n",
            "energies",
            "atoms",
            "relaxation",
            "potential",
            "shards",
            "results",
        ],
        "ok",
    )
    assert all(check["not_checked"] == [] for check in said["checks"])


def test_what_is_wrong_is_a_sentence_with_file_row_and_field_and_exit_code_1(run):
    part = run / "parts/search/part-00001.h5"
    with h5py.File(part, "r+") as file:
        file["structures/sample_s"].attrs["units"] = "min"
    done = gcd_hpc("verify", part)
    assert done.returncode == 1
    assert "structures/sample_s@units: expected 's', got 'min'" in " ".join(done.stdout.split())
    assert "1 thing is wrong" in done.stdout
    finding = json.loads(gcd_hpc("verify", part, "--json").stdout)["findings"][0]
    assert (finding["file"], finding["field"], finding["expected"]) == (
        str(part),
        "structures/sample_s@units",
        "'s'",
    )


def test_a_missing_shard_is_found(run):
    part = run / "parts/search/part-00001.h5"
    part.unlink()
    found = sentences(run)
    assert (
        f"{part}: expected the result of search-00001, which was finished, got no such file"
        in found
    )
    assert f"{run / 'results.h5'}: expected the 4 candidates of 2 parts, got 6" in found
    assert len(found) == 2


def test_a_last_shard_is_missed_by_the_ledger_alone(run):
    """No later part and no record tells of it."""
    (run / "parts/search/part-00002.h5").unlink()
    assert any(
        "part-00002.h5: expected the result of search-00002, which was finished" in line
        for line in sentences(run)
    )


def test_a_gap_between_the_parts_is_found_without_a_ledger(run):
    (run / "events.jsonl").unlink()
    (run / "parts/search/part-00001.h5").unlink()
    assert (
        f"{run}/parts/search/part-00001.h5: expected a part, for there are later ones, got no such"
        " file" in sentences(run)
    )


def test_a_shard_that_was_cut_short_is_found_twice(run):
    part = run / "parts/search/part-00001.h5"
    size = part.stat().st_size
    part.write_bytes(part.read_bytes()[:-1000])
    found = sentences(run)
    assert f"{part}: expected {size} bytes, as search-00001 left it, got {size - 1000}" in found
    assert any(f"{part}: expected a complete HDF5 file, got a truncated" in line for line in found)


def test_a_shard_that_lacks_a_candidate_is_found(run):
    part = run / "parts/search/part-00001.h5"
    write_part(part, read_part(part)[:1], {"config": read_provenance(part)["config"]})
    assert f"{part}: expected 2 candidates from index 2 on, got none of index 3" in sentences(run)


def rewritten(run: Path, change: Callable[[Finished], Finished]) -> None:
    """Another ledger with changed events of finished tasks, its checksums right."""
    events = read_events(run)
    RunDirectory(run).ledger.unlink()
    with Ledger(run) as ledger:
        for event in events:
            ledger.append(change(event) if isinstance(event, Finished) else event)


def test_energies_that_the_ledger_alone_has_are_found(run):
    """As somebody would write it who wants the target energy to be reached."""

    def change(event: Finished) -> Finished:
        best = {n: energy - 1.0 for n, energy in event.result.best.items()}
        return replace(event, result=replace(event.result, best=best))

    rewritten(run, change)
    part = run / "parts/search/part-00001.h5"
    assert (
        f"{part}: expected the results that the ledger has of search-00001, got others in its"
        " record" in sentences(run)
    )


def test_a_ledger_that_was_cut_off_is_found(run):
    """Whole lines at its end are missing: the tasks they told of left their products."""
    events = read_events(run)
    RunDirectory(run).ledger.unlink()
    with Ledger(run) as ledger:
        ledger.append(events[0])
    assert sentences(run) == [
        f"{run}/parts/search/part-0000{chunk}.h5: expected a line about search-0000{chunk} in"
        " events.jsonl, got none"
        for chunk in range(3)
    ]


def test_rows_whose_energies_are_not_those_of_the_record_are_found(run):
    part = run / "parts/search/part-00001.h5"
    origin = read_provenance(part)
    rows = [replace(row, gb_energy_j_m2=row.gb_energy_j_m2 - 0.5) for row in read_part(part)]
    write_part(part, rows, {"config": origin["config"], RECORD: origin[RECORD]})
    assert any(
        f"{part}: expected the lowest values that its record has" in line for line in sentences(run)
    )


def test_a_damaged_record_is_found_and_a_part_of_an_earlier_version_mentioned(run):
    first, second = (run / f"parts/search/part-0000{chunk}.h5" for chunk in (0, 1))
    origin = read_provenance(first)
    damaged = origin[RECORD].replace('"num":2', '"num":3')
    write_part(first, read_part(first), {"config": origin["config"], RECORD: damaged})
    write_part(second, read_part(second), {"config": origin["config"]})
    report = Report()
    verify(run, report)
    assert any(
        f"{first}: expected the record of search-00000, got {first}: damaged" in str(finding)
        for finding in report.findings()
    )
    assert report.outcomes["shards"].skipped == [
        f"{run}: 1 files have no record: an earlier version made them"
    ]


def test_results_that_differ_from_the_parts_are_found(run):
    part = run / "parts/search/part-00000.h5"
    first, second = read_part(part)
    write_part(
        part,
        [replace(first, sample_s=first.sample_s + 1), second],
        {"config": read_provenance(part)["config"]},
    )
    assert (
        f"{run / 'results.h5'}: structures/sample_s: expected what the parts hold, got something"
        " else" in sentences(run)
    )


@pytest.fixture
def relaxed_run(run) -> Path:
    """The run with two candidates of a model, sampled in one chunk and relaxed in one."""
    part = run / "parts/search/part-00000.h5"
    origin = {"config": read_provenance(part)["config"]}
    rows = [
        replace(
            row, id=candidate_id("model", 1, index), source="model", version=1, round=1, index=index
        )
        for index, row in enumerate(read_part(part))
    ]
    write_part(run / "parts/model-01/sampled/part-00000.h5", rows, origin)
    write_part(run / "parts/model-01/relaxed/part-00000.h5", rows, origin)
    (run / "results.h5").unlink()
    (run / "events.jsonl").unlink()
    return run


def test_relaxed_candidates_are_those_that_were_sampled(relaxed_run):
    assert sentences(relaxed_run) == []
    part = relaxed_run / "parts/model-01/relaxed/part-00000.h5"
    write_part(part, read_part(part)[1:], {"config": read_provenance(part)["config"]})
    assert sentences(relaxed_run) == [
        f"{part.parent}: expected 2 candidates from index 0 on, got none of index 0"
    ]


def test_relaxed_candidates_whose_sampled_part_is_gone_are_found(relaxed_run):
    sampled = relaxed_run / "parts/model-01/sampled/part-00000.h5"
    sampled.unlink()
    assert sentences(relaxed_run) == [
        f"{sampled}: expected the sampled structures of part-00000.h5, got no such file"
    ]


def test_results_alone_are_verified_as_the_run(run):
    shutil.rmtree(run / "parts")
    (run / "events.jsonl").unlink()
    assert files_of(run) == [run / "results.h5"]
    assert sentences(run) == []


def test_a_directory_without_candidates_is_a_mistake_of_the_user(tmp_path):
    with pytest.raises(StoreError, match="because this directory holds no candidates"):
        verify(tmp_path, Report())
    done = gcd_hpc("verify", tmp_path / "nothing")
    assert done.returncode == 2
    assert "cannot be verified, because it does not exist" in done.stderr
