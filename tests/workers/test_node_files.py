"""Toy campaigns in jobs of PBS and LSF, of which there is none here.

The list of nodes, and the command by which MPICH's mpiexec reaches a node (ssh under PBS, blaunch
under LSF), have a stand-in: it starts the processes of both nodes on this machine. mpiexec,
torchrun, Parsl and the ranks are real.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gcd_hpc.workers.allocation import NODE_FILES
from tests.slurm.test_sites import explored_on, processes

ROOT = Path(__file__).parents[2]
NODES = ("127.0.0.2", "127.0.0.3")
"""Addresses of this machine that MPICH takes for those of others."""
REMOTE = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
export SLURMD_NODENAME=$1
shift
exec bash -c "$*"
"""


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("scheduler", NODE_FILES)
def test_a_campaign_spans_the_nodes_of_a_job_that_lists_them_in_a_file(tmp_path, scheduler):
    remote = tmp_path / {"pbs": "ssh", "lsf": "blaunch"}[scheduler]
    remote.write_text(REMOTE)
    remote.chmod(0o755)
    (tmp_path / "nodes").write_text("".join(f"{node}\n{node}\n" for node in NODES))
    (tmp_path / "site.yaml").write_text(f"scheduler: {scheduler}\ninterface: lo\ncores: 2\n")
    environment = {
        **os.environ,
        NODE_FILES[scheduler]: str(tmp_path / "nodes"),
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    if scheduler == "lsf":
        # By these mpiexec knows that it is in a job of LSF.
        hosts = " ".join(f"{node} 2" for node in NODES)
        environment |= {
            "LSB_JOBID": "7",
            "LSB_MCPU_HOSTS": hosts,
            "LSF_BINDIR": str(tmp_path),
        }
    line = [sys.executable, "-m", "tests.slurm.toy_campaign"]
    words = [str(tmp_path / "site.yaml"), str(tmp_path / "run")]
    with open(tmp_path / "out", "w") as output:
        done = subprocess.run(
            line + words, cwd=ROOT, env=environment, stdout=output, stderr=output, timeout=200
        )
    assert done.returncode == 0, (tmp_path / "out").read_text()
    for task in ("train-01", "sample-01"):
        found = processes(tmp_path / "run", task)
        assert [one[0] for one in found] == [node for node in NODES for _ in range(2)]
        assert sorted(one[1] for one in found) == [0, 1, 2, 3]
    assert explored_on(tmp_path / "run") == {node.split(".")[-1] for node in NODES}
