"""Models of many boundaries: what they are trained on, and the same whoever trains."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from gcd_hpc import cli
from gcd_hpc.browse.models import model_record
from gcd_hpc.config.loader import dump, load_learning
from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.learning.training import Process
from gcd_hpc.stages.model_job import ModelJob, prepare_job, read_job, runs_of, sources_of
from gcd_hpc.stages.train_model import train_model
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.training_folder import TrainingFolder
from tests.learning.made import CAMPAIGNS, LEARNING, OVERRIDES, made_source
from tests.sharing import made_once
from tests.stages.conftest import launch, ranks_line

pytestmark = pytest.mark.lammps
CPU = torch.device("cpu")
MODULE = "gcd_hpc.stages.train_model"


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Prepared run directories with made-up structures. Do not write to them."""
    folder = made_once(tmp_path_factory, "many", make_runs)
    return {name: folder / name for name in OVERRIDES}


def make_runs(folder: Path) -> None:
    for name in OVERRIDES:
        source = made_source(name, (), "selection.energy_window_j_m2=2.0")
        run, config = RunDirectory(folder / name), source.system.config
        run.path.mkdir(parents=True)
        run.config.write_text(dump(config))
        prepare(run.path, config, CAMPAIGNS)
        write_part(run.search_part(0), source.structures, campaign_provenance(config))


def prepared(folder: Path, runs, *overrides: str, held_out=(), **more) -> TrainingFolder:
    found = runs_of(list(runs.values()), held_out)
    learning = load_learning(None, [*LEARNING, *overrides])
    files = TrainingFolder(folder / "model.safetensors")
    prepare_job(files, ModelJob(runs=found, learning=learning, **more))
    return files


def weights_of(files: TrainingFolder) -> torch.Tensor:
    weights, _ = load_model(files.model)
    return torch.cat([one.double().reshape(-1) for one in weights.values()])


@pytest.mark.slow
def test_two_processes_on_mixed_shapes_follow_one(runs, tmp_path):
    one, two = (prepared(tmp_path / str(num), runs, "training.mosaics=0.3") for num in (1, 2))
    shapes = {source.system.grid.shape for source in sources_of(one, read_job(one))}
    assert len(shapes) == 3
    train_model(one, Process(CPU))
    launch(ranks_line(2, MODULE, two.path))
    # The gradients of the two halves are summed in another order; without any step the weights
    # would be apart by none of it, so that they are compared with how far they moved.
    start = prepared(
        tmp_path / "start", runs, "training.learning_rate=1e-12", "training.min_learning_rate=1e-12"
    )
    train_model(start, Process(CPU))
    moved = (weights_of(one) - weights_of(start)).norm()
    assert moved > 0
    assert (weights_of(two) - weights_of(one)).norm() < 1e-4 * moved
    first, second = (load_model(files.model)[1] for files in (one, two))
    assert second.validation_loss == pytest.approx(first.validation_loss, rel=1e-5)
    assert (first.num_parts, second.num_parts) == (1, 2)


def test_structures_of_runs_with_another_grid_lie_in_the_box_of_the_common_rule(runs, tmp_path):
    files = prepared(tmp_path, runs)
    for source in sources_of(files, read_job(files)):
        system = source.system
        assert system.config.voxels.shape == "auto"
        assert system.config.seed == 0
        for row in source.structures:
            assert row.positions[:, 2].min() == pytest.approx(system.frame.bottom, abs=1e-6)


def test_what_is_held_out_is_not_learned_from_and_its_loss_is_stated(runs, tmp_path):
    files = prepared(tmp_path, runs, held_out=["Cu"], seed=7, dtype="bfloat16")
    train_model(files, Process(CPU))
    weights, card = load_model(files.model)
    assert {one.dtype for one in weights.values()} == {torch.bfloat16}
    assert {one.name: one.is_held_out for one in card.boundaries} == {
        "w_sigma5": False,
        "w_sigma13": False,
        "cu_sigma5": True,
    }
    assert card.elements == ("W",)
    assert card.seed == 7
    assert np.isfinite(list(card.hold_out.values())).all()
    learned = [one for one in card.boundaries if not one.is_held_out]
    assert card.num_structures == sum(one.num_structures for one in learned)
    record = model_record(files.model)
    assert record["cpu_s"] > 0
    assert record["dtype"] == "bfloat16"


