"""Nodes of a job: which ones a pool uses, and how they reach each other."""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.workers.allocation import answer_of, flux_nodes, is_in_job, nodes_of_file

LOOPBACK_ADDRESS = "127.0.0.1"
HERE = "localhost"
JOBS = {
    "slurm": ("a Slurm job", "sbatch batch/campaign.sh"),
    "pbs": ("a PBS job", "qsub"),
    "lsf": ("an LSF job", "bsub"),
    "flux": ("a Flux allocation", "flux batch"),
}
"""Job of each scheduler in words, and the command that submits one."""


@dataclass(frozen=True)
class NodeSet:
    """Nodes on which a launch line starts processes."""

    nodes: tuple[str, ...]
    is_here: bool
    """True for the node that runs the launch line, which needs no scheduler."""
    address: str
    """Address of the first node for the other nodes."""


def allocation(site: SiteConfig, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of the nodes of the current job; this machine without a scheduler.

    Raises:
        LaunchError: if this is no job of the site's scheduler, or if the scheduler does not answer.
    """
    if site.scheduler == "none":
        return (HERE,)
    check_job(site, environ)
    if site.scheduler == "slurm":
        return tuple(
            answer_of("scontrol", "show", "hostnames", environ["SLURM_JOB_NODELIST"]).split()
        )
    return flux_nodes() if site.scheduler == "flux" else nodes_of_file(site.scheduler, environ)


def check_job(site: SiteConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a site with a scheduler if this process is not in one of its jobs.

    Raises:
        LaunchError: if this is no job of the site's scheduler.
    """
    if site.scheduler != "none" and not is_in_job(site.scheduler, environ):
        job, submit = JOBS[site.scheduler]
        raise LaunchError(
            f"site {site.name}: the campaign cannot start here, because this is not inside {job};"
            f" submit it with {submit}, or take another --site"
        )


def node_set_of(
    site: SiteConfig, pool: PoolConfig, environ: Mapping[str, str] = os.environ
) -> NodeSet:
    """Nodes of a pool of a resolved site."""
    nodes = allocation(site, environ)
    taken = tuple(nodes[index] for index in pool.nodes if index < len(nodes))
    assert taken
    is_here = len(taken) == 1 and is_this_node(taken[0], environ)
    return NodeSet(taken, is_here, LOOPBACK_ADDRESS if is_here else address_of(site, taken[0]))


def is_this_node(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    """True if a scheduler's name of a node, with or without its domain, is that of this node.

    Slurm's name may differ from the host name, and is then compared with Slurm's.
    """
    own = environ.get("SLURMD_NODENAME", socket.gethostname())
    return name == HERE or name.split(".")[0] == own.split(".")[0]


def address_of(site: SiteConfig, node: str) -> str:
    """Network address of a node, which may differ from its name in Slurm."""
    if site.scheduler != "slurm":
        return node
    found = re.search(r"NodeAddr=(\S+)", answer_of("scontrol", "show", "node", "-o", node))
    return found[1] if found else node


def own_address(interface: str) -> str:
    """Address at which workers on other nodes reach this process.

    Raises:
        LaunchError: if there is no such network interface.
    """
    by_interface = {
        name: address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    }
    if interface:
        if interface not in by_interface:
            raise LaunchError(
                f"interface: {socket.gethostname()} has no network interface {interface!r}; choose"
                f" one of {', '.join(sorted(by_interface))}"
            )
        return str(by_interface[interface])
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = LOOPBACK_ADDRESS
    if not address.startswith("127."):
        return address
    # Debian maps the host name to a loopback address, which other nodes cannot reach.
    return next(
        (address for address in by_interface.values() if not address.startswith("127.")),
        LOOPBACK_ADDRESS,
    )
