"""The ablations: one change a variant, the same work for each, and what is counted; the whole in
small among the slow tests.
"""

import json

import numpy as np
import pytest

from gcd_hpc.experiments.ablation_figures import ablation_figure, places
from gcd_hpc.experiments.ablations import (
    BUDGETS,
    MODELS,
    QUICK,
    VARIANTS,
    AblationBudget,
    compare,
    lowest_known,
    model_config,
    num_evaluations,
    num_steps,
    quality,
    shared_overrides,
    variant_config,
)
from gcd_hpc.experiments.boundary import BUDGETS as DATA_BUDGETS
from gcd_hpc.experiments.boundary import BoundaryBudget, base_config
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.work import Workshop

TINY_DATA = BoundaryBudget(
    "w_sigma5_withheld.yaml",
    ("search.num_tries=12", "search.chunk_size=3", "search.md.probability=0"),
    1,
    1,
    2,
    2,
    2,
)
TINY = AblationBudget(
    num_steps=6,
    num_blocks=1,
    block_size=2,
    overrides=(
        "network.width=8",
        "network.num_blocks=1",
        "training.batch_size=2",
        "sampling.batch_size=2",
        "decoder.num_steps=5",
    ),
)
LEARNT_BY_A_MODEL = ("voxels", "diffusion", "network", "training")


def rows(*pairs):
    """Columns of relaxed structures: ([n], energy) each."""
    n, energy = np.array(pairs, dtype=float).T
    return {
        "status": np.where(np.isfinite(energy), "ok", "invalid"),
        "n_fraction": n,
        "gb_energy_j_m2": energy,
    }


@pytest.fixture(scope="module")
def shared():
    return shared_overrides(base_config(3, DATA_BUDGETS["quick"]), QUICK)


def changed(config, base):
    """Dotted names of the keys in which a config differs from another, its number of training steps
    left out.
    """
    pairs = {}
    for section in type(base).model_fields:
        ours, theirs = getattr(config, section), getattr(base, section)
        if hasattr(ours, "model_dump"):
            theirs = theirs.model_dump()
            pairs |= {
                f"{section}.{key}": (value, theirs[key]) for key, value in ours.model_dump().items()
            }
        else:
            pairs[section] = (ours, theirs)
    return {
        key for key, (mine, other) in pairs.items() if mine != other and key != "training.num_steps"
    }


def test_a_variant_changes_one_choice_and_nothing_else(shared):
    base = model_config(shared, QUICK, "base")
    changes = {row.stem: changed(variant_config(shared, QUICK, row), base) for row in VARIANTS}
    assert len(changes) == len(VARIANTS)
    for row in VARIANTS:
        found = changes[row.stem]
        if row.table == "base":
            assert not found
        elif row.table == "solver":
            assert found <= {"sampling.solver", "sampling.num_steps"} and found
        elif row.table == "in-painting":
            assert found - {"sampling.resamples"} == {"diffusion.inpainting"}
        else:
            assert len(found) == 1


def test_variants_of_one_model_differ_in_how_they_sample_it_only(shared):
    for row in VARIANTS:
        model, config = model_config(shared, QUICK, row.model), variant_config(shared, QUICK, row)
        assert all(
            getattr(config, section) == getattr(model, section) for section in LEARNT_BY_A_MODEL
        ), row


def test_the_solvers_are_compared_at_equal_numbers_of_evaluations(shared):
    numbers = [
        num_evaluations(variant_config(shared, QUICK, row))
        for row in VARIANTS
        if row.table == "solver"
    ]
    assert numbers == [15, 30, 60, 15, 30, 60]
    by_label = {
        row.label: num_evaluations(variant_config(shared, QUICK, row))
        for row in VARIANTS
        if row.table == "in-painting"
    }
    assert by_label == {"RePaint, each step once": 12, "RePaint, each step 5 times": 60}


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_all_variants_are_of_the_data_sets_own_boundary_and_relaxed_alike(budget):
    data = base_config(3, DATA_BUDGETS[budget])
    config = model_config(shared_overrides(data, BUDGETS[budget]), BUDGETS[budget], "base")
    assert (config.boundary, config.potential, config.seed) == (data.boundary, data.potential, 3)
    assert (config.voxels.shape, config.voxels.known) == (data.voxels.shape, data.voxels.known)
    assert (config.relaxation.preset, config.relaxation.screen) == ("tight", False)
    assert (config.selection.min_energy_j_m2, config.selection.max_energy_j_m2) == (None, None)


def test_dearer_steps_are_fewer_so_that_all_models_cost_the_same():
    work = {name: num_steps(QUICK, name) * model.step_cost for name, model in MODELS.items()}
    assert work == {name: pytest.approx(QUICK.num_steps, rel=0.01) for name in MODELS}


def test_the_lowest_energies_are_those_of_all_variants_and_the_search_together():
    assert lowest_known([rows((0.2, 2.5), (0.4, np.nan)), rows((0.2, 2.3), (0.4, 2.7))]) == {
        0.2: 2.3,
        0.4: 2.7,
    }


def test_shares_are_of_all_candidates_and_energies_of_those_that_relaxed():
    found = quality(
        rows((0.2, 2.297), (0.2, 2.45), (0.4, 2.9), (np.nan, np.nan)), {0.2: 2.297, 0.4: 2.469}
    )
    assert (found["candidates"], found["valid"]["hits"], found["near"]["hits"]) == (4, 3, 2)
    assert found["near"]["share"] == 0.5
    assert (found["phases"]["[1/5]"]["hits"], found["phases"]["[2/5]"]["hits"]) == (1, 0)
    assert found["median_above_lowest_j_m2"] == pytest.approx(0.153)
    low, high = found["near"]["wilson_95"]
    assert 0.1 < low < 0.5 < high < 0.9


def test_a_variant_without_one_relaxed_candidate_has_no_median():
    found = quality(rows((np.nan, np.nan)), {})
    assert found["median_above_lowest_j_m2"] is None
    assert found["valid"]["share"] == 0.0


def test_the_figure_has_a_row_a_variant_with_gaps_between_tables():
    heights = places(["base", "solver", "solver", "patch"])
    assert heights == [0.0, -1.5, -2.5, -4.0]
    measured = quality(rows((0.2, 2.297), (np.nan, np.nan)), {0.2: 2.297})
    numbers = {
        "variants": [{"table": row.table, "label": row.label, **measured} for row in VARIANTS]
    }
    axes = ablation_figure(numbers, [0.1] * len(VARIANTS)).axes
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [
        f"{row.table}: {row.label}" for row in VARIANTS
    ]
    assert axes[-1].get_xscale() == "log"


@pytest.mark.slow
@pytest.mark.lammps
def test_all_variants_are_made_and_a_rerun_makes_the_same_numbers(tmp_path):
    first, again, elsewhere = (
        compare(Workshop(tmp_path / name, "quick", 5), TINY, TINY_DATA)
        for name in ("one", "one", "two")
    )
    text = json.dumps(plain(first.numbers), allow_nan=False)
    assert json.dumps(plain(again.numbers)) == json.dumps(plain(elsewhere.numbers)) == text
    assert again.costs == first.costs
    assert (
        len(first.numbers["variants"]) == len(VARIANTS) == len(first.costs["sampling a candidate"])
    )
    assert all(row["candidates"] == 2 for row in first.numbers["variants"])
    assert all(np.isfinite(loss) and loss > 0 for loss in first.numbers["hold_out_loss"].values())
