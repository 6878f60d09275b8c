"""What a campaign consists of: tasks with content-addressed ids, and the records that make a
finished task count once.

The id of a task is the hash of everything that its result depends on, the ids of the tasks before
it included. The process that runs a task writes ``RUN/tasks/<id>.json`` as its last act, so that a
task whose driver was killed is adopted by the next one.
"""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.files import replacing
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import ROUND, SEARCH, STAGES, WHOLE, Mode, Stage, phase_name
from gcd_hpc.store.run_directory import RunDirectory, num_chunks, parts_in

ENOUGH_OF_THE_SEARCH = 0.95
PREFETCH_WORKERS = 4
"""One more task for this many workers is handed over before a worker is free, and one at least: a
worker shall find it at once.
"""
BEAT_S = 3.0
"""Between signs of life of a task at work."""


@dataclass(frozen=True, order=True)
class Task:
    """One unit of work: a chunk of the search, or of version ``version`` of the model everything
    else.
    """

    stage: Stage
    version: int = 0
    chunk: int = WHOLE

    @property
    def name(self) -> str:
        """``search-00012``, ``train-01`` or ``relax-01-00003``: the name in the ledger and of the
        log file.
        """
        version = f"-{self.version:02d}" if self.stage != SEARCH else ""
        return f"{self.stage}{version}" + (f"-{self.chunk:05d}" if self.chunk != WHOLE else "")

    @property
    def phase(self) -> tuple[Stage, int]:
        """Stage and version: what the task is a part of."""
        return self.stage, self.version

    @classmethod
    def parse(cls, name: str) -> "Task":
        """The task of a name."""
        stage, *numbers = name.split("-")
        values = [int(number) for number in numbers]
        if stage == SEARCH:
            return cls(stage, 0, values[0])
        assert stage in STAGES, name
        return cls(stage, *values)


@dataclass(frozen=True)
class Plan:
    """What the policy has to know of a campaign: how many chunks a stage has, the budget, and the
    size of the pools.
    """

    num_search_chunks: int
    num_sample_chunks: int
    rounds: int
    wall_time_s: float | None = None
    target_energy_j_m2: float | None = None
    plateau_rounds: int = 0
    max_quarantined: float = 0.05
    until: str | None = None
    """Phase to end after: ``search``, ``train-01``."""
    mode: Mode = "barrier"
    num_batches: int = 1
    """Relaxation tasks of one sampled chunk."""
    relaxation_workers: int = 1
    sampling_workers: int = 1
    retrain_after: int = 40
    max_model_lag: int = 1
    chunk_sizes: dict[str, int] = field(default_factory=dict)
    """Candidates of one task, by stage."""

    @classmethod
    def of(cls, config: CampaignConfig, site: SiteConfig, until: str | None = None) -> "Plan":
        """The plan of a campaign file on a resolved site.

        Raises:
            LaunchError: if ``until`` names no phase of this campaign.
        """
        budget, sampling = config.budget, config.sampling
        relaxed = (
            min(sampling.relax_batch, sampling.chunk_size)
            if site.mode == "asynchronous"
            else sampling.chunk_size
        )
        jobs = site.blocks.max_blocks if site.driver == "login" else 1
        plan = cls(
            num_chunks(config.search.num_tries, config.search.chunk_size),
            num_chunks(sampling.num_candidates, sampling.chunk_size),
            budget.rounds,
            budget.wall_time_s,
            budget.target_energy_j_m2,
            budget.plateau_rounds,
            budget.max_quarantined,
            until,
            site.mode,
            (
                num_chunks(sampling.chunk_size, sampling.relax_batch)
                if site.mode == "asynchronous"
                else 1
            ),
            site.relaxation.num_workers * jobs,
            site.sampling.num_workers * jobs,
            config.selection.retrain_after,
            sampling.max_model_lag,
            {"search": config.search.chunk_size, "sample": sampling.chunk_size, "relax": relaxed},
        )
        known = [phase_name(stage, version) for stage, version in plan.all_phases()]
        if until is not None and until not in known:
            raise LaunchError(
                "--until: expected one of"
                f" {', '.join(known[:7])}{' ...' if len(known) > 7 else ''}, got {until}"
            )
        return plan

    def num_tasks(self, stage: Stage) -> int:
        """Tasks of one stage of one round, as far as they are known beforehand."""
        if not STAGES[stage].is_relaxation:
            return 1
        return self.num_search_chunks if stage == SEARCH else self.num_sample_chunks

    def num_needed(self, stage: Stage) -> int:
        """Tasks after which the next stage may begin: in asynchronous mode a few stragglers of the
        search do not hold it up.
        """
        num = self.num_tasks(stage)
        return (
            ceil(num * ENOUGH_OF_THE_SEARCH)
            if self.mode == "asynchronous" and stage == SEARCH and not self.until
            else num
        )

    def tasks(self, stage: Stage, version: int) -> list[Task]:
        if not STAGES[stage].is_relaxation:
            return [Task(stage, version)]
        return [Task(stage, version, chunk) for chunk in range(self.num_tasks(stage))]

    def all_phases(self) -> Iterator[tuple[Stage, int]]:
        """Stages in the order in which they take turns; in asynchronous mode only the first model
        is made by turns.
        """
        yield SEARCH, 0
        for version in range(1, self.rounds + 1):
            for stage in ROUND:
                if self.mode == "asynchronous" and (version > 1 or stage in ("sample", "relax")):
                    return
                yield stage, version

    def phases(self) -> Iterator[tuple[Stage, int]]:
        """The phases up to the last one asked for."""
        for stage, version in self.all_phases():
            yield stage, version
            if self.until == phase_name(stage, version):
                return


