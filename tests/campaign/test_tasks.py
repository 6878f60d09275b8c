from dataclasses import replace

import pytest

from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import STAGES, Task, is_launched, pool_of
from gcd_hpc.workers.allocation import resolve
from tests.campaign.conftest import make_config

SITE = resolve(SiteConfig())


@pytest.mark.parametrize(
    "task",
    [
        Task("search", 0, 3),
        Task("select", 1),
        Task("sample", 1),
        Task("sample", 1, 4),
        Task("relax", 1, 2),
        Task("train", 12),
        Task("relax", 100, 100000),
        Task("quench", 0, 3),
        Task("label", 0, 3),
        Task("verify", 2, 1),
    ],
    ids=lambda task: task.name,
)
def test_tasks_have_names_that_can_be_read_back(task):
    assert Task.parse(task.name) == task


@pytest.mark.parametrize(
    "name",
    [
        *("", "search", "search-1", "search--1", "relax%02-00001", "relax-02-00001-3", "bake-01"),
        *("train-٠١", "train-1", "search-" + "9" * 5000, "../search-00001", "search-00001\n"),
    ],
)
def test_what_is_no_name_of_a_task_is_refused(name):
    with pytest.raises(ValueError, match="expected the name of a task"):
        Task.parse(name)


@pytest.mark.parametrize("stage", STAGES)
def test_stages_that_take_turns_call_their_functions_where_candidates_are_relaxed(stage):
    launched = is_launched(stage, "barrier")
    assert launched == (stage in ("train", "sample", "fit"))
    assert launched or pool_of(stage, "barrier") == "relaxation"


def test_a_plan_says_when_a_generation_has_fewer_tasks_than_there_are_workers():
    explore = {"generations": 1, "chains": 16, "chains_per_task": 4}
    config = make_config(explore=explore)
    plan = replace(Plan.of(config, SITE), relaxation_workers=16)
    assert plan.exploration_note(config.explore) == (
        "Exploration uses 4 of 16 workers, for a generation has 4 tasks;"
        " explore.chains_per_task: 1 makes it 16, more explore.chains would use more."
    )
    single = make_config(explore=explore | {"chains_per_task": 1})
    plan = replace(Plan.of(single, SITE), relaxation_workers=20)
    assert plan.exploration_note(single.explore).endswith(
        "has 16 tasks; more explore.chains would use more."
    )
    for fewer in ({"relaxation_workers": 16}, {"generations": 0}):
        assert replace(plan, **fewer).exploration_note(single.explore) == ""


def test_a_plan_counts_the_last_chunk_that_is_not_full():
    plan = Plan.of(
        make_config(
            search={"num_tries": 5, "chunk_size": 2},
            sampling={"num_candidates": 7, "chunk_size": 3},
        ),
        SITE,
    )
    assert (plan.num_search_chunks, plan.num_sample_chunks) == (3, 3)
