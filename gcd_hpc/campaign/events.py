"""Events of a campaign, one class for each kind, and their lines in the ledger.

A line is JSON with a checksum over itself and all earlier lines, so that a changed, removed or
inserted line is noticed. Lines of version 1, which have neither checksums nor n_index, can be read.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from gcd_hpc.config.explain import first_fault
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import Count, Seconds, StageResult
from gcd_hpc.stages.table import Stage, Task
from gcd_hpc.workers.backend import FailureClass

VERSION = 2
MILLIONTHS = 1_000_000
"""Divisor of [n] in version 1, which stores a fraction rounded to six digits."""
_CRC_BYTES = len(',"crc":"01234567"}')


@dataclass(frozen=True, kw_only=True)
class _Event:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )

    elapsed_s: Seconds = 0.0
    """Wall time of all sessions up to this event."""
    time: Seconds = 0.0
    """Time of the event, seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Opened(_Event):
    """A driver started a session."""

    kind: Literal["opened"] = "opened"
    plan: Plan
    token: str
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    created: Seconds
    """Start of the driver process, seconds since the epoch."""
    host: str = ""
    startup_s: Seconds = 0.0
    """Time from the driver's start to this event."""
    package: str = ""
    """Versions of gcd-hpc and LAMMPS."""
    ledger: int = 1
    """Format version of the lines that follow."""
    expected_s: dict[Stage, Seconds] = field(default_factory=dict)
    """Expected wall time of each stage over all rounds; empty if unknown."""


@dataclass(frozen=True, kw_only=True)
class Submitted(_Event):
    """Tasks were submitted, or are about to be."""

    kind: Literal["submitted"] = "submitted"
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True)
class Finished(_Event):
    """A task has finished, and its product is on disk."""

    kind: Literal["finished"] = "finished"
    task: Task
    result: StageResult
    started: Seconds
    """Start of the work, seconds since the epoch."""
    seconds: Seconds
    cores: Count
    cpu_s: Seconds | None = None
    """Processor time of all processes of the task; None in ledgers of earlier versions."""
    worker: str = ""
    """Host and process id of the worker."""
    num_bytes: Annotated[int, Field(ge=0)] = 0
    """Size of the product on disk."""


@dataclass(frozen=True, kw_only=True)
class Failed(_Event):
    """An attempt at a task failed."""

    kind: Literal["failed"] = "failed"
    task: Task
    reason: str
    failure: FailureClass
    saved: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the task's work that is saved, so that another attempt does not repeat it."""
    suspended: bool = False
    """True if the machine was suspended during the attempt, which breaks connections."""

    @property
    def is_retried(self) -> bool:
        """True if the task is tried again, because it did not cause the failure itself."""
        return self.failure == "infrastructure"


@dataclass(frozen=True, kw_only=True)
class Quarantined(_Event):
    """A task was set aside, and the campaign continues without it."""

    kind: Literal["quarantined"] = "quarantined"
    task: Task
    reason: str


@dataclass(frozen=True, kw_only=True)
class Dropped(_Event):
    """Waiting tasks were removed from the queue."""

    kind: Literal["dropped"] = "dropped"
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True)
class Lost(_Event):
    """The product of a finished task is damaged or missing; the task is run again."""

    kind: Literal["lost"] = "lost"
    task: Task
    reason: str


@dataclass(frozen=True, kw_only=True)
class Paused(_Event):
    """A signal ended the session."""

    kind: Literal["paused"] = "paused"


@dataclass(frozen=True, kw_only=True)
class Stopped(_Event):
    """The campaign ended, or an error ended the session."""

    kind: Literal["stopped"] = "stopped"
    reason: str
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Reported(_Event):
    """The summary of a complete campaign was written."""

    kind: Literal["reported"] = "reported"


Event = (
    Opened
    | Submitted
    | Finished
    | Failed
    | Quarantined
    | Dropped
    | Lost
    | Paused
    | Stopped
    | Reported
)
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def to_line(event: Event, crc: int) -> tuple[bytes, int]:
    """Line of an event, and the checksum of all lines up to and including it.

    Args:
        crc: checksum of the previous lines; 0 for the first line.
    """
    body = _EVENT.dump_json(event, exclude_defaults=True)
    body = b'{"kind":"%s"%s%s' % (event.kind.encode(), b"," * (len(body) > 2), body[1:])
    crc = zlib.crc32(body, crc)
    return b'%s,"crc":"%08x"}\n' % (body[:-1], crc), crc


@dataclass
class LineReader:
    """Parser that turns the lines of one ledger into events, in order from the first line."""

    crc: int = 0
    number: int = 0
    """Number of the last line read."""
    version: int = field(default=VERSION)

    def event(self, line: bytes) -> Event:
        """Parse the next line.

        Raises:
            ValueError: if the line is damaged; the message names the fault.
        """
        self.number += 1
        if self.number == 1 and b'"crc":"' not in line[-_CRC_BYTES:]:
            self.version = 1
        try:
            if self.version == 1:
                return _EVENT.validate_python(_from_version_1(json.loads(line)), strict=False)
            event = _EVENT.validate_json(self._checked(line))
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no event: {error!r}") from None
        if isinstance(event, Opened) and event.ledger > VERSION:
            raise ValueError(
                f"an event of ledger version {event.ledger}, while this gcd-hpc knows {VERSION}:"
                " a newer one wrote it"
            )
        return event

    def _checked(self, line: bytes) -> bytes:
        body = line[:-_CRC_BYTES] + b"}"
        self.crc = zlib.crc32(body, self.crc)
        if line[-_CRC_BYTES:] != b',"crc":"%08x"}' % self.crc:
            raise ValueError("a line that was changed, or that followed another one when written")
        return body


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """Translate an event of version 1 into the format of version 2."""
    data = dict(data)
    match data["kind"]:
        case "finished":
            names = ("ok", "failed", "invalid", "quarantined", "model", "promoted", "reason", "num")
            result = {name: data.pop(name) for name in names if name in data}
            result["seconds"] = data.pop("work_s")
            result["atoms_per_plane"] = MILLIONTHS
            result["best"] = _in_millionths(data.pop("best", {}))
            result["low"] = tuple(map(_scored, data.pop("low", ())))
            result["queue"] = tuple(tuple(map(_scored, batch)) for batch in data.pop("queue", ()))
            data.pop("id", None)
            data["result"] = result
        case "failed":
            # Version 1 retried only tasks whose process was lost.
            again = data.pop("retry", False)
            data["failure"] = data.pop("class", None) or ("infrastructure" if again else "mistake")
    return data


def _in_millionths(best: Mapping[str, float]) -> dict[int, float]:
    return {round(float(n) * MILLIONTHS): energy for n, energy in best.items()}


def _scored(pair: Any) -> tuple[int, float]:
    n_fraction, energy = pair
    return round(float(n_fraction) * MILLIONTHS), energy
