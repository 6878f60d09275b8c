"""Workers of one session, started when there is a task to run and restarted when they are lost."""

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from gcd_hpc.campaign.policy import MAX_RETRIES
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.stages.record import Record
from gcd_hpc.stages.table import STAGES, Stage, Task, is_launched
from gcd_hpc.stages.tasks import PREFETCH_WORKERS, Plan, TaskRequest
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.backend import Backend, BackendStartError, StageCall

SUSPENDED_S = 10.0
"""A wait that lasts longer than it should by this was interrupted by a suspended machine."""
Ended = tuple[Task, "Future[Record]"]


class PoolKeeper:
    """Queued and running tasks of a session, and the backend that runs them."""

    def __init__(
        self,
        site: SiteConfig,
        run_dir: Path,
        plan: Plan,
        modules: Mapping[Stage, str],
        note: Callable[[str], None],
    ) -> None:
        """Create a keeper without starting workers.

        Args:
            modules: module name of each stage.
            note: shows the user one line.
        """
        self._site, self._run_dir = site, run_dir
        self._plan, self._modules = plan, modules
        self._note = note
        self._backend: Backend | None = None
        self._launches: deque[Task] = deque()
        self._chunks: deque[Task] = deque()
        """Chunks not yet submitted. Kept back so that a drain need not wait for them."""
        self._running: dict[Task, Future[Record]] = {}
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._num_restarts = 0
        """Number of restarts since a task last finished."""
        self._reason = ""
        """Reason to restart the workers although no task reported their loss."""
        self._is_lost = False
        self._suspended: set[Task] = set()
        """Running tasks whose attempt has outlasted a suspension of the machine."""

    @property
    def is_busy(self) -> bool:
        """True while tasks are running."""
        return bool(self._running)

    def add(self, tasks: Iterable[Task]) -> None:
        """Queue tasks for ``feed``."""
        for task in tasks:
            is_chunk = STAGES[task.stage].is_relaxation
            (self._chunks if is_chunk else self._launches).append(task)

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
                self._backend = ParslBackend(self._site, self._run_dir, self._num_restarts)
            except BackendStartError as error:
                self._reason = str(error)
                return
        workers = self._plan.relaxation_workers
        at_work = sum(STAGES[task.stage].is_relaxation for task in self._running)
        room = workers + max(1, workers // PREFETCH_WORKERS) - at_work
        while self._launches:
            self._submit(self._launches.popleft(), self._backend)
        while self._chunks and room > 0:
            self._submit(self._chunks.popleft(), self._backend)
            room -= 1

    def next_ended(self, timeout_s: float) -> Ended | None:
        """The next task that has ended with its future, or None after the timeout."""
        began = time.time()  # this clock goes on while the machine is suspended
        try:
            task, future = self._ended.get(timeout=timeout_s)
        except queue.Empty:
            return None
        finally:
            if time.time() - began > timeout_s + SUSPENDED_S:
                self._suspended.update(self._running)
        if self._running.get(task) is not future:
            return None  # from workers that were replaced
        del self._running[task]
        if future.exception() is None:
            self._num_restarts = 0
        elif self._backend is not None and self._backend.is_lost:
            self._is_lost = True
        return task, future

    def was_suspended(self, task: Task) -> bool:
        """True if the machine was suspended during the last attempt at a task."""
        return task in self._suspended

    def must_restart(self) -> bool:
        """True if the workers are lost, cannot be started, or no longer respond."""
        if self._backend is not None and not self._is_lost:
            names = [task.name for task in self._running]
            self._reason = self._backend.check_health(names) or self._reason
        return self._is_lost or bool(self._reason)

    def restart(self) -> list[Task]:
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

    def _submit(self, task: Task, backend: Backend) -> None:
        spec = STAGES[task.stage]
        launcher = spec.launcher if is_launched(task.stage, self._plan.mode) else None
        cores = getattr(self._site, spec.pool).num_workers if launcher else 1
        numbers = spec.arguments(task.round, task.chunk, self._plan.num_batches)
        call = StageCall(spec.pool, self._modules[task.stage], spec.function, numbers, launcher)
        request = TaskRequest(str(self._run_dir), task.name, cores, self._plan.num_sample_chunks)
        future = backend.submit(request, call)
        self._running[task] = future
        self._suspended.discard(task)
        future.add_done_callback(partial(self._put, task))

    def _put(self, task: Task, future: "Future[Record]") -> None:
        # Runs in a thread of the backend.
        self._ended.put((task, future))
