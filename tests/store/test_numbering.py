"""Numbers for the distinct values of columns."""

import numpy as np
import pytest

from gcd_hpc.store.numbering import distinct, numbered, text_ranks


def test_distinct_combinations_give_back_every_row():
    rng = np.random.default_rng(0)
    texts = np.array(["a", "b", "", "c"], dtype=object)
    columns = {"one": texts[rng.integers(0, 4, 200)], "two": rng.integers(-3, 3, 200)}
    columns["two"][:5] = 10**12
    found, places = distinct(columns, ["one", "two"])
    rows = list(zip(*(values.tolist() for values in columns.values()), strict=True))
    assert [found[place] for place in places.tolist()] == rows
    assert len(found) == len(set(found)) == len(set(rows))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.float64, object])
@pytest.mark.parametrize("span", [3, 200])
def test_rows_are_numbered_by_the_distinct_values_of_a_column(kind, span):
    values = np.random.default_rng(0).integers(0, span, 300)
    values = values - (span // 2 if kind is not np.uint8 else 0)
    column = np.array([f"{value}" for value in values], object) if kind is object else values
    column = column.astype(kind)
    found, place = numbered(column)
    assert len(found) == len(set(found)) == len(set(column.tolist()))
    assert [found[one] for one in place.tolist()] == column.tolist()
    if kind is not object:
        assert found == sorted(found)


def test_no_row_and_rows_far_apart_are_numbered_too():
    assert numbered(np.empty(0, dtype=np.int64))[0] == []
    found, place = numbered(np.array([7, -(2**62), 7]))
    assert found == [-(2**62), 7] and place.tolist() == [1, 0, 1]


def test_ranks_order_texts_as_python_does():
    texts = ["b", "", "ü", "a", "b", "Z", "z", "", "𝄞"]
    ranks = text_ranks(np.array(texts, dtype=object)).tolist()
    assert ranks == [sorted(set(texts)).index(text) for text in texts]
    assert text_ranks(np.empty(0, dtype=object)).tolist() == []
