"""The campaign's work as the page shows it."""

import json
from dataclasses import replace

import pytest

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.work import MOVE_HEADINGS
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.page.conftest import made
from tests.store.synthetic import CONFIG

CHAINS = CONFIG + "explore:\n  chain_length: 3\n"


def explored(index, parents, **more):
    row = made(index, "explore", 0, **more)
    return replace(row, move="insert", round=1, index=index, parents=parents, cpu_s=2.0)


def test_a_move_was_accepted_if_the_next_one_of_its_chain_began_from_it(tmp_path):
    name = made(0, "explore", 0).id.rpartition("-")[0]
    parents = [
        *("search-000001", f"{name}-000000 search-000002", f"{name}-000000"),
        # Another chain: what came before it tells nothing.
        *(f"{name}-000002", "search-000001", f"{name}-000004"),
    ]
    rows = [explored(index, text) for index, text in enumerate(parents)]
    run = tmp_path / "run"
    write_part(run / "parts/explore-01/part-00000.h5", rows, {"config": CHAINS})
    moves = Contents(run).moves()
    (row,) = moves["rows"]
    # Of the moves 0, 1, 3 and 4, which have a successor in their chain, 0 and 4 were accepted.
    assert dict(zip(MOVE_HEADINGS, row, strict=True)) == {
        "move": "insert",
        "tries": "6",
        "relaxed": "6",
        "accepted": "2",
        "of": "4",
        "share": "50%",
        "tries per core-minute": "30.0",
    }


def test_without_exploration_there_is_no_table_of_moves(contents):
    assert contents.moves()["rows"] == []


def test_a_training_under_way_has_its_course_and_pace(tmp_path):
    run = RunDirectory(tmp_path / "run")
    write_part(run.search_part(0), [made(0, "search", 0)], {"config": CONFIG})
    shown = Contents(run.path)
    assert shown.training() == {"models": []}
    progress = run.training_progress(1)
    progress.parent.mkdir(parents=True)
    numbers = {"step": 30, "first_step": 10, "num_steps": 90, "loss": 0.5, "seconds": 4.0}
    course = {"validation_loss": float("nan"), "history": [[20, 0.6, None], [30, 0.5, None]]}
    progress.write_text(json.dumps(numbers | course))
    (model,) = shown.training()["models"]
    assert model["history"] == [[20, 0.6, None], [30, 0.5, None]]
    assert model["steps_per_s"] == pytest.approx(5.0) and model["validation_loss"] is None
    json.dumps(model, allow_nan=False)
    assert (model["history_steps"], model["property_history"]) == (90, [])
    run.property_losses(1).write_text(json.dumps({"history": [[15, 0.9], [30, 0.7]]}))
    progress.write_text(json.dumps(numbers | course | {"history_steps": 60}))
    (model,) = shown.training()["models"]
    assert model["property_history"] == [(15, 0.9), (30, 0.7)] and model["history_steps"] == 60
    progress.write_text('{"step": 3')
    assert shown.training() == {"models": []}


def test_settings_name_boundary_potential_and_versions_without_folders(contents):
    settings = contents.settings()
    assert "element: W" in settings["config"]
    assert {"files written by", "seed"} <= {name for name, _ in settings["facts"]}
