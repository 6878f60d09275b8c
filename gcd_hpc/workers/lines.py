"""Launch lines: commands that start the processes of a stage on the nodes of its pool."""

import hashlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from gcd_hpc.config.site import POOLS, PoolConfig, SiteConfig
from gcd_hpc.workers.launch import local_mpiexec
from gcd_hpc.workers.nodes import NodeSet

POOL_PROGRAM = "gcd_hpc.workers.pool_process"
"""Program of a pool of Parsl's workers on a node."""
FIRST_PORT, NUM_PORTS = 20000, 20000
NO_GPUS = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}
"""Variables that hide all GPUs. AMD's runtime takes an empty list for none given."""
HYDRA_IN_SLURM = {"HYDRA_LAUNCHER_EXTRA_ARGS": "--overlap"}
"""Variable for MPICH's mpiexec, whose srun needs the options of ``launch_prefix``."""
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "UCX_TLS": "self,sm"}
"""Network interface for gloo, NCCL and MPI on one machine: loopback only."""


def train_line(
    site: SiteConfig,
    node_set: NodeSet,
    module: str,
    arguments: Sequence[str],
    task_id: str,
    attempt: int,
) -> list[str]:
    """Launch line of a training: direct on one machine, torchrun with a rendezvous on several.

    Args:
        attempt: number of the attempt; processes of an earlier attempt cannot join.
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
    """Launch line of a sampling: MPI ranks on the nodes of its pool."""
    pool = site.sampling
    stage = [*python(pool), "-m", module, *arguments]
    if runs_local_ranks(pool, node_set):
        return [local_mpiexec(site.mpiexec), "-n", str(pool.num_workers), *stage]
    assert isinstance(pool.processes_per_node, int)
    return [*launch_prefix(site, pool, node_set, pool.processes_per_node, is_mpi=True), *stage]


def launch_prefix(
    site: SiteConfig,
    pool: PoolConfig,
    node_set: NodeSet,
    per_node: int,
    is_mpi: bool = False,
    all_or_none: bool = True,
) -> list[str]:
    """Command prefix that starts ``per_node`` processes on each node of a set.

    Args:
        is_mpi: True if the processes are ranks of MPI. Others are one a node.
        all_or_none: True if the failure of one process must end all.
    """
    num, nodes = len(node_set.nodes), ",".join(node_set.nodes)
    if launcher(site, pool) == "flux":
        return _flux_ranks(pool, per_node) if is_mpi else _flux_one_a_node(pool)
    if launcher(site, pool) == "mpiexec":
        return [site.mpiexec, "-n", str(num * per_node), "-ppn", str(per_node), "-hosts", nodes]
    # --overlap shares the nodes with the idle workers; all cores, because a step of one task would
    # be bound to one core.
    sharing = ["--overlap", "--cpu-bind=none", f"--kill-on-bad-exit={int(all_or_none)}"]
    return [
        "srun",
        *sharing,
        f"--nodes={num}",
        f"--ntasks={num * per_node}",
        f"--ntasks-per-node={per_node}",
        f"--nodelist={nodes}",
        *hiding_gpus(pool),
    ]


def hiding_gpus(pool: PoolConfig) -> list[str]:
    """Words after srun that hide the GPUs of a job from a pool without GPUs.

    srun replaces CUDA_VISIBLE_DEVICES by the GPUs of the job, whatever it was before.
    """
    if pool.gpus_per_node:
        return []
    return ["env", *(f"{name}={value}" for name, value in NO_GPUS.items())]


def _flux_one_a_node(pool: PoolConfig) -> list[str]:
    # Flux never gives a core to two jobs, and the pools of workers share their nodes with the
    # launches. flux exec starts one process a node without a job.
    return ["flux", "exec", "--noinput", f"--rank={_places(pool)}"]


def _flux_ranks(pool: PoolConfig, per_node: int) -> list[str]:
    return [
        "flux",
        "run",
        f"--nodes={len(pool.nodes)}",
        f"--tasks-per-node={per_node}",
        f"--requires=rank:{_places(pool)}",
        # Each rank chooses its GPU among all that the pool may use, as under the other launchers.
        "--setopt=cpu-affinity=off",
        "--setopt=gpu-affinity=off",
        "--setopt=exit-on-error",
    ]


def _places(pool: PoolConfig) -> str:
    """Nodes of a pool by their places in the allocation, which are the ranks of Flux' brokers."""
    first, last = pool.nodes[0], pool.nodes[-1]
    return str(first) if first == last else f"{first}-{last}"


