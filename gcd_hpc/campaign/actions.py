"""Actions that the policy returns and the session carries out."""

from dataclasses import dataclass

from gcd_hpc.stages.table import Task


@dataclass(frozen=True)
class Submit:
    """Run a task, or adopt it if it has been run."""

    task: Task


@dataclass(frozen=True)
class Drop:
    """Take waiting tasks out of the queue: their model is too old."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Quarantine:
    """Set a task aside and go on without it."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Stop:
    """End the campaign."""

    reason: str
    failed: bool = False
    is_quarantine: bool = False
    """Failed because too much was set aside, not because of one task."""


Action = Submit | Drop | Quarantine | Stop
