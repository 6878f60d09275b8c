"""Protocol between a campaign and the machinery that runs its tasks.

A session submits tasks, checks the health of the workers, drains and closes them. Errors of the
machinery arrive as the classes of this file, so that its own names stay in this package.
"""

import errno
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from gcd_hpc.config.site import Pool
from gcd_hpc.errors import GcdError, LaunchError

if TYPE_CHECKING:
    # A check of a site knows these errors, and does without the store.
    from gcd_hpc.stages.record import Record
    from gcd_hpc.stages.tasks import TaskRequest

Launcher = Literal["torchrun", "mpiexec"]
FailureClass = Literal["infrastructure", "mistake", "bug"]
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class InfrastructureError(LaunchError):
    """A worker, a process or the machinery was lost; the task is tried again."""


class ProcessLostError(InfrastructureError):
    """A process of a launched stage was killed externally."""


class WorkerLostError(InfrastructureError):
    """The worker of a task, or the connection to it, was lost."""


class BackendStartError(InfrastructureError):
    """The workers could not be started."""


class PausedError(InfrastructureError):
    """A launched stage paused with a checkpoint; the same launch resumes it."""


@dataclass(frozen=True)
class StageCall:
    """Function or module of a task, and the site's pool that runs it."""

    pool: Pool
    module: str
    """Module name, imported by the worker, never by the driver."""
    function: str
    """Function called in a worker with run directory and ``arguments``, without a launcher."""
    arguments: tuple[int, ...]
    launcher: Launcher | None = None
    """Program that starts the module as parallel processes on the nodes of the pool.

    The arguments of these processes are the run directory and the model version.
    """


class Backend(Protocol):
    """Workers of one session. The constructor starts them; it raises ``BackendStartError``."""

    def submit(self, request: "TaskRequest", call: StageCall) -> "Future[Record]":
        """Start a task. The future holds its record or error; see ``InfrastructureError``."""

    def check_health(self, running: Iterable["TaskRequest"]) -> str | None:
        """Reason to restart the workers although no task failed, or None.

        Args:
            running: tasks that were submitted and have not ended.
        """

    @property
    def is_lost(self) -> bool:
        """True if workers are lost for good, so that this backend must be closed and replaced."""

    def drain(self) -> None:
        """Signal running launches to write a checkpoint and exit; nothing more is submitted."""

    def close(self) -> None:
        """End all workers."""


def failure_class(error: BaseException) -> FailureClass:
    """Class of a failure: lost infrastructure, a mistake that the user can fix, or a bug."""
    if isinstance(error, InfrastructureError):
        return "infrastructure"
    return "mistake" if isinstance(error, GcdError) or is_disk_error(error) else "bug"


def is_disk_error(error: BaseException) -> bool:
    """True if a file could not be written because the disk is full, read-only or not permitted."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS
