"""The lowest energies of a run and who found them."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from gcd_hpc.browse.listing import csv_text, detail_record, detail_view
from gcd_hpc.browse.tables import (
    Top,
    best_by_source,
    energies_table,
    find_top,
    json_text,
    plain,
    source_markdown,
    source_table,
    top_table,
)
from gcd_hpc.stages.evaluate import Evaluated
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from tests.store.synthetic import make_candidate


def rendered(table):
    console = Console(file=StringIO(), width=100)
    console.print(table)
    return console.file.getvalue()


def values(run, name, **options):
    return [row[name] for row in find_top(run, **options).records]


def test_top_is_sorted_by_energy_and_holds_no_failed_candidate(results):
    rows = find_top(results, num=100).records
    energies = [row["gb_energy_j_m2"] for row in rows]
    assert energies == sorted(energies)
    assert len(rows) == 14
    assert rows[0]["id"] == "search-000003"
    assert rows[0]["source"] == "search"


def test_top_stops_at_the_number_asked_for(results):
    assert values(results, "gb_energy_j_m2", num=3) == [2.297, 2.2971, 2.469]


def test_top_per_n_has_the_best_of_each_n_once_sorted_by_n(results):
    rows = find_top(results, per_n=True).records
    assert [(row["n_fraction"], row["gb_energy_j_m2"], row["source"]) for row in rows] == [
        (0.0, 3.0, "model"),
        (0.2, 2.297, "search"),
        (0.3, 2.65, "search"),
        (0.4, 2.469, "model"),
    ]


def test_of_equal_energies_the_first_id_leads(tmp_path):
    found = [make_candidate(index, num_atoms=32, gb_energy_j_m2=2.5) for index in (3, 1, 2)]
    write_part(tmp_path / "one.h5", [*found, make_candidate(0, gb_energy_j_m2=2.6)], {})
    results = open_run(tmp_path / "one.h5")
    assert values(results, "id", num=2) == ["search-000001", "search-000002"]
    assert values(results, "id", per_n=True) == ["search-000000", "search-000001"]


@pytest.mark.parametrize("per_n", [True, False])
def test_top_from_the_index_is_top_from_the_parts(results, per_n):
    before = find_top(results, per_n).records
    RunStore(results.path).build_index()
    assert find_top(open_run(results.path), per_n).records == before


def test_json_is_a_list_of_objects_and_unknown_numbers_are_null(results, tmp_path):
    write_part(tmp_path / "one.h5", [make_candidate(0)], {})
    (row,) = json.loads(json_text(find_top(open_run(tmp_path / "one.h5")).records))
    assert {"id", "source", "n_fraction", "gb_energy_j_m2"} <= row.keys()
    assert row["excess_volume_a"] is None
    assert row["converged"] is True


def test_sources_stand_side_by_side_with_their_numbers(results):
    comparison = best_by_source(results)
    assert comparison.sources == ("search", "model 01", "model 02")
    first = comparison.rows[0]
    assert first.n_fraction == 0.0
    assert first.best_j_m2 == {"search": 3.1, "model 01": 3.0}
    assert first.num == {"search": 2, "model 01": 2}
    tally = comparison.tallies["search"]
    assert (tally.tried, tally.ok, tally.invalid, tally.failed) == (7, 6, 0, 1)


def test_sources_within_a_millijoule_share_the_lead(results):
    second = best_by_source(results).rows[1]
    assert second.leads("search")
    assert second.leads("model 01")
    assert not second.leads("model 02")


def test_markdown_marks_the_lead_and_leaves_gaps_for_what_was_never_seen(results):
    lines = source_markdown(best_by_source(results)).splitlines()
    assert lines[0] == "| [n] | search | model 01 | model 02 |"
    assert lines[2] == "| 0 | 3.100 (2) | **3.000** (2) | - |"
    assert lines[3] == "| 0.2 | **2.297** (2) | **2.297** (2) | - |"
    assert "| failed | 1 | 1 | 1 |" in lines


def test_the_terminal_tables_show_n_in_its_brackets(results):
    assert "[n]" in rendered(source_table(best_by_source(results)))
    text = rendered(top_table(find_top(results, per_n=True)))
    assert "[n]" in text
    assert "GB energy (J/m^2)" in text
    assert "model-02-000001" in text


def test_energies_that_did_not_converge_are_marked(tmp_path):
    write_part(tmp_path / "one.h5", [make_candidate(0, converged=False)], {})
    text = rendered(top_table(find_top(open_run(tmp_path / "one.h5"))))
    assert "2.3000*" in text
    assert "not converged: an upper bound" in text


def fused(index, energy):
    """A row with two atoms in one place and the energy that this seems to gain."""
    row = make_candidate(index, gb_energy_j_m2=energy, excess_volume_a=0.3)
    row.positions[1] = row.positions[0] + 0.2
    row.energies_ev[:2] = -17.0
    return row


@pytest.mark.parametrize("energy", [-1.619, 1.9])
@pytest.mark.parametrize("per_n", [True, False])
def test_a_stored_row_that_is_no_crystal_is_never_the_best_and_said_to_be_left_out(
    tmp_path, energy, per_n
):
    path = tmp_path / "one.h5"
    write_part(path, [make_candidate(0), fused(10, energy), make_candidate(20)], {})
    top = find_top(open_run(path), per_n, num=1)
    assert [row["id"] for row in top.records] == ["search-000000"]
    assert list(top.unphysical) == ["search-000010"]
    assert "reach from -17.00" in top.unphysical["search-000010"]
    assert "search-000010 is not physical and left out" in rendered(top_table(top))
    assert best_by_source(open_run(path)).rows[0].lowest_j_m2 == pytest.approx(2.3)


def test_of_many_rows_that_are_no_crystal_a_few_are_named_and_all_are_counted(tmp_path):
    path = tmp_path / "one.h5"
    write_part(path, [make_candidate(0), *(fused(n, -n / 10) for n in range(1, 9))], {})
    top = find_top(open_run(path))
    assert (len(top.unphysical), top.num_unphysical) == (5, 8)
    assert "8 candidates are not physical and left out" in rendered(top_table(top))


@pytest.mark.parametrize("per_n", [True, False])
def test_a_run_without_candidates_has_empty_tables(empty, per_n):
    assert find_top(empty, per_n).records == []
    assert best_by_source(empty).rows == ()
    assert rendered(top_table(Top([], {}, 0)))
    assert rendered(source_table(best_by_source(empty)))


def test_names_of_files_are_never_broken_whatever_the_terminals_width():
    name = "some/long/folder/with_structures/best_of_all_that_were_found.extxyz#12"
    done = Evaluated(name, "", 261, 3, 0.31, -8.76, "ok", "", 2.8538, 0.1, 0.588)
    failed = replace(done, status="failed", reason="atoms overlap")
    console = Console(width=60, file=StringIO(), record=True)
    console.print(energies_table([done, failed]), crop=False)
    text = console.export_text()
    lines = text.splitlines()
    assert f"  1  {name}" in lines
    assert "put on the lattice, by up to 0.31 Å; 3 surface atoms" in " ".join(text.split())
    assert lines[lines.index(f"  2  {name}") + 1].strip().startswith("atoms overlap;")


def alloy_run(tmp_path, lattice, rich, poor):
    """A run of nickel and aluminium with one structure of two aluminium atoms too many."""
    config = f"boundary:\n  elements: [Ni, Al]\n  lattice: {lattice}\n"
    row = replace(
        make_candidate(0),
        formula="Ni14Al16",
        atoms_per_plane=10,
        surplus="Al+2",
        rich_gb_energy_j_m2=rich,
        poor_gb_energy_j_m2=poor,
    )
    write_part(tmp_path / "alloy.h5", [row], {"config": config})
    return open_run(tmp_path / "alloy.h5")


def test_top_of_a_compound_shows_the_surplus_and_the_energies_at_both_limits(tmp_path):
    top = find_top(alloy_run(tmp_path, "b2", 1.5254, 1.2222), per_n=True)
    assert top.records[0]["surplus"] == "Al+2"
    text = rendered(top_table(top))
    assert "Al+2" in text
    assert "1.5254 to 1.2222" in text


def test_top_of_a_compound_shows_the_n_of_each_element(tmp_path):
    top = find_top(alloy_run(tmp_path, "b2", 1.5254, 1.2222))
    assert (top.records[0]["n_Ni"], top.records[0]["n_Al"]) == (4 / 5, 1 / 5)
    text = rendered(top_table(top))
    assert "of Ni, Al" in text
    assert "0.8, 0.2" in text


def test_top_of_a_compound_as_csv_has_all_its_columns(tmp_path):
    top = find_top(alloy_run(tmp_path, "b2", 1.5254, 1.2222))
    heading, row = csv_text(top.records, top.names).splitlines()
    known = dict(zip(heading.split(","), row.split(","), strict=True))
    assert (known["surplus"], known["n_Ni"], known["n_Al"]) == ("Al+2", "0.8", "0.2")


def test_top_of_a_solid_solution_shows_one_n_of_all_atoms(tmp_path):
    """All elements share the sites of the crystal, so that none has planes of its own."""
    top = find_top(alloy_run(tmp_path, "fcc", float("nan"), float("nan")))
    assert not {"n_Ni", "n_Al"} & top.records[0].keys()
    assert "of Ni, Al" not in rendered(top_table(top))


def test_show_lists_the_n_of_each_element_of_a_compound_beside_that_of_all_atoms(tmp_path):
    candidate = alloy_run(tmp_path, "b2", 1.5254, 1.2222)[0]
    record = detail_record(candidate)
    names = [*record]
    place = names.index("n_fraction")
    assert names[place + 1 : place + 3] == ["n_Ni", "n_Al"]
    assert (record["n_Ni"], record["n_Al"]) == (4 / 5, 1 / 5)
    for every in (False, True):
        words = rendered(detail_view(candidate, "", every)).split()
        assert words[words.index("n_Ni") + 1] == "0.8"


def test_top_of_an_alloy_without_limits_shows_the_surplus_alone(tmp_path):
    text = rendered(top_table(find_top(alloy_run(tmp_path, "fcc", float("nan"), float("nan")))))
    assert "Al+2" in text
    assert "nan" not in text


def test_top_of_one_element_has_no_surplus(results):
    assert "surplus" not in find_top(results).records[0]
    assert "surplus" not in rendered(top_table(find_top(results)))


def test_numbers_that_are_not_finite_become_null_in_arrays_of_any_shape():
    numbers = np.array([[1.5, np.nan], [np.inf, -np.inf]])
    assert plain(numbers) == [[1.5, None], [None, None]] == plain(numbers.tolist())
    assert plain({"a": np.array([1, 2]), "b": (np.float32(0.5), np.array([True]))}) == {
        "a": [1, 2],
        "b": [0.5, [True]],
    }
    assert plain(np.array(["x", np.nan], dtype=object)) == ["x", None]
    assert all(type(one) is int for one in plain(np.array([1, 2], dtype=np.uint8)))
