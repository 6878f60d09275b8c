"""Running tasks: functions go to Parsl's worker pools, launch lines to its head pool."""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import parsl
from parsl.app.python import PythonApp
from parsl.errors import ParslError
from parsl.executors.high_throughput.errors import ManagerLost

from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.table import STAGES, Stage, is_launched, pool_of
from gcd_hpc.stages.tasks import Task, TaskRequest, call_stage, carry_out
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers import watch
from gcd_hpc.workers.executor import PromptExecutor
from gcd_hpc.workers.launch import PoolStartError, find_mpiexec, run
from gcd_hpc.workers.lines import (
    launch_environment,
    sample_line,
    starts_mpiexec,
    train_line,
    with_shell_lines,
)
from gcd_hpc.workers.nodes import place
from gcd_hpc.workers.parsl_pools import (
    HEAD,
    SAMPLING,
    WORKERS,
    has_sampling_pool,
    logging_to,
    parsl_config,
)
from gcd_hpc.workers.slurm_jobs import cancel_jobs
from gcd_hpc.workers.watch import Watch


class Pools:
    """Parsl while it is loaded."""

    def __init__(
        self, site: SiteConfig, run_dir: Path, modules: Mapping[Stage, str], num_batches: int = 1
    ) -> None:
        """Of a site that ``fit_site`` made.

        Args:
            modules: name of the module of each stage, which is imported in the process that runs
                it.
            num_batches: relaxation tasks of one sampled chunk.
        """
        self._site, self._run_dir, self._modules, self._num_batches = (
            site,
            run_dir,
            modules,
            num_batches,
        )
        self._stack = ExitStack()

    def __enter__(self) -> "Pools":
        self._stack.enter_context(logging_to(RunDirectory(self._run_dir).workers_log))
        if self._site.driver == "login" and self._site.scheduler == "slurm":
            cancel_jobs(self._run_dir)  # of a driver that was killed
            self._stack.callback(cancel_jobs, self._run_dir)
        config = parsl_config(self._site, self._run_dir)
        try:
            kernel = self._stack.enter_context(parsl.load(config))
        except Exception as error:
            self._stack.close()
            if isinstance(error, OSError):
                raise  # a full disk, most likely
            raise PoolStartError(f"Parsl did not start: {error}") from error
        functions = {WORKERS: call_stage, SAMPLING: call_stage, HEAD: call_launch}
        self._apps = {
            label: PythonApp(call, data_flow_kernel=kernel, executors=[label])
            for label, call in functions.items()
        }
        self._executors = [
            one for one in kernel.executors.values() if isinstance(one, PromptExecutor)
        ]
        patience = watch.LOCAL if self._site.scheduler == "none" else watch.CLUSTER
        self._watch = Watch(self._executors, self._resident(), self._run_dir, patience)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if reason := self._watch.dead_interchange():
            self._give_up(reason)
        try:
            self._stack.__exit__(kind, error, traceback)
        except (
            ParslError
        ) as problem:  # while it cleaned up after itself: its processes are ended by the caller
            logging.getLogger("parsl").error("clean-up failed", exc_info=problem)
            parsl.clear()

    def submit(self, task: Task, task_id: str) -> Future:
        """Start a task; the future holds its record."""
        spec = STAGES[task.stage]
        if is_launched(task.stage, self._site.mode):
            return self._launch(task, task_id)
        order = TaskRequest(str(self._run_dir), task.name, task_id, 1)
        is_sampling = spec.pool == "sampling" and has_sampling_pool(self._site)
        return self._call(
            SAMPLING if is_sampling else WORKERS,
            order,
            self._modules[task.stage],
            spec.function,
            spec.arguments(task.version, task.chunk, self._num_batches),
        )

    def check_health(self, running: Iterable[Task]) -> str | None:
        """Why the pools have to be loaded anew although no task failed; None if they are well."""
        reason = self._watch.check_health(running)
        if reason is not None:
            self._give_up(reason)
        return reason

    def _give_up(self, reason: str) -> None:
        # Parsl would ask a dead interchange for its workers, and wait for the answer for ever.
        for executor in self._executors:
            if not executor.bad_state_is_set:
                executor.set_bad_state_and_fail_all(RuntimeError(reason))

    def is_lost(self, error: BaseException) -> bool:
        """Whether a pool is gone for good with the tasks that it had, so that all have to be loaded
        again; lost jobs are replaced.
        """
        given_up = any(executor.bad_state_is_set for executor in self._executors)
        return given_up or (isinstance(error, ManagerLost) and self._site.driver == "inside")

    def _launch(self, task: Task, task_id: str) -> Future:
        pool, module = _job_pool(self._site, task.stage), self._modules[task.stage]
        order = TaskRequest(str(self._run_dir), task.name, task_id, pool.num_workers)
        return self._call(HEAD, order, self._site.model_dump(mode="json"), module)

    def _call(self, label: str, order: TaskRequest, *arguments: Any) -> Future:
        self._watch.hand(Task.parse(order.task), order.id, label)
        return self._apps[label](order, *arguments)

    def _resident(self) -> dict[str, int]:
        """Workers of each pool that are there all the time; jobs of a login node come and go."""
        if self._site.driver == "login":
            return {}
        sampling = self._site.sampling.num_workers if self._site.mode == "asynchronous" else 1
        pools = {WORKERS: self._site.relaxation.num_workers, HEAD: 1}
        return {**pools, SAMPLING: sampling} if has_sampling_pool(self._site) else pools


def call_launch(order: TaskRequest, site: dict[str, Any], module: str) -> dict[str, Any]:
    """A task that is a parallel job, started from a Parsl worker that waits for it.

    The line is made here, not in the driver: the nodes of a job that Parsl submitted are known only
    in that job.
    """
    task, log = Task.parse(order.task), RunDirectory(order.run_dir).log(order.task)
    line, environment = launch_of(SiteConfig.model_validate(site), order, module)

    def work() -> dict[str, Any]:
        run(line, log, environment)
        return launched_result(Path(order.run_dir), task)

    return carry_out(order, work)


def launch_of(
    site: SiteConfig, order: TaskRequest, module: str
) -> tuple[list[str], dict[str, str]]:
    """The launch line of a task on the nodes of this job, and its variables."""
    task = Task.parse(order.task)
    arguments = (order.run_dir, str(task.version))
    pool = _job_pool(site, task.stage)
    where = place(site, pool)
    if STAGES[task.stage].launcher == "torchrun":
        # Whole seconds tell one try of a task from the next, also after the driver was started
        # again.
        line = train_line(site, where, module, arguments, order.id, attempt=int(time.time()))
    else:
        if starts_mpiexec(site, pool, where):
            site = site.model_copy(update={"mpiexec": find_mpiexec(site.mpiexec)})
        line = sample_line(site, where, module, arguments)
    return with_shell_lines(pool, line), launch_environment(site, pool, where.is_here)


def _job_pool(site: SiteConfig, stage: Stage) -> PoolConfig:
    """The pool whose nodes a launched stage takes."""
    return getattr(site, pool_of(stage, site.mode))


def launched_result(run_dir: Path, task: Task) -> dict[str, Any]:
    """What a launched stage reports in its progress file: steps and the seconds that it worked."""
    path = STAGES[task.stage].progress
    assert path is not None, f"{task.stage} is not launched"
    try:
        progress = json.loads(path(RunDirectory(run_dir), task.version).read_text())
        return {"num": int(progress["num_steps"]), "seconds": float(progress["seconds"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
