"""Candidates of every status in a list, and all that is known of one."""

import csv
import json
from io import StringIO

import pytest
from rich.console import Console

from gcd_hpc.browse.listing import (
    LISTED,
    csv_text,
    detail_record,
    detail_view,
    list_rows,
    list_table,
    listed_fields,
    standing,
)
from gcd_hpc.browse.tables import find_top, json_text
from gcd_hpc.errors import StoreError
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.material_rows import MATERIAL_FIELDS, kind_fields
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import ATOM_FIELDS
from tests.material_run import write_material_run
from tests.store.synthetic import make_candidate

SHOWN = (*kind_fields(False), *ATOM_FIELDS)


def rendered(view, width=160):
    console = Console(file=StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


def ids(listing):
    return [record["id"] for record in listing.records]


def test_a_list_has_candidates_of_every_status_in_the_order_of_the_run(results):
    listing = list_rows(results, num=0)
    assert (len(listing.records), listing.num_selected, listing.num_all) == (17, 17, 17)
    assert ids(listing)[:3] == ["search-000000", "search-000001", "search-000002"]
    assert ids(list_rows(results, descending=True, num=2)) == ["model-02-000004", "model-02-000003"]
    assert sum(record["status"] == "failed" for record in listing.records) == 3


@pytest.mark.parametrize("indexed", [True, False])
def test_a_list_is_selected_sorted_and_cut(results, indexed):
    if indexed:
        RunStore(results.path).build_index()
        results = open_run(results.path)
    listing = list_rows(results.select("n=0.2,0.3 status=ok"), sort="energy", num=3)
    assert [record["gb_energy_j_m2"] for record in listing.records] == [2.297, 2.2971, 2.65]
    assert (listing.num_selected, listing.num_all) == (8, 17)
    assert [record["n_fraction"] for record in listing.records] == [0.2, 0.2, 0.3]
    of_search = results.select("source=search")
    highest = list_rows(of_search, sort="energy", descending=True, num=0).records
    assert highest[0]["gb_energy_j_m2"] == 3.6
    assert highest[-1]["status"] == "failed"


def test_wrong_words_and_fields_are_refused(results):
    with pytest.raises(StoreError, match="got energy"):
        list_rows(results.select("energy"))
    with pytest.raises(StoreError, match="got positions"):
        list_rows(results, sort="positions")


def test_the_table_says_how_many_of_how_many_it_shows_and_why_some_failed(results):
    text = rendered(list_table(list_rows(results.select("status=failed"), num=2)))
    assert "[n]" in text
    assert "NaN" in text
    assert "17 candidates, of which 3 with status=failed; 2 shown, --num 0 lists all" in text
    assert "shown" not in rendered(list_table(list_rows(results, num=0)))


def test_csv_and_json_hold_the_same_records_and_leave_unknown_numbers_out(results):
    listing = list_rows(results.select("status=failed"))
    rows = list(csv.DictReader(StringIO(csv_text(listing.records, LISTED))))
    assert [row["id"] for row in rows] == [
        record["id"] for record in json.loads(json_text(listing.records))
    ]
    assert rows[0]["gb_energy_j_m2"] == ""
    assert json.loads(json_text(listing.records))[0]["gb_energy_j_m2"] is None
    assert csv_text([], LISTED) == ",".join(LISTED) + "\n"


def test_top_takes_a_selection(results):
    lowest = find_top(results.select("source=model n=0.3,0.4"), num=2).records
    assert [row["id"] for row in lowest] == ["model-02-000001", "model-02-000003"]
    per_n = find_top(results.select("round=2"), per_n=True).records
    assert [row["n_fraction"] for row in per_n] == [0.3, 0.4]
    assert find_top(results.select("n=0.7")).records == []


def test_everything_known_of_a_candidate_is_shown_with_its_unit_and_meaning(results):
    (candidate,) = results[["search-000003"]]
    text = rendered(detail_view(candidate, standing(results, candidate), every=True), width=300)
    for field in SHOWN:
        assert field.name in text
        assert field.meaning[:20] in text
    assert "search-000003: 2.2970 J/m^2 at [n] = 0.2, the lowest of 4 relaxed there" in text
    assert "32 x 3 numbers" in text


def test_what_matters_of_a_candidate_fits_on_a_screen(results):
    (candidate,) = results[["search-000003"]]
    text = rendered(detail_view(candidate, standing(results, candidate), every=False), width=80)
    assert len(text.splitlines()) <= 24
    assert "2.297 J/m^2" in text
    assert "parents" not in text, "a try has none"
    assert "--all shows all" in text


def test_standing_counts_those_of_the_same_n_and_names_the_reason_of_a_failure(results):
    second, failed = results[["model-01-000003", "search-000006"]]
    assert (
        standing(results, second)
        == "2.2971 J/m^2 at [n] = 0.2, number 2 of 4 relaxed there, 0.0001 J/m^2 above the lowest"
    )
    assert standing(results, failed) == "failed, NaN"


def test_a_record_holds_the_atoms(results):
    (candidate,) = results[["search-000003"]]
    record = json.loads(json_text(detail_record(candidate)))
    assert record["positions"] == candidate.positions.tolist()
    assert record["registry"] == candidate.registry.tolist()
    assert record["target_energy_j_m2"] is None
    assert record.keys() == {field.name for field in SHOWN}


def test_candidates_are_found_in_the_order_asked_for_and_unknown_ones_named(results):
    wanted = ["model-02-000001", "search-000000", "model-02-000001"]
    assert [candidate.id for candidate in results[wanted]] == wanted
    with pytest.raises(StoreError, match="the id model-09-000000; gcd-hpc ls lists them"):
        results[["search-000000", "model-09-000000"]]


def test_one_of_very_many_rows_of_a_file_is_the_same_as_among_all(tmp_path):
    written = [make_candidate(index, num_atoms=index % 7) for index in range(250)]
    write_part(tmp_path / "many.h5", written, {})
    for wanted in (["search-000123"], [f"search-{index:06d}" for index in range(5, 60)]):
        for candidate in open_run(tmp_path / "many.h5")[wanted]:
            again = written[candidate.index]
            assert candidate.positions.tolist() == again.positions.tolist()
            assert candidate.gb_energy_j_m2 == again.gb_energy_j_m2


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A run of a material."""
    return open_run(write_material_run(tmp_path_factory.mktemp("material")))


def test_a_list_of_a_material_shows_errors_and_energies_and_nothing_of_a_boundary(material):
    listing = list_rows(material, "error", num=3)
    assert ids(listing) == ["model-02-000002", "model-02-000000", "model-02-000003"]
    text = rendered(list_table(listing))
    assert "0.0200 ± 0.0100" in text and "guided" in text
    assert "[n]" not in text and "J/m^2" not in text
    failed = rendered(list_table(list_rows(material.select("status=failed"))))
    assert "two atoms are 0.70 Å apart" in failed
    heading, *_ = csv_text(listing.records, listed_fields(material)).splitlines()
    assert heading.startswith("id,status,spectrum_error,spectrum_error_se,energy_ev_atom")


def test_a_structure_of_a_material_is_shown_with_its_rank_and_its_fields_alone(material):
    best, quench = material["model-02-000002"], material["quench-00-000001"]
    said = standing(material, best)
    assert said.startswith("spectrum error 0.0200 ± 0.0100, the smallest of 12; -6.")
    assert "number 2 of 12" in standing(material, material["model-02-000000"])
    assert standing(material, quench).endswith("not compared with the target")
    text = rendered(detail_view(best, said, every=True))
    assert "predicted_error" in text and "gb_energy_j_m2" not in text and "n_index" not in text
    short = rendered(detail_view(best, said, every=False))
    assert "spectrum_error" in short and "n_fraction" not in short and "registry" not in short
    record = detail_record(best)
    assert record["guided"] == "guided" and len(record["positions"]) == 64
    assert "excess_volume_a" not in record


def test_candidates_of_a_boundary_are_shown_without_the_fields_of_a_material(results):
    record = detail_record(results[0])
    assert not set(record) & set(MATERIAL_FIELDS)
    assert "spectrum_error" not in rendered(detail_view(results[0], "ok", every=True))