@pytest.mark.slow
def test_a_paused_training_ends_with_the_model_of_one_that_was_not(runs, tmp_path):
    whole, paused = (prepared(tmp_path / name, runs) for name in ("whole", "paused"))
    train_model(whole, Process(CPU))
    paused.pause.touch()
    line = [sys.executable, "-m", MODULE, str(paused.path)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 75, done.stderr
    paused.pause.unlink()
    train_model(paused, Process(CPU))
    assert torch.equal(weights_of(paused), weights_of(whole))
    assert load_model(paused.model)[1] == load_model(whole.model)[1]


def test_the_folder_of_another_training_is_refused(runs, tmp_path):
    prepared(tmp_path, runs)
    prepared(tmp_path, runs)
    with pytest.raises(RunDirectoryError, match="unfinished training with other seed"):
        prepared(tmp_path, runs, seed=1)
    with pytest.raises(RunDirectoryError, match="unfinished training with other learning"):
        prepared(tmp_path, runs, "network.width=4")


def test_runs_are_named_once_and_something_is_left_to_learn_from(runs, tmp_path):
    paths = list(runs.values())
    assert [one.name for one in runs_of(paths, []) if one.is_held_out] == []
    assert [one.name for one in runs_of(paths, ["w_*13"]) if one.is_held_out] == ["w_sigma13"]
    assert [one.name for one in runs_of(paths, ["W"]) if one.is_held_out] == [
        "w_sigma5",
        "w_sigma13",
    ]
    with pytest.raises(StoreError, match=r"holds no campaign.yaml"):
        runs_of([tmp_path], [])
    with pytest.raises(StoreError, match="has the name of"):
        runs_of([*paths, paths[0]], [])
    with pytest.raises(StoreError, match=r"--hold-out w_sigma6: .*did you mean w_sigma5"):
        runs_of(paths, ["w_sigma6"])
    with pytest.raises(StoreError, match="every run is held out"):
        runs_of(paths, ["*"])


def test_the_command_trains_shows_and_leaves_no_other_file(runs, tmp_path):
    out = tmp_path / "model.safetensors"
    words = ["model", "train", *map(str, runs.values()), "--out", str(out), "--num-steps", "4"]
    words += ["--batch-size", "2", "--width", "8", "--blocks", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "gcd_hpc.cli", *words], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "step 4 of 4" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    shown = CliRunner().invoke(cli.app, ["model", "show", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "of the same [n]" in shown.output
    assert "cu_sigma5" in shown.output
    record = json.loads(CliRunner().invoke(cli.app, ["model", "show", str(out), "--json"]).stdout)
    assert record["num_steps"] == 4
    assert [one["name"] for one in record["boundaries"]] == list(runs)
    again = subprocess.run(
        [sys.executable, "-m", "gcd_hpc.cli", *words], capture_output=True, text=True
    )
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


@pytest.mark.slow
def test_ctrl_c_pauses_the_command_and_the_same_command_goes_on(runs, tmp_path):
    out = tmp_path / "model.safetensors"
    words = ["model", "train", str(runs["w_sigma5"]), str(runs["cu_sigma5"]), "--out", str(out)]
    words += ["--num-steps", "400", "--batch-size", "2", "--width", "8", "--blocks", "1"]
    line = [sys.executable, "-m", "gcd_hpc.cli", *words]
    files = TrainingFolder(out)
    # The training looks for the request once a second; these steps take several.
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    while not files.progress.exists():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "paused; resume it in this folder with" in said
    assert files.state.exists()
    done = subprocess.run(line, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert load_model(out)[1].num_steps == 400
