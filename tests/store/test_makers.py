"""Names under which candidates are counted."""

import numpy as np
import pytest

from gcd_hpc.store.makers import (
    MAKER_FIELDS,
    by_maker,
    group_names,
    groups,
    maker_names,
)

ROWS = [
    ("search", 0, ""),
    ("explore", 0, "insert"),
    ("explore", 0, ""),
    ("explore", 2, "inpaint"),
    ("model", 2, ""),
]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (maker_names, ["search", "insert", "exploration", "inpaint", "model 02"]),
        (groups, ["search", "exploration", "exploration", "model", "model"]),
        (group_names, ["search", "exploration", "exploration", "model 02", "model 02"]),
    ],
)
def test_moves_have_their_own_names_and_in_painting_moves_count_as_the_models(function, names):
    columns = {
        name: np.array(values, dtype=object)
        for name, values in zip(MAKER_FIELDS, zip(*ROWS, strict=True), strict=True)
    }
    assert function(columns).tolist() == names
    assert function({name: np.empty(0, dtype=object) for name in MAKER_FIELDS}).tolist() == []


def test_the_search_comes_first_and_the_models_last():
    names = ["model 02", "shake", "model 01", "insert", "search"]
    assert sorted(names, key=by_maker) == ["search", "insert", "shake", "model 01", "model 02"]
