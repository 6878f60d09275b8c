"""Launch lines: what starts the processes of a stage on the nodes of its pool."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence

from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.workers.launch import local_mpiexec
from gcd_hpc.workers.nodes import NodeSet

FIRST_PORT, NUM_PORTS = 20000, 20000
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "UCX_TLS": "self,sm"}
"""On one machine neither gloo nor NCCL nor MPI has to listen on a network."""


def train_line(
    site: SiteConfig,
    node_set: NodeSet,
    module: str,
    arguments: Sequence[str],
    task_id: str,
    attempt: int,
) -> list[str]:
    """Processes of a training: started directly on one machine, by torchrun on several, where they
    meet at the first node.

    Args:
        attempt: another number for each try of the task, so that no process of an earlier one can
            join.
    """
    pool = site.training
    if node_set.is_here:
        num = str(pool.processes_per_node)
        return [*python(pool), "-m", "gcd_hpc.workers.ranks", num, module, *arguments]
    torchrun = [*python(pool), "-m", "torch.distributed.run"]
    stage = [f"--nproc-per-node={pool.processes_per_node}", "-m", module, *arguments]
    run_id = f"{task_id[:12]}-{attempt}"
    meeting = [f"--nnodes={len(node_set.nodes)}", "--rdzv-backend=c10d", f"--rdzv-id={run_id}"]
    endpoint = f"--rdzv-endpoint={node_set.address}:{port_of(run_id)}"
    return [*launch_prefix(site, pool, node_set, 1), *torchrun, *meeting, endpoint, *stage]


def sample_line(
    site: SiteConfig, node_set: NodeSet, module: str, arguments: Sequence[str]
) -> list[str]:
    """MPI ranks on the nodes of the sampling pool."""
    pool = site.sampling
    stage = [*python(pool), "-m", module, *arguments]
    if node_set.is_here and pool.launcher != "srun":
        return [local_mpiexec(site.mpiexec), "-n", str(pool.num_workers), *stage]
    assert isinstance(pool.processes_per_node, int)
    return [*launch_prefix(site, pool, node_set, pool.processes_per_node), *stage]


def launch_prefix(
    site: SiteConfig, pool: PoolConfig, node_set: NodeSet, per_node: int, all_or_none: bool = True
) -> list[str]:
    """Words that start a command ``per_node`` times on each node of a set.

    Args:
        all_or_none: end all processes when one of them fails.
    """
    num, nodes = len(node_set.nodes), ",".join(node_set.nodes)
    if launcher(site, pool) == "mpiexec":
        return [site.mpiexec, "-n", str(num * per_node), "-ppn", str(per_node), "-hosts", nodes]
    # Steps share the nodes with the waiting workers (--overlap), and with all cores (a step of one
    # task would be bound to one).
    sharing = ["--overlap", "--cpu-bind=none", f"--kill-on-bad-exit={int(all_or_none)}"]
    return [
        "srun",
        *sharing,
        f"--nodes={num}",
        f"--ntasks={num * per_node}",
        f"--ntasks-per-node={per_node}",
        f"--nodelist={nodes}",
    ]


def launcher(site: SiteConfig, pool: PoolConfig) -> str:
    """srun or mpiexec, for several nodes."""
    if pool.launcher != "auto":
        return pool.launcher
    return "srun" if site.scheduler == "slurm" else "mpiexec"


def starts_mpiexec(site: SiteConfig, pool: PoolConfig, node_set: NodeSet) -> bool:
    """Whether the MPI ranks of a pool are started by the site's mpiexec as it is found here, not by
    one that shell lines bring.
    """
    if pool.environment:
        return False
    return launcher(site, pool) == "mpiexec" or (node_set.is_here and pool.launcher != "srun")


def python(pool: PoolConfig) -> list[str]:
    """The running Python, or that of the pool's container, whose files are its own."""
    return [*pool.container.split(), "python3"] if pool.container else [sys.executable]


def with_shell_lines(pool: PoolConfig, line: Sequence[str]) -> list[str]:
    """A line that runs after the shell lines of its pool."""
    if not pool.environment:
        return list(line)
    script = "\n".join(["set -e", *pool.environment, 'exec "$@"'])
    return ["bash", "-c", script, "bash", *line]


def launch_environment(
    site: SiteConfig,
    pool: PoolConfig,
    is_here: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Variables of a launched process beside those it inherits; shell lines of the pool may change
    them.
    """
    assert isinstance(site.cores, int) and isinstance(pool.processes_per_node, int)
    variables = {
        "OMP_NUM_THREADS": str(max(1, site.cores // pool.processes_per_node)),
        "PYTHONUNBUFFERED": "1",
    }
    if not pool.gpus_per_node:
        # Else more processes than GPUs would each look for one of their own.
        variables["CUDA_VISIBLE_DEVICES"] = ""
    if is_here:
        # In a job MPICH's mpiexec would call the scheduler even to start ranks beside itself.
        return variables | LOOPBACK | {"HYDRA_LAUNCHER": "fork"}
    if site.interface:
        variables |= {"GLOO_SOCKET_IFNAME": site.interface, "NCCL_SOCKET_IFNAME": site.interface}
    if site.scheduler == "slurm":
        # For srun: without it each MPICH rank believes to be alone. For mpiexec, which calls srun:
        # as in ``launch_prefix``.
        variables |= {
            "SLURM_MPI_TYPE": environ.get("SLURM_MPI_TYPE", "pmi2"),
            "HYDRA_LAUNCHER_EXTRA_ARGS": "--overlap",
        }
    return variables


def port_of(run_id: str) -> int:
    """A port for the meeting of one launch, the same on every node."""
    return FIRST_PORT + int(hashlib.sha256(run_id.encode()).hexdigest(), 16) % NUM_PORTS
