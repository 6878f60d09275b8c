"""Tasks of an experiment on all cores: each in a process of its own, and its arrays kept, so that the same command goes on from there."""

import hashlib
import os
import signal
import threading
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import GcdError, LaunchError
from gcd_hpc.reproduce.progress import TaskProgress
from gcd_hpc.store.files import replacing

Arrays = dict[str, NDArray[Any]]
"""What a task returns: plain arrays; scalars have no dimension, text is an array of str."""
Report = Callable[[float], None]
"""A task calls it now and then with the fraction that is done."""

SECONDS_BETWEEN_REPORTS = 0.2
SECONDS_TO_LEAVE = 5.0
"""For a worker whose task is done."""
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Task:
    """One call of a function, in a process of its own."""

    name: str
    """Stem of its file and label of its progress bar."""
    function: Callable[..., Arrays]
    """Of a module, so that a spawned process can import it; called as ``function(*arguments, report=report)``."""
    arguments: tuple[Any, ...]
    """Can be pickled, and their repr tells them apart: frozen dataclasses, numbers, text, paths."""


@dataclass(frozen=True)
class Workshop:
    """Where one command works and with what means."""

    out: Path
    budget: Literal["quick", "full"] = "quick"
    seed: int = 0
    device: str = "cpu"
    """"cpu" or "cuda"."""

    @property
    def work(self) -> Path:
        """Folder of what experiments share and a rerun finds again: models, samples, arrays of tasks."""
        return self.out / "work"

    def path(self, task: Task) -> Path:
        """Where the arrays of a task are kept: its name, and a hash of its function and arguments."""
        arguments = repr(task.arguments)
        assert " at 0x" not in arguments and "..." not in arguments, f"{task.name}: arguments without a complete repr: {arguments}"
        # A results folder that was moved, or named in another way, keeps what is in it.
        key = f"{task.function.__module__}.{task.function.__qualname__}{arguments.replace(str(self.work), 'WORK')}"
        return self.work / f"{task.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"

    def run(self, tasks: Sequence[Task], on_device: bool = False) -> list[Arrays]:
        """The arrays of all tasks, in their order; a task whose arrays are there already is not run again.

        As many single-threaded processes as there are cores; tasks for a CUDA device follow each other in this process. Every result has
        one more entry, ``core_s``: core-seconds of the task and of the child processes that it saw end; on CUDA seconds of wall time.

        Raises:
            LaunchError: if a worker dies.
            GcdError: what a task raised. All others are stopped then; what was done is kept.
        """
        paths = [self.path(task) for task in tasks]
        results: dict[Path, Arrays] = {}
        with TaskProgress() as progress:
            for path, task in zip(paths, tasks, strict=True):
                if path not in results and (kept := _read(path, progress)) is not None:
                    results[path] = kept
                    progress.kept(task.name)
            missing = {path: task for path, task in zip(paths, tasks, strict=True) if path not in results}
            run = _one_by_one if on_device and self.device == "cuda" else _side_by_side
            with closing(run(missing, progress)) as made:
                for path, arrays in made:
                    _write(path, arrays)
                    results[path] = arrays
                    progress.done(missing[path].name, float(arrays["core_s"]))
        return [results[path] for path in paths]


def _read(path: Path, progress: TaskProgress) -> Arrays | None:
    if not path.exists():
        return None
    try:
        # np.load itself leaves a damaged file open.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        arrays["core_s"]
        return arrays
    except _UNREADABLE:
        progress.note(f"{path}: damaged, made again")
        return None


def _write(path: Path, arrays: Arrays) -> None:
    assert not any(array.dtype.hasobject for array in arrays.values()), f"{path}: expected arrays of numbers or text, got objects"
    with replacing(path, flush=False) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _one_by_one(tasks: dict[Path, Task], progress: TaskProgress) -> Generator[tuple[Path, Arrays], None, None]:
    for path, task in tasks.items():
        progress.start(task.name)
        started = time.perf_counter()
        arrays = task.function(*task.arguments, report=lambda fraction, name=task.name: progress.show(name, fraction))
        yield path, {**arrays, "core_s": np.array(time.perf_counter() - started)}


def _side_by_side(tasks: dict[Path, Task], progress: TaskProgress) -> Generator[tuple[Path, Arrays], None, None]:
    waiting = list(tasks)
    running: dict[Connection, tuple[Path, SpawnProcess]] = {}
    for task in tasks.values():
        progress.add(task.name)
    try:
        while waiting or running:
            while waiting and len(running) < len(os.sched_getaffinity(0)):
                path = waiting.pop(0)
                connection, process = _start(tasks[path])
                running[connection] = (path, process)
                progress.start(tasks[path].name)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                path, process = running[ready]
                message = _received(ready, process, tasks[path].name)
                if isinstance(message, float):
                    progress.show(tasks[path].name, message)
                else:
                    del running[ready]
                    process.join(SECONDS_TO_LEAVE)
                    _end(ready, process)
                    yield path, message
    finally:
        for connection, (_, process) in running.items():
            _end(connection, process)


def _start(task: Task) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, task), name=task.name)
    with _environment(ONE_THREAD), _interrupts_blocked():
        process.start()
    theirs.close()  # so that a dead worker's pipe ends
    return ours, process


def _received(connection: Connection, process: SpawnProcess, name: str) -> float | Arrays:
    """The next message of a worker: the fraction done or its arrays."""
    try:
        message = connection.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        raise LaunchError(
            f"{name}: expected its worker to finish, got {_death(process.exitcode)}; the same command goes on from what is done"
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
    return f"killed by {signal.Signals(-code).name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")


def _end(connection: Connection, process: SpawnProcess) -> None:
    connection.close()
    process.kill()
    process.join()
    process.close()


def _work(connection: Connection, task: Task) -> None:
    """What a worker does: sends fractions, then arrays, or the error that ended the task."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    sent = 0.0

    def report(fraction: float) -> None:
        nonlocal sent
        if (now := time.monotonic()) - sent >= SECONDS_BETWEEN_REPORTS:
            sent = now
            connection.send(float(fraction))

    before = _core_seconds()
    try:
        arrays = task.function(*task.arguments, report=report)
        connection.send({**arrays, "core_s": np.array(_core_seconds() - before)})
    except GcdError as error:
        connection.send(error)
    except Exception:
        connection.send(traceback.format_exc())


def _leave_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _core_seconds() -> float:
    """Of this process and of those children that ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """For processes started within: threads are counted when numpy and torch load, before any of our code runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A Ctrl-C reaches every process of the terminal: workers inherit that they do not hear it, and are ended from here."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
