"""What a task tells the driver, in memory and in the ledger."""

import pytest
from pydantic import TypeAdapter, ValidationError

from gcd_hpc.stages.result import StageResult, relaxed_result
from gcd_hpc.store.schema import Candidate

RESULTS = TypeAdapter(StageResult)


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
    verdict = StageResult(model=1, promoted=False, reason="its hold-out loss")
    for one in (result, verdict):
        assert RESULTS.validate_json(RESULTS.dump_json(one, exclude_defaults=True)) == one


@pytest.mark.parametrize(
    "plain",
    ['{"best":[1]}', '{"low":[1]}', '{"low":3}', '{"best":{"x":1}}', '{"queue":[[["a",1]]]}'],
)
def test_a_result_of_another_kind_is_refused(plain):
    with pytest.raises(ValidationError):
        RESULTS.validate_json(plain)


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
