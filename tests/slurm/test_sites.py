"""Toy campaigns on a real two-node Slurm: pools and launch lines where site files put them."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parsl.providers.errors import SubmitException

from gcd_hpc.campaign.events import Finished
from gcd_hpc.workers import slurm_jobs
from tests.campaign.histories import read_events
from tests.slurm.minislurm import Minislurm

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).parents[2]
LOGIN = """\
name: login
scheduler: slurm
driver: login
cores: 2
interface: lo
blocks: {max_blocks: 1, walltime: "0:10:00"}
"""


def finished(run_dir: Path) -> list[str]:
    return [event.task.name for event in read_events(run_dir) if isinstance(event, Finished)]


def processes(run_dir: Path, task: str) -> list[tuple[str, int, int, str]]:
    """Node, rank, number and GPUs of all processes of a launch line, as each of them saw it."""
    lines = [line.split() for line in (run_dir / "logs" / f"{task}.log").read_text().splitlines()]
    return sorted(
        (words[0], int(words[1]), int(words[2]), words[3])
        for words in lines
        if len(words) == 4 and words[3] in ("none", "0,1")
    )


def explored_on(run_dir: Path) -> set[str]:
    """Nodes whose workers explored."""
    return {path.name.split(".")[-1] for path in (run_dir / "executed").glob("explore-*")}


def campaign(site: str | Path, run_dir: Path) -> list[str]:
    return [sys.executable, "-m", "tests.slurm.toy_campaign", str(site), str(run_dir)]


def test_a_driver_on_a_login_node_submits_jobs_and_leaves_none_behind(tmp_path, slurm):
    (tmp_path / "site.yaml").write_text(LOGIN)
    with open(tmp_path / "out", "w") as output:
        environment = {**slurm.environment, "PYTHONPATH": str(ROOT)}
        line = campaign(tmp_path / "site.yaml", tmp_path / "run")
        done = subprocess.run(
            line, cwd=ROOT, env=environment, stdout=output, stderr=output, timeout=100
        )
    assert done.returncode == 0, (tmp_path / "out").read_text()
    assert {"select-01", "train-01", "sample-01", "relax-01-00001"} <= set(
        finished(tmp_path / "run")
    )
    assert {one[1:3] for one in processes(tmp_path / "run", "sample-01")} == {(0, 2), (1, 2)}
    deadline = time.monotonic() + 10
    while slurm.call("squeue", "--noheader", "--states=PENDING,RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    scripts = [
        path.read_text()
        for path in (tmp_path / "run" / "runinfo").rglob("parsl.*.block-*")
        if not path.suffix.startswith(".std")
    ]
    assert len(scripts) == 2
    assert all("#SBATCH --no-requeue" in script for script in scripts)


def test_a_campaign_in_an_allocation_spans_its_nodes_and_survives_a_lost_process(tmp_path, slurm):
    (tmp_path / "trouble-train-01").write_text("killed")
    script = tmp_path / "job.sh"
    line = " ".join(campaign("detected", tmp_path / "run"))
    script.write_text(f"#!/bin/bash\nexport PYTHONPATH={ROOT}\nexec {line}\n")
    job = slurm.submit(
        "--nodes=2",
        "--ntasks-per-node=1",
        "--exclusive",
        f"--output={tmp_path}/out",
        script,
        folder=ROOT,
    )
    slurm.wait_for(job, "COMPLETED", "FAILED", timeout_s=100)
    assert (tmp_path / "out").read_text().split()[-1] == "complete"
    assert {"select-01", "train-01", "sample-01", "relax-01-00001"} <= set(
        finished(tmp_path / "run")
    )
    for task in ("train-01", "sample-01"):
        found = processes(tmp_path / "run", task)
        times = 2 if task == "train-01" else 1  # the training that lost a process was started again
        assert [one[0] for one in found] == ["n1"] * 2 * times + ["n2"] * 2 * times
        assert sorted(one[1] for one in found) == sorted([0, 1, 2, 3] * times)
        assert {one[2:] for one in found} == {(4, "none")}
    managers = list((tmp_path / "run" / "runinfo").rglob("workers/block-0/*/manager.log"))
    assert len(managers) == 2
    assert explored_on(tmp_path / "run") == {"n1", "n2"}


GPUS = """\
name: gpus
scheduler: slurm
interface: lo
training: {gpus_per_node: 2}
"""


@pytest.mark.slow
def test_launches_have_the_gpus_of_their_job_or_see_none_as_their_pool_says(tmp_path):
    # Slurm hands out other devices in the place of GPUs; the stages use none.
    (tmp_path / "site.yaml").write_text(GPUS)
    script = tmp_path / "job.sh"
    line = shlex.join(campaign(tmp_path / "site.yaml", tmp_path / "run"))
    script.write_text(f"#!/bin/bash\nexport PYTHONPATH={ROOT}\nexec {line}\n")
    options = ("--nodes=2", "--ntasks-per-node=1", "--exclusive", "--gres=gpu:2")
    with Minislurm(num_nodes=2, num_gpus=2) as slurm:
        job = slurm.submit(*options, f"--output={tmp_path}/out", script, folder=ROOT)
        slurm.wait_for(job, "COMPLETED", "FAILED", timeout_s=100)
    said = (tmp_path / "out").read_text()
    assert said.split()[-1] == "complete", said
    for task, gpus in {"train-01": "0,1", "sample-01": "none"}.items():
        found = [(one[0], *one[2:]) for one in processes(tmp_path / "run", task)]
        assert found == [("n1", 4, gpus)] * 2 + [("n2", 4, gpus)] * 2


def test_no_more_jobs_are_submitted_than_the_cap_whatever_parsl_believes(
    tmp_path, slurm, monkeypatch
):
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm.environment[name])
    monkeypatch.setattr(slurm_jobs, "PATIENCE_S", 0.0)
    for index in range(2):
        # The second one is made anew: it knows nothing of the job of the first.
        provider = slurm_jobs.CappedSlurmProvider(tmp_path, "workers", "", max_blocks=1)
        provider.script_dir = str(tmp_path)
        if index == 0:
            provider.submit("sleep 100", 1)
    with pytest.raises(SubmitException, match="1 jobs are queued already, the most is 1"):
        provider.submit("sleep 100", 1)
    assert slurm_jobs.cancel_jobs(tmp_path / "another") == 0
    assert slurm_jobs.cancel_jobs(tmp_path) == 1
    provider.submit("sleep 100", 1)
    assert slurm_jobs.cancel_jobs(tmp_path) == 1
