"""Record of a finished task, stored in its own product: result, time and place of the work.

A task is finished when its complete product exists with its record: an attribute of an HDF5 file,
an entry in the header of a model file, or a key of a JSON file. A record holds no paths; the path
of a product follows from the task.
"""

import json
import os
import socket
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import safetensors
from pydantic import ConfigDict, TypeAdapter, ValidationError

from gcd_hpc.config.explain import first_fault
from gcd_hpc.config.loader import AnyCampaign
from gcd_hpc.errors import CheckpointError, GcdError, RunDirectoryError
from gcd_hpc.processor import processor_s
from gcd_hpc.spectra.table_file import is_labelled, read_entries
from gcd_hpc.stages.result import Count, Seconds, StageResult
from gcd_hpc.stages.table import EXPLORE, QUENCH, SAMPLES, SEARCH, STAGES, WHOLE, Task
from gcd_hpc.store.parts import read_provenance, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory, part_number
from gcd_hpc.store.schema import Candidate

RECORD = "task_record"
"""Name of the HDF5 attribute, header entry or JSON key."""


@dataclass(frozen=True)
class Record:
    """Result and cost of a finished task."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )

    task: Task
    result: StageResult
    started: Seconds
    """Start of the work, seconds since the epoch."""
    seconds: Seconds
    """Wall time of the work."""
    cores: Count
    host: str
    pid: int
    cpu_s: Seconds | None = None
    """Processor time of all its processes; None in products of earlier versions."""

    def text(self) -> str:
        """Record as text with a checksum, the form in which products store it."""
        body = _RECORD.dump_json(self, exclude_defaults=True)
        return f"{zlib.crc32(body):08x} {body.decode()}"

    @classmethod
    def parse(cls, text: str) -> "Record":
        """Parse the text of a record.

        Raises:
            ValueError: if the text is damaged.
        """
        checksum, _, body = text.partition(" ")
        if f"{zlib.crc32(body.encode()):08x}" != checksum:
            raise ValueError("a checksum that does not fit")
        return _RECORD.validate_json(body)


_RECORD = TypeAdapter(Record)


@dataclass(frozen=True)
class Begun:
    """A task that this process is working on."""

    task: Task
    cores: int
    started: float
    clock: float
    processor_s: float

    def seconds(self) -> float:
        """Wall time since the begin of the task."""
        return time.monotonic() - self.clock

    def cpu_s(self) -> float:
        """Processor time of this process and its children since the begin of the task."""
        return max(0.0, processor_s() - self.processor_s)

    def record(self, result: StageResult, cpu_s: float | None = None) -> Record:
        """Record of the task, taken when its product is about to be written.

        Args:
            cpu_s: processor time of all ranks of a launch; that of this process if None.
        """
        host, pid = socket.gethostname(), os.getpid()
        spent = self.cpu_s() if cpu_s is None else cpu_s
        return Record(self.task, result, self.started, self.seconds(), self.cores, host, pid, spent)

    def attribute(self, result: StageResult, cpu_s: float | None = None) -> dict[str, str]:
        """Record as an entry for the attributes of a file; arguments as ``record``."""
        return {RECORD: self.record(result, cpu_s).text()}

    def write(
        self, path: Path, rows: Sequence[Candidate], config: AnyCampaign, result: StageResult
    ) -> StageResult:
        """Write the part file of the task with its record; return the result.

        Raises:
            RunDirectoryError: if the folder cannot be written to or the disk is full.
        """
        write_part(path, rows, campaign_provenance(config) | self.attribute(result))
        return result


def begin(task: Task, cores: int = 1) -> Begun:
    """Start the clocks of a task."""
    return Begun(task, cores, time.time(), time.monotonic(), processor_s())


def product_files(run_dir: Path, task: Task, num_chunks: int) -> list[Path]:
    """Files of a task's product.

    Args:
        num_chunks: number of chunks of a round; a launched sampling makes one file for each.
    """
    chunks = range(num_chunks) if task.is_whole_sampling else [max(0, task.chunk)]
    product = STAGES[task.stage].product
    return [product(RunDirectory(run_dir), task.round, chunk) for chunk in chunks]


def product_bytes(run_dir: Path, task: Task, num_chunks: int) -> int:
    """Total size of the product of a finished task."""
    return sum(path.stat().st_size for path in product_files(run_dir, task, num_chunks))


def parts_on_disk(run_dir: Path) -> Iterator[tuple[Path, Task]]:
    """Parts of a run, with the tasks that make them."""
    run = RunDirectory(run_dir)
    for path in run.search_parts():
        yield path, Task(SEARCH, 0, part_number(path))
    for path in run.quenched_parts():
        yield path, Task(QUENCH, 0, part_number(path))
    for round in run.explored_rounds():
        for path in run.explored_parts(round):
            yield path, Task(EXPLORE, round, part_number(path))
    # The samples of a boundary and of a material lie in the same folders.
    sample, relax = ("guide", "verify") if run.quenched_parts() else SAMPLES
    for round in run.versions():
        for path in run.sampled_parts(round):
            yield path, Task(sample, round, part_number(path))
        for path in run.relaxed_parts(round):
            yield path, Task(relax, round, part_number(path))


def damage(run_dir: Path, task: Task, num_chunks: int, num_bytes: int) -> str:
    """Damage to the product of a finished task, in words; empty if intact. Takes microseconds.

    Args:
        num_bytes: total size of its files when it was finished.
    """
    got = 0
    for path in product_files(run_dir, task, num_chunks):
        if not path.is_file():
            return f"{path}: expected the product of {task.name}, got no such file"
        got += path.stat().st_size
    if got == num_bytes:
        return ""
    files = product_files(run_dir, task, num_chunks)
    where = files[0] if len(files) == 1 else files[0].parent
    return f"{where}: expected {num_bytes} bytes, got {got}"


def find_record(run_dir: Path, task: Task, num_chunks: int) -> Record | None:
    """Record of a finished task, or None. Damaged files are removed, so that they are made again.

    Raises:
        RunDirectoryError: if a file has no record, because an earlier version made it.
    """
    files, records = product_files(run_dir, task, num_chunks), []
    for path in files:
        if not path.exists():
            continue
        try:
            records.append(record_of(path, task))
        except CheckpointError:
            path.unlink()
    return _joined(task, records) if len(records) == len(files) else None


def discard(run_dir: Path, task: Task, num_chunks: int) -> None:
    """Remove the damaged files of a product whose size has changed, or all if none is damaged."""
    if find_record(run_dir, task, num_chunks) is not None:
        for path in product_files(run_dir, task, num_chunks):
            path.unlink()


def record_of(path: Path, task: Task) -> Record:
    """Record in one file of a product.

    Raises:
        RunDirectoryError: if the file has none, because an earlier version made it.
        CheckpointError: if the file or its record is damaged, or belongs to another task.
    """
    try:
        text = _READERS[path.suffix](path)
        record = Record.parse(text) if text is not None else None
    except (GcdError, OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged: {_first_line(error)}") from error
    if record is None:
        raise RunDirectoryError(
            f"{path}: cannot be resumed from, because the file has no record of {task.name}: an"
            " earlier version of gcd-hpc made it; resume it with that version or choose another"
            " --run-dir"
        )
    if record.task.phase != task.phase or task.chunk not in (WHOLE, record.task.chunk):
        raise CheckpointError(
            f"{path}: expected the product of {task.name}, got that of {record.task.name}"
        )
    return record


def stored_record(path: Path) -> Record | None:
    """Record in a file, of whatever task; None if it has none or a damaged one."""
    try:
        text = _READERS[path.suffix](path)
        return None if text is None else Record.parse(text)
    except (GcdError, OSError, ValueError, KeyError, safetensors.SafetensorError):
        return None


def _joined(task: Task, records: Sequence[Record]) -> Record:
    """Combined record of a launched sampling, whose ranks worked in parallel."""
    if not task.is_whole_sampling:
        return records[0]
    started = min(record.started for record in records)
    ended = max(record.started + record.seconds for record in records)
    first, results = records[0], [record.result for record in records]
    result = StageResult(
        num=sum(one.num for one in results),
        ok=sum(one.ok for one in results),
        invalid=sum(one.invalid for one in results),
        seconds=ended - started,
    )
    spent = [record.cpu_s for record in records if record.cpu_s is not None]
    return replace(
        first,
        task=task,
        result=result,
        started=started,
        seconds=ended - started,
        cpu_s=sum(spent) if len(spent) == len(records) else None,
    )


def _of_hdf5(path: Path) -> str | None:
    entries = read_entries(path) if is_labelled(path) else read_provenance(path)
    return entries.get(RECORD)


def _of_model(path: Path) -> str | None:
    # Opening reads the header and checks the length of the file, without the weights.
    with safetensors.safe_open(path, framework="numpy") as file:
        return (file.metadata() or {}).get(RECORD)


def _of_json(path: Path) -> str | None:
    content = json.loads(path.read_text(encoding="utf-8"))
    text = content.get(RECORD) if isinstance(content, dict) else None
    return text if isinstance(text, str) else None


_READERS = {".h5": _of_hdf5, ".safetensors": _of_model, ".json": _of_json}


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return f"its record has no sound {first_fault(error)}"
    return (str(error).splitlines() or [""])[0] or type(error).__name__
