"""What the page is told about a run."""

import gc
import json
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.browse.page import contents as contents_module
from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.kinds import BOUNDARY
from gcd_hpc.browse.page.structure import (
    REGION_A,
    energy_range,
    environment_record,
    structure_record,
)
from gcd_hpc.errors import StoreError
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.page.conftest import BEST, made
from tests.store.synthetic import CONFIG, make_candidate


def values(page, name):
    return [row[BOUNDARY.fields.index(name)] for row in page["rows"]]


def test_the_state_counts_what_can_be_chosen(contents):
    state = contents.state()
    assert (state["name"], state["num"], state["statuses"]) == ("test", 60, {"ok": 54, "failed": 6})
    assert [(one["select"], one["name"], one["num"]) for one in state["sources"]] == [
        ("source=search", "search", 20),
        ("version=1", "model 01", 20),
        ("version=2", "model 02", 20),
        ("source=model", "all models", 40),
    ]
    assert [row[:3] for row in contents.work()["rows"]] == [
        ("search", "20", "40.0"),
        ("model 01", "20", "40.0"),
        ("model 02", "20", "40.0"),
        ("all", "60", "120.0"),
    ]
    assert (
        state["best"][0] == BEST and state["rounds"] == [0, 1, 2] and len(state["fractions"]) == 9
    )
    assert state["campaign"] is None


def test_moves_can_be_chosen_one_by_one_and_a_model_with_its_in_painting_moves(tmp_path):
    rows = [made(0, "search", 0), made(1, "model", 1)]
    moves = [("insert", 0), ("insert", 0), ("shake", 0), ("inpaint", 1)]
    rows += [
        replace(made(index, "explore", 0), move=move, version=version)
        for index, (move, version) in enumerate(moves)
    ]
    write_part(tmp_path / "one.h5", rows, {"config": CONFIG})
    contents = Contents(tmp_path / "one.h5")
    choices = contents.state()["sources"]
    assert [(one["name"], one["num"]) for one in choices] == [
        *[("search", 1), ("all moves", 4), ("inpaint", 1), ("insert", 2), ("shake", 1)],
        ("model 01", 2),
    ]
    for one in choices:
        assert contents.page(one["select"], "energy", False, 0, 9)["total"] == one["num"]


def test_a_run_that_has_nothing_yet_has_a_state_too(tmp_path):
    (tmp_path / "parts").mkdir()
    contents = Contents(tmp_path)
    assert contents.state()["num"] == 0 and contents.state()["best"] is None
    assert contents.page("", "energy", False, 0, 50)["rows"] == contents.points("")["rows"] == []


def test_pages_follow_one_another_in_order(contents):
    first, second = (contents.page("status=ok", "energy", False, start, 20) for start in (0, 20))
    energies = values(first, "gb_energy_j_m2") + values(second, "gb_energy_j_m2")
    assert first["total"] == 54 and len(energies) == 40 and energies == sorted(energies)


def test_unknown_numbers_are_null_and_come_last(contents):
    page = contents.page("", "energy", True, 0, 60)
    assert values(page, "gb_energy_j_m2")[-6:] == [None] * 6
    json.dumps(page, allow_nan=False)


def test_the_map_shows_relaxed_rows_of_the_selection_alone(contents):
    points = contents.points("source=model")
    assert points["total"] == len(points["rows"]) == 36
    assert {row[3] for row in points["rows"]} == {"model"}


def test_a_structure_has_the_normal_along_z_and_all_its_values(contents, run):
    (candidate,) = open_run(run)[[BEST]]
    record = contents.structure(BEST)
    assert record["fields"]["gb_energy_j_m2"] == candidate.gb_energy_j_m2 and record["relaxed"]
    height = (
        candidate.positions[:, 2]
        - (candidate.positions[:, 2].min() + candidate.positions[:, 2].max()) / 2
    )
    np.testing.assert_allclose(record["atoms"]["z"], height, atol=6e-4)  # three decimals
    np.testing.assert_allclose(record["atoms"]["y"], candidate.positions[:, 1], atol=6e-4)
    np.testing.assert_allclose(
        record["energies"], candidate.energies_ev - candidate.cohesive_ev, atol=6e-4
    )


def test_a_structure_that_was_never_relaxed_is_shown_as_sampled(contents):
    record = contents.structure("search-000009")
    assert (
        not record["relaxed"]
        and record["energies"] is None
        and record["atoms"]["size"] == record["fields"]["num_atoms"]
    )
    json.dumps(record, allow_nan=False)


def test_positions_before_relaxation_lie_beside_those_after_it():
    """A step over the border of the cell is a short one."""
    row = made(0, "search", 0)
    before = row.positions + np.array([0.4, -0.3, 0.2])
    before[:, 0] += 10.008 * (np.arange(len(before)) % 3)
    atoms = structure_record(replace(row, unrelaxed_positions=before), "W")["atoms"]
    for axis, moved in zip("xyz", (0.4, -0.3, 0.2), strict=True):
        step = np.subtract(atoms["before"][axis], atoms[axis])
        np.testing.assert_allclose(step, moved, atol=0.006)  # two decimals


