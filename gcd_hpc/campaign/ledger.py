"""The campaign's memory: ``events.jsonl``, append-only, with one writer. All state is
``replay(events)``.
"""

import fcntl
import json
import os
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

from gcd_hpc.campaign.waiting import Waiting
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.files import cannot_write
from gcd_hpc.stages.table import STAGES, WHOLE, Stage
from gcd_hpc.stages.tasks import Plan, Task
from gcd_hpc.store.run_directory import RunDirectory

Kind = Literal[
    "opened",
    "submitted",
    "finished",
    "failed",
    "quarantined",
    "dropped",
    "lost",
    "paused",
    "stopped",
    "reported",
    "tick",
]
SAME_ENERGY_J_M2 = 0.002
"""Structures of one [n] whose energies agree this well count as one; only selection looks closer.
"""


@dataclass(frozen=True)
class Event:
    """Something that happened.

    ``elapsed_s`` is the wall time of all sessions of the campaign up to here.
    """

    kind: Kind
    elapsed_s: float
    data: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        return (
            json.dumps(
                {"kind": self.kind, "elapsed_s": round(self.elapsed_s, 3), **self.data},
                separators=(",", ":"),
            )
            + "\n"
        )

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
    submitted: dict[Task, float] = field(default_factory=dict)
    """Tasks at work or on their way there, with the elapsed time at which they were submitted."""
    interrupted: list[Task] = field(default_factory=list)
    """Tasks that were submitted when the driver before ended."""
    in_flight: Counter[Stage] = field(default_factory=Counter)
    """Number of submitted tasks of each stage."""
    num_done: dict[tuple[Stage, int], int] = field(default_factory=dict)
    """Finished and quarantined tasks of each phase."""
    attempts: dict[Task, int] = field(default_factory=dict)
    """Failures of a task since the campaign was last opened."""
    lost: list[Task] = field(default_factory=list)
    """Finished and counted tasks whose results were damaged since: they are run again before
    anything else.
    """
    is_repaired: bool = False
    """The last event brought back the last lost result."""
    quarantined: dict[Task, str] = field(default_factory=dict)
    """Tasks that were set aside, with the reason."""
    num_tried: int = 0
    num_quarantined: int = 0
    """Candidates tried, and those of them that were set aside because of a bug."""
    best: dict[int, dict[str, float]] = field(default_factory=dict)
    """Lowest E_gb in J/m^2 by model version (0 is the search) and [n]."""
    waiting: Waiting = field(default_factory=Waiting)
    """Relaxation tasks in the order of their promise (asynchronous mode)."""
    next_chunk: dict[int, int] = field(default_factory=dict)
    """Chunks of each model version whose sampling was begun (asynchronous mode)."""
    low: set[tuple[str, int]] = field(default_factory=set)
    """Unique low-energy structures: [n], and the energy in steps of SAME_ENERGY_J_M2."""
    num_low_at_select: int = 0
    models: dict[int, int] = field(default_factory=dict)
    """Model in use for each version that was judged: its own, or the one before where that was
    better.
    """
    drivers: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Process id and start time of every driver by its token."""
    paused: bool = False
    stopped: str | None = None
    failed: bool = False
    """Stopped by an error."""
    reported: bool = False

    @property
    def version(self) -> int:
        """The newest version that candidates are made for; 0 before the first model."""
        return max(self.models, default=0)

    @property
    def is_flowing(self) -> bool:
        """Whether the first model is there and the stages overlap from now on."""
        assert self.plan is not None
        return self.plan.mode == "asynchronous" and self.plan.until is None and self.version > 0

    def apply(self, event: Event) -> None:
        """Take in one event, in nearly constant time."""
        # Clocks may go backwards, elapsed time may not.
        self.elapsed_s = max(self.elapsed_s, event.elapsed_s)
        self.is_repaired = False
        match event.kind:
            case "opened":
                self._open(event.data)
            case "submitted":
                for name in event.data["tasks"]:
                    self._submit(Task.parse(name))
            case "finished":
                self._finish(Task.parse(event.data["task"]), event.data)
            case "failed":
                task = Task.parse(event.data["task"])
                self.attempts[task] = self.attempts.get(task, 0) + 1
                self._leave(task)
            case "quarantined":
                task = Task.parse(event.data["task"])
                self.quarantined[task] = event.data["reason"]
                self._repair(task)
                self._count(task)
            case "lost":
                self.lost = list(dict.fromkeys([*self.lost, Task.parse(event.data["task"])]))
            case "dropped":
                self.waiting.remove(map(Task.parse, event.data["tasks"]))
            case "paused":
                self.paused = True
            case "stopped":
                self.stopped, self.failed = event.data["reason"], event.data.get("failed", False)
            case "reported":
                self.reported = True

    def _open(self, data: dict[str, Any]) -> None:
        self.plan = Plan(**data["plan"])
        self.drivers[data["token"]] = (data["pid"], data["created"])
        self.interrupted = list(self.submitted)
        self.submitted.clear()
        self.in_flight.clear()
        self.attempts.clear()
        for task in self.quarantined:
            self.num_done[task.stage, task.version] -= 1
        self.quarantined.clear()
        self.paused, self.stopped, self.failed, self.reported = False, None, False, False

    def _submit(self, task: Task) -> None:
        if task in self.submitted:
            return
        self.submitted[task] = self.elapsed_s
        self.in_flight[task.stage] += 1
        self.waiting.remove([task])
        if task.stage == "sample" and task.chunk != WHOLE:
            self.next_chunk[task.version] = max(
                self.next_chunk.get(task.version, 0), task.chunk + 1
            )
        if task.stage == "select":
            self.num_low_at_select = len(self.low)

    def _leave(self, task: Task) -> None:
        if self.submitted.pop(task, None) is not None:
            self.in_flight[task.stage] -= 1

    def _repair(self, task: Task) -> None:
        if task in self.lost:
            self.lost.remove(task)
            self.is_repaired = not self.lost

    def _count(self, task: Task) -> None:
        phase = (task.stage, task.version)
        self.num_done[phase] = self.num_done.get(phase, 0) + 1

    def _finish(self, task: Task, data: dict[str, Any]) -> None:
        self._leave(task)
        self._repair(task)
        if task in self.finished:
            return
        self.finished[task] = Finished(
            data["started"], data["seconds"], data["cores"], data["work_s"], data.get("num", 0)
        )
        self._count(task)
        if STAGES[task.stage].is_relaxation:
            self.num_tried += data.get("num", 0)
        self.num_quarantined += data.get("quarantined", 0)
        if task.stage == "promote":
            self.models[task.version] = data["model"]
        known = self.best.setdefault(task.version, {})
        improved = False
        for n_fraction, energy in data.get("best", {}).items():
            known[n_fraction] = min(energy, known.get(n_fraction, energy))
            improved |= self.waiting.learn(n_fraction, energy)
        if improved:
            self.waiting.rank()
        self.low |= {
            (f"{n_fraction:.6g}", round(energy / SAME_ENERGY_J_M2))
            for n_fraction, energy in data.get("low", ())
        }
        for batch, scores in enumerate(data.get("queue", ())):
            named = [(f"{n_fraction:.6g}", energy) for n_fraction, energy in scores]
            self.waiting.add(
                Task("relax", task.version, task.chunk * len(data["queue"]) + batch), named
            )

    def is_complete(self, stage: Stage, version: int) -> bool:
        assert self.plan is not None
        return self.num_done.get((stage, version), 0) >= self.plan.num_needed(stage)


def opened(
    plan: Plan, token: str, pid: int, created: float, elapsed_s: float, startup_s: float = 0.0
) -> Event:
    """A driver took the campaign up, ``startup_s`` after it was called."""
    driver = {
        "token": token,
        "pid": pid,
        "created": created,
        "host": socket.gethostname(),
        "startup_s": round(startup_s, 3),
    }
    return Event("opened", elapsed_s, {**driver, "plan": asdict(plan)})


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
        content = RunDirectory(run_dir).ledger.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirectoryError(
            f"{RunDirectory(run_dir).ledger}: cannot be read: {error.strerror}"
        ) from error
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(Event.parse(line.decode()))
        except (ValueError, KeyError, AttributeError, UnicodeDecodeError):
            raise RunDirectoryError(
                f"{RunDirectory(run_dir).ledger}: line {number} must be an event, got {line[:60]!r}"
            ) from None
    return events


class Ledger:
    """The one writer of a run's events: a context manager that holds the file's lock."""

    def __init__(self, run_dir: Path) -> None:
        self._path = RunDirectory(run_dir).ledger
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Ledger":
        try:
            # Unbuffered: an event is with the system when append returns, and kill -9 loses none.
            self._file = open(self._path, "a+b", buffering=0)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            folder = self._path.parent
            raise RunDirectoryError(
                f"{folder} is in use by another driver{_holder(folder)}; wait for it or stop it"
                " first"
            ) from None
        self._drop_torn_line()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
            raise cannot_write(self._path, error) from error

    def clear(self) -> None:
        """Forget all events."""
        assert self._file is not None, "the ledger is not open"
        os.ftruncate(self._file.fileno(), 0)

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
