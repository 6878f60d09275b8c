"""The experiment on the grain boundary, in small but with every part real, and how its hits are
counted.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.shipped import shipped
from gcd_hpc.experiments.boundary import (
    QUICK,
    BoundaryBudget,
    base_config,
    model_config,
    shares,
    study,
)
from gcd_hpc.experiments.boundary_numbers import (
    PHASES,
    cost_numbers,
    joined,
    method_numbers,
    phase_hits,
)
from gcd_hpc.experiments.boundary_tasks import lowest_structure, search_chunks, varied
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.runs import open_run
from gcd_hpc.experiments.work import Workshop
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.store.schema import Candidate

SMALL = (
    *(
        "search.num_tries=24",
        "search.chunk_size=6",
        "search.md.probability=0",
        "network.width=8",
        "network.num_blocks=1",
    ),
    *(
        "training.num_steps=6",
        "training.batch_size=2",
        "training.checkpoint_every=6",
        "sampling.num_steps=3",
        "sampling.batch_size=2",
    ),
    *("selection.min_energy_j_m2=2.0", "selection.max_energy_j_m2=4.5"),
)
TINY = BoundaryBudget(
    "w_sigma5_withheld.yaml",
    SMALL,
    num_models=2,
    num_blocks=2,
    block_size=2,
    num_rival=6,
    num_more_tries=4,
)


def rows(*triples):
    """Columns of relaxed structures: ([n], tight energy, loose energy) each."""
    n, energy, loose = np.array(triples, dtype=float).T
    return {
        "status": np.where(np.isfinite(energy), "ok", "failed"),
        **{
            "n_fraction": n,
            "gb_energy_j_m2": energy,
            "screen_gb_energy_j_m2": loose,
            "core_s": np.array(2.0 * len(n)),
        },
    }


def test_a_hit_has_the_phases_fraction_and_its_energy():
    arrays = rows(
        (0.2, 2.2969, 2.31),
        (0.2, 2.31, 2.33),
        (0.4, 2.297, 2.3),
        (0.4, 2.4688, 2.6),
        (0.2, np.nan, np.nan),
    )
    assert phase_hits(arrays, PHASES[0]).tolist() == [True, False, False, False, False]
    assert phase_hits(arrays, PHASES[0], "paper").tolist() == [True, True, False, False, False]
    assert phase_hits(arrays, PHASES[1]).tolist() == [False, False, True, True, False]


def test_failed_tries_count_as_tries():
    numbers = method_numbers(
        rows((0.2, 2.297, 2.3), (0.2, np.nan, np.nan), (0.3, 2.7, 2.8), (0.3, 2.65, 2.7))
    )
    assert (numbers["tries"], numbers["relaxed"]) == (4, 3)
    assert numbers["phases"]["[1/5]"]["rate"] == 0.25
    assert numbers["lowest_j_m2"] == {"0.2": 2.297, "0.3": 2.65}


def test_joined_blocks_keep_their_order_and_add_up_their_core_seconds():
    both = joined([rows((0.1, 3.0, 3.1)), rows((0.2, 2.5, 2.6), (0.3, 2.4, 2.5))])
    assert both["n_fraction"].tolist() == [0.1, 0.2, 0.3]
    assert both["core_s"] == 6.0


def test_the_search_gets_the_core_seconds_of_search_training_and_one_model():
    hit, miss = (0.2, 2.297, 2.3), (0.2, 2.6, 2.7)
    search = rows(*[miss] * 5, *[hit] * 10)  # 2 core-seconds a try
    trained, sampled = (
        [{"core_s": np.array(8.0)}, {"core_s": np.array(4.0)}],
        {"core_s": np.array(2.0)},
    )
    costs = cost_numbers(
        search, 5, trained, sampled, rows(hit, hit, hit, miss), {"rival": rows(hit, miss)}
    )
    assert (costs["search"], costs["training"], costs["sampling"], costs["relaxation"]) == (
        10.0,
        12.0,
        2.0,
        8.0,
    )
    assert costs["search_training_and_one_model"] == 10.0 + (12.0 + 2.0 + 8.0) / 2
    assert costs["[1/5]"]["hits_of_the_search_in_that_time"] == 5, "10 of the 15 tries"
    assert costs["[1/5]"]["hits_of_one_model"] == 1.5
    per_1000 = costs["[1/5]"]["hits_per_1000_core_s"]
    assert per_1000 == pytest.approx(
        {
            "model, search and training counted": 1000 * 1.5 / 21,
            "model, once trained": 300.0,
            "search with dynamics": 1000 / 3,
            "rival": 250.0,
        }
    )


@pytest.mark.parametrize(("start", "stop"), [(0, 20), (7, 9), (0, 0), (1_000_000, 1_001_000)])
def test_shares_cover_a_range_once(start, stop):
    assert [index for first, last in shares(start, stop) for index in range(first, last)] == list(
        range(start, stop)
    )


def test_the_models_campaign_differs_from_the_data_sets_only_in_seed_and_selection():
    base = base_config(3, QUICK)
    assert model_config(base, 3, withheld=True) == base
    other = model_config(base, 4, withheld=False)
    assert (other.selection.min_energy_j_m2, other.selection.max_energy_j_m2) == (None, None)
    assert other.model_copy(update={"seed": 3, "selection": base.selection}) == base


def test_the_withheld_campaign_hides_both_phases():
    selection = load_campaign(shipped("campaigns") / QUICK.campaign).selection
    assert selection.min_energy_j_m2 > max(phase.gb_energy_j_m2 for phase in PHASES)
    assert (selection.min_energy_j_m2, selection.max_energy_j_m2) == (2.6, 2.8)


@pytest.mark.lammps
def test_variations_of_a_structure_touch_its_boundary_only(tmp_path):
    system = load_boundary_system(str(open_run(tmp_path, "run", base_config(0, TINY))))
    positions = system.frame.join((0.0, 0.0, 0.0)).positions
    origin = Candidate(
        "search-000000", "search", 0, 0, 0, 0, "ok", num_atoms=len(positions), positions=positions
    )
    far = np.abs(positions[:, 2] - system.frame.centre) > 10.0
    outer = {tuple(row) for row in positions[far].round(6)}
    assert np.array_equal(varied(system, origin, "again", 0, np.random.default_rng(0)), positions)
    counts = set()
    for index in range(60):
        rattled = varied(system, origin, "rattled", index, np.random.default_rng(index))
        mutated = varied(system, origin, "mutated", index, np.random.default_rng(index))
        assert len(rattled) == len(positions)
        assert not np.allclose(rattled, positions, atol=0.05)
        assert all(
            outer <= {tuple(row) for row in changed.round(6)} for changed in (rattled, mutated)
        )
        counts.add(len(mutated) - len(positions))
    assert counts == {-3, -2, -1, 1, 2, 3}


@pytest.mark.lammps
def test_atoms_of_the_lowest_structure_fit_their_grains_far_from_the_boundary(tmp_path):
    run_dir = open_run(tmp_path, "run", base_config(0, TINY))
    found = search_chunks(run_dir, 0, 2, lambda fraction: None)
    arrays = lowest_structure(run_dir, 2, 9.0, lambda fraction: None)
    heights = arrays["positions"][:, 2]
    assert len(found["status"]) == 12
    assert np.all((arrays["positions"] >= 0) & (arrays["positions"] < arrays["lengths"]))
    assert arrays["misfit"][np.abs(heights - 9.0) > 7.0].max() < 0.1
    assert arrays["misfit"].max() > 0.2


@pytest.mark.slow
@pytest.mark.lammps
def test_a_small_study_runs_whole_and_what_it_has_done_is_kept(tmp_path, one_by_one):
    first = study(Workshop(tmp_path), TINY, withheld=True)
    kept = study(Workshop(tmp_path), TINY, withheld=True)
    assert json.dumps(plain(kept.numbers)) == json.dumps(plain(first.numbers))
    methods = first.numbers["methods"]
    assert methods["model"]["tries"] == 8
    assert methods["search with dynamics"]["tries"] == 28
    assert {numbers["tries"] for name, numbers in methods.items() if "again" not in name} == {
        8,
        28,
        6,
    }
    assert first.numbers["data_set"]["tries"] == 24
    assert set(first.costs["rivals"]) == set(methods) - {"model"}
    assert min(first.costs[name] for name in ("search", "training", "sampling", "relaxation")) > 0


@pytest.mark.slow
@pytest.mark.lammps
def test_a_study_gives_the_same_numbers_in_another_folder_and_on_other_workers(
    tmp_path, one_by_one, monkeypatch
):
    alone = study(Workshop(tmp_path / "alone"), TINY, withheld=True)
    monkeypatch.undo()
    side_by_side = study(Workshop(tmp_path / "side-by-side"), TINY, withheld=True)
    assert json.dumps(plain(side_by_side.numbers)) == json.dumps(plain(alone.numbers))


@pytest.mark.slow
@pytest.mark.lammps
def test_variations_of_a_training_set_that_holds_the_phases_are_no_rivals(tmp_path, one_by_one):
    outcome = study(Workshop(tmp_path), replace(TINY, num_models=1), withheld=False)
    assert set(outcome.numbers["methods"]) == {
        "model",
        "search with dynamics",
        "search without dynamics",
    }
    assert outcome.numbers["withheld_j_m2"] is None
    assert outcome.numbers["training_sets"][0]["structures"] >= 12
