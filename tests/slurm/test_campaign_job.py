"""A whole campaign inside one allocation: the end of the job's time pauses it, the next job
finishes it.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gcd_hpc.store.run_directory import RunDirectory
from tests.chaos import candidates, same
from tests.slurm.conftest import Job
from tests.smoke import ROUNDS

pytestmark = [pytest.mark.slurm, pytest.mark.lammps, pytest.mark.mpi]


def status_of(run_dir: Path) -> str:
    line = [str(Path(sys.executable).parent / "gcd-hpc"), "status", str(run_dir), "--json"]
    return json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)[
        "status"
    ]


def signal_once_at_work(job: Job, num_lines_before: int) -> None:
    """What Slurm sends before the end, as soon as the driver has said something."""
    limit = time.monotonic() + 60
    while len(job.log.splitlines()) == num_lines_before:
        assert time.monotonic() < limit, job.log
        time.sleep(0.1)
    job.slurm.call("scancel", "--batch", "--signal=USR1", str(job.number))


@pytest.mark.slow
def test_the_end_of_the_time_pauses_a_campaign_and_the_next_jobs_finish_it(submit, smoke, tmp_path):
    # Its last round is left: it selects, trains, samples, relaxes and explores.
    run_dir = smoke.copy_before_round(ROUNDS, tmp_path / "run")
    ledger, status = RunDirectory(run_dir).ledger.read_text(), status_of(run_dir)
    first = submit(run_dir, "campaign.sh", "--time=1", "--signal=B:USR1@40")
    ended = first.finish(timeout_s=100)
    assert f"{run_dir}: paused by SIGUSR1; resume it in this folder with: " in first.log
    # Slurm signals up to 30 s early: sometimes the driver has not begun and notes nothing.
    assert status_of(run_dir) == (
        status if RunDirectory(run_dir).ledger.read_text() == ledger else "paused"
    )
    assert ended["Restarts"] == "0"

    # Asked to, a job that is signalled goes on by itself.
    num_lines = len(first.log.splitlines())
    second = submit(run_dir, "campaign.sh", RESUBMIT="1")
    signal_once_at_work(second, num_lines)
    ended = second.finish(timeout_s=400)
    assert ended["Restarts"] == "1"
    assert second.log.count("paused by SIGUSR1") == 2
    assert status_of(run_dir) == "complete"
    assert f"{run_dir}: complete" in second.log
    # Two nodes and the interruptions do not show.
    found, undisturbed = candidates(run_dir), candidates(smoke.run_dir)
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if not same(found[name], undisturbed[name])] == []
