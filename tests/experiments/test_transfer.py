"""Numbers of the transfer experiment: what counts as a hit, times to a target, and medians."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.config.loader import load_campaign_or_set
from gcd_hpc.config.shipped import shipped
from gcd_hpc.config.starting import BUILTIN_FILE
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.runs import open_run
from gcd_hpc.experiments.transfer import QUICK, TransferBudget, held_out, study
from gcd_hpc.experiments.transfer_numbers import (
    CHOSEN,
    FRESH,
    MODEL,
    MODELS,
    REGISTRIES,
    RIVALS,
    WITH,
    WITHOUT,
    hits,
    loop_numbers,
    medians,
    rate_numbers,
    time_to,
    times,
)
from gcd_hpc.experiments.transfer_tasks import loop
from gcd_hpc.experiments.work import Workshop
from gcd_hpc.learning.conditions import Units
from gcd_hpc.learning.model_file import ModelCard, load_model, save_model
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.voxels.channels import Channels


def tried(*pairs, core_s=1.0):
    """Columns of tries: ([n], energy) each; an energy of NaN failed."""
    n, energy = np.array(pairs, dtype=float).T
    return {
        "status": np.where(np.isfinite(energy), "ok", "failed"),
        "n_fraction": n,
        "gb_energy_j_m2": energy,
        "core_s": np.array(core_s),
    }


def known(*pairs):
    n, energy = np.array(pairs, dtype=float).T
    return {"n_fraction": n, "gb_energy_j_m2": energy}


def trace(*pairs):
    spent, lowest = np.array(pairs, dtype=float).T
    return {"spent_s": spent, "lowest_j_m2": lowest}


HULL = known((0.0, 1.00), (0.5, 1.10))


def test_a_hit_lies_near_the_lowest_of_all_or_of_its_own_n():
    rows = tried((0.0, 1.019), (0.0, 1.021), (0.5, 1.12), (0.5, 1.019), (0.0, np.nan))
    assert hits(rows, HULL, by_n=False).tolist() == [True, False, False, True, False]
    assert hits(rows, HULL, by_n=True).tolist() == [True, False, True, True, False]


def test_a_structure_of_an_unknown_n_is_no_hit_of_its_n():
    assert not hits(tried((0.25, 0.5)), HULL, by_n=True).any()


def rates_of(**rows):
    """Rates of two methods, of which each stands for all models or rivals."""
    both = dict.fromkeys(MODELS, rows["model"]) | dict.fromkeys(RIVALS, rows["rival"])
    return rate_numbers(both, HULL)["of_all"]


def test_failed_tries_count_in_the_rates():
    numbers = rates_of(
        model=tried((0.0, 1.0), (0.0, np.nan), (0.0, np.nan), (0.0, np.nan)),
        rival=tried((0.0, 1.0), (0.0, 2.0)),
    )
    assert numbers["rates"][MODEL][0] == 0.25
    assert numbers["against"][MODEL][FRESH]["rate"][0] == 0.5


def test_hits_per_core_second_count_what_was_spent_before_the_task_was_begun_again():
    again = tried((0.0, 1.0), (0.0, 1.0), core_s=0.1) | {"spent_s": np.array(4.0)}
    numbers = rates_of(model=again, rival=tried((0.0, 1.0), (0.0, 2.0), core_s=4.0))
    assert numbers["hits_per_core_s"][CHOSEN] == 0.5
    assert numbers["against"][CHOSEN][REGISTRIES]["per_core_s"] == 2.0


def test_a_target_is_reached_at_the_end_of_the_task_that_found_it():
    found = trace((1.0, 2.0), (3.0, 1.5), (4.0, 1.5))
    assert time_to(found, 1.5) == 3.0
    assert time_to(found, 1.0) == inf


def test_loops_that_miss_the_target_are_infinite():
    numbers = loop_numbers(
        {
            WITHOUT: [trace((4.0, 1.0)), trace((8.0, 1.0))],
            WITH: [trace((2.0, 1.0)), trace((9.0, 2.0))],
        },
        1.0,
        9.0,
    )
    assert numbers["core_s"] == {WITHOUT: [4.0, 8.0], WITH: [2.0, inf]}
    assert numbers["with_over_without"] == inf
    assert numbers["lowest_j_m2"] == {WITHOUT: [1.0, 1.0], WITH: [1.0, 2.0]}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(2.0, 4.0, 0.5), (2.0, inf, 0.0), (inf, 2.0, inf), (0.0, 2.0, 0.0), (2.0, 0.0, inf)],
)
def test_a_number_that_is_infinite_or_nothing_decides_the_ratio(one, other, expected):
    assert times(one, other) == expected


@pytest.mark.parametrize("both", [0.0, inf])
def test_two_numbers_that_are_both_infinite_or_nothing_have_no_ratio(both):
    assert np.isnan(times(both, both))


def test_boundaries_without_a_ratio_are_left_out_of_the_medians():
    def row(rate, time):
        pair = {"rate": [rate], "per_core_s": 2 * rate}
        against = {"against": {name: dict.fromkeys(RIVALS, pair) for name in MODELS}}
        both = {"of_all": against, "of_the_same_n": against}
        return {"rates": both, "loops": {"with_over_without": time}}

    numbers = medians(
        [row(2.0, 0.5), row(float("nan"), float("nan")), row(inf, inf), row(4.0, 0.25)]
    )
    assert numbers["against"]["of_all"][MODEL][FRESH] == {"rate": 4.0, "per_core_s": 8.0}
    assert numbers["with_over_without"] == 0.5


NETWORK = NetworkConfig(width=4, num_blocks=1, num_levels=1)
TINY = TransferBudget(
    num_candidates=2,
    num_seeds=2,
    loop_s=2.0,
    metals=("cu",),
    names=("Cu_s5_310",),
    overrides=(
        "search.num_tries=2",
        "search.chunk_size=1",
        "search.md.probability=0",
        "explore.chains=1",
        "explore.chains_per_task=1",
        "explore.chain_length=1",
        "explore.generations=2",
        "sampling.num_candidates=2",
        "sampling.chunk_size=2",
        "sampling.num_steps=2",
    ),
)


def untrained(path):
    """File of a model of several metals whose network was not trained."""
    torch.manual_seed(0)
    channels = Channels.of(["W"])
    card = ModelCard(1, Units(0.1, None, 0.1), 0.4, 1, NETWORK.model_dump())
    save_model(path, boundary_network(NETWORK, channels).state_dict(), card)


@pytest.mark.slow
@pytest.mark.lammps
def test_a_small_study_compares_a_model_with_rivals_and_resumes_without_work(tmp_path, one_by_one):
    untrained(tmp_path / "model.safetensors")
    workshop = Workshop(tmp_path / "out")
    outcome = study(workshop, TINY, str(tmp_path / "model.safetensors"))
    boundaries = outcome.numbers["boundaries"]
    names = ["Cu_s5_310"]
    assert list(boundaries) == [*names, *(f"{name}_2x2" for name in names)]
    for row in boundaries.values():
        # 1. Each method had as many tries.
        assert {one["tries"] for one in row["methods"].values()} == {2}
        # 2. No method came below what counts as the lowest known.
        for method in row["methods"].values():
            lowest = method["lowest_above_known_j_m2"]
            assert lowest is None or lowest >= 0
        # 3. Both explorations of each seed are judged by the lowest known energy.
        assert {name: len(one) for name, one in row["loops"]["core_s"].items()} == {
            WITHOUT: 2,
            WITH: 2,
        }
        lowest = min(row["lowest_known_j_m2"].values())
        assert row["loops"]["target_j_m2"] == pytest.approx(lowest + 0.002)
    for name in names:
        small, large = boundaries[name], boundaries[f"{name}_2x2"]
        lowest = min(small["lowest_known_j_m2"].values())
        assert small["lowest_tile_j_m2"] is None and large["lowest_tile_j_m2"] == lowest
        assert min(large["lowest_known_j_m2"].values()) <= lowest
    # The card of this model names no metal that it has learned from.
    assert set(outcome.numbers["medians"]) == {"1x1, other metals", "2x2, other metals"}
    assert all(seconds > 0 for seconds in outcome.costs.values())
    again = study(workshop, TINY, str(tmp_path / "model.safetensors"))
    assert plain(again.numbers) == plain(outcome.numbers)


@pytest.mark.lammps
def test_a_loop_ends_with_the_task_that_reaches_its_energy_or_spends_its_budget(tmp_path):
    ((_, config),) = held_out(replace(TINY, cells=(1,)), seed=0).items()
    num_tasks = 2 + 2  # tries, and generations of one task

    def tasks(budget_s, stop_j_m2):
        run = open_run(tmp_path, f"{budget_s}-{stop_j_m2}", config)
        return len(loop(run, budget_s, stop_j_m2, lambda _: None)["spent_s"])

    assert tasks(inf, inf) == tasks(1e-3, -inf) == 1
    assert tasks(inf, -inf) == num_tasks


NEW_METALS = {"V", "Ag", "Pd"}


def test_the_budgets_name_only_boundaries_that_the_built_in_models_data_leave_out():
    known = [metal for metal in QUICK.metals if metal.capitalize() not in NEW_METALS]
    learned = planes(known, "campaigns/builtin/{}.yaml", "campaigns/builtin/{}_tries.yaml")
    held = planes(QUICK.metals, "campaigns/transfer/{}.yaml")
    assert len(held) >= 12 and len({element for element, *_ in held}) >= 3
    assert not learned & held
    # Other metals of the same lattice have none of these planes either, but for the twist.
    shared = by_lattice(learned) & by_lattice(held)
    assert shared == {("bcc", 5, (0, 0, 1), (0, 0, 1))}


def test_the_model_has_learned_from_none_of_the_metals_that_are_new_to_it():
    _, card = load_model(BUILTIN_FILE)
    learned = {symbol for one in card.boundaries for symbol in one.elements}
    held = planes(QUICK.metals, "campaigns/transfer/{}.yaml")
    assert {element for element, *_ in held} - learned == NEW_METALS


def by_lattice(boundaries):
    """The same with the lattice in place of the element."""
    lattice = dict.fromkeys(["W", "Fe", "Ta", "V"], "bcc")
    return {(lattice.get(element, "fcc"), *named) for element, *named in boundaries}


def planes(metals, *files):
    """Element, Sigma, axis and lower plane of the boundaries in the files of some metals."""
    found = set()
    for metal in metals:
        for file in files:
            for one in load_campaign_or_set(shipped(file.format(metal))).members().values():
                named = one.boundary
                plane = named.axis if named.twist else named.plane
                found.add((named.symbols[0], named.sigma, tuple(named.axis), tuple(plane)))
    return found
