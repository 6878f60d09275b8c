"""What a campaign consists of: tasks with content-addressed ids, and the records that make a finished task count once.

The id of a task is the hash of everything that its result depends on, the ids of the tasks before it included. The process that runs
a task writes ``RUN/tasks/<id>.json`` as its last act, so that a task whose driver was killed is adopted by the next one.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.stages.layout import model_file, relaxed_part, sampled_part, search_part, training_set
from gcd_hpc.store.files import replacing

Stage = Literal["search", "select", "train", "sample", "relax"]
STAGES: tuple[Stage, ...] = ("search", "select", "train", "sample", "relax")
CHUNKED = ("search", "relax")

# Sections of the campaign file that the results of a stage depend on, beside the tasks before it. Only the budget is in none of
# them, so that a campaign may grow.
SECTIONS: dict[Stage, tuple[str, ...]] = {
    "search": ("boundary", "potential", "search", "relaxation", "seed"),
    "select": ("selection", "seed"),
    "train": ("voxels", "decoder", "diffusion", "network", "training", "seed"),
    "sample": ("sampling", "decoder", "seed"),
    "relax": ("relaxation", "seed"),
}


@dataclass(frozen=True, order=True)
class Task:
    """One unit of work: a chunk of the search, or of version ``version`` of the model everything else."""

    stage: Stage
    version: int = 0
    chunk: int = 0

    @property
    def name(self) -> str:
        """``search-00012``, ``train-01`` or ``relax-01-00003``: the name in the ledger and of the log file."""
        version = f"-{self.version:02d}" if self.stage != "search" else ""
        return f"{self.stage}{version}" + (f"-{self.chunk:05d}" if self.stage in CHUNKED else "")

    @classmethod
    def parse(cls, name: str) -> "Task":
        """The task of a name."""
        stage, *numbers = name.split("-")
        values = [int(number) for number in numbers]
        if stage == "search":
            return cls("search", 0, values[0])
        assert stage in STAGES, name
        return cls(stage, *values)


@dataclass(frozen=True)
class Plan:
    """What the policy has to know of a campaign: how many chunks a stage has, and the budget."""

    num_search_chunks: int
    num_sample_chunks: int
    rounds: int
    wall_time_s: float | None = None
    target_energy_j_m2: float | None = None
    plateau_rounds: int = 0

    @classmethod
    def of(cls, config: CampaignConfig, search_only: bool = False) -> "Plan":
        """The plan of a campaign file; the search alone has no rounds."""
        budget = config.budget
        return cls(
            -(-config.search.num_tries // config.search.chunk_size),
            -(-config.sampling.num_candidates // config.sampling.chunk_size),
            0 if search_only else budget.rounds,
            budget.wall_time_s,
            budget.target_energy_j_m2,
            budget.plateau_rounds,
        )

    def num_tasks(self, stage: Stage) -> int:
        """Tasks of one stage of one round."""
        return {"search": self.num_search_chunks, "relax": self.num_sample_chunks}.get(stage, 1)

    def tasks(self, stage: Stage, version: int) -> list[Task]:
        return [Task(stage, version, chunk) for chunk in range(self.num_tasks(stage))]

    def phases(self) -> Iterator[tuple[Stage, int]]:
        """Stages in the order in which they take turns."""
        yield "search", 0
        for version in range(1, self.rounds + 1):
            for stage in STAGES[1:]:
                yield stage, version


@dataclass(frozen=True)
class Addresses:
    """Ids of the tasks of one campaign."""

    config: CampaignConfig
    potential_sha256: str

    def of(self, task: Task) -> str:
        """sha256 over the stage, its sections of the config, the potential and the tasks before, as 64 hexadecimal digits."""
        return self._digest(task.stage, task.version, task.chunk)

    def _digest(self, stage: Stage, version: int, chunk: int) -> str:
        inputs = self.config.model_dump(mode="json", include=set(SECTIONS[stage]))
        return _sha256({"stage": stage, "version": version, "chunk": chunk, "inputs": inputs, "before": self._before(stage, version)})

    def _before(self, stage: Stage, version: int) -> str:
        """What a stage starts from: its predecessors form a chain down to the potential."""
        if stage == "search":
            return self.potential_sha256
        if stage != "select":
            return self._digest(STAGES[STAGES.index(stage) - 1], version, 0)
        # Chunk 0 stands for all chunks of a stage: their number and their contents follow from the same sections.
        return self._digest("relax", version - 1, 0) if version > 1 else self._digest("search", 0, 0)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """A finished task: what it returned and what it cost."""

    id: str
    task: str
    result: dict[str, Any]
    started: float
    """Seconds since the epoch."""
    seconds: float
    cores: int
    host: str
    pid: int


def output_path(run_dir: Path, task: Task) -> Path:
    """What a task leaves behind for the next; sampling leaves the folder of its parts."""
    match task.stage:
        case "search":
            return search_part(run_dir, task.chunk)
        case "select":
            return training_set(run_dir, task.version)
        case "train":
            return model_file(run_dir, task.version)
        case "sample":
            return sampled_part(run_dir, task.version, 0).parent
        case "relax":
            return relaxed_part(run_dir, task.version, task.chunk)


def record_path(run_dir: Path, task_id: str) -> Path:
    return run_dir / "tasks" / f"{task_id}.json"


def write_record(run_dir: Path, record: Record) -> None:
    """Put a record in its place at once or not at all.

    Raises:
        RunDirectoryError: if the run directory cannot be written to.
    """
    with replacing(record_path(run_dir, record.id)) as temporary:
        temporary.write_text(json.dumps(asdict(record), sort_keys=True) + "\n")


def read_record(run_dir: Path, task_id: str) -> Record | None:
    """The record of a task, or None if it has not been finished."""
    try:
        return Record(**json.loads(record_path(run_dir, task_id).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def find_record(run_dir: Path, task: Task, task_id: str) -> Record | None:
    """The record of a task whose result is still there; without its result the record goes too, and the task is run again."""
    record = read_record(run_dir, task_id)
    if record is not None and not output_path(run_dir, task).exists():
        record_path(run_dir, task_id).unlink(missing_ok=True)
        return None
    return record


@dataclass(frozen=True)
class Order:
    """What a worker is told: which task, where, and how many cores it takes."""

    run_dir: str
    task: str
    id: str
    cores: int


def carry_out(order: Order, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run one task here and write its record. Returns the record as a plain dict."""
    before = read_record(Path(order.run_dir), order.id)
    if before is not None:
        return asdict(before)
    started, clock = time.time(), time.monotonic()
    result = work()
    record = Record(order.id, order.task, result, started, time.monotonic() - clock, order.cores, socket.gethostname(), os.getpid())
    write_record(Path(order.run_dir), record)
    return asdict(record)


def call_stage(order: Order, module: str, function: str, arguments: Sequence[int]) -> dict[str, Any]:
    """A task that is a function of a stage module, called in a Parsl worker."""
    # Stage modules load torch or LAMMPS: only the worker may pay for that.
    import importlib

    def work() -> dict[str, Any]:
        return getattr(importlib.import_module(module), function)(order.run_dir, *arguments)

    with _worker_errors():
        return carry_out(order, work)


@contextmanager
def _worker_errors() -> Iterator[None]:
    """A stage that calls sys.exit must fail its task, not end the worker."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"the stage ended its process with {error.code!r}") from error
