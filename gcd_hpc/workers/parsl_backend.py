"""Backend on Parsl: worker pools run functions, and a head runs launch lines."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import parsl
from parsl.app.python import PythonApp
from parsl.errors import ParslError
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.record import Record
from gcd_hpc.stages.table import STAGES, Task
from gcd_hpc.stages.tasks import TaskRequest, call_stage, carry_out
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers import watch
from gcd_hpc.workers.backend import BackendStartError, StageCall, WorkerLostError
from gcd_hpc.workers.launch import find_mpiexec, run
from gcd_hpc.workers.lines import (
    launch_environment,
    sample_line,
    starts_mpiexec,
    train_line,
    with_shell_lines,
)
from gcd_hpc.workers.nodes import node_set_of
from gcd_hpc.workers.parsl_pools import (
    HEAD,
    SAMPLING,
    WORKERS,
    PromptExecutor,
    has_sampling_pool,
    logging_to,
    parsl_config,
)
from gcd_hpc.workers.slurm_jobs import cancel_jobs
from gcd_hpc.workers.watch import Watch


class ParslBackend:
    """A ``Backend`` whose workers belong to Parsl."""

    def __init__(
        self, site: SiteConfig, run_dir: Path, has_launches: bool = True, num_restarts: int = 0
    ) -> None:
        """Start the workers.

        Args:
            site: resolved by ``fit_site``.
            has_launches: whether tasks with a launcher will be submitted.
            num_restarts: restarts since a task last finished; each doubles the time limits.

        Raises:
            BackendStartError: if Parsl does not start.
            RunDirectoryError: if the run directory cannot be written to or named.
        """
        self._site, self._run_dir = site, run_dir
        self._has_lost_pool = False
        self._closing = threading.Event()
        with ExitStack() as stack:
            stack.enter_context(logging_to(RunDirectory(run_dir).workers_log))
            if site.driver == "login" and site.scheduler == "slurm":
                cancel_jobs(run_dir)  # left by a driver that was killed
                stack.callback(cancel_jobs, run_dir)
            config = parsl_config(site, run_dir, has_launches)
            try:
                kernel = stack.enter_context(parsl.load(config))
            except OSError:
                raise  # usually a full disk
            except Exception as error:
                raise BackendStartError(f"Parsl did not start: {error}") from error
            self._stack = stack.pop_all()
        launch = call_launch if site.driver == "login" else self._launch
        functions = {WORKERS: call_stage, SAMPLING: call_stage, HEAD: launch}
        self._apps = {
            label: PythonApp(call, data_flow_kernel=kernel, executors=[label])
            for label, call in functions.items()
        }
        self._executors = [
            one for one in kernel.executors.values() if isinstance(one, PromptExecutor)
        ]
        factor = 2.0**num_restarts * (1.0 if site.scheduler == "none" else watch.CLUSTER_FACTOR)
        patience = watch.PATIENCE.times(factor)
        started = {one.label for one in self._executors}
        resident = {label: num for label, num in self._resident().items() if label in started}
        self._watch = Watch(self._executors, resident, patience)

    def submit(self, request: TaskRequest, call: StageCall) -> "Future[Record]":
        """See ``Backend.submit``."""
        if call.launcher is not None:
            label = HEAD
            arguments: tuple[Any, ...] = (self._site.model_dump(mode="json"), call)
        else:
            in_sampling = call.pool == "sampling" and has_sampling_pool(self._site)
            label = SAMPLING if in_sampling else WORKERS
            arguments = (call.module, call.function, call.arguments)
        self._watch.hand(request, label)
        outcome: Future[Record] = Future()
        future = self._apps[label](request, *arguments)
        future.add_done_callback(lambda done: self._pass_on(done, outcome))
        return outcome

    def _launch(self, request: TaskRequest, site: dict[str, Any], call: StageCall) -> Record:
        """Run a parallel job from a thread of the driver, which ends it when the workers close."""
        return call_launch(request, site, call, self._closing)

    def _pass_on(self, done: "Future[Record]", outcome: "Future[Record]") -> None:
        """Pass the result or translated error of a task on. Runs in a thread of Parsl."""
        error = done.exception()
        # Parsl replaces lost jobs, but not a lost manager within an allocation.
        if isinstance(error, ManagerLost) and self._site.driver == "inside":
            self._has_lost_pool = True
        # Other exceptions are errors of the task itself.
        if isinstance(error, (ParslError, WorkerLost, ManagerLost)):
            translated = WorkerLostError(str(error) or type(error).__name__)
            translated.__cause__ = error
            error = translated
        if error is None:
            outcome.set_result(done.result())
        else:
            outcome.set_exception(error)

    def check_health(self, running: Iterable[TaskRequest]) -> str | None:
        """See ``Backend.check_health``."""
        reason = self._watch.check_health(running)
        if reason is not None:
            self._give_up(reason)
        return reason

    def _give_up(self, reason: str) -> None:
        # Parsl would wait forever for the answer of a dead interchange.
        for executor in self._executors:
            if not executor.bad_state_is_set:
                executor.set_bad_state_and_fail_all(WorkerLostError(reason))

    @property
    def is_lost(self) -> bool:
        """See ``Backend.is_lost``."""
        return self._has_lost_pool or any(one.bad_state_is_set for one in self._executors)

    def drain(self) -> None:
        """See ``Backend.drain``."""
        RunDirectory(self._run_dir).pause.touch()

    def close(self) -> None:
        """See ``Backend.close``."""
        self._closing.set()
        if reason := self._watch.dead_interchange():
            self._give_up(reason)
        try:
            self._stack.close()
        except ParslError as problem:
            # Parsl failed to clean up; the caller ends its processes.
            logging.getLogger("parsl").error("clean-up failed", exc_info=problem)
            parsl.clear()

    def _resident(self) -> dict[str, int]:
        """Number of permanent workers of each pool; submitted jobs do not count."""
        if self._site.driver == "login":
            return {}
        sampling = self._site.sampling.num_workers if self._site.mode == "asynchronous" else 1
        return {WORKERS: self._site.relaxation.num_workers, SAMPLING: sampling}


def call_launch(
    request: TaskRequest,
    site: dict[str, Any],
    call: StageCall,
    closing: threading.Event | None = None,
) -> Record:
    """Run a parallel job from the head, which waits for it.

    The launch line is made here, not before, because the nodes of a job that Parsl submitted are
    known only inside that job.

    Args:
        closing: ends the job when it is set.
    """
    run_dir = RunDirectory(request.run_dir)
    line, environment = launch_of(SiteConfig.model_validate(site), request, call)

    progress = STAGES[Task.parse(request.task).stage].progress
    watched = progress(run_dir, call.arguments[0]) if progress is not None else None
    log = run_dir.log(request.task)
    return carry_out(request, lambda: run(line, log, environment, watched, closing))


def launch_of(
    site: SiteConfig, request: TaskRequest, call: StageCall
) -> tuple[list[str], dict[str, str]]:
    """Launch line of a task on the nodes of this job, and its environment variables."""
    arguments = (request.run_dir, str(call.arguments[0]))
    pool = getattr(site, call.pool)
    where = node_set_of(site, pool)
    if call.launcher == "torchrun":
        # Seconds tell attempts apart, even across restarts of the driver.
        attempt = int(time.time())
        run_id = hashlib.sha256(f"{request.run_dir} {request.task}".encode()).hexdigest()
        line = train_line(site, where, call.module, arguments, run_id, attempt)
    else:
        if starts_mpiexec(site, pool, where):
            site = site.model_copy(update={"mpiexec": find_mpiexec(site.mpiexec)})
        line = sample_line(site, where, call.module, arguments)
    return with_shell_lines(pool, line), launch_environment(site, pool, where.is_here)
