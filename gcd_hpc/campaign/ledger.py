"""The campaign's memory: ``events.jsonl``, append-only, with one writer. All state is ``replay(events)``."""

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

from gcd_hpc.campaign.tasks import Plan, Stage, Task
from gcd_hpc.errors import RunDirectoryError

LEDGER_NAME = "events.jsonl"
Kind = Literal["opened", "finished", "failed", "paused", "stopped", "reported", "tick"]


@dataclass(frozen=True)
class Event:
    """Something that happened. ``elapsed_s`` is the wall time of all sessions of the campaign up to here."""

    kind: Kind
    elapsed_s: float
    data: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        return json.dumps({"kind": self.kind, "elapsed_s": round(self.elapsed_s, 3), **self.data}, separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, line: str) -> "Event":
        data = json.loads(line)
        return cls(data.pop("kind"), data.pop("elapsed_s"), data)


@dataclass(frozen=True)
class Finished:
    """What the ledger keeps of a finished task."""

    started: float
    seconds: float
    cores: int
    work_s: float
    """Seconds without importing modules and starting processes, where the stage says so."""
    num: int = 0


@dataclass
class State:
    """A campaign as its events tell it. Only ``apply`` changes it."""

    plan: Plan | None = None
    elapsed_s: float = 0.0
    finished: dict[Task, Finished] = field(default_factory=dict)
    num_finished: dict[tuple[Stage, int], int] = field(default_factory=dict)
    attempts: dict[Task, int] = field(default_factory=dict)
    """Failures of a task since the campaign was last opened."""
    best: dict[int, dict[str, float]] = field(default_factory=dict)
    """Lowest E_gb in J/m^2 by model version (0 is the search) and [n]."""
    drivers: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Process id and start time of every driver by its token."""
    stopped: str | None = None
    reported: bool = False

    def apply(self, event: Event) -> None:
        """Take in one event, in constant time."""
        # Clocks may go backwards, elapsed time may not.
        self.elapsed_s = max(self.elapsed_s, event.elapsed_s)
        match event.kind:
            case "opened":
                self.plan = Plan(**event.data["plan"])
                self.drivers[event.data["token"]] = (event.data["pid"], event.data["created"])
                self.attempts.clear()
                self.stopped, self.reported = None, False
            case "finished":
                self._finish(Task.parse(event.data["task"]), event.data)
            case "failed":
                task = Task.parse(event.data["task"])
                self.attempts[task] = self.attempts.get(task, 0) + 1
            case "stopped":
                self.stopped = event.data["reason"]
            case "reported":
                self.reported = True

    def _finish(self, task: Task, data: dict[str, Any]) -> None:
        if task in self.finished:
            return
        self.finished[task] = Finished(data["started"], data["seconds"], data["cores"], data["work_s"], data.get("num", 0))
        phase = (task.stage, task.version)
        self.num_finished[phase] = self.num_finished.get(phase, 0) + 1
        known = self.best.setdefault(task.version, {})
        for n_fraction, energy in data.get("best", {}).items():
            known[n_fraction] = min(energy, known.get(n_fraction, energy))

    def is_complete(self, stage: Stage, version: int) -> bool:
        assert self.plan is not None
        return self.num_finished.get((stage, version), 0) >= self.plan.num_tasks(stage)


def opened(plan: Plan, token: str, pid: int, created: float, elapsed_s: float) -> Event:
    """A driver took the campaign up."""
    return Event("opened", elapsed_s, {"token": token, "pid": pid, "created": created, "plan": asdict(plan)})


def replay(events: Iterable[Event]) -> State:
    """The state that a sequence of events leads to."""
    state = State()
    for event in events:
        state.apply(event)
    return state


def read_events(run_dir: Path) -> list[Event]:
    """All events of a run; a last line that was cut short is left out. Safe while a driver writes.

    Raises:
        RunDirectoryError: if another line is damaged.
    """
    try:
        content = (run_dir / LEDGER_NAME).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirectoryError(f"{run_dir / LEDGER_NAME}: cannot be read: {error.strerror}") from error
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(Event.parse(line.decode()))
        except (ValueError, KeyError, AttributeError, UnicodeDecodeError):
            raise RunDirectoryError(f"{run_dir / LEDGER_NAME}: line {number} must be an event, got {line[:60]!r}") from None
    return events


class Ledger:
    """The one writer of a run's events: a context manager that holds the file's lock."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / LEDGER_NAME
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Ledger":
        try:
            # Unbuffered: an event is with the system when append returns, and kill -9 loses none.
            self._file = open(self._path, "a+b", buffering=0)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            folder = self._path.parent
            raise RunDirectoryError(f"{folder} is in use by another driver{_holder(folder)}; wait for it or stop it first") from None
        self._drop_torn_line()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, event: Event) -> None:
        """Add one event: as a whole, or not at all.

        Raises:
            RunDirectoryError: if the disk is full.
        """
        assert self._file is not None, "the ledger is not open"
        size = os.fstat(self._file.fileno()).st_size
        line = event.line().encode()
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)
            raise _unwritable(self._path, error) from error

    def _drop_torn_line(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file.fileno(), whole)


def _holder(run_dir: Path) -> str:
    drivers = list(replay(read_events(run_dir)).drivers.values())
    return f" (process {drivers[-1][0]})" if drivers else ""


def _unwritable(path: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(f"{path}: expected a place to write to, got: {(error.strerror or str(error)).lower()}")
