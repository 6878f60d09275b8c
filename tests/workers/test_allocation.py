import os
import socket
from pathlib import Path

import pytest

from gcd_hpc.config.loader import load_site
from gcd_hpc.config.site import BUILT_IN, SiteConfig
from gcd_hpc.errors import ConfigError, LaunchError
from gcd_hpc.workers.allocation import (
    NODE_FILES,
    detected_site_name,
    flux_nodes,
    nodes_of_file,
    num_allocated,
    resolve,
    site_here,
)
from gcd_hpc.workers.nodes import is_this_node, node_set_of

ROOT = Path(__file__).parents[2]
SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_NUM_NODES": "3"}


def make(**sections: object) -> SiteConfig:
    return SiteConfig.model_validate(sections)


def asynchronous(cores: int, **more: object) -> SiteConfig:
    pools = {"training": 1, "sampling": 1, "relaxation": 2}
    return make(
        mode="asynchronous",
        cores=cores,
        **{name: {"processes_per_node": num, **more} for name, num in pools.items()},
    )


def test_no_site_file_means_this_machine(monkeypatch):
    for name in ("SLURM_JOB_ID", "FLUX_URI", *NODE_FILES.values()):
        monkeypatch.delenv(name, raising=False)
    assert site_here().name == "local"
    assert site_here("slurm_login").name == "slurm_login"


def test_a_plan_may_have_more_nodes_than_there_are_yet():
    site = resolve(BUILT_IN["slurm_allocation"], {}, num_nodes=4)
    assert site.relaxation.num_nodes == site.training.num_nodes == 4


def test_auto_is_the_cores_that_this_process_may_use():
    assert resolve(SiteConfig(), {}).cores == len(os.sched_getaffinity(0))


def test_auto_processes_are_one_a_core_or_one_a_gpu():
    site = resolve(make(cores=3, sampling={"gpus_per_node": 2}), {})
    assert [pool.num_workers for pool in (site.training, site.sampling, site.relaxation)] == [
        3,
        2,
        3,
    ]


def test_given_numbers_are_kept():
    site = resolve(make(cores=3, sampling={"processes_per_node": 2}), {})
    assert (site.training.num_workers, site.sampling.num_workers) == (3, 2)


def test_auto_nodes_are_those_of_the_job_from_the_first_of_the_pool_on():
    site = resolve(make(scheduler="slurm", cores=4, training={"first_node": 1}), SLURM)
    assert (list(site.relaxation.nodes), list(site.training.nodes)) == ([0, 1, 2], [1, 2])
    assert (site.relaxation.num_workers, site.training.num_workers) == (12, 8)


@pytest.mark.parametrize("scheduler", NODE_FILES)
def test_a_job_has_each_node_of_its_file_once_and_in_order(tmp_path, scheduler):
    (tmp_path / "nodes").write_text("b\nb\na\na\n")
    environ = {NODE_FILES[scheduler]: str(tmp_path / "nodes")}
    assert nodes_of_file(scheduler, environ) == ("b", "a")
    assert num_allocated(scheduler, environ) == 2


@pytest.mark.parametrize("scheduler", NODE_FILES)
def test_a_list_of_nodes_that_cannot_be_read_is_one_sentence(tmp_path, scheduler):
    with pytest.raises(ConfigError, match=rf"of the {scheduler.upper()} job .* no such file"):
        nodes_of_file(scheduler, {NODE_FILES[scheduler]: str(tmp_path / "nodes")})


