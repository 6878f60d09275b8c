"""Parsl configuration of a site: worker pools for functions, and a head for launch lines."""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import zmq
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.jobs.error_handlers import simple_error_handler, windowed_error_handler
from parsl.launchers import SimpleLauncher, SingleNodeLauncher, WrappedLauncher
from parsl.launchers.base import Launcher
from parsl.providers import LocalProvider, PBSProProvider
from parsl.providers.base import ExecutionProvider

from gcd_hpc.config.site import POOLS, PoolConfig, SiteConfig
from gcd_hpc.stages.tasks import PREFETCH_WORKERS
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.backend import WorkerLostError
from gcd_hpc.workers.fitting import special_characters
from gcd_hpc.workers.lines import (
    HYDRA_IN_SLURM,
    POOL_PROGRAM,
    hiding_gpus,
    launch_environment,
    launch_prefix,
    launcher,
    python,
)
from gcd_hpc.workers.nodes import LOOPBACK_ADDRESS, node_set_of, own_address
from gcd_hpc.workers.reaper import HAS_SAFE_PATH, TOKEN_NAME, temporary_folder
from gcd_hpc.workers.slurm_jobs import CappedSlurmProvider

WORKERS = "workers"
SAMPLING = "sampling"
HEAD = "head"
ANSWER_S = 15.0
"""Time limit for the interchange, which answers within milliseconds; Parsl has no limit."""
SEND_MS = 2000
"""Time limit for sending a task to the interchange, which takes it within a millisecond, in ms."""
# A session of its own, so that Ctrl-C does not end the interchange before the driver; it ends with
# the driver, also when a library aborts that. The empty entry of sys.path is the working directory.
INTERCHANGE_LAUNCH_CMD = [
    sys.executable,
    "-c",
    (
        "import sys; sys.path = [path for path in sys.path if path];"
        " import os, runpy, signal; os.setsid();"
        " from gcd_hpc.processes import die_with_parent;"
        " die_with_parent(os.getppid(), signal.SIGTERM);"
        " runpy.run_module('parsl.executors.high_throughput.interchange',"
        " run_name='__main__', alter_sys=True)"
    ),
]
HEARTBEAT_S = 5
"""Interval of heartbeats, after which a lost worker is noticed."""
HEARTBEAT_LIMIT_S = 60
"""Silence after which a pool counts as lost; busy cores delay heartbeats."""


