"""The results of a run as Python sees them."""

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import gcd_hpc
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store import parts
from gcd_hpc.store import rows as rows_module
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from tests.store.synthetic import assert_same, make_candidate

ENERGIES = {"search-000002": 2.45, "model-01-000001": 2.40, "search-000000": 2.60}
"""Of the relaxed ones, at the [n] 0.2, 0.2 (but for the noise of arithmetic) and 0.5."""


@pytest.fixture(scope="module")
def found():
    """In the order of the files."""
    return [
        make_candidate(0, num_atoms=35, gb_energy_j_m2=2.60),
        make_candidate(1, num_atoms=31, status="failed", reason="lost atoms"),
        make_candidate(2, num_atoms=32, gb_energy_j_m2=2.45),
        make_candidate(0, "model", 1, num_atoms=0, status="invalid", reason="no atoms"),
        make_candidate(1, "model", 1, num_atoms=32, gb_energy_j_m2=2.40, n_fraction=0.2 + 1e-13),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory, found, provenance):
    path = tmp_path_factory.mktemp("written") / "run"
    write_part(path / "parts/search/part-00000.h5", found[:2], provenance)
    write_part(path / "parts/search/part-00001.h5", found[2:3], provenance)
    write_part(path / "parts/model-01/relaxed/part-00000.h5", found[3:], provenance)
    return path


@pytest.fixture
def run_dir(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "run"))


@pytest.fixture
def run(run_dir):
    return gcd_hpc.open_run(run_dir)


def ids(run):
    return [candidate.id for candidate in run]


