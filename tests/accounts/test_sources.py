"""What each source cost and found, from the rows and the ledger of made-up campaigns."""

from types import SimpleNamespace

import numpy as np
import pytest

from gcd_hpc.accounts.sources import _unique_low, sources_of, spending_of
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from tests.campaign.histories import finished, opened, state_after
from tests.store.synthetic import CONFIG, make_candidate

PLAN = Plan(1, 1, 1)


def row(index, source, energy, num_extra, cpu_s, *, move="", version=0, round=0):
    """A relaxed candidate at [n] = num_extra / 10."""
    name = f"{source}-{round:02d}-{index:06d}" if source != "search" else f"search-{index:06d}"
    more = {"id": name, "source": source, "version": version, "round": round, "move": move}
    made = make_candidate(index, num_atoms=30 + num_extra, gb_energy_j_m2=energy, cpu_s=cpu_s)
    return type(made)(**(vars(made) | more))


@pytest.fixture
def run(tmp_path):
    """A search, moves, a model's candidates, and moves of its round with one by the model."""
    parts = {
        "search/part-00000": [
            row(0, "search", 3.0, 2, 4.0),
            row(1, "search", 2.6, 2, 4.0),
            row(2, "search", 2.9, 3, 2.0),
        ],
        "explore-00/part-00000": [
            row(0, "explore", 2.5, 2, 1.0, move="insert"),
            row(1, "explore", 2.9, 2, 3.0, move="shake"),
        ],
        "model-01/relaxed/part-00000": [
            row(0, "model", 2.8, 3, 5.0, version=1, round=1),
            row(1, "model", 2.4995, 2, 5.0, version=1, round=1),
        ],
        "explore-01/part-00000": [
            row(0, "explore", 2.7, 3, 1.0, move="insert", round=1),
            row(1, "explore", 2.4, 4, 1.0, move="inpaint", version=1, round=1),
        ],
    }
    for name, rows in parts.items():
        write_part(tmp_path / f"run/parts/{name}.h5", rows, {"config": CONFIG})
    return open_run(tmp_path / "run")


STATE = state_after(
    [
        opened(PLAN),
        finished("search-00000", seconds=20.0),
        finished("explore-00-00000", seconds=8.0),
        *(finished("select-01", seconds=1.0), finished("train-01", seconds=90.0)),
        finished("promote-01", seconds=9.0),
        *(finished("sample-01", seconds=4.0), finished("relax-01-00000", seconds=16.0)),
        finished("explore-01-00000", seconds=6.0),
        finished("train-02", seconds=50.0),
    ]
)


def test_each_source_has_its_tries_its_core_seconds_and_its_findings(run):
    found = {
        one.source: (one.tries, one.core_s, one.improvements, one.unique_low, one.lowest_of)
        for one in sources_of(run, STATE)
    }
    # Model 1 came within 1 mJ/m^2 of what an insertion had found at 0.2: that is no improvement.
    assert found == {
        "search": (3, 20.0, 3, 3, ()),
        "inpaint": (1, 3.0, 1, 1, (0.4,)),
        "insert": (2, 2.0 + 3.0, 2, 2, (0.2, 0.3)),
        "shake": (1, 6.0, 0, 1, ()),
        "model 01": (2, 4.0 + 16.0 + 100.0, 1, 2, ()),
        "model 02": (0, 50.0, 0, 0, ()),
    }
    assert [one.group for one in sources_of(run, STATE)] == [
        *("search", "model", "exploration", "exploration", "model", "model")
    ]


def test_the_sources_share_all_core_seconds_of_the_ledger(run):
    total = sum(done.core_s for done in STATE.finished.values())
    assert sum(one.core_s for one in sources_of(run, STATE)) == pytest.approx(total)
    assert spending_of(run, STATE).total_s == pytest.approx(total)


def test_rows_follow_one_another_as_the_campaign_made_them_and_a_model_is_paid_for_first(run):
    spending = spending_of(run, STATE)
    ids = run[spending.order].columns(["id"])["id"].tolist()
    assert ids[3] == "explore-00-000000" and ids[5] == "model-01-000000"
    assert ids[-1] == "explore-01-000001"
    expected = [8, 16, 20, 22, 28, 28 + 100 + 10, 148, 151, 154]
    assert spending.until() == pytest.approx(np.array(expected))


def test_without_a_ledger_the_times_of_the_rows_are_counted(run):
    merged = open_run(RunStore(run.path).merge())
    costs = {one.source: one.core_s for one in sources_of(merged, None)}
    assert costs == {
        **{"search": 10.0, "inpaint": 1.0, "insert": 2.0, "shake": 3.0},
        "model 01": 10.0,
    }


def test_a_run_without_candidates_has_no_sources(tmp_path):
    (tmp_path / "parts").mkdir()
    assert sources_of(open_run(tmp_path), None) == []


@pytest.mark.parametrize("energy", [1e300, 1e308])
def test_huge_energies_of_a_damaged_file_are_counted_and_no_error(energy):
    columns = {"n_index": np.array([0, 0]), "gb_energy_j_m2": np.array([energy, energy])}
    run = SimpleNamespace(provenance={})
    found = _unique_low(columns, np.array(["search", "insert"]), run)
    assert found == {"search": 1, "insert": 1}


def test_the_search_and_the_model_of_round_0_each_pay_for_their_own_stages(tmp_path):
    parts = {
        "search/part-00000": [row(0, "search", 3.0, 2, 4.0)],
        "model-00/relaxed/part-00000": [row(0, "model", 2.8, 3, 4.0)],
        "explore-00/part-00000": [row(0, "explore", 2.5, 2, 1.0, move="inpaint-window")],
    }
    for name, rows in parts.items():
        write_part(tmp_path / f"run/parts/{name}.h5", rows, {"config": CONFIG})
    state = state_after(
        [
            opened(Plan(1, 1, 0, has_model=True)),
            *(finished("search-00000", seconds=20.0), finished("sample-00", seconds=6.0)),
            *(finished("relax-00-00000", seconds=1.0), finished("explore-00-00000", seconds=3.0)),
        ]
    )
    run = open_run(tmp_path / "run")
    sources = sources_of(run, state)
    assert [(one.source, one.group, one.core_s) for one in sources] == [
        ("search", "search", 20.0),
        ("inpaint-window", "model", 3.0),
        ("model 00", "model", 7.0),
    ]
    assert spending_of(run, state).until().tolist() == [20.0, 27.0, 30.0]
