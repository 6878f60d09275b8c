import numpy as np
import pytest

from gcd_hpc.errors import StoreError
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.selection import ordered, parse_selection, selected
from tests.store.synthetic import CONFIG, make_candidate

CANDIDATES = [
    make_candidate(0, num_atoms=32, gb_energy_j_m2=2.5, n_fraction=0.2, excess_volume_a=0.3),
    make_candidate(1, num_atoms=30, gb_energy_j_m2=2.9, n_fraction=1 - 1e-13),
    make_candidate(2, status="failed", reason="NaN", failure="physics"),
    make_candidate(0, "model", 1, num_atoms=33, gb_energy_j_m2=2.297, n_fraction=1 / 3),
    make_candidate(
        1, "model", 1, num_atoms=32, gb_energy_j_m2=2.5, n_fraction=0.2 + 1e-12, converged=False
    ),
    make_candidate(0, "model", 2, status="invalid", reason="two atoms too close"),
]
IDS = [candidate.id for candidate in CANDIDATES]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    write_part(run / "parts/search/part-00000.h5", CANDIDATES[:3], {"config": CONFIG})
    write_part(run / "parts/model-01/relaxed/part-00000.h5", CANDIDATES[3:5], {"config": CONFIG})
    write_part(run / "parts/model-02/relaxed/part-00000.h5", CANDIDATES[5:], {"config": CONFIG})
    return RunStore(run)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("source=model", [3, 4, 5]),
        ("n=0.2", [0, 4]),
        ("n=0", [1, 2, 5]),
        ("n=0.3333", [3]),
        ("energy<2.5", [3]),
        ("energy<=2.5 source=search", [0]),
        ("energy>2.5", [1]),
        ("status=failed,invalid", [2, 5]),
        ("status!=ok", [2, 5]),
        ("round=1,2 status=ok", [3, 4]),
        ("converged=false status=ok", [4]),
        ("failure=physics", [2]),
        ("id=model-01-000001,search-000002", [2, 4]),
        ("n=0.7", []),
        ("energy < 2.5", [3]),
        ("energy  <= 2.5  source = search", [0]),
        ("status = failed , invalid", [2, 5]),
        ("model-01-000001", [4]),
        ("a.run.search-000002", []),
        ("n=1/3", [3]),
        ("n = 1/5 , 1/3", [0, 3, 4]),
        ('reason="two atoms too close"', [5]),
        ("status=invalid reason='two atoms too close' round=2", [5]),
        ("reason != 'two atoms too close', NaN", [0, 1, 3, 4]),
        ('source = "model" status=ok', [3, 4]),
    ],
)
def test_all_words_of_a_selection_hold(text, expected, store):
    chosen = selected(store.rows(), parse_selection(text))
    assert np.flatnonzero(chosen).tolist() == expected


@pytest.mark.parametrize(
    ("name", "descending", "expected"),
    [
        ("energy", False, [3, 0, 4, 1, 2, 5]),
        ("energy", True, [1, 0, 4, 3, 2, 5]),
        ("id", False, [3, 4, 5, 0, 1, 2]),
        ("id", True, [2, 1, 0, 5, 4, 3]),
        ("status", False, [2, 5, 0, 1, 3, 4]),
        ("num_atoms", False, [1, 2, 5, 0, 4, 3]),
    ],
)
def test_rows_are_sorted_with_what_is_unknown_at_the_end(name, descending, expected, store):
    assert ordered(store.rows(), np.arange(6), name, descending).tolist() == expected


def test_ids_sort_as_their_texts(store):
    assert [IDS[row] for row in ordered(store.rows(), np.arange(6), "id")] == sorted(IDS)


@pytest.mark.parametrize("in_memory", [False, True])
def test_columns_come_in_the_order_that_was_asked_for(store, in_memory):
    rows = store.rows(in_memory)
    for _ in range(2):
        found = rows.take(["id"], np.array([4, 0, 5, 0]))["id"].tolist()
        assert found == [IDS[4], IDS[0], IDS[5], IDS[0]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "cheap",
            (
                "selection: expected FIELD=VALUE (or != < <= > >=), for example n=0.2 or"
                " energy<2.4, and quotes around a value with blanks, got cheap"
            ),
        ),
        ("energy<low", "selection: expected a number for gb_energy_j_m2, got energy<low"),
        ("energy<1,2", "selection: expected one number after <, got energy<1,2"),
        (
            "source<model",
            "selection: expected = or != for source, which is no number, got source<model",
        ),
        (
            "status=oks",
            "selection: expected one of sampled, ok, invalid, failed for status, got status=oks;"
            " did you mean ok?",
        ),
        ("converged=maybe", "selection: expected true or false for converged, got converged=maybe"),
        ("energy=nan", "selection: expected a number for gb_energy_j_m2, got energy=nan"),
        ("n=1/0", "selection: expected a number for n_fraction, got n=1/0"),
        ("round=1.5", "selection: expected a whole number for round, got round=1.5"),
        (
            "id=search-12",
            "selection: expected an id such as search-000012 or model-01-000012, got id=search-12",
        ),
    ],
)
def test_a_wrong_word_is_named(text, sentence):
    with pytest.raises(StoreError) as caught:
        parse_selection(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("text", ["colour=red", "registry=1"])
def test_a_field_that_is_none_or_no_single_value_is_refused_with_those_there_are(text):
    with pytest.raises(
        StoreError,
        match=r"^selection: expected one of n, energy, id, source, .*, got (colour|registry)$",
    ):
        parse_selection(text)


def test_an_n_between_the_planes_is_refused_with_the_nearest(tmp_path):
    write_part(tmp_path / "part.h5", [make_candidate(0, atoms_per_plane=10)], {"config": CONFIG})
    store = RunStore(tmp_path / "part.h5")
    assert not selected(store.rows(), parse_selection("n=0.7")).any()
    with pytest.raises(StoreError) as caught:
        selected(store.rows(), parse_selection("n=0.13"))
    assert str(caught.value) == (
        "selection: there can be no structure with [n] = 0.13, because [n] is a multiple of 1/10;"
        " the nearest is 0.1"
    )
