"""Plan of a campaign, and execution of one task in a worker.

The process that runs a task leaves its record in the product, so that the next driver can adopt a
task whose driver was killed.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.processor import processor_s
from gcd_hpc.stages.record import Record, find_record
from gcd_hpc.stages.result import Count
from gcd_hpc.stages.table import (
    EXPLORE,
    ROUND,
    SAMPLES,
    SEARCH,
    STAGES,
    Mode,
    Stage,
    Task,
    is_launched,
    phase_name,
    phase_order,
)
from gcd_hpc.store.run_directory import RunDirectory, num_chunks

ENOUGH_OF_THE_SEARCH = 0.95
PREFETCH_WORKERS = 4
"""Prefetch: one queued task per this many workers (at least one), so that none waits."""
BEAT_S = 3.0
"""Interval of the heartbeat of a running task."""


Positive = Annotated[int, Field(ge=1, le=10**9)]


@dataclass(frozen=True)
class Plan:
    """Numbers that the policy decides by: chunks of each stage, budget, and pool sizes."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )

    num_search_chunks: Count
    num_sample_chunks: Count
    rounds: Count
    wall_time_s: float | None = None
    target_energy_j_m2: float | None = None
    plateau_rounds: int = 0
    max_quarantined: float = 0.05
    until: str | None = None
    """Last phase to run, such as ``search`` or ``train-01``; None for all."""
    mode: Mode = "barrier"
    num_batches: Positive = 1
    """Number of relaxation tasks of one sampled chunk."""
    relaxation_workers: Positive = 1
    sampling_workers: Positive = 1
    retrain_after: int = 40
    max_model_lag: int = 1
    chunk_sizes: dict[str, int] = field(default_factory=dict)
    """Number of candidates of one task, by stage."""
    num_explore_chunks: Count = 0
    """Number of exploration tasks of one generation."""
    generations: Count = 0
    """Largest number of generations of exploration in a round."""
    patience: Count = 0
    """Number of generations in a row without an improvement that end a round's exploration."""
    has_model: bool = False
    """True if the campaign starts from a model, which round 0 samples."""

    @classmethod
    def of(cls, config: CampaignConfig, site: SiteConfig, until: str | None = None) -> "Plan":
        """Plan of a campaign on a resolved site.

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
            {
                "search": config.search.chunk_size,
                "sample": sampling.chunk_size,
                "relax": relaxed,
                EXPLORE: config.explore.moves_per_task,
            },
            config.explore.tasks_per_generation,
            config.explore.generations,
            config.explore.patience,
            config.model is not None,
        )
        known = [phase_name(stage, round) for stage, round in plan.all_phases()]
        if until is not None and until not in known:
            raise LaunchError(
                f"--until {until} is no phase of this campaign; choose one of"
                f" {', '.join(known[:7])}{' ...' if len(known) > 7 else ''}"
            )
        return plan

    def exploration_note(self, explore: ExploreConfig) -> str:
        """Sentence about workers that a generation of exploration has no task for, or ""."""
        num_tasks, num_workers = explore.tasks_per_generation, self.relaxation_workers
        if not self.generations or num_workers <= num_tasks:
            return ""
        cure = "more explore.chains would use more"
        if explore.chains_per_task > 1:
            cure = f"explore.chains_per_task: 1 makes it {explore.chains}, " + cure
        return (
            f"Exploration uses {num_tasks} of {num_workers} workers, for a generation has"
            f" {num_tasks} tasks; {cure}."
        )

    def num_tasks(self, stage: Stage) -> int:
        """Number of tasks of a stage in one round, as far as known in advance."""
        if not STAGES[stage].is_relaxation:
            return 1
        if stage == EXPLORE:
            return self.generations * self.num_explore_chunks
        return self.num_search_chunks if stage == SEARCH else self.num_sample_chunks

    def num_needed(self, stage: Stage) -> int:
        """Number of tasks after which the next stage may begin.

        In asynchronous mode the last tasks of the search do not delay it, except before the samples
        of round 0, whose targets follow from the whole search.
        """
        num = self.num_tasks(stage)
        is_whole = self.mode == "barrier" or self.until is not None or self.has_model
        return ceil(num * ENOUGH_OF_THE_SEARCH) if stage == SEARCH and not is_whole else num

    def tasks(self, stage: Stage, round: int) -> list[Task]:
        """Tasks of one phase."""
        if not STAGES[stage].is_relaxation:
            return [Task(stage, round)]
        return [Task(stage, round, chunk) for chunk in range(self.num_tasks(stage))]

    def generation(self, task: Task) -> int:
        """Generation of an exploration task within its round; 0 for all other tasks.

        The tasks of a generation need all earlier generations.
        """
        return task.chunk // max(1, self.num_explore_chunks) if task.stage == EXPLORE else 0

    def order(self, task: Task) -> tuple[int, int, int]:
        """Sort key that puts tasks in the order in which they need each other."""
        return (*phase_order(task.phase), self.generation(task))

    def is_turn(self, stage: Stage, num_done: int) -> bool:
        """True if after so many tasks of a phase other tasks may begin.

        That is at the end of the phase and, in exploration, of each generation.
        """
        size = max(1, self.num_explore_chunks)
        is_generation = stage == EXPLORE and num_done % size == 0
        return is_generation or num_done == self.num_needed(stage)

    def all_phases(self) -> Iterator[tuple[Stage, int]]:
        """Phases in order of execution; in asynchronous mode only those up to the first model."""
        if self.num_search_chunks:
            yield SEARCH, 0
        if self.has_model and self.mode == "asynchronous":
            return
        if self.has_model and self.num_sample_chunks:
            yield from ((stage, 0) for stage in SAMPLES)
        yield from self._exploration(0)
        for round in range(1, self.rounds + 1):
            for stage in ROUND:
                if self.mode == "asynchronous" and (round > 1 or stage in SAMPLES):
                    return
                if stage in SAMPLES and not self.num_sample_chunks:
                    continue
                if stage != EXPLORE:
                    yield stage, round
            yield from self._exploration(round)

    def _exploration(self, round: int) -> Iterator[tuple[Stage, int]]:
        if self.generations:
            yield EXPLORE, round

    @property
    def num_sampled_rounds(self) -> int:
        """Number of rounds whose model is sampled."""
        return self.rounds + self.has_model

    @property
    def needs_launchers(self) -> bool:
        """True if the campaign trains or samples, with torch and MPI."""
        learns = self.rounds > 0 or self.has_model
        return (learns and self.until is None) or any(
            is_launched(stage, self.mode) for stage, _ in self.phases()
        )

    def phases(self) -> Iterator[tuple[Stage, int]]:
        """Phases up to ``until``."""
        for stage, round in self.all_phases():
            yield stage, round
            if self.until == phase_name(stage, round):
                return


@dataclass(frozen=True)
class TaskRequest:
    """Task as a worker receives it."""

    run_dir: str
    task: str
    cores: int
    num_chunks: int
    """Number of chunks of a round, each a file of a launched sampling."""


def carry_out(request: TaskRequest, work: Callable[[], object]) -> Record:
    """Run one task in this process, unless its product exists already.

    Returns:
        Record of the task; if the task ran here, with the wall and processor time from the call to
            its end.
    """
    run_dir, task = Path(request.run_dir), Task.parse(request.task)
    before = find_record(run_dir, task, request.num_chunks)
    if before is not None:
        return before
    with _sign_of_life(RunDirectory(run_dir).begun(request.task)):
        started, clock = time.time(), time.monotonic()
        before_s = processor_s()
        work()
        seconds = time.monotonic() - clock
        cpu_s = max(0.0, processor_s() - before_s)
    record = find_record(run_dir, task, request.num_chunks)
    if record is None:
        raise RuntimeError(f"{task.name} ended without its product")
    # Ranks that Slurm starts are no children of this process, and only the record has their time.
    cpu_s = max(cpu_s, record.cpu_s or 0.0)
    return replace(record, started=started, seconds=seconds, cores=request.cores, cpu_s=cpu_s)


@contextmanager
def _sign_of_life(path: Path) -> Iterator[None]:
    """Context that touches a heartbeat file of the task every BEAT_S seconds.

    The file of a killed process stays as it was.
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
    request: TaskRequest, module: str, function: str, arguments: Sequence[int]
) -> Record:
    """Run a task by calling a function of its stage module in a worker."""
    # A late import: only the worker loads torch or LAMMPS.
    import importlib

    def work() -> None:
        getattr(importlib.import_module(module), function)(request.run_dir, *arguments)

    with _worker_errors():
        return carry_out(request, work)


@contextmanager
def _worker_errors() -> Iterator[None]:
    """Turn a sys.exit of a stage into a failure of its task, so that the worker survives."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"the stage ended its process with {error.code!r}") from error
