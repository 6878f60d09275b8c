"""Slurm jobs of Parsl, marked with a comment so that the queue itself can be searched for them."""

import hashlib
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from parsl.providers import SlurmProvider
from parsl.providers.errors import SubmitException

PATIENCE_S, PAUSE_S = 120.0, 5.0
TIMEOUT_S = 60.0


def mark_of(run_dir: Path) -> str:
    """Prefix of the comments of a campaign's jobs."""
    return f"gcd-hpc:{hashlib.sha256(str(run_dir).encode()).hexdigest()[:12]}:"


def cancel_jobs(run_dir: Path) -> int:
    """Cancel all queued jobs of a campaign, also those of killed drivers; return their number.

    If the queue does not answer, the jobs end by themselves when they receive no heartbeats.
    """
    ids: list[str] = []
    with suppress(OSError, subprocess.SubprocessError):
        answer = _call("squeue", "--me", "--noheader", "--format=%i %k")
        ids = [
            line.split()[0]
            for line in answer.splitlines()
            if line.split()[1:2] and line.split()[1].startswith(mark_of(run_dir))
        ]
        if ids:
            _call("scancel", *ids)
    return len(ids)


class CappedSlurmProvider(SlurmProvider):
    """SlurmProvider with a cap on the jobs in the queue, whatever sbatch reported.

    When the scheduler is slow, sbatch may fail although the job is queued. Parsl then submits
    again, and without the cap all these jobs run.
    """

    def __init__(self, run_dir: Path, label: str, scheduler_options: str, **options: Any) -> None:
        self._mark = f"{mark_of(run_dir)}{label}"
        super().__init__(
            scheduler_options=f"{scheduler_options}\n#SBATCH --comment={self._mark}", **options
        )

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.slurm") -> str:
        """Submit one block when the queue has room for it.

        Raises:
            SubmitException: if there is none for a while, or sbatch refuses the job.
        """
        deadline = time.monotonic() + PATIENCE_S
        while (num := self._num_queued()) is None or num >= self.max_blocks:
            if time.monotonic() > deadline:
                why = (
                    "squeue does not answer"
                    if num is None
                    else f"{num} jobs are queued already, the most is {self.max_blocks}"
                )
                raise SubmitException(job_name, why)
            time.sleep(PAUSE_S)
        return super().submit(command, tasks_per_node, job_name)

    def _num_queued(self) -> int | None:
        # Jobs that are ending do not count, because Parsl replaces them.
        try:
            answer = _call(
                "squeue",
                "--me",
                "--noheader",
                "--states=PENDING,CONFIGURING,RUNNING",
                "--format=%k",
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.split().count(self._mark)


def _call(*line: str) -> str:
    return subprocess.run(
        line, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    ).stdout
