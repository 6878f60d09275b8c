"""The site file: where the stages run. Nothing here changes a result, except that ``mode`` decides
which candidates are relaxed first.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeFloat, field_validator, model_validator

from gcd_hpc.config.campaign import Auto, NonNegativeInt, PositiveInt, Section, refuse
from gcd_hpc.errors import ConfigError

Scheduler = Literal["none", "slurm", "pbs"]
POOLS = ("training", "sampling", "relaxation")


class PoolConfig(Section):
    """Where the processes of one kind of work lie, and what they need."""

    num_nodes: PositiveInt | Auto = "auto"
    """Nodes of the pool, or of one block with ``driver: login``; auto is all from ``first_node`` on
    (one with ``driver: login``).
    """
    first_node: NonNegativeInt = 0
    """Place of the first node in the allocation's list, so that asynchronous pools can lie on
    different nodes.
    """
    processes_per_node: PositiveInt | Auto = "auto"
    """torchrun processes, MPI ranks or workers; auto is one a GPU, or one a core without GPUs."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs that the processes of a node share; with 0 they see none."""
    pin: bool = False
    """Bind each worker to cores of its own."""
    environment: tuple[str, ...] = ()
    """Shell lines such as ``module load lammps``, run before the workers and the launch lines of
    the pool start.
    """
    container: str = ""
    """Words before python such as ``apptainer exec --nv image.sif``; python is then the image's
    python3.
    """
    launcher: Literal["auto", "mpiexec", "srun"] = "auto"
    """What starts processes on several nodes, and MPI ranks; auto is srun under Slurm if there are
    several nodes, else mpiexec.
    """

    @property
    def num_workers(self) -> int:
        """Processes on all nodes; of a resolved site."""
        assert isinstance(self.num_nodes, int) and isinstance(self.processes_per_node, int)
        return self.num_nodes * self.processes_per_node

    @property
    def nodes(self) -> range:
        """Places in the list of nodes; of a resolved site."""
        assert isinstance(self.num_nodes, int)
        return range(self.first_node, self.first_node + self.num_nodes)


