"""Sites resolved for one campaign, and the launch lines that follow from them."""

import importlib.util
import re
import resource
import shlex
import sys
import tempfile
from pathlib import Path

from gcd_hpc.config.shipped import install_command
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.errors import LaunchError, RunDirectoryError
from gcd_hpc.stages.table import STAGES, is_launched, pool_of
from gcd_hpc.workers.allocation import is_in_job, resolve
from gcd_hpc.workers.launch import find_mpiexec
from gcd_hpc.workers.lines import (
    POOL_PROGRAM,
    launch_environment,
    launch_prefix,
    num_threads,
    python,
    sample_line,
    starts_mpiexec,
    train_line,
    with_shell_lines,
)
from gcd_hpc.workers.nodes import LOOPBACK_ADDRESS, NodeSet, check_job, node_set_of

FEWEST_FILES, ENOUGH_FILES = 128, 4096
LEAST_ADDRESSES = 2 * 2**30
"""Least limit of virtual memory, bytes. A driver reserves 1.2 GB, a worker that trains or samples
1 GB and more. Below it, libraries abort the driver before it can end its workers.
"""
NUM_NETWORKS = 2
"""Networks of a material: the particle model and the property network."""
SPECIAL = re.compile(r"[\s\"'`$&|;<>(){}\[\]*?!#~^%\\]")
"""Characters with a meaning in a shell."""


def fit_site(
    site: SiteConfig, batch_size: int, needs_launchers: bool, needs_mpi: bool = True
) -> SiteConfig:
    """Resolve a site as ``plan_site`` does, for a driver about to start in its allocation.

    Args:
        needs_launchers: True if the campaign will train or sample.
        needs_mpi: True if it samples with MPI where it needs launchers.

    Raises:
        ConfigError: if the pools do not fit into the allocation.
        LaunchError: if this is not the site's allocation, if MPI, torch or mpi4py is missing, or if
            the limit of open files or of virtual memory is too low.
    """
    _raise_limit_of_files()
    _check_limit_of_memory()
    if site.driver == "inside":
        check_job(site)
    if not needs_launchers:
        return resolve(site)
    _check_packages(site, needs_mpi)
    fit = plan_site(site, batch_size)
    launches_here = needs_mpi and site.driver == "inside" and site.mode == "barrier"
    if launches_here and starts_mpiexec(fit, fit.sampling, node_set_of(fit, fit.sampling)):
        return fit.model_copy(update={"mpiexec": find_mpiexec(site.mpiexec)})
    return fit


def _check_packages(site: SiteConfig, needs_mpi: bool) -> None:
    """Refuse a campaign that could not train after its search, because a package is missing.

    Pools with a container or shell lines are not checked, because their Python may be another.
    """
    needs = {"training": ["torch"], "sampling": ["torch"] + ["mpi4py"] * needs_mpi}
    for name, packages in needs.items():
        pool: PoolConfig = getattr(site, name)
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing and not pool.container and not pool.environment:
            raise LaunchError(
                f"{name}: {sys.executable} has no {' and '.join(missing)};"
                f" {install_command('train')}, or end with --until search"
            )


def in_turns(site: SiteConfig) -> SiteConfig:
    """The site for the campaign of a material: its phases follow each other, and its networks are
    trained on one node.

    Resolved for a batch of NUM_NETWORKS, a process trains each network, or one process trains both.
    """
    one = site.training.model_copy(update={"num_nodes": 1, "processes_per_node": "auto"})
    return site.model_copy(update={"mode": "barrier", "training": one})


def plan_site(site: SiteConfig, batch_size: int, num_nodes: int | None = None) -> SiteConfig:
    """The site with a number for every ``auto``; training processes divide a batch evenly.

    Args:
        num_nodes: number of nodes of a planned allocation; None for the current one.

    Raises:
        ConfigError: if the pools do not fit into the allocation.
        LaunchError: if no allowed number of training processes divides a batch.
    """
    resolved = resolve(site, num_nodes=num_nodes)
    return resolved.model_copy(
        update={"training": _even(site.training, resolved.training, batch_size)}
    )


def idle_note(site: SiteConfig, batch_size: int, num_nodes: int | None = None) -> str:
    """Sentence about GPUs or cores that training leaves idle because of its batch size, or "".

    Cores without a process are used by the threads of the others.
    """
    # Which stages overlap does not matter here.
    site = site.model_copy(update={"mode": "barrier"})
    resolved = resolve(site, num_nodes=num_nodes)
    available, used = resolved.training, plan_site(site, batch_size, num_nodes).training
    if site.training.gpus_per_node:
        unit = "GPUs"
        num_used, num_available = used.num_workers, available.num_workers
    else:
        unit = "cores"
        num_used = len(used.nodes) * _busy_cores(resolved, used)
        num_available = len(available.nodes) * _busy_cores(resolved, available)
    if num_used >= num_available:
        return ""
    return (
        f"Training uses {num_used} of {num_available} {unit}, for the number of its processes has"
        f" to divide training.batch_size, {batch_size}; with a multiple of"
        f" {available.num_workers} it would use all."
    )


def _busy_cores(site: SiteConfig, pool: PoolConfig) -> int:
    """Cores of one node that the threads of a pool's processes use."""
    assert isinstance(site.cores, int) and isinstance(pool.processes_per_node, int)
    return pool.processes_per_node * num_threads(site, pool)


def idle_note_from_afar(site: SiteConfig, batch_size: int) -> str:
    """As ``idle_note`` for a site file that is read on any machine; "" if it cannot be known there.

    The cores of a compute node are unknown outside its job.
    """
    is_elsewhere = site.scheduler != "none" and not is_in_job(site.scheduler)
    if is_elsewhere and site.cores == "auto" and not site.training.gpus_per_node:
        return ""
    return idle_note(site, batch_size)


