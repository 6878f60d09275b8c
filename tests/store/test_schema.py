"""The fields that follow from the annotations of Candidate, and the page made of them."""

import dataclasses
import re
import shutil
from math import isfinite
from pathlib import Path

import pytest

from gcd_hpc.store.hdf5 import START
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.schema import ATOM_FIELDS, FIELDS, SCHEMA_VERSION, Candidate, candidate_id
from gcd_hpc.store.schema_page import schema_page, schema_table
from tests.store.synthetic import make_candidate

PAGE = Path(__file__).parents[2] / "docs" / "schema.md"
GOLDEN = Path(__file__).parent / "golden_v5.h5"


def test_no_field_is_younger_than_the_schema():
    assert all(1 <= field.since <= SCHEMA_VERSION for field in FIELDS)


def test_numbers_have_a_unit_and_text_has_none():
    assert all(
        bool(field.unit) == (field.kind in ("int", "float"))
        for field in FIELDS
        if field.kind != "bool"
    )


def test_ids_name_source_round_and_index():
    assert candidate_id("search", 0, 123) == "search-000123"
    assert candidate_id("model", 1, 45) == "model-01-000045"
    assert candidate_id("quench", 0, 7) == "quench-00-000007"


def test_atoms_that_are_not_known_are_nan():
    candidate = Candidate("search-000000", "search", 0, 0, 0, 0, "failed", num_atoms=5)
    assert all(len(getattr(candidate, field.name)) == 5 for field in ATOM_FIELDS)
    assert (candidate.positions != candidate.positions).all()


@pytest.mark.parametrize(("field", "value"), [("source", "guess"), ("status", "fine")])
def test_unknown_words_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be one of .*, got '{value}'"):
        dataclasses.replace(make_candidate(0), **{field: value})


def test_arrays_must_fit_the_number_of_atoms():
    with pytest.raises(
        ValueError,
        match=r"search-000000: unrelaxed_positions must have the shape \(31, 3\), got \(30, 3\)",
    ):
        dataclasses.replace(make_candidate(0, num_atoms=30), num_atoms=31)


def test_defaults_of_labelled_text_are_labels():
    assert all(field.default in field.labels for field in FIELDS if field.labels)


def test_the_docs_table_names_every_dataset_with_its_type_shape_and_unit():
    text = schema_table()
    assert all(f"| `{field.path}` |" in text for field in (*FIELDS, START))
    assert "| `structures/gb_energy_j_m2` | float64 | (candidates) | J/m^2 | 1 |" in text
    assert "| `atoms/positions` | float64 | (sum of num_atoms, 3) | Å | 1 |" in text
    assert "one of nothing, `physics`, `bug` |" in text


def test_the_page_of_the_schema_is_made_from_the_table_in_code():
    assert PAGE.read_text(encoding="utf-8") == schema_page(), (
        "python -m gcd_hpc.store.schema_page > docs/schema.md"
    )


def test_what_the_page_says_of_reading_without_us_is_true(tmp_path, monkeypatch, capsys):
    """Its snippets, run one after the other on the golden file, without this package."""
    shutil.copyfile(GOLDEN, tmp_path / "results.h5")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 2
    assert not any("gcd_hpc" in snippet for snippet in snippets)
    namespace = {}
    try:
        for snippet in snippets:
            exec(snippet, namespace)
    finally:
        namespace["file"].close()
    said = capsys.readouterr().out
    assert "one row a candidate" in said
    lowest = min(
        read_part(GOLDEN), key=lambda row: (not isfinite(row.gb_energy_j_m2), row.gb_energy_j_m2)
    )
    assert f"{lowest.id} {lowest.gb_energy_j_m2}" in said
