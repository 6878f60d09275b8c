"""Numbers of the ranking experiment: the best of several, hits, and core-seconds to a hit."""

import numpy as np
import pytest

from gcd_hpc.experiments.ranking import (
    HOLD_OUTS,
    METHODS,
    RankingBudget,
    best_of,
    correlations,
    loop_times,
    savings,
    study,
    tries_of,
)
from gcd_hpc.experiments.ranking_figures import LINES, ranking_figure
from gcd_hpc.experiments.work import Workshop

TINY = RankingBudget(
    num_tries=6,
    generations=1,
    num_rows=8,
    num_loops=1,
    loop_s=2.0,
    num_steps=2,
    tries=(1, 2),
    overrides=(
        "search.md.probability=0",
        "explore.chains=2",
        "explore.chains_per_task=2",
        "explore.chain_length=2",
    ),
)
RNG = np.random.default_rng(0)
ENERGY = np.concatenate([2.0 + 0.05 * np.arange(20), 3.0 + 0.05 * np.arange(20)])
N_INDEX = np.repeat([0, 1], 20)


def table(network):
    """Rows whose estimates by the network are given; relaxation takes 1 s, an estimate 0.1 s."""
    num = len(ENERGY)
    costs = {"made_s": 0.0, "relax_s": 1.0, "network_s": 0.1, "cg1_s": 0.1, "cg20_s": 0.5}
    return {
        "energy": ENERGY,
        "n_index": N_INDEX,
        "kind": np.full(num, "search"),
        "network": network,
        **{name: RNG.standard_normal(num) for name in METHODS if name != "network"},
        **{name: np.full(num, seconds) for name, seconds in costs.items()},
    }


def test_the_best_of_several_is_of_one_n_and_one_alone_is_random():
    rng = np.random.default_rng(1)
    chosen = best_of(ENERGY, N_INDEX, 30, rng)
    # Of thirty draws from twenty rows one is nearly always among the lowest three.
    assert np.isin(chosen, [0, 1, 2, 20, 21, 22]).mean() > 0.95
    alone = best_of(ENERGY, N_INDEX, 1, rng)
    # 4,000 draws of 40 rows: 100 of each, with a standard deviation of 10.
    assert np.bincount(alone, minlength=40).min() > 50


def test_rows_without_an_estimate_are_taken_last():
    estimates = ENERGY.copy()
    estimates[:10] = np.nan
    chosen = best_of(estimates, N_INDEX, 30, np.random.default_rng(1))
    assert not np.isin(chosen, np.arange(10)).any()


def test_a_perfect_ranker_saves_and_a_blind_one_costs():
    found = savings(table(ENERGY), (1, 4), np.random.default_rng(2))["network"]
    # One row in twenty is a hit; the best of four is one with 1 - (19/20)^4 = 0.185.
    assert found["1"]["share_of_hits"] == pytest.approx(0.05, abs=0.015)
    assert found["4"]["share_of_hits"] == pytest.approx(0.185, abs=0.025)
    assert found["4"]["core_s"] == pytest.approx(1.4 / found["4"]["share_of_hits"])
    blind = savings(table(np.zeros(40)), (1, 4), np.random.default_rng(2))["network"]
    assert blind["4"]["core_s"] > 1.2 * blind["1"]["core_s"]


def test_what_is_saved_is_measured_on_tries_alone():
    rows = table(ENERGY) | {"kind": np.repeat(["search", "insert", "fresh", "shift"], 10)}
    kept = tries_of(rows | {"core_s": np.array(1.0)})
    assert list(np.unique(kept["kind"])) == ["fresh", "search"]
    assert {len(values) for values in kept.values()} == {20}


def test_the_figure_shows_all_methods_and_loops_that_did_not_reach_the_target():
    traces = [
        {"spent_s": np.array([1.0, 2.0]), "lowest_j_m2": np.array([2.5, lowest])}
        for lowest in (2.4, 2.3)
    ]
    rows = table(ENERGY)
    loops = loop_times(traces, 2.3)
    assert loops["core_s"] == {"without": [np.inf], "with": [2.0]}
    numbers = {
        "rank_correlation": dict.fromkeys(HOLD_OUTS, correlations(rows)),
        "core_s_a_hit": {name: savings(rows, (1, 2), np.random.default_rng(3)) for name in LINES},
        "loops": loops,
    }
    assert numbers["rank_correlation"]["n"]["network"] == pytest.approx(1.0)
    figure = ranking_figure(numbers)
    assert len(figure.axes) == 3
    assert len(figure.axes[0].patches) == len(HOLD_OUTS) * len(METHODS)


@pytest.mark.slow
@pytest.mark.lammps
def test_a_small_study_measures_every_hold_out_and_explores_to_a_finite_energy(
    tmp_path, one_by_one
):
    found = study(Workshop(tmp_path), TINY).numbers
    # 1. A model that learned from two cells had rows of both.
    learned = found["num_rows_learned"]
    assert learned["some"] < learned["all"] < learned["two"]
    # 2. Each hold-out has its rows and the costs of all methods.
    assert set(found["num_measured"]) == set(HOLD_OUTS)
    for spent in found["core_s_a_structure"].values():
        assert min(value for name, value in spent.items() if name != "made_s") > 0
    # 3. The target is an energy that a search found, whatever failed beside it.
    target = found["loops"]["target_j_m2"]
    assert 2.29 < target < 4
    for times in found["loops"]["core_s"].values():
        assert len(times) == 1
