"""Execution of one task in a worker.

The process that runs a task leaves its record in the product, so that the next driver can adopt a
task whose driver was killed.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gcd_hpc.processor import spent_s
from gcd_hpc.stages.record import Record, find_record
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory

PREFETCH_WORKERS = 4
"""Prefetch: one queued task per this many workers (at least one), so that none waits."""
BEAT_S = 3.0
"""Interval of the heartbeat of a running task."""


@dataclass(frozen=True)
class TaskRequest:
    """Task as a worker receives it."""

    run_dir: str
    task: str
    cores: int
    num_chunks: int
    """Number of chunks of a round, each a file of a launched sampling."""


def carry_out(request: TaskRequest, work: Callable[[], float]) -> Record:
    """Run one task in this process, unless its product exists already.

    Args:
        work: makes the product, and returns the processor time that it took, s.

    Returns:
        Record of the task; if the task ran here, with its wall and processor time.
    """
    run_dir, task = Path(request.run_dir), Task.parse(request.task)
    before = find_record(run_dir, task, request.num_chunks)
    if before is not None:
        return before
    with _sign_of_life(RunDirectory(run_dir).begun(request.task), request.cores):
        started, clock = time.time(), time.monotonic()
        cpu_s = work()
        seconds = time.monotonic() - clock
    record = find_record(run_dir, task, request.num_chunks)
    if record is None:
        raise RuntimeError(f"{task.name} ended without its product")
    # Ranks that Slurm starts are no children of a launch, and only the record has their time.
    cpu_s = max(cpu_s, record.cpu_s or 0.0)
    return replace(record, started=started, seconds=seconds, cores=request.cores, cpu_s=cpu_s)


@contextmanager
def _sign_of_life(path: Path, cores: int) -> Iterator[None]:
    """Context that touches a heartbeat file of the task every BEAT_S seconds.

    The file holds the time of the begin, seconds since the epoch, and the number of cores. That of
    a killed process stays as it was.
    """
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{time.time():.3f} {cores}")
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
        return carry_out(request, lambda: spent_s(work))


@contextmanager
def _worker_errors() -> Iterator[None]:
    """Turn a sys.exit of a stage into a failure of its task, so that the worker survives."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"the stage ended its process with {error.code!r}") from error
