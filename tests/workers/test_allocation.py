import os
from pathlib import Path

import pytest

from gcd_hpc.config.loader import load_site
from gcd_hpc.config.site import BUILT_IN, SiteConfig
from gcd_hpc.errors import ConfigError
from gcd_hpc.workers.allocation import detected_site_name, num_allocated, resolve, site_here

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
    for name in ("SLURM_JOB_ID", "PBS_NODEFILE"):
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


def test_a_pbs_job_has_each_node_of_its_file_once(tmp_path):
    (tmp_path / "nodes").write_text("a\na\nb\nb\n")
    assert num_allocated("pbs", {"PBS_NODEFILE": str(tmp_path / "nodes")}) == 2


def test_resolving_twice_changes_nothing():
    assert resolve(resolve(SiteConfig())) == resolve(SiteConfig())


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "local"),
        ({"SLURM_JOB_ID": "7"}, "local"),
        (SLURM, "slurm_allocation"),
        ({"PBS_NODEFILE": "/var/spool/pbs/aux/7"}, "pbs_allocation"),
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
