"""A Slurm with two nodes, and the first model of the small smoke campaign, trained in it while one
of them is lost.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from gcd_hpc.store.run_directory import RunDirectory
from tests.sharing import made_once
from tests.slurm.minislurm import Minislurm
from tests.smoke import Smoke
from tests.stages.conftest import launch

ROOT = Path(__file__).parents[2]
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
        cls,
        slurm: Minislurm,
        campaign: Path,
        run_dir: Path,
        script: str,
        *options: str,
        **variables: str,
    ) -> "Job":
        number = slurm.submit(
            f"--output={run_dir}-{script}.log",
            *options,
            f"batch/{script}",
            campaign,
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


@pytest.fixture(scope="session")
def submit(slurm: Minislurm, smoke: Smoke) -> Callable[..., Job]:
    """Submits a batch script for the small smoke campaign: run directory, script, options and
    variables of ``sbatch``.
    """

    def submit(run_dir: Path, script: str, *options: str, **variables: str) -> Job:
        return Job.submit(slurm, smoke.campaign, run_dir, script, *options, **variables)

    return submit


@dataclass(frozen=True)
class Trained:
    """What is known of the job that trained."""

    log: str
    job: dict[str, str]
    had_finished_when_the_node_was_lost: bool
    run_dir: Path


def train(slurm: Minislurm, smoke: Smoke, submit: Callable[..., Job], folder: Path) -> None:
    """Select and train on both nodes, after a search that is finished; the second node is killed
    after a checkpoint and comes back.
    """
    run_dir = smoke.copy_before_round(1, folder / "smoke")
    job = submit(run_dir, "train_ddp.sh")
    job.wait_for_file(RunDirectory(run_dir).training_state(1), timeout_s=150)
    slurm.kill_node(2)
    had_finished = (RunDirectory(run_dir).model_file(1)).exists()
    slurm.wait_for(job.number, "PENDING", timeout_s=60)
    slurm.start_node(2)
    ended = job.finish(timeout_s=120)
    found = asdict(Trained(job.log, ended, had_finished, run_dir))
    (folder / "trained.json").write_text(json.dumps(found, default=str))


@pytest.fixture(scope="session")
def trained(
    slurm: Minislurm, smoke: Smoke, submit: Callable[..., Job], tmp_path_factory
) -> Trained:
    """The run directory after its first training, as all tests of a session share it. Copy it."""
    folder = made_once(
        tmp_path_factory, "slurm", lambda folder: train(slurm, smoke, submit, folder)
    )
    found = json.loads((folder / "trained.json").read_text())
    return Trained(**{**found, "run_dir": Path(found["run_dir"])})


def copy_with_model(smoke: Smoke, run_dir: Path) -> Path:
    """A copy of the smoke campaign with its first model, of which there are no samples."""
    smoke.copy_before_round(1, run_dir)
    first = RunDirectory(smoke.run_dir).model_dir(1)
    shutil.copytree(first, RunDirectory(run_dir).model_dir(1))
    return run_dir


@pytest.fixture(scope="session")
def sampled(submit: Callable[..., Job], smoke: Smoke, tmp_path_factory) -> tuple[Job, Path]:
    """The job that sampled the first model of the smoke campaign on both nodes, and a run that was
    sampled by one rank without Slurm. Do not write to them.
    """
    folder = tmp_path_factory.mktemp("sampled")
    on_nodes, alone = (copy_with_model(smoke, folder / name) for name in ("nodes", "alone"))
    job = submit(on_nodes, "sample_mpi.sh")
    launch([sys.executable, "-m", "gcd_hpc.stages.sample", str(alone), "1"])
    job.finish(timeout_s=60)
    return job, alone


@pytest.fixture
def trained_copy(trained: Trained, tmp_path: Path):
    """Makes copies of the trained run."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(trained.run_dir, tmp_path / name))

    return copy
