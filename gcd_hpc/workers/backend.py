"""What a campaign needs of the machinery that runs its tasks, whichever that is.

A session submits tasks, looks after the health of the workers, drains and closes. Errors of the
machinery itself arrive as the classes of this file, so that no other room knows its words.
"""

import errno
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from gcd_hpc.errors import GcdError, LaunchError
from gcd_hpc.stages.record import Record
from gcd_hpc.stages.table import Pool
from gcd_hpc.stages.tasks import TaskRequest

Launcher = Literal["torchrun", "mpiexec"]
FailureClass = Literal["infrastructure", "mistake", "bug"]
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class InfrastructureError(LaunchError):
    """A worker, a process or the machinery between them was lost: the task is tried again."""


class ProcessLostError(InfrastructureError):
    """A process of a launch line was killed from outside."""


class WorkerLostError(InfrastructureError):
    """The worker that ran a task, or the way to it, was lost."""


class BackendStartError(InfrastructureError):
    """The workers could not be started."""


class PausedError(InfrastructureError):
    """A launched stage was asked to stop, kept its state and ended: the same launch resumes it."""


@dataclass(frozen=True)
class StageCall:
    """What a task runs, and on which of the site's pools."""

    pool: Pool
    module: str
    """Imported by the worker, never by the driver."""
    function: str
    """Called in one worker with the run directory and ``arguments``, without a launcher."""
    arguments: tuple[int, ...]
    launcher: Launcher | None = None
    """Starts the module as parallel processes on the nodes of the pool, with the run directory and
    the first argument, the version of the model.
    """


class Backend(Protocol):
    """Workers of one session. A constructor starts them and raises ``BackendStartError``."""

    def submit(self, request: TaskRequest, call: StageCall) -> "Future[Record]":
        """Start a task. The future holds its record, or the error of the task; an error of the
        machinery is an ``InfrastructureError``.
        """

    def check_health(self, running: Iterable[str]) -> str | None:
        """Reason to start the workers anew although no task failed, or None.

        Args:
            running: names of the tasks that were submitted and have not ended.
        """

    @property
    def is_lost(self) -> bool:
        """Whether workers are gone for good: this backend is to be closed and another started."""

    def drain(self) -> None:
        """Ask running launches to write a checkpoint and to end; nothing more is submitted."""

    def close(self) -> None:
        """End all workers."""


def failure_class(error: BaseException) -> FailureClass:
    """Why a task failed: its process was lost, the user can mend it, or it should not have
    happened.
    """
    if isinstance(error, InfrastructureError):
        return "infrastructure"
    return "mistake" if isinstance(error, GcdError) or is_disk_error(error) else "bug"


def is_disk_error(error: BaseException) -> bool:
    """Whether a file could not be written because the disk is full, read-only or closed to us."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS
