"""Nodes of a job: which ones a pool uses, and how they reach each other."""

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.workers.allocation import is_in_job, pbs_nodes

LOOPBACK_ADDRESS = "127.0.0.1"
HERE = "localhost"
SCONTROL_TIMEOUT_S = 60.0


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
    if site.scheduler == "pbs":
        return pbs_nodes(environ)
    return tuple(_scontrol("show", "hostnames", environ["SLURM_JOB_NODELIST"]).split())


def check_job(site: SiteConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a site with a scheduler if this process is not in one of its jobs.

    Raises:
        LaunchError: if this is no job of the site's scheduler.
    """
    if site.scheduler != "none" and not is_in_job(site.scheduler, environ):
        job, submit = (
            ("a Slurm job", "sbatch batch/campaign.sh")
            if site.scheduler == "slurm"
            else ("a PBS job", "qsub")
        )
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
    is_here = len(taken) == 1 and taken[0] in (HERE, *this_node(environ))
    return NodeSet(taken, is_here, LOOPBACK_ADDRESS if is_here else address_of(site, taken[0]))


def this_node(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of this node: first Slurm's name, which may differ from the host name."""
    name = socket.gethostname()
    hosts = (name, name.split(".")[0])
    return (environ["SLURMD_NODENAME"],) if "SLURMD_NODENAME" in environ else hosts


def address_of(site: SiteConfig, node: str) -> str:
    """Network address of a node, which may differ from its name in Slurm."""
    if site.scheduler != "slurm":
        return node
    found = re.search(r"NodeAddr=(\S+)", _scontrol("show", "node", "-o", node))
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


def _scontrol(*arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["scontrol", *arguments],
            capture_output=True,
            text=True,
            timeout=SCONTROL_TIMEOUT_S,
            check=True,
        )
    except FileNotFoundError:
        raise LaunchError(
            "the nodes of the job cannot be listed, because scontrol is not on PATH; load Slurm's"
            " module or take another --site"
        ) from None
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise LaunchError(
            f"scontrol {' '.join(arguments)} failed: {said}; try the same command again when Slurm"
            " answers"
        ) from error
    return answer.stdout