@dataclass(frozen=True)
class TaskIds:
    """Ids of the tasks of one campaign."""

    config: CampaignConfig
    potential_sha256: str
    mode: Mode = "barrier"
    _known: dict[tuple[Stage, int], str] = field(default_factory=dict, compare=False, repr=False)
    """What the stages of each version start from: the same for all their chunks."""

    def of(self, task: Task) -> str:
        """sha256 over the stage, its sections of the config, the potential and the tasks before, as
        64 hexadecimal digits.
        """
        return self._digest(task.stage, task.version, task.chunk)

    def _digest(self, stage: Stage, version: int, chunk: int) -> str:
        if (stage, version) not in self._known:
            inputs = self.config.model_dump(mode="json", include=set(STAGES[stage].sections))
            self._known[stage, version] = _sha256(
                {"inputs": inputs, "before": self._before(stage, version)}
            )
        return _sha256(
            {
                "stage": stage,
                "version": version,
                "chunk": chunk,
                "from": self._known[stage, version],
            }
        )

    def _before(self, stage: Stage, version: int) -> str:
        """What a stage starts from: its predecessors form a chain down to the potential."""
        if stage == SEARCH:
            return self.potential_sha256
        # One chunk stands for all chunks of a stage: their number and their contents follow from
        # the same sections.
        if stage != "select":
            return self._digest(list(STAGES)[list(STAGES).index(stage) - 1], version, WHOLE)
        # In asynchronous mode a selection sees what happens to be finished: its result holds for
        # this run directory only.
        before = (
            self._digest("relax", version - 1, WHOLE)
            if version > 1
            else self._digest("search", 0, WHOLE)
        )
        return f"{self.mode}:{before}"


def _sha256(value: Any) -> str:
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


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
    files: dict[str, int] = field(default_factory=dict)
    """Bytes of each file that the task left, by its path in the run directory: another size means
    damage.
    """

    def damage(self, run_dir: Path) -> str:
        """What is wrong with the first file that is not as the task left it; empty if nothing is.
        Microseconds a file.
        """
        for name, expected in self.files.items():
            path = RunDirectory(run_dir).inside(name)
            got = path.stat().st_size if path.is_file() else None
            if got != expected:
                return (
                    f"{path}: expected {expected} bytes, got"
                    f" {'no such file' if got is None else got}"
                )
        return ""

    def discard(self, run_dir: Path) -> None:
        """Delete the damaged files and the record, so that the task can be run again."""
        for name, expected in self.files.items():
            path = RunDirectory(run_dir).inside(name)
            if path.is_file() and path.stat().st_size != expected:
                path.unlink()
        RunDirectory(run_dir).record(self.id).unlink(missing_ok=True)


