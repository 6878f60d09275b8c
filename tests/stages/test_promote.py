"""A new model takes the place of the one in use only if it is not worse; what is not promoted is
not used.
"""

import json
import math
import shutil

import pytest
import torch

from gcd_hpc.config.campaign import PromotionConfig
from gcd_hpc.errors import CheckpointError
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.training import Process
from gcd_hpc.networks.checkpoint import load, save
from gcd_hpc.stages import train as training
from gcd_hpc.stages.promote import (
    Canaries,
    canaries_of,
    find_objections,
    hold_out_losses,
    known_canaries,
    promote,
)
from gcd_hpc.stages.train import source_of
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.run_directory import RunDirectory

pytestmark = pytest.mark.lammps
CPU = torch.device("cpu")


def add_model(run_dir, version, noise=0.0):
    """Model ``version`` with the weights of the first, and noise of that size added to them."""
    RunDirectory(run_dir).training_set(version).parent.mkdir()
    shutil.copyfile(
        RunDirectory(run_dir).training_set(1), RunDirectory(run_dir).training_set(version)
    )
    weights, metadata = load(RunDirectory(run_dir).model_file(1))
    torch.manual_seed(0)
    changed = {name: tensor + noise * torch.randn_like(tensor) for name, tensor in weights.items()}
    metadata.pop("sha256")
    save(RunDirectory(run_dir).model_file(version), changed, metadata | {"version": version})


def verdict_of(run_dir, version):
    return json.loads(RunDirectory(run_dir).promotion(version).read_text())


def sha256_of(run_dir, version):
    return load(RunDirectory(run_dir).model_file(version))[1]["sha256"]


def test_the_first_model_is_promoted_and_its_canaries_are_recorded(trained_copy):
    run_dir = trained_copy("run")
    report = promote(str(run_dir), 1)
    assert (report.model, report.promoted, report.num) == (1, True, 4)
    assert report.ok + report.failed + report.invalid == 4
    canaries = verdict_of(run_dir, 1)["canaries"]
    assert canaries["sha256"] == sha256_of(run_dir, 1)
    assert canaries["median_energy_j_m2"] > 0


def test_an_equal_model_is_promoted_on_the_same_canaries_and_the_same_loss(trained_copy):
    run_dir = trained_copy("run")
    promote(str(run_dir), 1)
    add_model(run_dir, 2)
    report = promote(str(run_dir), 2)
    verdict = verdict_of(run_dir, 2)
    assert (report.model, report.promoted) == (2, True)
    assert verdict["loss"] == verdict["old_loss"]
    assert verdict["canaries"] | {"sha256": ""} == verdict["old_canaries"] | {"sha256": ""}
    assert model_in_use(RunDirectory(run_dir), 2) == 2


def test_a_worse_model_is_not_promoted_and_its_round_samples_with_the_old_one(trained_copy):
    run_dir = trained_copy("run")
    promote(str(run_dir), 1)
    add_model(run_dir, 2, noise=0.5)
    report = promote(str(run_dir), 2)
    assert (report.model, report.promoted) == (1, False)
    assert "hold-out loss" in report.reason
    sampler = Sampler.load(run_dir, 2, CPU)
    assert (sampler.round, sampler.model.card.version) == (2, 1)
    assert sampler.model.card.sha256 == sha256_of(run_dir, 1)
    row = sampler.sample([0])[0]
    assert (row.id, row.round, row.version) == ("model-02-000000", 2, 1)
    assert row.model_sha256 == sha256_of(run_dir, 1)
    assert Sampler.load(run_dir).round == 2


def test_a_model_is_compared_with_the_one_in_use_and_trained_from_it(trained_copy):
    run_dir = trained_copy(
        "run",
        "training.retrain_steps=1",
        "training.learning_rate=1e-9",
        "training.min_learning_rate=1e-9",
    )
    promote(str(run_dir), 1)
    add_model(run_dir, 2, noise=0.5)
    promote(str(run_dir), 2)
    RunDirectory(run_dir).training_set(3).parent.mkdir()
    shutil.copyfile(RunDirectory(run_dir).training_set(1), RunDirectory(run_dir).training_set(3))
    training.train(run_dir, 3, Process(CPU))
    first, third = (
        load(RunDirectory(run_dir).model_file(1))[0],
        load(RunDirectory(run_dir).model_file(3))[0],
    )
    assert all(torch.allclose(third[name], first[name], atol=1e-6) for name in first)
    assert promote(str(run_dir), 3).model == 3
    assert verdict_of(run_dir, 3)["old_canaries"]["sha256"] == sha256_of(run_dir, 1)
    assert [model_in_use(RunDirectory(run_dir), version) for version in (1, 2, 3)] == [1, 1, 3]


