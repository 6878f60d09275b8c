"""Whether a run can be trusted: every file of it, and that none is missing of those that were
finished.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from gcd_hpc.campaign.ledger import State, read_events, replay
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import ConfigError, RunDirectoryError, StoreError
from gcd_hpc.stages.tasks import output_path, read_record
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


def verify(
    path: Path, report: Report, advance: Callable[[int], None] = lambda num_bytes: None
) -> None:
    """Look at everything in a run directory or in one file of candidates; what is wrong goes into
    the report.

    Args:
        advance: told how many bytes of ``files_of`` were gone through.

    Raises:
        StoreError: if there is no such file, or no candidates in the directory.
    """
    files = files_of(path)
    # Before the files: what is finished now is on disk, whatever a campaign at work does meanwhile.
    state = replay(read_events(path)) if path.is_dir() else State()
    for file in files:
        verify_file(file, report, advance)
    if path.is_dir():
        verify_potential(path, report)
        _verify_outputs(path, state, report)
        _verify_numbers(path, state, report)
        _verify_candidates(path, state, report)
        parts, results = RunStore(path).part_paths(), RunDirectory(path).results
        if results in files and parts != [results]:
            if state.plan is None or state.reported:
                verify_results(results, parts, report)
            else:
                report.skipped("results", f"{results}: written again when the campaign ends")


def files_of(path: Path) -> list[Path]:
    """The HDF5 files of a run: parts, training sets, and the copies that gcd-hpc makes of them.

    Raises:
        StoreError: if there are none.
    """
    if path.is_file():
        return [path]
    if not path.exists():
        raise StoreError(
            f"{path}: expected a run directory or an HDF5 file of candidates, got no such file"
        )
    run = RunDirectory(path)
    parts = [part for folder in run.part_folders() for part in parts_in(folder)]
    others = [*run.training_sets(), run.results]
    files = parts + [file for file in others if file.is_file()]
    if not files:
        raise StoreError(
            f"{path}: expected a run directory with candidates, got a directory without"
        )
    return files


def _verify_outputs(run_dir: Path, state: State, report: Report) -> None:
    """Results of tasks that the ledger or a record calls finished."""
    missing = set()
    for task in state.finished:
        report.looked_at("shards")
        path = output_path(run_dir, task)
        if not path.exists() and task not in state.lost:
            missing.add(path)
            report.found(
                "shards",
                f"the result of {task.name}, which was finished",
                "no such file",
                file=path,
            )
    num_foreign = 0
    for path in RunDirectory(run_dir).records():
        record = read_record(run_dir, path.stem)
        if record is None:
            if _is_json(path):
                num_foreign += 1
            else:
                report.found("shards", "the record of a finished task", "no JSON", file=path)
            continue
        for name, size in record.files.items():
            report.looked_at("shards")
            try:
                file = RunDirectory(run_dir).inside(name)
            except RunDirectoryError:
                report.found("shards", "files of this run", name, file=path)
                continue
            got = file.stat().st_size if file.is_file() else None
            if got != size and file not in missing:
                report.found(
                    "shards",
                    f"{size} bytes, as {record.task} left it",
                    "no such file" if got is None else got,
                    file=file,
                )
    if num_foreign:
        report.skipped(
            "shards",
            f"{run_dir}: {num_foreign} records of another version of gcd-hpc, which name no files",
        )


def _verify_numbers(run_dir: Path, state: State, report: Report) -> None:
    """Without a ledger, parts are numbered without a gap."""
    if state.plan is not None:
        return
    for folder in RunDirectory(run_dir).part_folders():
        numbers = [part_number(path) for path in parts_in(folder)]
        for number in sorted(set(range(max(numbers, default=0))) - set(numbers)):
            report.found(
                "shards",
                "a part, for there are later ones",
                "no such file",
                file=folder / part_name(number),
            )


def _verify_candidates(run_dir: Path, state: State, report: Report) -> None:
    """Each part holds the candidates of its number, relaxed ones those that were sampled."""
    try:
        config = load_campaign(RunDirectory(run_dir).config)
    except ConfigError as error:
        report.skipped("shards", f"the candidates of each part were not counted: {error}")
        return
    for path, expected in _expected(run_dir, config):
        got = _indices(path)
        if got is not None:
            _compare(path, expected, got, report)
    num_batches = state.plan.num_batches if state.plan else 1
    for version in RunDirectory(run_dir).versions():
        _verify_batches(run_dir, version, num_batches, report)


def _expected(run_dir: Path, config: CampaignConfig) -> Iterator[tuple[Path, list[int]]]:
    """Parts of the search and of sampling with the indices of their candidates."""
    search, sampling, run = config.search, config.sampling, RunDirectory(run_dir)
    for path in run.search_parts():
        yield path, list(chunk_indices(search.num_tries, search.chunk_size, part_number(path)))
    for version in run.versions():
        for path in run.sampled_parts(version):
            chunk = part_number(path)
            yield path, list(chunk_indices(sampling.num_candidates, sampling.chunk_size, chunk))


def _verify_batches(run_dir: Path, version: int, num_batches: int, report: Report) -> None:
    """Batches of a sampled chunk are parts of it, all of them together the whole."""
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


def _compare(path: Path, expected: list[int], got: list[int], report: Report) -> None:
    report.looked_at("shards")
    if sorted(got) == expected:
        return
    missing = sorted(set(expected) - set(got))
    stray = sorted(set(got) - set(expected))
    shown = (
        f"none of index {missing[0]}"
        if missing
        else f"one of index {stray[0]}"
        if stray
        else f"{len(got)}, some of them twice"
    )
    report.found(
        "shards",
        f"{len(expected)} candidates from index {min(expected, default=0)} on",
        shown,
        file=path,
    )


def _indices(path: Path) -> list[int] | None:
    """None if it cannot be read, which the look at the file itself has said."""
    try:
        return [int(index) for index in read_columns([path], ["index"])["index"]]
    except StoreError:
        return None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
        return True
    except ValueError:
        return False