def output_path(run_dir: Path, task: Task) -> Path:
    """What a task leaves behind for the next; sampling leaves the folder of its parts."""
    product = STAGES[task.stage].product(RunDirectory(run_dir), task.version, max(0, task.chunk))
    return product.parent if task.stage == "sample" and task.chunk == WHOLE else product


def write_record(run_dir: Path, record: Record) -> None:
    """Put a record in its place at once or not at all.

    Raises:
        RunDirectoryError: if the run directory cannot be written to.
    """
    # Without its record a task is run again, which finds the files that it left.
    with replacing(RunDirectory(run_dir).record(record.id), flush=False) as temporary:
        temporary.write_text(json.dumps(asdict(record), sort_keys=True) + "\n")


def read_record(run_dir: Path, task_id: str) -> Record | None:
    """The record of a task, or None if it has not been finished."""
    try:
        return Record(**json.loads(RunDirectory(run_dir).record(task_id).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def find_record(run_dir: Path, task: Task, task_id: str) -> Record | None:
    """The record of a task whose result is still there and whole; else the record goes too, and the
    task is run again.
    """
    record = read_record(run_dir, task_id)
    if record is None or (output_path(run_dir, task).exists() and not record.damage(run_dir)):
        return record
    record.discard(run_dir)
    return None


def lost_tasks(run_dir: Path, finished: Container[Task]) -> dict[Task, str]:
    """Finished tasks whose results are not whole any more, each with what is wrong: they are
    discarded and have to be run again.
    """
    lost = {}
    for path in RunDirectory(run_dir).records():
        record = read_record(run_dir, path.stem)
        if (
            record is not None
            and (task := Task.parse(record.task)) in finished
            and (reason := record.damage(run_dir))
        ):
            record.discard(run_dir)
            lost[task] = reason
    return lost


def output_sizes(run_dir: Path, task: Task) -> dict[str, int]:
    """Bytes of the files that a task has just left."""
    path = output_path(run_dir, task)
    files = parts_in(path) if path.is_dir() else [path] if path.exists() else []
    return {file.relative_to(run_dir).as_posix(): file.stat().st_size for file in files}


@dataclass(frozen=True)
class TaskRequest:
    """What a worker is told: which task, where, and how many cores it takes."""

    run_dir: str
    task: str
    id: str
    cores: int


def carry_out(order: TaskRequest, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run one task here and write its record. Returns the record as a plain dict."""
    before = read_record(Path(order.run_dir), order.id)
    if before is not None:
        return asdict(before)
    with _sign_of_life(RunDirectory(order.run_dir).begun(order.id)):
        started, clock = time.time(), time.monotonic()
        result = work()
        seconds, files = (
            time.monotonic() - clock,
            output_sizes(Path(order.run_dir), Task.parse(order.task)),
        )
        record = Record(
            order.id,
            order.task,
            result,
            started,
            seconds,
            order.cores,
            socket.gethostname(),
            os.getpid(),
            files,
        )
        write_record(Path(order.run_dir), record)
    return asdict(record)


@contextmanager
def _sign_of_life(path: Path) -> Iterator[None]:
    """A file that is touched every few seconds while the block runs; of a process that was killed
    it stays as it was.
    """
    path.parent.mkdir(exist_ok=True)
    path.touch()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def call_stage(
    order: TaskRequest, module: str, function: str, arguments: Sequence[int]
) -> dict[str, Any]:
    """A task that is a function of a stage module, called in a Parsl worker."""
    # Stage modules load torch or LAMMPS: only the worker may pay for that.
    import importlib

    def work() -> dict[str, Any]:
        result = getattr(importlib.import_module(module), function)(order.run_dir, *arguments)
        return result.to_json() if isinstance(result, StageResult) else dict(result)

    with _worker_errors():
        return carry_out(order, work)


@contextmanager
def _worker_errors() -> Iterator[None]:
    """A stage that calls sys.exit must fail its task, not end the worker."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"the stage ended its process with {error.code!r}") from error