def test_environments_are_those_of_the_shown_atoms_after_and_before_relaxation(contents):
    size = contents.structure(BEST)["atoms"]["size"]
    after, before = (contents.environment(BEST, flag) for flag in (False, True))
    assert {len(after[name]) for name in ("coordination", "kinds", "centro", "grains")} == {size}
    assert after["coordination"] != before["coordination"]
    cut = environment_record(contents.candidate(BEST), "bcc", whole=False)
    whole = environment_record(contents.candidate(BEST), "bcc")
    shown = structure_record(contents.candidate(BEST), "W", whole=False)["atoms"]["index"]
    assert cut["coordination"] == [whole["coordination"][atom] for atom in shown]
    with pytest.raises(StoreError, match="no positions or no cell"):
        environment_record(make_candidate(0, status="failed", num_atoms=0), "bcc")


def test_more_points_are_read_when_they_are_asked_for(contents):
    assert len(contents.points("", 20)["rows"]) == 18  # equally many of nine [n]
    assert len(contents.points("", 10**9)["rows"]) == 54


def test_atoms_far_from_the_boundary_can_be_left_out():
    whole = structure_record(made(1, "search", 0), "W")
    cut = structure_record(made(1, "search", 0), "W", whole=False)
    assert 0 < cut["atoms"]["size"] < whole["atoms"]["size"] == 31
    assert max(np.abs(cut["atoms"]["z"])) <= REGION_A < max(np.abs(whole["atoms"]["z"]))


def test_colours_are_those_of_atoms_with_neighbours_on_all_sides():
    energies = np.full(31, -8.7)
    made_up = made(1, "search", 0, energies_ev=energies)
    height = made_up.positions[:, 2]
    energies[[height.argmin(), height.argmax()]] = -4.0  # at the free surfaces
    energies[np.abs(height - 25).argmin()] = -8.5
    assert energy_range(made(1, "search", 0, energies_ev=energies)) == [0.06, 0.26]
    assert energy_range(make_candidate(0, status="failed")) is None


def test_a_candidate_without_atoms_is_no_error():
    record = structure_record(make_candidate(0, status="failed", num_atoms=0), "W")
    assert record["atoms"]["size"] == 0 and record["energies"] is None


def test_new_parts_change_the_version_and_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(contents_module, "LOOK_EVERY_S", 0.0)
    write_part(tmp_path / "parts/search/part-00000.h5", [made(0, "search", 0)], {"config": CONFIG})
    contents = Contents(tmp_path)
    before = contents.version()
    assert contents.version() == before and contents.state()["num"] == 1
    write_part(tmp_path / "parts/search/part-00001.h5", [made(1, "search", 0)], {"config": CONFIG})
    assert contents.version() != before
    assert contents.state()["num"] == contents.page("", "energy", False, 0, 50)["total"] == 2


def test_the_page_moves_on_while_a_model_trains_and_keeps_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(contents_module, "LOOK_EVERY_S", 0.0)
    write_part(tmp_path / "parts/search/part-00000.h5", [made(0, "search", 0)], {"config": CONFIG})
    contents = Contents(tmp_path)
    before, rows = contents.state(), contents._snapshot
    progress = RunDirectory(tmp_path).training_progress(1)
    progress.parent.mkdir(parents=True)
    progress.write_text("{}")
    assert contents.version() != before["version"] and contents.state() is not before
    assert contents.state()["version"] == contents.version() and contents._snapshot is rows


def test_what_was_shown_before_is_forgotten_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(contents_module, "LOOK_EVERY_S", 0.0)
    write_part(tmp_path / "parts/search/part-00000.h5", [made(0, "search", 0)], {"config": CONFIG})
    contents = Contents(tmp_path)
    contents.state(), contents.page("", "energy", False, 0, 50), contents.points("")
    before = weakref.ref(contents._snapshot)
    write_part(tmp_path / "parts/search/part-00001.h5", [made(1, "search", 0)], {"config": CONFIG})
    gc.disable()
    try:
        contents.state()
        assert before() is None
    finally:
        gc.enable()


def test_the_folder_is_looked_at_once_in_a_while(tmp_path):
    write_part(tmp_path / "parts/search/part-00000.h5", [made(0, "search", 0)], {"config": CONFIG})
    contents = Contents(tmp_path)
    before, started = contents.version(), time.monotonic()
    write_part(tmp_path / "parts/search/part-00001.h5", [made(1, "search", 0)], {"config": CONFIG})
    after = contents.version()
    assert after == before or time.monotonic() - started >= contents_module.LOOK_EVERY_S


def test_a_single_file_shows_the_same_as_the_run(run, tmp_path, contents):
    (part,) = (path for path in RunStore(run).part_paths() if "model-01" in str(path))
    single = Contents(part)
    assert (
        single.page("", "id", False, 0, 50)["rows"]
        == contents.page("version=1", "id", False, 0, 50)["rows"]
    )
    assert single.structure(BEST) == contents.structure(BEST)


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no such file"):
        Contents(tmp_path / "none")


def test_atoms_of_a_box_that_leans_are_shown_inside_it_with_its_tilt():
    row = make_candidate(0, cell=(10.0, 8.0, 60.0), tilt_a=5.0, num_atoms=200)
    atoms = structure_record(row, "W")["atoms"]
    assert (atoms["cell"], atoms["tilt"]) == ([10.0, 8.0, 60.0], 5.0)
    x, y = np.array(atoms["x"]), np.array(atoms["y"])
    # The view shows atoms up to 0.05 Å below a face instead of beyond the opposite one.
    assert (y > -0.06).all() and (y < 8.0).all()
    assert (x - y * 5 / 8 > -0.1).all() and (x - y * 5 / 8 < 10.0).all()
