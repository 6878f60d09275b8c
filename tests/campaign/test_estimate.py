from pathlib import Path

import pytest

from gcd_hpc.campaign.estimate import estimate, expected_s, remaining_s, total_of, wall_h
from gcd_hpc.campaign.state import State
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.workers.allocation import resolve
from tests.campaign import histories
from tests.campaign.conftest import make_config

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
MEASURED_CORE_S = {"search": 362.7, "train": 660.0, "sample": 213.0, "relax": 232.6}
"""Of the default campaign without exploration (benchmarks/RESULTS.md); training and sampling at
their speed on one core without neighbours.
"""
VOXELS = 12 * 12 * 60
AS_MEASURED = [
    "explore.generations=0",
    *["search.md.probability=0.25", "search.md.num_steps=[800, 4000]"],
    *["search.num_tries=640", "training.num_steps=3000", "training.retrain_steps=1500"],
    *["training.windows=0", "sampling.num_candidates=960", "budget.rounds=2"],
]


def estimated(*overrides: str, until: str | None = None, size: int = 1) -> dict:
    config = load_campaign(CAMPAIGNS / "w_sigma5.yaml", [*AS_MEASURED, *overrides])
    return {
        one.stage: one
        for one in estimate(
            config, Plan.of(config, resolve(SiteConfig(cores=2)), until), 270 * size, VOXELS * size
        )
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
    round_of_a_model = ["select", "train", "promote", "sample", "relax"]
    assert list(estimated()) == ["search", *round_of_a_model]
    assert list(estimated("explore.generations=1")) == ["search", *round_of_a_model, "explore"]


def test_repaint_goes_each_step_several_times():
    once, again = (
        estimated("diffusion.inpainting=repaint", f"sampling.resamples={number}")
        for number in (1, 4)
    )
    assert again["sample"].core_h == pytest.approx(4 * once["sample"].core_h, rel=0.05)
    assert again["train"].core_h == once["train"].core_h


def test_a_stage_takes_its_core_hours_shared_by_the_workers_that_have_something_to_do():
    site = resolve(SiteConfig(cores=8))
    stages = {
        one.stage: one for one in estimate(make_config(), Plan.of(make_config(), site), 270, VOXELS)
    }
    # Three chunks keep three of eight workers busy; torchrun shares a training among all.
    assert wall_h(stages["search"], site) == pytest.approx(stages["search"].core_h / 3)
    assert wall_h(stages["train"], site) == pytest.approx(stages["train"].core_h / 8)
    with_gpus = site.model_copy(update={"training": PoolConfig(gpus_per_node=1)})
    assert wall_h(stages["train"], with_gpus) is None


EXPECTED = {"search": 30.0, "select": 10.0, "train": 40.0, "promote": 0.0, "sample": 8.0}
SEARCHED = [f"search-{chunk:05d}" for chunk in range(3)]
FIRST_ROUND = [
    *["select-01", "train-01", "promote-01", "sample-01"],
    *["relax-01-00000", "relax-01-00001"],
]
TRAINING = {"num_steps": 300, "retrain_steps": 100}


def state_after(*names: str, **changes: object) -> State:
    """State of a campaign of two rounds, 100 s expected, after these tasks."""
    config = make_config(budget={"rounds": 2, **changes}, training=TRAINING)
    plan = Plan.of(config, resolve(SiteConfig(cores=2)))
    opened = histories.opened(plan, expected_s=EXPECTED | {"relax": 12.0})
    return histories.state_after([opened, *map(histories.finished, names)])


def remaining(state: State, fraction: float = 0.0, elapsed_s: float = 60.0) -> float | None:
    return remaining_s(make_config(training=TRAINING), state, fraction, elapsed_s)


def test_the_rest_of_a_campaign_is_scaled_by_the_time_that_was_needed_so_far():
    """30 of 100 s were expected for the search, and 60 s were needed."""
    assert remaining(state_after(*SEARCHED)) == pytest.approx(140.0)
    # Half of the first selection, of which there are two, is another 2.5 s.
    assert remaining(state_after(*SEARCHED), 0.5, 65.0) == pytest.approx(67.5 * 65 / 32.5)


def test_the_first_training_counts_for_its_number_of_steps():
    """After the first round the second selection, 100 of 400 steps, and half of the rest remain."""
    left = remaining(state_after(*SEARCHED, *FIRST_ROUND), elapsed_s=75.0)
    assert left == pytest.approx(5.0 + 40.0 / 4 + 0.0 + 4.0 + 6.0)


def test_the_end_is_unknown_until_two_hundredths_are_done():
    assert remaining(state_after()) is None
    assert remaining(state_after(), 0.05) is None
    assert remaining(state_after(), 0.1) == pytest.approx(97.0 * 60 / 3)


def test_a_campaign_ends_no_later_than_its_wall_time():
    assert remaining(state_after(*SEARCHED, wall_time_s=100.0)) == pytest.approx(40.0)


def test_the_end_is_unknown_where_stages_overlap_or_run_on_gpus():
    config, site = make_config(), resolve(SiteConfig(cores=2))
    plan = Plan.of(config, site)
    assert set(expected_s(config, site, plan, 270, VOXELS)) == {stage for stage, _ in plan.phases()}
    on_gpus = site.model_copy(update={"training": PoolConfig(gpus_per_node=1)})
    assert expected_s(config, on_gpus, plan, 270, VOXELS) == {}
    overlapping = site.model_copy(update={"mode": "asynchronous"})
    assert expected_s(config, overlapping, Plan.of(config, overlapping), 270, VOXELS) == {}
    without = histories.state_after([histories.opened(plan)])
    assert remaining(without, 0.5) is None


def test_a_set_trains_once_for_the_mean_of_its_boundaries_and_makes_the_canaries_of_three():
    small, large = estimated(), estimated(size=2)
    four = {one.stage: one for one in total_of([[*small.values()], *[[*large.values()]] * 3])}
    mean = (small["train"].core_h + 3 * large["train"].core_h) / 4
    assert four["train"].core_h == pytest.approx(mean)
    assert (four["train"].num_tasks, four["train"].num_items) == (2, small["train"].num_items)
    assert four["promote"].num_items == 3 * small["promote"].num_items
    assert four["relax"].num_items == 4 * small["relax"].num_items