class PromptExecutor(HighThroughputExecutor):
    """HighThroughputExecutor that never waits for ever for an interchange that has ended.

    Parsl sends tasks from a thread of its own, and closes the same socket from the thread that
    shuts it down. A send that waits there for a lost interchange would then hang, or abort the
    process in ZeroMQ.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sending = threading.Lock()
        self._is_closed = False

    def start(self) -> None:
        super().start()  # type: ignore[no-untyped-call]
        self.outgoing_q.zmq_socket.setsockopt(zmq.SNDTIMEO, SEND_MS)

    def submit_payload(self, context: dict[str, Any], buffer: bytes) -> Any:
        with self._sending:
            if self._is_closed:
                raise WorkerLostError(f"the pool {self.label} is closed")
            try:
                return super().submit_payload(context, buffer)
            except zmq.Again as error:
                raise WorkerLostError(
                    f"Parsl's interchange of the pool {self.label} takes no tasks"
                ) from error

    def shutdown(self, timeout: float = 10.0) -> None:
        with self._sending:
            self._is_closed = True
        super().shutdown(timeout)

    def connected_managers(self) -> list[dict[str, Any]]:
        return list(self.command_client.run("MANAGERS", timeout_s=ANSWER_S))

    def connected_blocks(self) -> list[str]:
        return list(self.command_client.run("CONNECTED_BLOCKS", timeout_s=ANSWER_S))

    @property
    def is_cut_off(self) -> bool:
        """True if the interchange has ended or does not answer."""
        return (
            self.interchange_proc is None
            or self.interchange_proc.poll() is not None
            or not self.command_client.ok
        )


def parsl_config(site: SiteConfig, run_dir: Path, has_launches: bool = True) -> Config:
    """Configuration of Parsl for a resolved site, with all its files inside the run directory.

    Args:
        has_launches: whether parallel jobs will be launched. Without any, the head is left out.

    Raises:
        LaunchError: if this is not the allocation of the site.
    """
    return Config(
        executors=_executors(site, run_dir, has_launches),
        run_dir=str(_plain(RunDirectory(run_dir).workers_files)),
        # An allocation has a fixed number of workers; jobs are scaled with the tasks. The default
        # period of 5 s would delay the first task.
        strategy="simple" if site.driver == "login" else "none",
        strategy_period=0.5,
        # gcd-hpc resumes by its own records, not by Parsl's checkpoints.
        retries=0,
        exit_mode="cleanup",
        usage_tracking=0,
        # Parsl never closes its own log file; see ``logging_to``.
        initialize_logging=False,
    )


def _plain(folder: Path) -> Path:
    """A directory, or a link to it, whose path has no characters with a meaning in a shell."""
    if not special_characters(folder):
        return folder
    folder.mkdir(exist_ok=True)
    link = temporary_folder(os.environ[TOKEN_NAME]) / folder.name
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return link


def has_sampling_pool(site: SiteConfig) -> bool:
    """True if sampling functions have their own workers, not those of the relaxations."""
    return site.mode == "asynchronous" or site.sampling.gpus_per_node > 0


def _executors(site: SiteConfig, run_dir: Path, has_launches: bool) -> list[ParslExecutor]:
    assert isinstance(site.relaxation.processes_per_node, int) and isinstance(
        site.sampling.processes_per_node, int
    )
    pools: list[ParslExecutor] = [
        _pool(WORKERS, site, site.relaxation, run_dir, site.relaxation.processes_per_node)
    ]
    if site.mode == "asynchronous":
        pools.append(
            _pool(SAMPLING, site, site.sampling, run_dir, site.sampling.processes_per_node)
        )
    elif has_sampling_pool(site):
        # Only the canary task of a promotion runs here, one at a time.
        one = site.sampling.model_copy(update={"num_nodes": 1, "pin": False})
        pools.append(_pool(SAMPLING, site, one, run_dir, 1))
    return [*pools, _head(site, run_dir)] if has_launches else pools


def _pool(
    label: str, site: SiteConfig, pool: PoolConfig, run_dir: Path, num_workers: int
) -> PromptExecutor:
    """Executor that calls functions in workers on every node of a pool."""
    exports = launch_environment(site, pool) | {
        "OMP_NUM_THREADS": "1"
    }  # a second thread would share its core with the next worker
    if not _is_here(site, pool):
        # mpiexec starts the pools of several nodes, and would start all of them on this one.
        del exports["HYDRA_LAUNCHER"]
        exports |= HYDRA_IN_SLURM if site.scheduler == "slurm" else {}
    if pool.gpus_per_node:
        # Parsl names a worker's GPU for NVIDIA and for AMD. AMD's runtime counts the remaining GPUs
        # from 0 and would then look for NVIDIA's number among them.
        exports["HIP_VISIBLE_DEVICES"] = "0"
    setup = "\n".join(
        [
            *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
            *pool.environment,
            *([] if HAS_SAFE_PATH else [f"cd {_plain(RunDirectory(run_dir).workers_files)}"]),
        ]
    )
    return PromptExecutor(
        label=label,
        provider=_provider(
            label,
            site,
            pool,
            run_dir,
            setup,
            _launcher(site, pool),
            len(pool.nodes),
            site.blocks.max_blocks,
        ),
        # Parsl starts no more workers than names, so a shared GPU is named once per worker.
        available_accelerators=(
            [str(worker % pool.gpus_per_node) for worker in range(num_workers)]
            if pool.gpus_per_node
            else []
        ),
        cpu_affinity="block" if pool.pin else "none",
        cores_per_worker=1e-3,  # the site file alone sets the number of workers
        max_workers_per_node=num_workers,
        # Results are sent in batches of 10 ms; a worker takes its next task from its node without
        # waiting for them.
        prefetch_capacity=max(1, num_workers // PREFETCH_WORKERS),
        **_common(site, pool),
    )


def _head(site: SiteConfig, run_dir: Path) -> ParslExecutor:
    """Executor that waits for one parallel job at a time, so that it needs no core: a thread of the
    driver where that is on the nodes itself, else a worker on the first node of a job.
    """
    if site.driver == "inside":
        return ThreadPoolExecutor(label=HEAD, max_threads=1)
    pool = site.training.model_copy(update={"container": ""})
    launching = [site.training] if site.mode == "asynchronous" else [site.training, site.sampling]
    nodes = max(len(one.nodes) for one in launching)
    return PromptExecutor(
        label=HEAD,
        # No accelerators or affinity, because the launched processes would inherit them.
        provider=_provider(
            HEAD,
            site,
            pool,
            run_dir,
            "",
            SimpleLauncher(),
            nodes,
            1,
        ),
        cores_per_worker=1e-6,
        max_workers_per_node=1,
        prefetch_capacity=0,
        **_common(site, pool),
    )


def _common(site: SiteConfig, pool: PoolConfig) -> dict[str, Any]:
    is_local = site.driver == "inside" and all(
        node_set_of(site, getattr(site, name)).is_here for name in POOLS
    )
    command = shlex.join([*python(pool), "-m", POOL_PROGRAM])
    is_login = site.driver == "login"
    return {
        "address": LOOPBACK_ADDRESS if is_local else own_address(site.interface),
        # Absolute commands, because Parsl's scripts are on PATH only in an activated environment.
        "launch_cmd": DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", command, 1),
        "interchange_launch_cmd": INTERCHANGE_LAUNCH_CMD,
        "heartbeat_period": HEARTBEAT_S,
        "heartbeat_threshold": HEARTBEAT_LIMIT_S,
        # Three failed jobs in a row end a pool; otherwise it would submit jobs without end.
        "block_error_handler": windowed_error_handler if is_login else simple_error_handler,
        "drain_period": _drain_period(site) if is_login else None,
    }


def _drain_period(site: SiteConfig) -> int:
    """Seconds after which a job accepts no more tasks, so that its wall time interrupts none."""
    return max(1, int(site.blocks.walltime_s - site.drain_s))


def _is_here(site: SiteConfig, pool: PoolConfig) -> bool:
    """True if a pool is started on one node, by the shell that runs there."""
    return pool.num_nodes == 1 if site.driver == "login" else node_set_of(site, pool).is_here


def _launcher(site: SiteConfig, pool: PoolConfig) -> Launcher:
    """Parsl launcher that starts a worker pool once on each node."""
    if site.driver == "login":
        if pool.num_nodes == 1:
            return SimpleLauncher()
        if launcher(site, pool) == "srun":
            words = ["srun", "--cpu-bind=none", f"--nodes={pool.num_nodes}"]
            words += [f"--ntasks={pool.num_nodes}", "--ntasks-per-node=1", *hiding_gpus(pool)]
            return WrappedLauncher(shlex.join(words))
        return WrappedLauncher(f"{site.mpiexec} -n {pool.num_nodes} -ppn 1")
    where = node_set_of(site, pool)
    return (
        SingleNodeLauncher()
        if where.is_here
        else WrappedLauncher(shlex.join(launch_prefix(site, pool, where, 1, all_or_none=False)))
    )


def _provider(
    label: str,
    site: SiteConfig,
    pool: PoolConfig,
    run_dir: Path,
    setup: str,
    how: Launcher,
    nodes: int,
    max_blocks: int,
) -> ExecutionProvider:
    """Parsl provider of worker pools: local processes, launched processes, or submitted jobs."""
    if site.driver == "inside":
        return LocalProvider(
            init_blocks=1,
            min_blocks=1,
            max_blocks=1,
            nodes_per_block=nodes,
            worker_init=setup,
            launcher=how,
        )
    blocks = site.blocks
    # No job before there is a task for it, and never more jobs than the cap.
    number: dict[str, Any] = {
        "init_blocks": 0,
        "min_blocks": 0,
        "max_blocks": max_blocks,
        "nodes_per_block": nodes,
    }
    if site.scheduler == "slurm":
        return CappedSlurmProvider(
            run_dir,
            label,
            **number,
            partition=blocks.queue or None,
            account=blocks.account or None,
            constraint=blocks.constraint or None,
            qos=blocks.qos or None,
            walltime=blocks.walltime,
            gpus_per_node=pool.gpus_per_node or None,
            # Without --no-requeue, Slurm would restart a job that Parsl also replaces.
            scheduler_options="\n".join(["#SBATCH --no-requeue", *blocks.options]),
            worker_init=setup,
            launcher=how,
        )
    return PBSProProvider(
        **number,
        queue=blocks.queue or None,
        account=blocks.account or None,
        walltime=blocks.walltime,
        cpus_per_node=site.cores,
        select_options=f"ngpus={pool.gpus_per_node}" if pool.gpus_per_node else "",
        scheduler_options="\n".join(["#PBS -r n", *blocks.options]),
        worker_init=setup,
        launcher=how,
    )


class _LogFile(logging.FileHandler):
    """Log handler that drops records on a full disk: they would hide the driver's error."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a record that cannot be written."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Context in which the messages of Parsl go to a file only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    logger = logging.getLogger("parsl")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.close()
