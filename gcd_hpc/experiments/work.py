"""Parallel tasks of an experiment, with arrays kept on disk so that the command can resume."""

import hashlib
import os
import signal
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.engines.spreading import leave_with_parent
from gcd_hpc.errors import GcdError, LaunchError
from gcd_hpc.experiments.progress import TaskProgress
from gcd_hpc.files import replacing
from gcd_hpc.processor import processor_s
from gcd_hpc.workers.reaper import environment

Arrays = dict[str, NDArray[Any]]
"""Result of a task: plain arrays; scalars have no dimension, text is an array of str."""
Report = Callable[[float], None]
"""Callback with which a task reports the fraction that is done."""

SECONDS_BETWEEN_REPORTS = 0.2
SECONDS_TO_LEAVE = 5.0
"""Time that an idle worker has to exit."""
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Task:
    """Function call that runs in its own process."""

    name: str
    """Stem of the task's file and label of its progress bar."""
    function: Callable[..., Arrays]
    """Function of a module, called as ``function(*arguments, report=report)`` after a spawn."""
    arguments: tuple[Any, ...]
    """Picklable arguments with distinct reprs: frozen dataclasses, numbers, text, paths."""


@dataclass(frozen=True)
class Workshop:
    """Folder, budget, seed and device of a command."""

    out: Path
    budget: Literal["quick", "full"] = "quick"
    seed: int = 0
    device: str = "cpu"
    """"cpu" or "cuda"."""

    @property
    def work(self) -> Path:
        """Folder for models, samples and arrays that experiments share and reruns find."""
        return self.out / "work"

    def path(self, task: Task) -> Path:
        """File of a task's arrays, named by the task and a hash of its function and arguments."""
        arguments = repr(task.arguments)
        assert " at 0x" not in arguments and "..." not in arguments, (
            f"{task.name}: arguments without a complete repr: {arguments}"
        )
        # The hash does not depend on the folder, which may be moved or renamed.
        function = f"{task.function.__module__}.{task.function.__qualname__}"
        key = function + arguments.replace(str(self.work), "WORK")
        return self.work / f"{task.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"

    def run(self, tasks: Sequence[Task], on_device: bool = False) -> list[Arrays]:
        """Run tasks in parallel and return their arrays in order; existing arrays are reused.

        One single-threaded process per core is used; CUDA tasks run in this process one by one.
        Each result has a further entry ``core_s``: core-seconds of the task and its child
        processes, or wall time on CUDA.

        Raises:
            LaunchError: if a worker dies.
            GcdError: raised by a task. The others are stopped, and finished arrays are kept.
        """
        paths = [self.path(task) for task in tasks]
        results: dict[Path, Arrays] = {}
        with TaskProgress() as progress:
            for path, task in zip(paths, tasks, strict=True):
                if path not in results and (kept := _read(path, progress)) is not None:
                    results[path] = kept
                    progress.kept(task.name)
            missing = {
                path: task for path, task in zip(paths, tasks, strict=True) if path not in results
            }
            run = _one_by_one if on_device and self.device == "cuda" else _side_by_side
            with closing(run(missing, progress)) as made:
                for path, arrays in made:
                    _write(path, arrays)
                    results[path] = arrays
                    progress.done(missing[path].name, float(arrays["core_s"]))
        return [results[path] for path in paths]


def core_s(results: Iterable[Arrays], name: str = "core_s") -> float:
    """Sum of the core-seconds, or of another scalar, of some tasks."""
    return sum(float(arrays[name]) for arrays in results)


def _read(path: Path, progress: TaskProgress) -> Arrays | None:
    if not path.exists():
        return None
    try:
        # np.load would leave a damaged file open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        arrays["core_s"]
        return arrays
    except _UNREADABLE:
        progress.note(f"{path}: damaged, made again")
        return None


def _write(path: Path, arrays: dict[str, Any]) -> None:
    assert not any(array.dtype.hasobject for array in arrays.values()), (
        f"{path}: expected arrays of numbers or text, got objects"
    )
    with replacing(path, flush=False) as temporary:
        np.savez(temporary, **arrays)


