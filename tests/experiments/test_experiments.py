"""One command makes one figure, and makes it again."""

import json
import sys
from importlib import import_module

import numpy as np
import pytest
from matplotlib.figure import Figure

from gcd_hpc.cli import main
from gcd_hpc.experiments import experiments
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.work import Task
from tests.experiments.dice import throw_dice


def dice(workshop) -> Outcome:
    """An experiment of two tasks, small enough for a test."""
    tasks = [Task("throw", throw_dice, (workshop.seed, index)) for index in range(2)]
    results = workshop.run(tasks)
    figure = Figure(layout="constrained")
    figure.add_subplot(xlabel="throw", ylabel="eyes").plot(results[0]["eyes"])
    numbers = {"mean": np.mean([arrays["eyes"] for arrays in results]), "device": workshop.device}
    return Outcome(
        numbers, {"throwing": sum(float(arrays["core_s"]) for arrays in results)}, figure
    )


def interrupted(workshop) -> Outcome:
    raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch):
    """The command with two experiments of this module; its exit code."""
    for name in ("dice", "interrupted"):
        monkeypatch.setitem(experiments.EXPERIMENTS, name, "of_a_test")
    monkeypatch.setitem(sys.modules, "gcd_hpc.experiments.of_a_test", sys.modules[__name__])

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["gcd-hpc", "reproduce", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code or 0

    return run


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_every_experiment_can_be_run(name):
    assert callable(
        getattr(import_module(f"gcd_hpc.experiments.{experiments.EXPERIMENTS[name]}"), name)
    )


def test_a_command_writes_a_figure_and_its_numbers_and_says_where(run, tmp_path, capsys):
    out = tmp_path / "new folder"
    assert run("dice", "--seed", 3, "--out", out) == 0
    record = json.loads((out / "dice.json").read_text(encoding="utf-8"))
    assert record["command"] == f"gcd-hpc reproduce dice --budget quick --seed 3 --out '{out}'"
    assert record["numbers"]["device"] == "cpu"
    assert record["costs_core_s"]["throwing"] > 0
    assert record["wall_s"] > 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        str(out / f"dice.{suffix}") for suffix in ("json", "png", "svg")
    ]


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(run, tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run("dice", "--seed", seed, "--out", tmp_path / folder) == 0
    first, again, other = (
        json.loads((tmp_path / folder / "dice.json").read_text())["numbers"]["mean"]
        for folder in "abc"
    )
    assert first == again != other
    assert (tmp_path / "a" / "dice.svg").read_bytes() == (tmp_path / "b" / "dice.svg").read_bytes()


def test_ctrl_c_says_how_to_go_on(run, tmp_path, capsys):
    assert run("interrupted", "--out", tmp_path) == 130
    command = f"gcd-hpc reproduce interrupted --budget quick --seed 0 --out {tmp_path}"
    sentence = f"{tmp_path}: stopped; resume it in this folder with: {command}\n"
    assert capsys.readouterr().out == sentence