def test_opening_a_run_does_not_load_torch(run_dir):
    code = (
        "import sys, gcd_hpc; gcd_hpc.open_run(sys.argv[1]).lowest(1)[0].to_atoms(); print('torch'"
        " in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run_dir)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_candidate_is_printed_in_one_line_and_shown_as_a_table_in_a_notebook(run):
    shown = repr(run[0])
    assert len(shown.splitlines()) == 1
    assert shown.startswith("<search-000000: ok, ")
    assert "J/m^2 at [n] = " in shown
    table = run[0]._repr_html_()
    assert "<th>E_gb</th>" in table
    assert len(table) < 10_000
    assert "<script" not in replace(run[0], reason="<script>")._repr_html_()


def test_a_notebook_shows_a_candidate_with_its_slab_from_two_sides(run, found):
    shown = run["search-000002"]._repr_html_()
    picture = ElementTree.fromstring(shown[: shown.index("<table")])
    assert len(picture.findall(".//{*}circle")) == 2 * found[2].num_atoms
    # An unrelaxed structure is coloured by element: tungsten's colour.
    made = run["search-000001"]._repr_html_()
    assert made.count('fill="#2194d6"') == 2 * found[1].num_atoms


def test_a_notebook_shows_the_energies_of_a_run_and_the_lowest_of_each_n(run):
    shown = run._repr_html_()
    lowest = run.best_per_n()
    assert shown.count("<tr>") == 1 + len(lowest)
    for one in lowest:
        assert f"<td>{one.gb_energy_j_m2:g}</td>" in shown
        assert f"<td>{one.id}</td>" in shown
    picture = ElementTree.fromstring(shown[shown.index("<svg") : shown.index("<table")])
    (line,) = picture.findall(".//{*}polyline")
    assert len(line.get("points").split()) == len(lowest)
    assert "nothing was relaxed yet" in run[:0]._repr_html_()


def test_a_run_gives_every_candidate_as_it_was_written(run, found):
    assert len(run) == len(found)
    assert_same(list(run), found)


def test_a_merged_file_gives_the_same_candidates_as_its_run(run_dir, found):
    merged = RunStore(run_dir).merge()
    assert_same(list(gcd_hpc.open_run(merged)), found)


def test_atoms_that_are_too_many_to_be_read_at_once_are_the_same(run, found, monkeypatch):
    monkeypatch.setattr(parts, "WHOLE_ATOMS", 10)
    assert_same(list(run), found)


@pytest.mark.parametrize("whole", [10, 10**6])
def test_some_fields_of_rows_are_those_of_the_candidates(run, found, whole, monkeypatch):
    monkeypatch.setattr(parts, "WHOLE_ATOMS", whole)
    numbers = np.arange(1, len(found), 2)
    names = ("id", "cell", "gb_energy_j_m2", "positions", "energies_ev")
    rows = list(rows_module.read_fields(run._rows.parts, numbers, names))
    for row, number in zip(rows, numbers.tolist(), strict=True):
        assert list(row) == list(names)
        for name in names:
            np.testing.assert_array_equal(row[name], getattr(found[number], name))


def test_candidates_are_counted_by_the_values_of_their_fields(run):
    for names in (["status"], ["n_index", "source"], ["source", "status", "round"]):
        for some in (run, run[::2], run[:0]):
            columns = (some.columns([name])[name].tolist() for name in names)
            rows = list(zip(*columns, strict=True))
            assert some.counts(names) == Counter(rows)
            if len(names) == 1:
                assert list(some.counts(names)) == list(dict.fromkeys(rows))
    with pytest.raises(StoreError, match="there is no field colour"):
        run.counts(["colour"])


def test_files_are_read_one_after_the_other_and_only_when_it_is_their_turn(run, run_dir):
    candidates = iter(run)
    assert next(candidates).id == "search-000000"
    (run_dir / "parts/search/part-00001.h5").unlink()
    assert next(candidates).id == "search-000001"
    with pytest.raises(StoreError, match=r"search/part-00001\.h5"):
        next(candidates)


def test_a_selection_is_a_run_of_those_for_which_it_holds(run):
    assert ids(run.select("n=0.2 energy<2.5")) == ["search-000002", "model-01-000001"]
    assert ids(run.select("status=ok").select("source=model")) == ["model-01-000001"]
    assert len(run.select("energy<1")) == 0
    assert ids(run.select("energy<1")) == []


def test_a_wrong_word_of_a_selection_is_named(run):
    with pytest.raises(StoreError, match="expected a number for gb_energy_j_m2, got energy<low"):
        run.select("energy<low")


def test_the_lowest_come_first(run):
    assert ids(run.lowest()) == ["model-01-000001", "search-000002", "search-000000"]
    assert ids(run.lowest(1)) == ["model-01-000001"]


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_a_sorted_run_keeps_its_order_through_selection_slices_and_batches(run, batch, monkeypatch):
    monkeypatch.setattr(rows_module, "_BATCH", batch)
    by_energy = run.sorted("energy", descending=True)
    assert ids(by_energy) == [
        "search-000000",
        "search-000002",
        "model-01-000001",
        "search-000001",
        "model-01-000000",
    ]
    assert ids(by_energy.select("source=search")) == [
        "search-000000",
        "search-000002",
        "search-000001",
    ]
    assert ids(by_energy[1:3]) == ["search-000002", "model-01-000001"]
    assert by_energy[-1].id == "model-01-000000"
    assert ids(by_energy.sorted("num_atoms")[:2]) == ["model-01-000000", "search-000001"]


def test_the_best_of_each_fraction_does_not_see_the_noise_of_arithmetic(run):
    assert ids(run.best_per_n()) == ["model-01-000001", "search-000000"]


def test_a_candidate_is_found_by_its_number_and_by_its_id(run):
    assert run[2].id == "search-000002"
    assert run["model-01-000001"].gb_energy_j_m2 == 2.40
    with pytest.raises(IndexError):
        run[5]
    with pytest.raises(StoreError, match="none of the 5 candidates has the id search-000009"):
        run["search-000009"]


@pytest.mark.parametrize(
    "name", ["search-000002 status=ok", "search-000002,search-000000", "n=0.2"]
)
def test_an_id_is_never_read_as_a_selection(run, name):
    with pytest.raises(StoreError, match=f"none of the 5 candidates has the id {name}"):
        run[name]


def test_several_ids_give_a_run_in_their_order(run):
    assert ids(run[["model-01-000001", "search-000000"]]) == ["model-01-000001", "search-000000"]
    with pytest.raises(StoreError, match="the id model-09-000000"):
        run[["search-000000", "model-09-000000"]]


def test_the_lowest_of_each_n_come_by_n_and_then_by_energy(tmp_path, provenance):
    energies = {0: (2.5, 2.3, 2.4), 3: (2.9,), 7: (2.6, 2.2)}
    rows = [
        make_candidate(place, num_atoms=30 + n_index, n_index=n_index, gb_energy_j_m2=energy)
        for n_index, few in energies.items()
        for place, energy in enumerate(few, 10 * n_index)
    ]
    write_part(tmp_path / "one.h5", rows, provenance)
    found = gcd_hpc.open_run(tmp_path / "one.h5").lowest(2, per_n=True).columns(["gb_energy_j_m2"])
    assert found["gb_energy_j_m2"].tolist() == [2.3, 2.4, 2.9, 2.2, 2.6]


def test_a_ranking_names_the_rows_that_it_left_out(tmp_path, provenance):
    fused = make_candidate(7, num_atoms=32, gb_energy_j_m2=-1.6)
    sound = [make_candidate(index, num_atoms=32, gb_energy_j_m2=2.5) for index in (3, 1)]
    write_part(tmp_path / "one.h5", [fused, *sound], provenance)
    for per_n in (False, True):
        lowest, refused = gcd_hpc.open_run(tmp_path / "one.h5").ranking(1, per_n)
        assert (ids(lowest), ids(refused)) == (["search-000001"], ["search-000007"])


def test_atoms_hold_positions_energies_and_all_that_is_known(run, found):
    atoms = run.atoms("search-000002")
    assert np.array_equal(atoms.positions, found[2].positions)
    assert np.array_equal(atoms.cell.lengths(), found[2].cell)
    assert atoms.pbc.tolist() == [True, True, False]
    assert set(atoms.symbols) == {"W"}
    assert np.array_equal(atoms.get_potential_energies(), found[2].energies_ev)
    assert atoms.get_potential_energy() == pytest.approx(found[2].energies_ev.sum(), abs=1e-12)
    assert atoms.info["gb_energy_j_m2"] == 2.45


def test_a_structure_is_to_be_had_as_it_was_made_but_without_energy(run, found):
    atoms = run["search-000001"].to_atoms(relaxed=False)
    assert np.array_equal(atoms.positions, found[1].unrelaxed_positions)
    assert atoms.calc is None
    with pytest.raises(
        StoreError,
        match=r"search-000001: there is no relaxed structure, .* failed \(lost atoms\)",
    ):
        run.atoms("search-000001")


def test_columns_come_in_the_order_of_the_run(run, found):
    columns = run.lowest().columns(["id", "gb_energy_j_m2", "registry"])
    assert columns["id"].tolist() == list(dict(sorted(ENERGIES.items(), key=lambda item: item[1])))
    assert columns["gb_energy_j_m2"].tolist() == [2.40, 2.45, 2.60]
    assert np.array_equal(
        columns["registry"], [found[4].registry, found[2].registry, found[0].registry]
    )
    with pytest.raises(StoreError, match="there is no field positions; choose of id, source"):
        run.columns(["positions"])


def test_a_table_has_a_row_for_every_candidate_and_a_column_for_every_number(run, found):
    table = run.to_dataframe()
    assert table.index.tolist() == [candidate.id for candidate in found]
    assert table.loc["search-000002", "registry_y"] == found[2].registry[1]
    assert table[table["status"] == "ok"].groupby("source")["gb_energy_j_m2"].min().to_dict() == {
        "model": 2.40,
        "search": 2.45,
    }
    assert run.lowest(2).to_dataframe(["n_fraction", "id"]).columns.tolist() == ["n_fraction"]


def test_without_pandas_the_table_says_what_to_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        GcdError, match=r"pandas is not installed; pip install pandas, or use Run\.columns"
    ):
        run.to_dataframe()


