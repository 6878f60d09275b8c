"""Numbers of the transfer experiment: what counts as a hit, times to a target, and medians."""

from math import inf

import numpy as np
import pytest
import torch

from gcd_hpc.config.learning import NetworkConfig
from gcd_hpc.config.loader import load_campaign_or_set
from gcd_hpc.config.shipped import shipped
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.transfer import TransferBudget, study
from gcd_hpc.experiments.transfer_numbers import (
    FRESH,
    MODEL,
    REGISTRIES,
    WITH,
    WITHOUT,
    hits,
    loop_numbers,
    medians,
    quotient,
    rate_numbers,
    time_to,
)
from gcd_hpc.experiments.work import Workshop
from gcd_hpc.learning.conditions import Units
from gcd_hpc.learning.model_file import ModelCard, save_model
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.voxels.channels import Channels


def tried(*pairs):
    """Columns of tries: ([n], energy) each; an energy of NaN failed."""
    n, energy = np.array(pairs, dtype=float).T
    return {
        "status": np.where(np.isfinite(energy), "ok", "failed"),
        "n_fraction": n,
        "gb_energy_j_m2": energy,
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


def test_failed_tries_count_in_the_rates():
    rows = tried((0.0, 1.0), (0.0, np.nan), (0.0, np.nan), (0.0, np.nan))
    methods = {MODEL: rows, FRESH: tried((0.0, 1.0), (0.0, 2.0)), REGISTRIES: rows}
    numbers = rate_numbers(methods, HULL)["of_all"]
    assert numbers["rates"][MODEL][0] == 0.25
    assert numbers["times_the_rate_of"][FRESH][0] == 0.5


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
    )
    assert numbers["core_s"] == {WITHOUT: [4.0, 8.0], WITH: [2.0, inf]}
    assert numbers["with_over_without"] == inf


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(2.0, 4.0, 0.5), (2.0, inf, 0.0), (inf, 2.0, inf)]
)
def test_a_time_that_is_infinite_decides_the_ratio(one, other, expected):
    assert quotient(one, other) == expected


def test_boundaries_without_a_ratio_are_left_out_of_the_medians():
    def row(rate, time):
        rates = {"times_the_rate_of": {FRESH: [rate], REGISTRIES: [1.0]}}
        both = {"of_all": rates, "of_the_same_n": rates}
        return {"rates": both, "loops": {"with_over_without": time}}

    numbers = medians(
        {
            "a": row(2.0, 0.5),
            "b": row(float("nan"), float("nan")),
            "c": row(inf, inf),
            "d": row(4.0, 0.25),
        }
    )
    assert numbers["times_the_rate_of"]["of_all"][FRESH] == 4.0
    assert numbers["with_over_without"] == 0.5


NETWORK = NetworkConfig(width=4, num_blocks=1, num_levels=1)
TINY = TransferBudget(
    num_candidates=2,
    num_seeds=1,
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
        # 3. One of the loops or tries found it, or the small cell's, which is known there too.
        assert set(row["loops"]["core_s"]) == {WITHOUT, WITH}
    for name in names:
        small, large = boundaries[name], boundaries[f"{name}_2x2"]
        lowest = min(small["lowest_known_j_m2"].values())
        assert small["lowest_tile_j_m2"] is None and large["lowest_tile_j_m2"] == lowest
        assert min(large["lowest_known_j_m2"].values()) <= lowest
    assert set(outcome.numbers["medians"]) == {"1x1", "2x2"}
    assert all(seconds > 0 for seconds in outcome.costs.values())
    again = study(workshop, TINY, str(tmp_path / "model.safetensors"))
    assert plain(again.numbers) == plain(outcome.numbers)


def test_the_budgets_name_only_boundaries_that_the_built_in_models_data_leave_out():
    learned = planes("campaigns/builtin/{}.yaml") | planes("campaigns/builtin/{}_tries.yaml")
    held = planes("campaigns/transfer/{}.yaml")
    assert len(held) >= 12 and len({element for element, *_ in held}) >= 3
    assert not learned & held
    # Other metals of the same lattice have none of these planes either, but for the twist.
    shared = by_lattice(learned) & by_lattice(held)
    assert shared == {("bcc", 5, (0, 0, 1), (0, 0, 1))}


def by_lattice(boundaries):
    """The same with the lattice in place of the element."""
    lattice = {"W": "bcc", "Fe": "bcc", "Ta": "bcc", "Cu": "fcc", "Al": "fcc", "Ni": "fcc"}
    return {(lattice[element], *named) for element, *named in boundaries}


def planes(files):
    """Element, Sigma, axis and lower plane of the boundaries in the files of all metals."""
    found = set()
    for metal in TransferBudget(1, 1, 1.0).metals:
        for one in load_campaign_or_set(shipped(files.format(metal))).members().values():
            named = one.boundary
            plane = named.axis if named.twist else named.plane
            found.add((named.symbols[0], named.sigma, tuple(named.axis), tuple(plane)))
    return found
