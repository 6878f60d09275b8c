"""Verification of a run: its files, ledger and records, and the products of finished tasks."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gcd_hpc.campaign.events import Finished
from gcd_hpc.campaign.inputs import starting_model_sha256
from gcd_hpc.campaign.ledger import LedgerReader
from gcd_hpc.campaign.material_inventory import (
    expected_samples,
    smallest_errors,
    verify_spectra,
)
from gcd_hpc.campaign.state import State
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_any_campaign
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.errors import CheckpointError, ConfigError, RunDirectoryError, StoreError
from gcd_hpc.stages.record import parts_on_disk, product_bytes, product_files, record_of
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import STAGES, WHOLE, Task
from gcd_hpc.store.copies import verify_results
from gcd_hpc.store.findings import Report
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_columns
from gcd_hpc.store.potentials import verify_potential
from gcd_hpc.store.run_directory import (
    RunDirectory,
    chunk_indices,
    part_name,
    part_number,
    parts_in,
)
from gcd_hpc.store.verify import verify_file
from gcd_hpc.structures.energetics import lowest_energies


def verify(
    path: Path, report: Report, advance: Callable[[int], None] = lambda num_bytes: None
) -> None:
    """Check a run directory or one file of candidates, and add all faults to the report.

    Args:
        advance: called with the number of bytes read of each file of ``files_of``.

    Raises:
        StoreError: if there is no such file, or no candidates in the directory.
    """
    files = files_of(path)
    # Read the ledger before the files: a running campaign may add files meanwhile.
    state, told = _ledger_of(path) if path.is_dir() else (None, {})
    for file in files:
        verify_file(file, report, advance)
    if path.is_dir():
        verify_potential(path, report)
        if state is None:
            _verify_numbers(path, report)
        else:
            _verify_products(path, state, told, report)
        num_batches = state.plan.num_batches if state is not None else 1
        _verify_candidates(path, num_batches, report)
        parts, results = RunStore(path).part_paths(), RunDirectory(path).results
        if results in files and parts != [results]:
            if state is None or state.reported:
                verify_results(results, parts, report)
            else:
                report.skipped("results", f"{results}: written again when the campaign ends")


def verify_tasks(run_dir: Path, report: Report) -> None:
    """Check the products of what a set did for all its boundaries, and add all faults."""
    state, told = _ledger_of(run_dir)
    if state is not None:
        _verify_products(run_dir, state, told, report)


def files_of(path: Path) -> list[Path]:
    """HDF5 files of a run: parts, training sets, and the copies that gcd-hpc makes of them.

    Raises:
        StoreError: if there are none.
    """
    if path.is_file():
        return [path]
    if not path.exists():
        raise StoreError(
            f"{path}: cannot be verified, because it does not exist; name a run directory or an"
            " HDF5 file of candidates"
        )
    run = RunDirectory(path)
    parts = [part for folder in run.part_folders() for part in parts_in(folder)]
    others = [*run.training_sets(), run.results]
    files = parts + [file for file in others if file.is_file()]
    if not files:
        raise StoreError(
            f"{path}: cannot be verified, because this directory holds no candidates; name a run"
            " directory or an HDF5 file of candidates"
        )
    return files


def _verify_products(
    run_dir: Path, state: State, results: Mapping[Task, StageResult], report: Report
) -> None:
    """Check that products of finished tasks exist, with unchanged size and consistent records."""
    num_chunks, num_old = state.plan.num_sample_chunks, 0
    for task, done in state.finished.items():
        report.looked_at("shards")
        files = product_files(run_dir, task, num_chunks)
        missing = [path for path in files if not path.is_file()]
        if missing:
            expected = f"the result of {task.name}, which was finished"
            report.found("shards", expected, "no such file", file=missing[0])
            continue
        got = product_bytes(run_dir, task, num_chunks)
        if done.num_bytes not in (0, got):
            expected = f"{done.num_bytes} bytes, as {task.name} left it"
            report.found("shards", expected, got, file=files[0])
        num_old += sum(not _verify_record(path, task, results[task], report) for path in files)
    if num_old:
        report.skipped(
            "shards", f"{run_dir}: {num_old} files have no record: an earlier version made them"
        )
    if state.plan.has_model:
        _verify_starting_model(RunDirectory(run_dir), report)
    for path, task in uncounted(run_dir, state):
        expected = f"a line about {task.name} in {RunDirectory(run_dir).ledger.name}"
        report.found("shards", expected, "none", file=path)


def _verify_starting_model(run: RunDirectory, report: Report) -> None:
    """Compare the model that the campaign started from with its hash among the inputs."""
    report.looked_at("shards")
    file, expected = run.model_file(0), starting_model_sha256(run)
    got = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no such file"
    if expected is not None and got != expected:
        what = f"the model that the campaign started from, with the hash {expected}"
        report.found("shards", what, got, file=file)


def uncounted(run_dir: Path, state: State) -> Iterator[tuple[Path, Task]]:
    """Parts that the ledger does not mention because its end was lost, with their tasks.

    A part whose task was submitted may have been left by a driver that was killed.
    """
    told = {*state.finished, *state.submitted, *state.lost}
    for path, task in parts_on_disk(run_dir):
        if task not in told and replace(task, chunk=WHOLE) not in told:
            yield path, task


def _verify_record(path: Path, task: Task, result: StageResult, report: Report) -> bool:
    """Compare the record of a file with the ledger and the rows; return False if it has none."""
    try:
        record = record_of(path, task)
    except RunDirectoryError:
        return False
    except CheckpointError as error:
        report.found("shards", f"the record of {task.name}", error, file=path)
        return True
    if not task.is_whole_sampling and record.result != result:
        expected = f"the results that the ledger has of {task.name}"
        report.found("shards", expected, "others in its record", file=path)
    best = _best(path, task, record.result) if STAGES[task.stage].is_counted else None
    if best is not None and best != record.result.best:
        expected = f"the lowest values that its record has: {dict(record.result.best)}"
        report.found("shards", expected, best, file=path)
    return True


def _best(path: Path, task: Task, result: StageResult) -> dict[int, float] | None:
    """Lowest figure of merit of each group of the rows of a part; None if unreadable."""
    try:
        if STAGES[task.stage].kind == "material":
            return smallest_errors(read_columns([path], ["status", "guided", "spectrum_error"]))
        columns = read_columns([path], ["status", "n_fraction", "gb_energy_j_m2"])
    except StoreError:
        return None
    ok, plane = columns["status"] == "ok", result.atoms_per_plane
    if not plane:
        return {}
    # Version 1 of the ledger has its own unit of [n].
    indices = np.rint(columns["n_fraction"][ok] * plane).astype(int) % plane
    return lowest_energies(indices, columns["gb_energy_j_m2"][ok])


def _ledger_of(run_dir: Path) -> tuple[State | None, dict[Task, StageResult]]:
    """State of a run, and the result of each finished task in its ledger."""
    reader = LedgerReader(run_dir)
    told: dict[Task, StageResult] = {}
    for event in reader.new_events():
        reader.take(event)
        if isinstance(event, Finished):
            told[event.task] = event.result
    return reader.state, told


def _verify_numbers(run_dir: Path, report: Report) -> None:
    """Check that the part numbers have no gap, for a run without a ledger."""
    for folder in RunDirectory(run_dir).part_folders():
        numbers = [part_number(path) for path in parts_in(folder)]
        for number in sorted(set(range(max(numbers, default=0))) - set(numbers)):
            report.found(
                "shards",
                "a part, for there are later ones",
                "no such file",
                file=folder / part_name(number),
            )


def _verify_candidates(run_dir: Path, num_batches: int, report: Report) -> None:
    """Check that each part holds the candidates that its number implies."""
    try:
        config = load_any_campaign(RunDirectory(run_dir).config)
    except ConfigError as error:
        report.skipped("shards", f"the candidates of each part were not counted: {error}")
        return
    if isinstance(config, MaterialConfig):
        for path, expected in expected_samples(RunDirectory(run_dir), config):
            _compare(path, expected, _indices(path), report)
        verify_spectra(RunDirectory(run_dir), report)
        return
    for path, expected in _expected(run_dir, config):
        _compare(path, expected, _indices(path), report)
    for version in RunDirectory(run_dir).versions():
        _verify_batches(run_dir, version, num_batches, report)


def _expected(run_dir: Path, config: CampaignConfig) -> Iterator[tuple[Path, list[int]]]:
    """Parts of all but relaxation, with the indices that their candidates must have."""
    run = RunDirectory(run_dir)
    search, sampling = config.search, config.sampling
    for path in run.search_parts():
        yield path, list(chunk_indices(search.num_tries, search.chunk_size, part_number(path)))
    size = config.explore.moves_per_task
    for round in run.explored_rounds():
        for path in run.explored_parts(round):
            first = part_number(path) * size
            yield path, list(range(first, first + size))
    for version in run.versions():
        for path in run.sampled_parts(version):
            chunk = part_number(path)
            yield path, list(chunk_indices(sampling.num_candidates, sampling.chunk_size, chunk))


def _verify_batches(run_dir: Path, version: int, num_batches: int, report: Report) -> None:
    """Check that the relaxed batches of a chunk add up to its sampled candidates."""
    batches: dict[int, list[Path]] = defaultdict(list)
    for path in RunDirectory(run_dir).relaxed_parts(version):
        batches[part_number(path) // num_batches].append(path)
    for chunk, paths in batches.items():
        sampled = RunDirectory(run_dir).sampled_part(version, chunk)
        expected = _indices(sampled) if sampled.is_file() else None
        found = [_indices(path) for path in paths]
        if not sampled.is_file():
            report.found(
                "shards", f"the sampled structures of {paths[0].name}", "no such file", file=sampled
            )
        if expected is None or any(got is None for got in found):
            continue
        union = sorted(index for got in found for index in got or ())
        if len(paths) == num_batches:
            _compare(paths[0].parent, expected, union, report)
        elif unknown := sorted(set(union) - set(expected)):
            report.found(
                "shards",
                f"candidates of {sampled.name}",
                f"index {unknown[0]}",
                file=paths[0].parent,
            )


def _compare(path: Path, expected: list[int], got: list[int] | None, report: Report) -> None:
    if got is None:
        return
    report.looked_at("shards")
    if sorted(got) == expected:
        return
    missing = sorted(set(expected) - set(got))
    stray = sorted(set(got) - set(expected))
    if missing:
        shown = f"none of index {missing[0]}"
    elif stray:
        shown = f"one of index {stray[0]}"
    else:
        shown = f"{len(got)}, some of them twice"
    report.found(
        "shards",
        f"{len(expected)} candidates from index {min(expected, default=0)} on",
        shown,
        file=path,
    )


def _indices(path: Path) -> list[int] | None:
    """Candidate indices of a part; None if unreadable, which the check of the file reports."""
    try:
        return [int(index) for index in read_columns([path], ["index"])["index"]]
    except StoreError:
        return None
