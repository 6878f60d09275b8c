"""A campaign that starts from a model, the second one of the small smoke campaign."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gcd_hpc.store.run_directory import RunDirectory
from tests.sharing import made_once

COMMAND = [sys.executable, "-m", "gcd_hpc.cli"]
OPTIONS = (
    "model=model.safetensors",
    "search.num_tries=4",
    "budget.rounds=1",
    "training.retrain_steps=4",
    "training.checkpoint_every=2",
    "promotion.num_canaries=2",
)


def line(folder: Path, run_dir: Path, *options: str) -> list[str]:
    """The campaign's command. It comes with a copy of the campaign file and the model."""
    sets = [word for one in (*OPTIONS, *options) for word in ("--set", one)]
    return [*COMMAND, "campaign", str(folder / "smoke.yaml"), "--run-dir", str(run_dir), *sets]


@pytest.fixture(scope="session")
def started(smoke, tmp_path_factory) -> Path:
    """Folder with campaign, model and the finished ``run``. Do not write to it."""

    def make(folder: Path) -> None:
        shutil.copy(smoke.campaign, folder / "smoke.yaml")
        shutil.copy(RunDirectory(smoke.run_dir).model_file(2), folder / "model.safetensors")
        done = subprocess.run(line(folder, folder / "run"), capture_output=True, text=True)
        (folder / "printed").write_text(done.stdout)
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "started", make)
