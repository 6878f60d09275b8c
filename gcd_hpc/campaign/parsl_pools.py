"""A site as Parsl sees it: one pool of workers for chunks, and one of head processes that start launch lines."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.providers import LocalProvider

from gcd_hpc.campaign.launch import launch_environment
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import RunDirectoryError

WORKERS, HEAD = "workers", "head"
HTEX = "parsl.executors.high_throughput"
LOOPBACK_ADDRESS = "127.0.0.1"
HEARTBEAT_S = 5
"""A lost worker is noticed one heartbeat later."""
HEARTBEAT_LIMIT_S = 60
"""Busy cores delay heartbeats; a pool that is silent for longer is lost."""


def parsl_config(site: SiteConfig, run_dir: Path) -> Config:
    """Parsl's own configuration for a resolved site, with its files inside the run directory.

    Raises:
        RunDirectoryError: if Parsl's scripts could not name the run directory.
    """
    if run_dir.as_posix() != shlex.quote(run_dir.as_posix()):
        raise RunDirectoryError(f"{run_dir}: expected a path without spaces and quotes, for Parsl's shell scripts repeat it as it is")
    assert isinstance(site.relaxation_workers, int)
    return Config(
        executors=[
            _pool(WORKERS, run_dir, max_workers=site.relaxation_workers, cores_per_worker=1.0),
            # One slot for each parallel job; it only waits, so that it takes no core.
            _pool(HEAD, run_dir, max_workers=1, cores_per_worker=1e-6),
        ],
        run_dir=str(run_dir / "runinfo"),
        # A fixed number of workers; the default period of 5 s would delay the first task.
        strategy="none",
        strategy_period=0.5,
        # Resume is ours: tasks are adopted by their records.
        retries=0,
        exit_mode="cleanup",
        usage_tracking=0,
        # Parsl's own log file is never closed; see ``logging_to``.
        initialize_logging=False,
    )


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short: its hundred complaints would bury the one sentence of the driver."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the record."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Parsl's messages go to a file, and nowhere else."""
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


def _pool(label: str, run_dir: Path, max_workers: int, cores_per_worker: float) -> HighThroughputExecutor:
    python = shlex.quote(sys.executable)
    return HighThroughputExecutor(
        label=label,
        address=LOOPBACK_ADDRESS,
        # Absolute commands: Parsl looks for its scripts on PATH, where they are only in an activated environment.
        launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", f"{python} -m {HTEX}.process_worker_pool", 1),
        interchange_launch_cmd=[sys.executable, "-m", f"{HTEX}.interchange"],
        cores_per_worker=cores_per_worker,
        max_workers_per_node=max_workers,
        prefetch_capacity=0,
        heartbeat_period=HEARTBEAT_S,
        heartbeat_threshold=HEARTBEAT_LIMIT_S,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, worker_init=_exports()),
    )


def _exports() -> str:
    """One thread a worker: a second one would share its core with the next worker."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in launch_environment(1).items())