def test_recorded_canaries_are_compared_with_instead_of_making_them_again(trained_copy):
    run_dir = trained_copy("run")
    promote(str(run_dir), 1)
    verdict = verdict_of(run_dir, 1)
    verdict["canaries"]["median_energy_j_m2"] = -5.0
    RunDirectory(run_dir).promotion(1).write_text(json.dumps(verdict))
    add_model(run_dir, 2)
    report = promote(str(run_dir), 2)
    assert not report.promoted
    assert "above the -5.000 before" in report.reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 5000,
        "[]",
        '{"canaries": null}',
        '{"canaries": {"num": 4}}',
        '{"canaries": {"sha256": "SHA", "num": 4, "invalid": 0, "failed": 0,'
        ' "median_energy_j_m2": "low"}}',
        '{"canaries": {"sha256": "SHA", "num": 4, "invalid": "x", "failed": 0,'
        ' "median_energy_j_m2": 2.0}}',
        "\x92",
    ],
)
def test_a_damaged_record_of_canaries_is_none(trained_run, tmp_path, text):
    run_dir = tmp_path / "run"
    shutil.copytree(trained_run, run_dir)
    text = text.replace("SHA", sha256_of(run_dir, 1))
    run = RunDirectory(run_dir)
    run.promotion(1).write_text(text, encoding="latin-1")
    assert known_canaries(run, [run], 1, 4) is None


def test_canaries_recorded_in_another_number_are_made_again(trained_copy):
    run_dir = trained_copy("run")
    promote(str(run_dir), 1)
    verdict = verdict_of(run_dir, 1)
    verdict["canaries"] |= {"num": 3, "median_energy_j_m2": -5.0}
    RunDirectory(run_dir).promotion(1).write_text(json.dumps(verdict))
    add_model(run_dir, 2)
    assert promote(str(run_dir), 2).promoted


def test_canaries_do_not_depend_on_what_later_rounds_learnt(trained_copy):
    run_dir = trained_copy("run")
    add_model(run_dir, 2)
    RunDirectory(run_dir).training_set(2).unlink()
    first, second = canaries_of(run_dir, 1, CPU), canaries_of(run_dir, 2, CPU)
    assert first.median_energy_j_m2 == second.median_energy_j_m2
    assert first.sha256 != second.sha256


def test_promotion_validates_on_what_training_held_out(trained_run):
    run = RunDirectory(trained_run)
    losses = hold_out_losses(run, [source_of(run, 1)], 1, (1,), CPU)
    assert losses[1] == load(run.model_file(1))[1]["validation_loss"]


@pytest.mark.parametrize("num_canaries", [0, 4])
@pytest.mark.parametrize("version", [1, 2])
def test_a_model_that_is_not_finite_is_never_promoted_and_its_file_is_removed(
    trained_copy, version, num_canaries
):
    run_dir = trained_copy("run", f"promotion.num_canaries={num_canaries}")
    weights, metadata = load(RunDirectory(run_dir).model_file(1))
    next(iter(weights.values()))[0] = math.nan
    metadata.pop("sha256")
    RunDirectory(run_dir).model_file(version).parent.mkdir(exist_ok=True)
    save(RunDirectory(run_dir).model_file(version), weights, metadata)
    with pytest.raises(
        CheckpointError, match=r"a weight is NaN.*train the model anew.*was removed"
    ):
        promote(str(run_dir), version)
    assert not RunDirectory(run_dir).model_file(version).exists()
    assert not RunDirectory(run_dir).promotion(version).exists()


def test_a_first_model_without_a_finite_hold_out_loss_is_not_promoted(trained_copy):
    run_dir = trained_copy("run")
    weights, metadata = load(RunDirectory(run_dir).model_file(1))
    metadata.pop("sha256")
    save(RunDirectory(run_dir).model_file(1), weights, metadata | {"validation_loss": math.nan})
    with pytest.raises(CheckpointError, match="hold-out loss nan is not finite"):
        promote(str(run_dir), 1)


def test_without_canaries_every_model_is_promoted_unseen(trained_copy):
    run_dir = trained_copy("run", "promotion.num_canaries=0")
    add_model(run_dir, 2, noise=0.5)
    report = promote(str(run_dir), 2)
    assert (report.model, report.promoted, report.num) == (2, True, 0)
    assert model_in_use(RunDirectory(run_dir), 2) == 2


def canaries(median=3.0, invalid=0, failed=0) -> Canaries:
    return Canaries("", 20, invalid, failed, median)


@pytest.mark.parametrize(
    ("losses", "new", "old", "named"),
    [
        ((0.20, 0.20), canaries(), canaries(), []),
        ((0.21, 0.20), canaries(3.1, 2, 2), canaries(), []),
        ((0.23, 0.20), canaries(), canaries(), ["hold-out loss 0.23"]),
        ((math.nan, 0.20), canaries(), canaries(), ["hold-out loss nan"]),
        ((0.20, math.nan), canaries(), canaries(), []),
        ((0.20, 0.20), canaries(3.2), canaries(), ["median energy of the canaries 3.200"]),
        ((0.20, 0.20), canaries(3.0, 3, 3), canaries(), ["30% of the canaries invalid or failed"]),
        ((0.20, 0.20), canaries(None, 20), canaries(), ["median energy", "100% of the canaries"]),
        ((0.20, 0.20), canaries(), canaries(None, 20), []),
        ((0.20, 0.20), canaries(None, 20), canaries(None, 20), []),
        (
            (9.00, 0.20),
            canaries(9.0, 20),
            canaries(),
            ["hold-out loss", "median energy", "100% of the canaries"],
        ),
    ],
)
def test_a_model_is_refused_for_each_thing_in_which_it_is_worse_and_for_nothing_else(
    losses, new, old, named
):
    config = PromotionConfig(max_loss_ratio=1.1, max_energy_rise_j_m2=0.15, max_invalid_rise=0.25)
    objections = find_objections(config, losses, new, old)
    assert len(objections) == len(named)
    assert all(text in objection for text, objection in zip(named, objections, strict=True))