def _one_by_one(
    tasks: dict[Path, Task], progress: TaskProgress
) -> Generator[tuple[Path, Arrays], None, None]:
    for path, task in tasks.items():
        progress.start(task.name)
        started = time.perf_counter()
        arrays = task.function(
            *task.arguments, report=lambda fraction, name=task.name: progress.show(name, fraction)
        )
        yield path, {**arrays, "core_s": np.array(time.perf_counter() - started)}


@dataclass
class _Worker:
    """A worker process and its current task."""

    process: SpawnProcess
    path: Path
    task: Task


def _side_by_side(
    tasks: dict[Path, Task], progress: TaskProgress
) -> Generator[tuple[Path, Arrays], None, None]:
    for task in tasks.values():
        progress.add(task.name)
    waiting = iter(tasks.items())
    workers: dict[Connection, _Worker] = {}
    try:
        for path, task in islice(waiting, len(os.sched_getaffinity(0))):
            connection, process = _start()
            workers[connection] = _Worker(process, path, task)
            _give(connection, task, progress)
        while workers:
            for ready in wait(list(workers)):
                assert isinstance(ready, Connection)
                worker = workers[ready]
                message = _received(ready, worker)
                if isinstance(message, float):
                    progress.show(worker.task.name, message)
                    continue
                done = worker.path
                if following := next(waiting, None):
                    worker.path, worker.task = following
                    _give(ready, worker.task, progress)
                else:
                    del workers[ready]
                    ready.close()
                    worker.process.join(SECONDS_TO_LEAVE)
                    _end(worker.process)
                yield done, message
    finally:
        for connection, worker in workers.items():
            connection.close()
            _end(worker.process)


def _start() -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,))
    # The first spawn starts the resource tracker, which would unblock interrupts.
    resource_tracker.ensure_running()
    # Children read the number of threads when they load numpy and torch.
    with environment(ONE_THREAD), _interrupts_blocked():
        process.start()
    theirs.close()  # so that the pipe of a dead worker closes
    return ours, process


def _give(connection: Connection, task: Task, progress: TaskProgress) -> None:
    progress.start(task.name)
    with suppress(BrokenPipeError):  # a dead worker is noticed by its pipe
        connection.send(task)


def _received(connection: Connection, worker: _Worker) -> float | Arrays:
    """Next message of a worker: the fraction done, or its arrays."""
    name = worker.task.name
    try:
        message = connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        raise LaunchError(
            f"{name}: its worker did not finish: {_death(worker.process.exitcode)}; run the same"
            " command again to resume from what is done"
        ) from None
    if isinstance(message, GcdError):
        raise message
    if isinstance(message, str):
        raise RuntimeError(f"{name}: failed in its worker\n{message}")
    assert isinstance(message, float | dict)
    return message


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}" + (
        " (out of memory?)" if -code == signal.SIGKILL else ""
    )


def _end(process: SpawnProcess) -> None:
    process.kill()
    process.join()
    process.close()


def _work(connection: Connection) -> None:
    """Worker loop: send fractions, then the arrays or the error of each task."""
    leave_with_parent()
    sent = 0.0

    def report(fraction: float) -> None:
        nonlocal sent
        if (now := time.monotonic()) - sent >= SECONDS_BETWEEN_REPORTS:
            sent = now
            connection.send(float(fraction))

    with suppress(EOFError):  # nothing is left to do
        while True:
            connection.send(_result(connection.recv(), report))


def _result(task: Task, report: Report) -> Arrays | GcdError | str:
    """Arrays and core-seconds of a task, the error that it raised, or the traceback of a bug."""
    before = processor_s()
    try:
        return {
            **task.function(*task.arguments, report=report),
            "core_s": np.array(processor_s() - before),
        }
    except GcdError as error:
        return error
    except Exception:
        return traceback.format_exc()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in workers, which this process ends itself after a Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