def launcher(site: SiteConfig, pool: PoolConfig) -> str:
    """Launcher for several nodes: srun, flux or mpiexec."""
    if pool.launcher != "auto":
        return pool.launcher
    return {"slurm": "srun", "flux": "flux"}.get(site.scheduler, "mpiexec")


def runs_local_ranks(pool: PoolConfig, node_set: NodeSet) -> bool:
    """True if mpiexec starts the ranks of a pool on this node, without a scheduler."""
    return node_set.is_here and pool.launcher in ("auto", "mpiexec")


def starts_mpiexec(site: SiteConfig, pool: PoolConfig, node_set: NodeSet) -> bool:
    """True if the site's mpiexec starts a pool's ranks, not one that its shell lines provide."""
    if pool.environment:
        return False
    return launcher(site, pool) == "mpiexec" or runs_local_ranks(pool, node_set)


def python(pool: PoolConfig) -> list[str]:
    """Python of a pool: the running one, or that of the pool's container."""
    return [*pool.container.split(), "python3"] if pool.container else [sys.executable]


def with_shell_lines(pool: PoolConfig, line: Sequence[str]) -> list[str]:
    """Launch line preceded by the shell lines of its pool."""
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
    """Environment variables of a launch beside the inherited ones; shell lines may change them."""
    variables = {
        "OMP_NUM_THREADS": str(num_threads(site, pool)),
        "PYTHONUNBUFFERED": "1",
    }
    if not pool.gpus_per_node:
        # A pool without GPUs hides them: there may be fewer GPUs than processes.
        variables |= NO_GPUS
    if is_here:
        # Within a job, MPICH's mpiexec would use the scheduler even for local ranks.
        return variables | LOOPBACK | {"HYDRA_LAUNCHER": "fork"}
    if site.interface:
        variables |= {"GLOO_SOCKET_IFNAME": site.interface, "NCCL_SOCKET_IFNAME": site.interface}
    if site.scheduler == "slurm":
        # srun needs an MPI type: without it every MPICH rank starts as a world of size 1.
        mpi = site.mpi or environ.get("SLURM_MPI_TYPE", "pmi2")
        variables |= {"SLURM_MPI_TYPE": mpi} | HYDRA_IN_SLURM
    return variables


def num_threads(site: SiteConfig, pool: PoolConfig) -> int:
    """Threads of each process of a launch, which share the cores of a node."""
    assert isinstance(site.cores, int) and isinstance(pool.processes_per_node, int)
    return max(1, site.cores // pool.processes_per_node)


def submit_line(site: SiteConfig, num_nodes: int, campaign: str) -> list[str]:
    """Command that submits a campaign as one Slurm job, with the options of the site's ``blocks``.

    Args:
        site: a site of Slurm with ``driver: inside``.
        campaign: path of the campaign file.
    """
    blocks = site.blocks
    num_gpus = max(getattr(site, name).gpus_per_node for name in POOLS)
    options = {
        "gpus-per-node": str(num_gpus or ""),
        "account": blocks.account,
        "partition": blocks.queue,
        "constraint": blocks.constraint,
        "qos": blocks.qos,
        "time": blocks.walltime,
    }
    words = [f"--{name}={value}" for name, value in options.items() if value]
    more = [word for line in blocks.options for word in shlex.split(line.removeprefix("#SBATCH"))]
    return ["sbatch", f"--nodes={num_nodes}", *words, *more, "batch/campaign.sh", campaign]


def port_of(run_id: str) -> int:
    """Rendezvous port of a launch, computed from its name so that every node has the same."""
    return FIRST_PORT + int(hashlib.sha256(run_id.encode()).hexdigest(), 16) % NUM_PORTS
