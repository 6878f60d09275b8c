"""A Slurm with two nodes, and the smoke campaign trained in it while one of them is lost."""

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gcd_hpc.store.run_directory import RunDirectory
from tests.slurm.minislurm import Minislurm
from tests.stages.conftest import launch

ROOT = Path(__file__).parents[2]
SMOKE = "campaigns/smoke.yaml"
# The names n1 and n2 are known to Slurm only, and everything is on loopback.
ONE_MACHINE = {
    "RDZV_HOST": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "UCX_TLS": "self,sm",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


@pytest.fixture(scope="session")
def slurm() -> Iterator[Minislurm]:
    with Minislurm(num_nodes=2) as cluster:
        yield cluster


@dataclass
class Job:
    """One job of a batch script, working on a run directory."""

    slurm: Minislurm
    run_dir: Path
    script: str
    number: int

    @classmethod
    def submit(
        cls, slurm: Minislurm, run_dir: Path, script: str, *options: str, **variables: str
    ) -> "Job":
        output = f"--output={run_dir}-{script}.log"
        number = slurm.submit(
            output,
            *options,
            f"batch/{script}",
            SMOKE,
            folder=ROOT,
            RUN=str(run_dir),
            **ONE_MACHINE,
            **variables,
        )
        return cls(slurm, run_dir, script, number)

    @property
    def log(self) -> str:
        path = Path(f"{self.run_dir}-{self.script}.log")
        return path.read_text() if path.exists() else ""

    def finish(self, timeout_s: float) -> dict[str, str]:
        """What Slurm knows of the completed job."""
        ended = self.slurm.wait_for(
            self.number, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", timeout_s=timeout_s
        )
        assert ended["JobState"] == "COMPLETED", f"{ended}\n{self.log}\n{self.slurm.logs()}"
        return ended

    def wait_for_file(self, path: Path, timeout_s: float) -> None:
        limit = time.monotonic() + timeout_s
        while not path.exists():
            assert time.monotonic() < limit, (
                f"{path} is not there after {timeout_s} s\n{self.slurm.job(self.number)}"
                f"\n{self.log}"
            )
            time.sleep(0.02)


@dataclass(frozen=True)
class Trained:
    run_dir: Path
    log: str
    job: dict[str, str]
    had_finished_when_the_node_was_lost: bool


@pytest.fixture(scope="session")
def trained(slurm: Minislurm, tmp_path_factory) -> Trained:
    """``sbatch batch/train_ddp.sh campaigns/smoke.yaml`` on both nodes; the second is killed after
    a checkpoint and comes back. Copy it.
    """
    run_dir = tmp_path_factory.mktemp("slurm") / "smoke"
    job = Job.submit(slurm, run_dir, "train_ddp.sh")
    job.wait_for_file(RunDirectory(run_dir).training_state(1), timeout_s=150)
    slurm.kill_node(2)
    had_finished = (RunDirectory(run_dir).model_file(1)).exists()
    slurm.wait_for(job.number, "PENDING", timeout_s=60)
    slurm.start_node(2)
    ended = job.finish(timeout_s=120)
    return Trained(run_dir, job.log, ended, had_finished)


@pytest.fixture(scope="session")
def sampled(slurm: Minislurm, trained: Trained, tmp_path_factory) -> tuple[Job, Path]:
    """The job that sampled the trained run on both nodes, and a run that was sampled by one rank
    without Slurm. Do not write to them.
    """
    folder = tmp_path_factory.mktemp("sampled")
    on_nodes, alone = (
        Path(shutil.copytree(trained.run_dir, folder / name)) for name in ("nodes", "alone")
    )
    job = Job.submit(slurm, on_nodes, "sample_mpi.sh")
    launch([sys.executable, "-m", "gcd_hpc.stages.sample", str(alone), "1"])
    job.finish(timeout_s=60)
    return job, alone


@pytest.fixture
def trained_copy(trained: Trained, tmp_path: Path):
    """Makes copies of the trained run."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(trained.run_dir, tmp_path / name))

    return copy
