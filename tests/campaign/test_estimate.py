from pathlib import Path

import pytest

from gcd_hpc.campaign.estimate import estimate, wall_h
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.tasks import Plan
from gcd_hpc.workers.allocation import resolve
from tests.campaign.conftest import make_config

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
MEASURED_CORE_S = {"search": 362.7, "train": 660.0, "sample": 213.0, "relax": 232.6}
"""Of the default campaign (benchmarks/RESULTS.md); training and sampling at their speed on one core
without neighbours.
"""


def estimated(*overrides: str, until: str | None = None) -> dict:
    config = load_campaign(CAMPAIGNS / "w_sigma5.yaml", overrides)
    return {
        one.stage: one
        for one in estimate(config, Plan.of(config, resolve(SiteConfig(cores=2)), until), 270)
    }


@pytest.mark.parametrize(("stage", "core_s"), MEASURED_CORE_S.items())
def test_the_default_campaign_costs_about_what_it_cost(stage, core_s):
    assert 3600 * estimated()[stage].core_h == pytest.approx(core_s, rel=0.4)


def test_twice_the_candidates_cost_twice_as_much():
    once, twice = estimated(), estimated("sampling.num_candidates=1920")
    assert twice["relax"].core_h == pytest.approx(2 * once["relax"].core_h)
    assert twice["relax"].disk_bytes == pytest.approx(2 * once["relax"].disk_bytes)


def test_only_the_stages_asked_for_are_listed():
    assert list(estimated(until="select-01")) == ["search", "select"]
    assert list(estimated()) == ["search", "select", "train", "promote", "sample", "relax"]


def test_repaint_goes_each_step_several_times():
    once, again = (
        estimated("diffusion.inpainting=repaint", f"sampling.resamples={number}")
        for number in (1, 4)
    )
    assert again["sample"].core_h == pytest.approx(4 * once["sample"].core_h, rel=0.05)
    assert again["train"].core_h == once["train"].core_h


def test_a_stage_takes_its_core_hours_shared_by_the_workers_that_have_something_to_do():
    site = resolve(SiteConfig(cores=8))
    stages = {one.stage: one for one in estimate(make_config(), Plan.of(make_config(), site), 270)}
    # Three chunks keep three of eight workers busy; torchrun shares a training among all.
    assert wall_h(stages["search"], site) == pytest.approx(stages["search"].core_h / 3)
    assert wall_h(stages["train"], site) == pytest.approx(stages["train"].core_h / 8)
    with_gpus = site.model_copy(update={"training": PoolConfig(gpus_per_node=1)})
    assert wall_h(stages["train"], with_gpus) is None