class BlockConfig(Section):
    """Jobs that ``driver: login`` submits."""

    max_blocks: PositiveInt = 1
    """Jobs of each pool that may wait or run at a time; training and launch lines have one."""
    walltime: str = ""
    """Of each job, hours:minutes:seconds."""
    queue: str = ""
    """Slurm's partition or the queue of PBS; empty for the default one."""
    account: str = ""
    """What the jobs are charged to."""
    options: tuple[str, ...] = ()
    """More lines for the job scripts, such as ``#SBATCH --constraint=a100``."""

    @field_validator("walltime")
    @classmethod
    def _a_time(cls, walltime: str) -> str:
        if walltime and not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", walltime):
            refuse(f"must be hours:minutes:seconds such as 04:00:00, got {walltime!r}")
        return walltime

    @property
    def walltime_s(self) -> int:
        """The wall time in seconds."""
        hours, minutes, seconds = (int(part) for part in self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds


class SiteConfig(Section):
    """One kind of machine; ``auto`` takes what this process may use."""

    name: str = "local"
    """What reports call it."""
    scheduler: Scheduler = "none"
    """How nodes are listed and how launch lines reach them."""
    driver: Literal["inside", "login"] = "inside"
    """inside: all runs in the allocation that the driver runs in; login: the driver submits jobs.
    """
    mode: Literal["barrier", "asynchronous"] = "barrier"
    """barrier: stages take turns; asynchronous: sampling, relaxation and training overlap."""
    cores: PositiveInt | Auto = "auto"
    """Cores of one node; auto is the number that this process may run on."""
    drain_s: NonNegativeFloat = 30.0
    """Seconds that running work may still take after a signal to stop."""
    mpiexec: str = "mpiexec"
    """The MPI launcher, a command or a path; looked for beside the running Python first."""
    interface: str = ""
    """Network interface between nodes such as ib0 or hsn0; empty for the one that the host name
    stands for.
    """
    training: PoolConfig = PoolConfig()
    sampling: PoolConfig = PoolConfig()
    relaxation: PoolConfig = PoolConfig()
    blocks: BlockConfig = BlockConfig()

    @field_validator("name", "mpiexec")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip():
            refuse("must not be empty")
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> "SiteConfig":
        if self.driver == "login":
            self._check_login()
        if self.training.pin:
            refuse(
                "must be false: the one core of the process that waits for torchrun would be the"
                " only one of training",
                "training.pin",
            )
        for name in POOLS:
            self._check_pool(name, getattr(self, name))
        return self

    def _check_login(self) -> None:
        if self.scheduler == "none":
            refuse("must be slurm or pbs for driver: login, got 'none'", "scheduler")
        if not self.blocks.walltime:
            refuse("is required for driver: login", "blocks.walltime")
        if self.cores == "auto":
            refuse(
                "must be the number of a compute node for driver: login, got 'auto', which would be"
                " that of this node",
                "cores",
            )

    def _check_pool(self, name: str, pool: PoolConfig) -> None:
        processes, gpus = pool.processes_per_node, pool.gpus_per_node
        if gpus and isinstance(processes, int):
            if name == "training" and processes > gpus:
                refuse(
                    f"must be at most gpus_per_node, {gpus}, one torchrun process a GPU, got"
                    f" {processes}",
                    f"{name}.processes_per_node",
                )
            if name != "training" and processes % gpus:
                refuse(
                    f"must be a multiple of gpus_per_node, {gpus}, got {processes}",
                    f"{name}.processes_per_node",
                )
        if pool.launcher == "srun" and self.scheduler != "slurm":
            refuse(
                f"must be auto or mpiexec without scheduler: slurm, got {pool.launcher!r}",
                f"{name}.launcher",
            )
        if self.scheduler == "none" and pool.num_nodes not in ("auto", 1):
            refuse(f"must be 1 without a scheduler, got {pool.num_nodes}", f"{name}.num_nodes")
        if pool.first_node and (self.driver == "login" or self.scheduler == "none"):
            refuse(
                "must be 0 without an allocation of several nodes around the driver, got"
                f" {pool.first_node}",
                f"{name}.first_node",
            )

    def resolved(self, environ: Mapping[str, str] = os.environ) -> "SiteConfig":
        """The same site with a number for every ``auto``; outside a job an allocation counts as one
        node.

        Raises:
            ConfigError: if the pools do not fit into the allocation.
        """
        cores = len(os.sched_getaffinity(0)) if self.cores == "auto" else self.cores
        total = 1 if self.driver == "login" else num_allocated(self.scheduler, environ)
        updates: dict[str, Any] = {"cores": cores}
        for name in POOLS:
            pool: PoolConfig = getattr(self, name)
            num_nodes = (
                max(1, total - pool.first_node) if pool.num_nodes == "auto" else pool.num_nodes
            )
            processes = (
                (pool.gpus_per_node or cores)
                if pool.processes_per_node == "auto"
                else pool.processes_per_node
            )
            updates[name] = pool.model_copy(
                update={"num_nodes": num_nodes, "processes_per_node": processes}
            )
        resolved = self.model_copy(update=updates)
        if self.driver == "inside":
            resolved._check_fit(total, cores, environ)
        return resolved

    def _check_fit(self, total: int, cores: int, environ: Mapping[str, str]) -> None:
        for name in POOLS:
            pool: PoolConfig = getattr(self, name)
            if pool.nodes.stop > total and (total > 1 or is_in_job(self.scheduler, environ)):
                problem = (
                    f"expected at most the {total} nodes of the allocation, got {pool.num_nodes}"
                    f" from first_node {pool.first_node} on"
                )
                raise ConfigError(f"site {self.name}", f"{name}.num_nodes", problem)
        gpus = environ.get("SLURM_GPUS_ON_NODE", "0") if self.scheduler == "slurm" else "0"
        if gpus not in ("0", "") and not any(getattr(self, name).gpus_per_node for name in POOLS):
            problem = (
                f"the job has {gpus} GPUs a node but no pool uses one; copy the site file, set"
                " gpus_per_node and give it with --site"
            )
            raise ConfigError(f"site {self.name}", "training.gpus_per_node", problem)
        if self.mode == "asynchronous":
            self._check_overlap(total, cores)

    def _check_overlap(self, total: int, cores: int) -> None:
        """Pools that work at the same time must not share cores."""
        for node in range(total):
            sharing = {
                name: getattr(self, name) for name in POOLS if node in getattr(self, name).nodes
            }
            wanted = sum(pool.processes_per_node for pool in sharing.values())
            if wanted > cores:
                parts = " + ".join(
                    f"{pool.processes_per_node} of {name}" for name, pool in sharing.items()
                )
                cure = (
                    "lower processes_per_node, set first_node to use other nodes, state more cores,"
                    " or take mode: barrier"
                )
                problem = (
                    f"expected at least {wanted} for mode: asynchronous ({parts} on one node), got"
                    f" {cores}; {cure}"
                )
                raise ConfigError(f"site {self.name}", "cores", problem)


BUILT_IN = {
    "local": SiteConfig(),
    "slurm_allocation": SiteConfig(name="slurm_allocation", scheduler="slurm", drain_s=60),
    "pbs_allocation": SiteConfig(name="pbs_allocation", scheduler="pbs"),
}
"""Sites that are used when none is given; each is also a file in campaigns/sites."""


def is_in_job(scheduler: Scheduler, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a job of the scheduler."""
    if scheduler == "slurm":
        return "SLURM_JOB_ID" in environ and "SLURM_JOB_NODELIST" in environ
    return scheduler == "pbs" and "PBS_NODEFILE" in environ


def detected_site_name(environ: Mapping[str, str] = os.environ) -> str:
    """Name of the built-in site that fits where this process runs."""
    if is_in_job("slurm", environ):
        return "slurm_allocation"
    return "pbs_allocation" if is_in_job("pbs", environ) else "local"


def num_allocated(scheduler: Scheduler, environ: Mapping[str, str] = os.environ) -> int:
    """Nodes of the job that this process runs in; 1 without one."""
    if not is_in_job(scheduler, environ):
        return 1
    if scheduler == "slurm":
        return int(environ.get("SLURM_JOB_NUM_NODES") or environ.get("SLURM_NNODES") or 1)
    return len(pbs_nodes(environ))


def pbs_nodes(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Nodes of a PBS job in their order; its file names a node once for every rank."""
    path = Path(environ["PBS_NODEFILE"])
    try:
        return tuple(dict.fromkeys(path.read_text().split()))
    except OSError as error:
        problem = (
            "expected the list of nodes of the PBS job, got:"
            f" {(error.strerror or str(error)).lower()}"
        )
        raise ConfigError(str(path), "", problem) from error
