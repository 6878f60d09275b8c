"""Workers of one session, started when there is a task to run and restarted when they are lost."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gcd_hpc.campaign.policy import MAX_RETRIES
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.record import Record
from gcd_hpc.stages.table import STAGES, Stage, Task, is_launched
from gcd_hpc.stages.tasks import PREFETCH_WORKERS, TaskRequest
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.backend import Backend, BackendStartError, Launcher, StageCall

SUSPENDED_S = 10.0
"""A wait that lasts longer than it should by this was interrupted by a suspended machine."""


@dataclass(frozen=True)
class Job:
    """A task of one run."""

    run_dir: Path
    task: Task


Ended = tuple[Job, "Future[Record]"]


class PoolKeeper:
    """Queued and running tasks of a session, and the backend that runs them."""

    def __init__(
        self,
        site: SiteConfig,
        run_dir: Path,
        plan: Plan,
        modules: Mapping[Stage, str],
        note: Callable[[str], None],
        choose: Callable[[Sequence[Path]], Path] | None = None,
    ) -> None:
        """Create a keeper without starting workers.

        Args:
            run_dir: run directory of the workers' own files.
            plan: numbers of the tasks of every run.
            modules: module name of each stage.
            note: shows the user one line.
            choose: the run whose chunk comes next, of those that have some; the first if None.
        """
        self._choose = choose or (lambda waiting: waiting[0])
        self._site, self._run_dir = site, run_dir
        self._plan, self._modules = plan, modules
        self._note = note
        self._backend: Backend | None = None
        self._launches: deque[Job] = deque()
        self._chunks: dict[Path, deque[Job]] = {}
        """Chunks of each run not yet submitted. Kept back so that a drain need not wait for them.
        """
        self._running: dict[Job, Future[Record]] = {}
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._num_restarts = 0
        """Number of restarts since a task last finished."""
        self._reason = ""
        """Reason to restart the workers although no task reported their loss."""
        self._is_lost = False
        self._suspended: set[Job] = set()
        """Running tasks whose attempt has outlasted a suspension of the machine."""

    @property
    def is_busy(self) -> bool:
        """True while tasks are running."""
        return bool(self._running)

    def has_room(self, stage: Stage) -> bool:
        """True if the workers could take more chunks of a stage than are queued."""
        queued = (job for jobs in self._chunks.values() for job in jobs)
        return self._room() > sum(job.task.stage == stage for job in queued)

    def add(self, jobs: Iterable[Job]) -> None:
        """Queue tasks for ``feed``."""
        for job in jobs:
            if STAGES[job.task.stage].is_chunked:
                self._chunks.setdefault(job.run_dir, deque()).append(job)
            else:
                self._launches.append(job)

    def forget(self, run_dir: Path) -> None:
        """Remove the queued tasks of a run that has ended; its running tasks go on."""
        self._chunks.pop(run_dir, None)
        self._launches = deque(job for job in self._launches if job.run_dir != run_dir)

    def feed(self) -> None:
        """Submit queued tasks, chunks only as workers become free; start the workers if needed.

        Raises:
            RunDirectoryError: if the workers cannot write to the run directory.
        """
        if not (self._launches or self._chunks) or self._reason or self._is_lost:
            return
        if self._backend is None:
            # A late import: Parsl takes 0.3 s to import, and often nothing is left to run.
            from gcd_hpc.workers.parsl_backend import ParslBackend

            try:
                self._backend = ParslBackend(
                    self._site, self._run_dir, self._plan.needs_launchers, self._num_restarts
                )
            except BackendStartError as error:
                self._reason = str(error)
                return
        while self._launches and self._may_start(self._launches[0]):
            self._submit(self._launches.popleft(), self._backend)
        room = 0 if self._is_reserved() else self._room()
        while self._chunks and room > 0:
            chosen = self._choose(list(self._chunks))
            self._submit(self._chunks[chosen].popleft(), self._backend)
            if not self._chunks[chosen]:
                del self._chunks[chosen]
            room -= 1

    def _may_start(self, job: Job) -> bool:
        """Whether a parallel job has its cores to itself, where the pools share them."""
        is_alone = not self._running
        return is_alone or self._plan.mode != "barrier" or self._launcher(job.task) is None

    def _is_reserved(self) -> bool:
        """Whether all cores belong to a parallel job that runs or waits for them."""
        jobs = (*self._running, *self._launches)
        return self._plan.mode == "barrier" and any(self._launcher(job.task) for job in jobs)

    def _room(self) -> int:
        """Number of chunks that the workers can take now, a few prefetched ones included."""
        workers = self._plan.relaxation_workers
        at_work = sum(STAGES[job.task.stage].is_chunked for job in self._running)
        return workers + max(1, workers // PREFETCH_WORKERS) - at_work

    def next_ended(self, timeout_s: float) -> Ended | None:
        """The next task that has ended with its future, or None after the timeout."""
        began = time.time()  # this clock goes on while the machine is suspended
        try:
            job, future = self._ended.get(timeout_s > 0, timeout_s)
        except queue.Empty:
            return None
        finally:
            if time.time() - began > timeout_s + SUSPENDED_S:
                self._suspended.update(self._running)
        if self._running.get(job) is not future:
            return None  # from workers that were replaced
        del self._running[job]
        if future.exception() is None:
            self._num_restarts = 0
        elif self._backend is not None and self._backend.is_lost:
            self._is_lost = True
        return job, future

    def was_suspended(self, job: Job) -> bool:
        """True if the machine was suspended during the last attempt at a task."""
        return job in self._suspended

    def must_restart(self) -> bool:
        """True if the workers are lost, cannot be started, or no longer respond."""
        if self._backend is not None and not self._is_lost:
            requests = map(self._request, self._running)
            self._reason = self._backend.check_health(requests) or self._reason
        return self._is_lost or bool(self._reason)

    def restart(self) -> list[Job]:
        """Close the workers; ``feed`` starts new ones.

        Returns:
            Running tasks, which end with the workers.

        Raises:
            LaunchError: if several restarts in a row did not help.
        """
        if self._reason:
            self._num_restarts += 1
            if self._num_restarts > MAX_RETRIES:
                log = RunDirectory(self._run_dir).workers_log
                raise LaunchError(
                    f"{self._reason}, {self._num_restarts} times in a row; see {log} and the folder"
                    " runinfo"
                )
            self._note(f"{self._reason}: starting the workers anew")
        self.close()
        self._reason, self._is_lost = "", False
        running = list(self._running)
        self._running.clear()
        return running

    def drain(self) -> None:
        """Submit nothing more, and signal launched stages to write a checkpoint and exit."""
        self._launches.clear()
        self._chunks.clear()
        if self._backend is not None:
            self._backend.drain()

    def close(self) -> None:
        """End the workers."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def _submit(self, job: Job, backend: Backend) -> None:
        task, spec = job.task, STAGES[job.task.stage]
        launcher = self._launcher(task)
        numbers = spec.arguments(task.round, task.chunk, self._plan.num_batches)
        call = StageCall(spec.pool, self._modules[task.stage], spec.function, numbers, launcher)
        future = backend.submit(self._request(job), call)
        self._running[job] = future
        self._suspended.discard(job)
        future.add_done_callback(partial(self._put, job))

    def _request(self, job: Job) -> TaskRequest:
        task, spec = job.task, STAGES[job.task.stage]
        cores = getattr(self._site, spec.pool).num_workers if self._launcher(task) else 1
        return TaskRequest(str(job.run_dir), task.name, cores, self._plan.num_sample_chunks)

    def _launcher(self, task: Task) -> Launcher | None:
        return STAGES[task.stage].launcher if is_launched(task.stage, self._plan.mode) else None

    def _put(self, job: Job, future: "Future[Record]") -> None:
        # Runs in a thread of the backend.
        self._ended.put((job, future))
