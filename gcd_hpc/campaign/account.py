"""Account of a campaign's finished tasks, failed attempts, sessions and waste."""

from collections import Counter
from dataclasses import dataclass, field

from gcd_hpc.campaign.events import Opened
from gcd_hpc.stages.table import Task
from gcd_hpc.workers.backend import FailureClass


@dataclass(frozen=True, slots=True)
class Done:
    """Time, counts and size of a finished task."""

    started: float
    """Start of the work, seconds since the epoch."""
    seconds: float
    cores: int
    """Number of cores; 0 in a member of a set for what the set did."""
    work_s: float
    """Time spent on the work itself, without imports and process start."""
    num: int = 0
    """Number of candidates, structures or steps."""
    num_quarantined: int = 0
    """Number of those candidates that were quarantined because of a bug."""
    num_bytes: int = 0
    """Size of the product on disk."""
    worker: str = ""
    session: int = 0
    """Index of the session that recorded it."""
    elapsed_s: float = 0.0
    """Wall time of the campaign when it was recorded."""
    time: float = 0.0
    """Time of that record, seconds since the epoch; 0 if the ledger does not give it."""
    cpu_s: float | None = None
    """Processor time of all processes; None if an earlier version recorded the task."""

    @property
    def ended(self) -> float:
        """End of the work, seconds since the epoch."""
        return self.started + self.seconds

    @property
    def is_shared(self) -> bool:
        """True if the set of the run did the task, whose cost the set's own ledger has."""
        return self.cores == 0

    @property
    def core_s(self) -> float:
        """Core-seconds: processor time, or wall time times cores if that is not recorded."""
        return self.seconds * self.cores if self.cpu_s is None else self.cpu_s


@dataclass(frozen=True, slots=True)
class Improvement:
    """A noticeably lower figure of merit, of an [n] at which others were known."""

    n_index: int
    before: float
    after: float
    source: str


@dataclass
class Attempt:
    """A failed attempt at a task, and what followed."""

    task: Task
    reason: str
    failure: FailureClass
    elapsed_s: float
    outcome: str


@dataclass
class Account:
    """Sessions, failures, delays and waste of a campaign; durations in seconds."""

    sessions: list[Opened] = field(default_factory=list)
    attempts: dict[Task, list[Attempt]] = field(default_factory=dict)
    wasted_s: float = 0.0
    """Worker-seconds of failed attempts and of dropped samples."""
    num_dropped: int = 0
    num_quarantined: int = 0
    """Number of times that a task was quarantined."""
    resume_s: list[float] = field(default_factory=list)
    """Delay from the start of a driver to its first submission, of every resumed session."""
    first_sample_s: list[float] = field(default_factory=list)
    """Delay from the promotion of a model to its first finished sample."""
    queue: list[int] = field(default_factory=list)
    """Length of the relaxation queue after each event (asynchronous mode)."""
    lag: Counter[int] = field(default_factory=Counter)
    """Number of relaxation tasks by model lag: newest round minus the task's round."""
    promoted: tuple[int, float] | None = None
    """Newest model and its promotion time, until its first sample is finished."""
    is_resuming: bool = False
    """True until a resumed session submits its first task."""

    @property
    def num_failed(self) -> int:
        """Number of failed attempts at all tasks."""
        return sum(map(len, self.attempts.values()))