def check_run_dir(site: SiteConfig, run_dir: Path) -> None:
    """Refuse a run directory whose path Parsl's shell scripts cannot contain.

    On one machine the scripts use a link to it instead.

    Raises:
        RunDirectoryError: with the offending characters.
    """
    if not special_characters(run_dir):
        return
    got = " ".join(repr(character) for character in special_characters(run_dir))
    if site.scheduler != "none":
        raise RunDirectoryError(
            f"{run_dir}: cannot be used with a scheduler, for shell scripts of the jobs repeat the"
            f" path as it is and would take {got} for themselves; choose another --run-dir"
        )
    if special_characters(Path(tempfile.gettempdir())):
        raise RunDirectoryError(
            f"{run_dir}: shell scripts cannot repeat {got}, and there is no other name for it"
            f" either, for the temporary folder {tempfile.gettempdir()} has such characters too;"
            " choose another --run-dir or set TMPDIR"
        )


def special_characters(path: Path) -> list[str]:
    """Characters of a path that have a meaning in a shell."""
    return sorted(set(SPECIAL.findall(str(path))))


def launch_lines(site: SiteConfig, run_dir: Path, version: int = 1) -> dict[str, str]:
    """Launch line of each stage as shell text; node names are placeholders outside a job.

    Args:
        site: resolved by ``plan_site`` or ``fit_site``.
    """
    arguments = (str(run_dir), str(version))
    lines = {}
    for stage, spec in STAGES.items():
        pool: PoolConfig = getattr(site, pool_of(stage, site.mode))
        if not is_launched(stage, site.mode):
            # A canary has a GPU of its own if the sampling pool has GPUs, and runs alone.
            has_gpus = spec.pool == "sampling" and site.sampling.gpus_per_node > 0
            if site.mode == "barrier" and has_gpus:
                lines[stage] = _worker_text(site, site.sampling, 1)
            else:
                lines[stage] = _worker_text(site, pool, pool.num_workers)
            continue
        nodes = _planned_nodes(site, pool)
        if spec.launcher == "torchrun":
            line = train_line(site, nodes, spec.module, arguments, "TASK", attempt=1)
        else:
            line = sample_line(site, nodes, spec.module, arguments)
        lines[stage] = _text(site, pool, line)
    return lines


def _raise_limit_of_files() -> None:
    """Raise the limit of open files to the most that the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < FEWEST_FILES:
        raise LaunchError(
            f"the system allows a process to open {most} files (ulimit -n), and the pools of"
            f" workers need {FEWEST_FILES}; raise the limit and run the same command again"
        )


def _check_limit_of_memory() -> None:
    """Refuse a limit of virtual memory under which the processes of a campaign cannot start."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESSES:
        raise LaunchError(
            f"cannot start a campaign with {limit / 2**30:.2g} GB of virtual memory (ulimit -v):"
            f" its processes reserve up to {LEAST_ADDRESSES / 2**30:g} GB each; raise the limit and"
            " run the same command again"
        )


def _even(wanted: PoolConfig, resolved: PoolConfig, batch_size: int) -> PoolConfig:
    """The pool with the most processes, among those ``auto`` allows, that share a batch evenly."""
    assert isinstance(resolved.num_nodes, int) and isinstance(resolved.processes_per_node, int)
    nodes = (
        range(resolved.num_nodes, 0, -1) if wanted.num_nodes == "auto" else (resolved.num_nodes,)
    )
    processes = (
        range(resolved.processes_per_node, 0, -1)
        if wanted.processes_per_node == "auto"
        else (resolved.processes_per_node,)
    )
    even = [
        (one * each, one, each)
        for one in nodes
        for each in processes
        if batch_size % (one * each) == 0
    ]
    if not even:
        got = f"{resolved.num_nodes} nodes with {resolved.processes_per_node}"
        raise LaunchError(
            f"training: no number of processes on {got} divides training.batch_size, {batch_size};"
            " change one of them"
        )
    _, num_nodes, each = max(even)
    return resolved.model_copy(update={"num_nodes": num_nodes, "processes_per_node": each})


def _planned_nodes(site: SiteConfig, pool: PoolConfig) -> NodeSet:
    """The nodes of a pool, or placeholder names outside a job."""
    if site.scheduler == "none" or (site.driver == "inside" and is_in_job(site.scheduler)):
        return node_set_of(site, pool)
    nodes = tuple(f"node{index + 1}" for index in pool.nodes)
    is_here = len(nodes) == 1 and pool.first_node == 0
    return NodeSet(nodes, is_here, LOOPBACK_ADDRESS if is_here else nodes[0])


def _text(site: SiteConfig, pool: PoolConfig, line: list[str]) -> str:
    environment = launch_environment(site, pool, _planned_nodes(site, pool).is_here)
    return " ".join(
        [
            *(f"{name}={shlex.quote(value)}" for name, value in environment.items()),
            shlex.join(with_shell_lines(pool, line)),
        ]
    )


def _worker_text(site: SiteConfig, pool: PoolConfig, num_workers: int) -> str:
    where, blocks = _planned_nodes(site, pool), site.blocks
    words = [] if where.is_here else launch_prefix(site, pool, where, 1, all_or_none=False)
    line = [*words, *python(pool), "-m", POOL_PROGRAM]
    command = "; ".join([*pool.environment, shlex.join(line)])
    if site.driver == "login":
        return (
            f"up to {blocks.max_blocks} jobs of {pool.num_nodes} nodes for {blocks.walltime},"
            f" {num_workers} workers each: {command}"
        )
    return f"{num_workers} workers: {command}"
