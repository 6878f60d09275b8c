"""Allocation of this process, read from the scheduler's variables, and sites resolved for it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcd_hpc.config.loader import load_site
from gcd_hpc.config.site import BUILT_IN, POOLS, PoolConfig, Scheduler, SiteConfig
from gcd_hpc.errors import ConfigError, LaunchError

NODE_FILES = {"pbs": "PBS_NODEFILE", "lsf": "LSB_DJOB_HOSTFILE"}
"""Variable with the path of the list of nodes, for schedulers that write such a file."""
ANSWER_S = 60.0
"""Time limit for an answer of a scheduler's command."""


def site_here(path: str | Path | None = None) -> SiteConfig:
    """Site of a file or name; by default the built-in site that fits this machine.

    Raises:
        ConfigError: if there is no such site, or its file is invalid.
    """
    return BUILT_IN[detected_site_name()] if path is None else load_site(path)


def resolve(
    site: SiteConfig, environ: Mapping[str, str] = os.environ, num_nodes: int | None = None
) -> SiteConfig:
    """The site with a number for every ``auto``; an allocation counts as one node outside a job.

    Args:
        num_nodes: number of nodes of a planned allocation; None for the current one.

    Raises:
        ConfigError: if the pools do not fit into the allocation.
        LaunchError: if the scheduler does not list the nodes of the allocation.
    """
    cores = len(os.sched_getaffinity(0)) if site.cores == "auto" else site.cores
    total = num_nodes or num_allocated(site.scheduler, environ)
    if site.driver == "login":
        total = 1
    updates: dict[str, Any] = {"cores": cores}
    for name in POOLS:
        pool: PoolConfig = getattr(site, name)
        share = max(1, total - pool.first_node) if pool.num_nodes == "auto" else pool.num_nodes
        processes = (
            (pool.gpus_per_node or cores)
            if pool.processes_per_node == "auto"
            else pool.processes_per_node
        )
        updates[name] = pool.model_copy(
            update={"num_nodes": share, "processes_per_node": processes}
        )
    resolved = site.model_copy(update=updates)
    if site.driver == "inside":
        _check_fit(resolved, total, cores, environ)
    return resolved


def _check_fit(site: SiteConfig, total: int, cores: int, environ: Mapping[str, str]) -> None:
    for name in POOLS:
        pool: PoolConfig = getattr(site, name)
        if pool.nodes.stop > total and (total > 1 or is_in_job(site.scheduler, environ)):
            problem = (
                f"the allocation has {total} nodes, fewer than the {pool.num_nodes} from first_node"
                f" {pool.first_node} on; lower it or ask for more nodes"
            )
            raise ConfigError(f"site {site.name}", f"{name}.num_nodes", problem)
    gpus = environ.get("SLURM_GPUS_ON_NODE", "0") if site.scheduler == "slurm" else "0"
    if gpus not in ("0", "") and not any(getattr(site, name).gpus_per_node for name in POOLS):
        problem = (
            f"the job has {gpus} GPUs a node but no pool uses one; copy the site file, set"
            " gpus_per_node and give it with --site"
        )
        raise ConfigError(f"site {site.name}", "training.gpus_per_node", problem)
    if site.mode == "asynchronous":
        _check_overlap(site, total, cores)


def _check_overlap(site: SiteConfig, total: int, cores: int) -> None:
    """Check that pools which work at the same time share no cores."""
    for node in range(total):
        sharing = {name: getattr(site, name) for name in POOLS if node in getattr(site, name).nodes}
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
                f"must be at least {wanted} for mode: asynchronous ({parts} on one node), got"
                f" {cores}; {cure}"
            )
            raise ConfigError(f"site {site.name}", "cores", problem)


def is_in_job(scheduler: Scheduler, environ: Mapping[str, str] = os.environ) -> bool:
    """True if this process runs in a job of the scheduler."""
    if scheduler == "slurm":
        return "SLURM_JOB_ID" in environ and "SLURM_JOB_NODELIST" in environ
    if scheduler == "flux":
        return "FLUX_URI" in environ
    return NODE_FILES.get(scheduler, "") in environ


def detected_site_name(environ: Mapping[str, str] = os.environ) -> str:
    """Name of the built-in site that fits this machine."""
    # Flux can run within a job of another scheduler, whose nodes it then has.
    inner_first: tuple[Scheduler, ...] = ("flux", "slurm", "pbs", "lsf")
    found = (f"{one}_allocation" for one in inner_first if is_in_job(one, environ))
    return next(found, "local")


def num_allocated(scheduler: Scheduler, environ: Mapping[str, str] = os.environ) -> int:
    """Number of nodes of the current job; 1 outside a job."""
    if not is_in_job(scheduler, environ):
        return 1
    if scheduler == "slurm":
        return int(environ.get("SLURM_JOB_NUM_NODES") or environ.get("SLURM_NNODES") or 1)
    return len(flux_nodes() if scheduler == "flux" else nodes_of_file(scheduler, environ))


def flux_nodes() -> tuple[str, ...]:
    """Nodes of the Flux instance around this process, in the order of its brokers.

    Raises:
        LaunchError: if Flux does not answer.
    """
    return tuple(answer_of("flux", "hostlist", "--expand", "instance").split())


def nodes_of_file(scheduler: Scheduler, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Nodes of a PBS or LSF job in order, without the repetitions for each core in its file.

    Raises:
        ConfigError: if the node file cannot be read.
    """
    variable = NODE_FILES[scheduler]
    path = Path(environ[variable])
    try:
        return tuple(dict.fromkeys(path.read_text().split()))
    except OSError as error:
        problem = (
            f"the list of nodes of the {scheduler.upper()} job cannot be read:"
            f" {(error.strerror or str(error)).lower()}; check {variable}"
        )
        raise ConfigError(str(path), "", problem) from error


def answer_of(program: str, *arguments: str) -> str:
    """Output of a scheduler's command about its nodes.

    Raises:
        LaunchError: if there is no such command, or if it fails.
    """
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except FileNotFoundError:
        raise LaunchError(
            f"the nodes of the job cannot be listed, because {program} is not on PATH; load the"
            " scheduler's module or take another --site"
        ) from None
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise LaunchError(
            f"{program} {' '.join(arguments)} failed: {said}; try the same command again when the"
            " scheduler answers"
        ) from error
    return answer.stdout