def flux_in(folder: Path, monkeypatch, says: str) -> None:
    """A command named flux that answers as Flux does, whose packages CI does not have."""
    (folder / "flux").write_text(f"#!/bin/sh\n{says}\n")
    (folder / "flux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_the_nodes_of_a_flux_allocation_come_from_flux(tmp_path, monkeypatch):
    said = "hostlist --expand instance"
    flux_in(tmp_path, monkeypatch, f'[ "$*" = "{said}" ] && echo tuolumne7 tuolumne8 tuolumne12')
    environ = {"FLUX_URI": "local:///run/flux/local"}
    assert flux_nodes() == ("tuolumne7", "tuolumne8", "tuolumne12")
    assert num_allocated("flux", environ) == 3
    site = resolve(BUILT_IN["flux_allocation"], environ)
    assert site.relaxation.num_nodes == 3
    assert node_set_of(site, site.training, environ).address == "tuolumne7"


def test_a_flux_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch):
    flux_in(tmp_path, monkeypatch, "echo 'flux: broker socket: gone' >&2; exit 1")
    with pytest.raises(LaunchError, match=r"flux hostlist --expand instance failed: .*gone; try"):
        flux_nodes()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(LaunchError, match="because flux is not on PATH"):
        flux_nodes()


@pytest.mark.parametrize("name", ["n7", "n7.example.org"])
def test_this_node_is_known_with_and_without_its_domain(monkeypatch, name):
    for own in ("n7", "n7.cluster.example.org"):
        monkeypatch.setattr(socket, "gethostname", lambda own=own: own)
        assert is_this_node(name, {})
        assert not is_this_node("n71", {})
    assert is_this_node("n7", {"SLURMD_NODENAME": "n7"})


def test_resolving_twice_changes_nothing():
    assert resolve(resolve(SiteConfig())) == resolve(SiteConfig())


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "local"),
        ({"SLURM_JOB_ID": "7"}, "local"),
        (SLURM, "slurm_allocation"),
        ({"PBS_NODEFILE": "/var/spool/pbs/aux/7"}, "pbs_allocation"),
        ({"LSB_DJOB_HOSTFILE": "/home/user/.lsbatch/7.hostfile"}, "lsf_allocation"),
        ({**SLURM, "FLUX_URI": "local:///run/flux/local"}, "flux_allocation"),
    ],
)
def test_the_site_is_detected_from_the_environment(environ, name):
    assert detected_site_name(environ) == name


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_detected_site_is_the_shipped_file(name):
    assert load_site(ROOT / f"campaigns/sites/{name}.yaml") == BUILT_IN[name]


def test_pools_that_work_at_the_same_time_must_not_share_cores():
    with pytest.raises(ConfigError) as caught:
        resolve(asynchronous(cores=3), {})
    parts = "1 of training + 1 of sampling + 2 of relaxation on one node"
    expected = (
        f"site local: cores: must be at least 4 for mode: asynchronous ({parts}), got 3; lower"
        " processes_per_node"
    )
    assert str(caught.value).startswith(expected)


def test_more_cores_than_there_are_can_be_stated_on_purpose():
    assert resolve(asynchronous(cores=4), {}).relaxation.num_workers == 2


def test_pools_on_different_nodes_do_not_share_cores():
    places = {"training": 0, "sampling": 1, "relaxation": 2}
    pools = {name: {"first_node": first, "num_nodes": 1} for name, first in places.items()}
    assert (
        resolve(
            make(mode="asynchronous", scheduler="slurm", cores=4, **pools), SLURM
        ).sampling.num_workers
        == 4
    )


def test_a_pool_beyond_the_allocation_is_refused():
    with pytest.raises(
        ConfigError,
        match=(
            r"relaxation.num_nodes: the allocation has 3 nodes, fewer than the 2 from first_node"
            r" 2 on; lower it"
        ),
    ):
        resolve(make(scheduler="slurm", relaxation={"num_nodes": 2, "first_node": 2}), SLURM)


def test_gpus_that_were_asked_for_but_not_counted_in_the_site_file_are_not_wasted():
    with pytest.raises(
        ConfigError,
        match=(
            r"training.gpus_per_node: the job has 4 GPUs a node but no pool uses one; copy the site"
            r" file"
        ),
    ):
        resolve(BUILT_IN["slurm_allocation"], {**SLURM, "SLURM_GPUS_ON_NODE": "4"})
