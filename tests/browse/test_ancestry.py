"""The line of parents of an explored structure."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from gcd_hpc.browse.ancestry import ancestry, ancestry_view
from gcd_hpc.browse.listing import list_rows, list_table
from gcd_hpc.errors import StoreError
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from tests.store.synthetic import make_candidate


def rendered(view):
    console = Console(file=StringIO(), width=140)
    console.print(view)
    return console.file.getvalue()


def explored(index, move, parents):
    return replace(make_candidate(index, "explore"), move=move, parents=parents)


@pytest.fixture
def run(tmp_path):
    rows = [
        make_candidate(0),
        explored(1, "insert", "search-000000"),
        explored(2, "crossover", "explore-00-000001 model-01-000009"),
        explored(3, "shake", "explore-00-000003"),
        explored(4, "shift", "search-000077"),
    ]
    write_part(tmp_path / "one.h5", rows, {})
    return open_run(tmp_path / "one.h5")


def test_the_line_of_first_parents_leads_back_to_a_try(run):
    line = ancestry(run, "explore-00-000002")
    assert [record["id"] for record in line] == [
        *["explore-00-000002", "explore-00-000001", "search-000000"]
    ]
    assert [record["move"] for record in line] == ["crossover", "insert", ""]
    text = rendered(ancestry_view(line))
    assert "explore-00-000001 and model-01-000009" in text
    assert text.splitlines()[-1].split()[-2:] == ["search", "-"]


def test_the_line_ends_where_the_parent_is_missing_or_the_file_goes_round_in_a_circle(run):
    assert len(ancestry(run, "explore-00-000003")) == 1
    lost = ancestry(run, "explore-00-000004")
    assert len(lost) == 1
    assert "search-000077 is not in this file" in rendered(ancestry_view(lost))


def test_an_unknown_structure_has_no_line(run):
    with pytest.raises(StoreError, match="has the id explore-09-000000"):
        ancestry(run, "explore-09-000000")


def test_a_list_names_the_move_and_the_parents_of_an_explored_structure(run):
    (line,) = [
        one for one in rendered(list_table(list_rows(run))).splitlines() if "crossover" in one
    ]
    assert "from explore-00-000001 and model-01-000009" in line
