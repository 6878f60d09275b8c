"""The site file: where the stages run. Nothing here changes a result, except that ``mode`` decides
which candidates are relaxed first.
"""

import re
from typing import Literal

from pydantic import field_validator, model_validator

from gcd_hpc.config.section import (
    Auto,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Section,
    refuse,
)

Scheduler = Literal["none", "slurm", "pbs", "lsf", "flux"]
LOGIN_SCHEDULERS = ("slurm", "pbs")
"""Schedulers to which a driver on a login node can submit jobs."""
Pool = Literal["training", "sampling", "relaxation"]
POOLS: tuple[Pool, ...] = ("training", "sampling", "relaxation")


class PoolConfig(Section):
    """Nodes of the processes of one kind of work, and what these need."""

    num_nodes: PositiveInt | Auto = "auto"
    """Number of nodes of the pool, or of one job with ``driver: login``. auto is all nodes from
    ``first_node`` on, and one with ``driver: login``.
    """
    first_node: NonNegativeInt = 0
    """Index of the first node in the list of the allocation, so that asynchronous pools can have
    different nodes.
    """
    processes_per_node: PositiveInt | Auto = "auto"
    """Training processes, MPI ranks or workers. auto is one a GPU, or one a core without GPUs."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs that the processes of a node share. With 0 they see none."""
    pin: bool = False
    """Whether each worker is bound to cores of its own."""
    environment: tuple[str, ...] = ()
    """Shell lines such as ``module load lammps``, run before the workers and the launch lines of
    the pool start.
    """
    container: str = ""
    """Words before python such as ``apptainer exec --nv image.sif``; python is then the image's
    python3.
    """
    launcher: Literal["auto", "mpiexec", "srun", "flux"] = "auto"
    """What starts processes on several nodes, and MPI ranks; auto is srun under Slurm and flux
    under Flux if there are several nodes, else mpiexec.
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
    """Jobs that ``driver: login`` submits, and the job that ``--plan`` proposes for a driver inside
    a Slurm job.
    """

    max_blocks: PositiveInt = 1
    """Largest number of jobs of each pool that wait or run. Training has one."""
    walltime: str = ""
    """Wall time of each job, hours:minutes:seconds."""
    queue: str = ""
    """Slurm's partition or the queue of PBS; empty for the default one."""
    account: str = ""
    """Account that the jobs are charged to."""
    constraint: str = ""
    """Slurm's constraint on the nodes, such as ``gpu`` or ``a100``; empty for none."""
    qos: str = ""
    """Slurm's quality of service, such as ``regular``; empty for the default one."""
    options: tuple[str, ...] = ()
    """More lines for the job scripts, such as ``#SBATCH --reservation=name``."""

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
    """Name of the site in reports."""
    scheduler: Scheduler = "none"
    """Scheduler, which lists the nodes and starts processes on them."""
    driver: Literal["inside", "login"] = "inside"
    """inside: everything runs in the allocation of the driver. login: the driver submits jobs.
    """
    mode: Literal["barrier", "asynchronous"] = "barrier"
    """barrier: stages take turns; asynchronous: sampling, relaxation and training overlap."""
    cores: PositiveInt | Auto = "auto"
    """Cores of one node. auto is the number of cores that this process may run on."""
    drain_s: NonNegativeFloat = 30.0
    """Seconds that running work may take after a signal to stop."""
    mpiexec: str = "mpiexec"
    """MPI launcher: a command or a path. It is looked for beside the running Python first."""
    mpi: str = ""
    """Plugin by which srun starts MPI ranks, one that ``srun --mpi=list`` names: pmi2, pmix or
    cray_shasta. Empty for the one in SLURM_MPI_TYPE, and pmi2 without that variable.
    """
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
        if self.scheduler != "slurm":
            self._check_no_slurm()
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

    def _check_no_slurm(self) -> None:
        keys = {
            "mpi": self.mpi,
            "blocks.constraint": self.blocks.constraint,
            "blocks.qos": self.blocks.qos,
        }
        for key, value in keys.items():
            if value:
                refuse(f"must be empty without scheduler: slurm, got {value!r}", key)

    def _check_login(self) -> None:
        if self.scheduler not in LOGIN_SCHEDULERS:
            expected = " or ".join(LOGIN_SCHEDULERS)
            refuse(f"must be {expected} for driver: login, got {self.scheduler!r}", "scheduler")
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
        for launcher, scheduler in {"srun": "slurm", "flux": "flux"}.items():
            if pool.launcher == launcher and self.scheduler != scheduler:
                refuse(
                    f"must be auto or mpiexec without scheduler: {scheduler}, got {launcher!r}",
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


BUILT_IN = {
    "local": SiteConfig(),
    "slurm_allocation": SiteConfig(name="slurm_allocation", scheduler="slurm", drain_s=60),
    "pbs_allocation": SiteConfig(name="pbs_allocation", scheduler="pbs"),
    "lsf_allocation": SiteConfig(name="lsf_allocation", scheduler="lsf", drain_s=60),
    "flux_allocation": SiteConfig(name="flux_allocation", scheduler="flux", drain_s=60),
}
"""Sites that are used when none is given; each is also a file in campaigns/sites."""
