"""Actions that the policy returns and the session carries out."""

from dataclasses import dataclass

from gcd_hpc.stages.table import Task


@dataclass(frozen=True)
class Submit:
    """Run a task, or adopt its product if it exists."""

    task: Task


@dataclass(frozen=True)
class Drop:
    """Remove waiting relaxations from the queue, because their model is too old."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Quarantine:
    """Set a failed task aside and continue without it."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Stop:
    """End the campaign."""

    reason: str
    failed: bool = False
    is_quarantine: bool = False
    """True if too many candidates were quarantined, false if a single task failed."""


Action = Submit | Drop | Quarantine | Stop