def test_a_run_stays_as_it_was_opened_while_the_campaign_goes_on(run, run_dir, found, provenance):
    by_energy = run.sorted("energy")
    more = [make_candidate(number, num_atoms=32, gb_energy_j_m2=1.0) for number in (3, 4)]
    # Between the files that are there and after them.
    write_part(run_dir / "parts/search/part-00002.h5", more, provenance)
    write_part(
        run_dir / "parts/model-02/relaxed/part-00000.h5",
        [make_candidate(0, "model", 2, gb_energy_j_m2=1.0)],
        provenance,
    )
    assert ids(run) == [candidate.id for candidate in found]
    assert (
        ids(run.lowest())
        == ids(by_energy)[:3]
        == ["model-01-000001", "search-000002", "search-000000"]
    )
    assert ids(run.select("n=0.2 status=ok")) == ["search-000002", "model-01-000001"]
    assert run.columns(["id"])["id"].tolist() == ids(run)
    assert len(gcd_hpc.open_run(run_dir)) == len(found) + 3


def test_a_file_of_a_run_that_went_away_is_named(run, run_dir):
    path = run_dir / "parts/search/part-00000.h5"
    path.unlink()
    with pytest.raises(
        StoreError,
        match=r"search/part-00000\.h5: expected an HDF5 file of candidates, got no such file",
    ):
        run.select("status=ok")


def test_a_run_tells_what_it_is(run, run_dir, provenance):
    assert repr(run.select("status=ok")) == f"<{run_dir}: 3 of 5 candidates>"
    assert (run.path, run.element) == (run_dir, "W")
    assert run.provenance["config"] == provenance["config"]


def test_a_run_without_results_is_empty_and_one_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "parts").mkdir()
    empty = gcd_hpc.open_run(tmp_path)
    assert len(empty) == 0
    assert ids(empty) == ids(empty.lowest()) == ids(empty.best_per_n()) == []
    assert empty.columns(["id"])["id"].tolist() == []
    with pytest.raises(
        StoreError,
        match=r"nothing: holds no results \(no such file\); name a run directory",
    ):
        gcd_hpc.open_run(tmp_path / "nothing")


@pytest.mark.parametrize("energy", [-1.6, 1.9])
def test_a_row_that_is_no_crystal_is_never_the_lowest(tmp_path, provenance, energy):
    fused = make_candidate(7, num_atoms=32, gb_energy_j_m2=energy, excess_volume_a=0.3)
    fused.energies_ev[:2] = -17.0
    write_part(tmp_path / "one.h5", [make_candidate(2, num_atoms=32), fused], provenance)
    run = gcd_hpc.open_run(tmp_path / "one.h5")
    assert [row.id for row in run.lowest(5)] == ["search-000002"]
    assert [row.id for row in run.best_per_n()] == ["search-000002"]
