"""What a task tells the driver, in memory and in the ledger."""

import json

import pytest

from gcd_hpc.stages.result import StageResult, relaxed_result
from gcd_hpc.store.schema import Candidate


def row(index: int, num_atoms: int, energy: float, **changes) -> Candidate:
    fields = {"status": "ok", "num_atoms": num_atoms, "n_index": num_atoms % 10} | changes
    return Candidate(
        id=f"search-{index:06d}",
        source="search",
        version=0,
        round=0,
        index=index,
        seed=0,
        gb_energy_j_m2=energy,
        **fields,
    )


def test_a_result_comes_back_from_json_as_it_was():
    result = StageResult(
        num=3,
        ok=2,
        failed=1,
        quarantined=1,
        seconds=1.5,
        atoms_per_plane=7,
        best={3: 2.29688, 0: 3.5},
        low=((3, 2.2969),),
        queue=(((3, 2.4), (6, 3.0)), ()),
    )
    assert StageResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    verdict = StageResult(model=1, promoted=False, reason="its hold-out loss")
    assert StageResult.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_the_ledger_holds_fractions_so_that_older_ledgers_are_read_alike():
    result = StageResult(num=1, ok=1, atoms_per_plane=10, best={2: 2.3}, low=((2, 2.3),))
    plain = result.to_json()
    assert (plain["best"], plain["low"]) == ({"0.2": 2.3}, [[0.2, 2.3]])
    del plain["atoms_per_plane"]  # as before this number was kept
    assert StageResult.from_json(plain, atoms_per_plane=10) == result


@pytest.mark.parametrize(
    "plain", [{"best": [1]}, {"low": [1]}, {"low": 3}, {"best": {"x": 1}}, {"queue": [[["a", 1]]]}]
)
def test_a_result_of_another_kind_is_refused(plain):
    with pytest.raises(ValueError, match="not the result of a task"):
        StageResult.from_json({"atoms_per_plane": 10} | plain)


def test_a_chunk_reports_the_lowest_of_each_n_and_what_lies_near_it():
    rows = [
        row(0, 102, 2.5),
        row(1, 112, 2.3),
        row(2, 112, 2.9),
        row(3, 104, 3.0),
        row(4, 104, float("nan"), status="failed", failure="bug"),
    ]
    result = relaxed_result(rows, 10, 1.0, 0.25, {2: 2.3, 4: 2.0})
    assert (result.num, result.ok, result.failed, result.quarantined) == (5, 4, 1, 1)
    assert result.best == {2: 2.3, 4: 3.0}
    assert result.low == ((2, 2.5), (2, 2.3))
