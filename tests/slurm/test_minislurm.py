"""Our own Slurm: a machine without one is told the cure, and nothing outlives it."""

import psutil
import pytest

from tests.slurm.minislurm import Minislurm

pytestmark = pytest.mark.slurm


def test_a_machine_without_slurm_fails_with_the_line_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.slurm.minislurm.SYSTEM_FOLDERS", str(tmp_path))
    with pytest.raises(
        AssertionError,
        match="apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge",
    ):
        Minislurm()


def fail_in_the_middle_of_a_job(cluster: Minislurm) -> None:
    with cluster:
        job = cluster.submit(
            "--output=/dev/null", "--wrap", "srun sleep 1000", folder=cluster.folder
        )
        cluster.wait_for(job, "RUNNING", timeout_s=20)
        cluster.wait_until("the step runs", lambda: traces_of(cluster).count("sleep") == 1, 20)
        raise ZeroDivisionError


def test_nothing_is_left_of_it_when_a_test_fails_in_the_middle_of_a_job():
    cluster = Minislurm(num_nodes=1)
    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle_of_a_job(cluster)
    assert traces_of(cluster) == []
    assert not cluster.folder.exists()


def traces_of(cluster: Minislurm) -> list[str]:
    """Processes with the cluster's folder in their command line or environment."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "name"]):
        words = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
        if any(str(cluster.folder) in word for word in words):
            found.append(process.info["name"])
    return found
