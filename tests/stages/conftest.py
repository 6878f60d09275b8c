"""The paper's boundary, and a small real run of it: a dozen relaxed tries and a training set, made
once by LAMMPS.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gcd_hpc.config.boundary import slabs_of
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.select import select
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.workers.launch import find_mpiexec, local_mpiexec
from tests.sharing import made_once

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
SMALL = [
    "search.num_tries=12",
    "search.chunk_size=12",
    "search.md.probability=0",
    "network.width=8",
    "training.num_steps=6",
    "training.checkpoint_every=2",
    "training.batch_size=2",
    "training.precision=float32",
    "sampling.num_candidates=6",
    "sampling.chunk_size=2",
    "sampling.batch_size=2",
    "sampling.num_steps=3",
]
# So little to generate, and so much learning, that most candidates can be relaxed.
TRAINED = [
    "voxels.known=34",
    "training.num_steps=30",
    "training.learning_rate=5e-3",
    "promotion.num_canaries=4",
    "sampling.relax_batch=1",
]


@pytest.fixture(scope="session")
def w_frame() -> Frame:
    """Without LAMMPS: the lattice constant is known."""
    boundary = load_campaign(CAMPAIGNS / "w_sigma5_paper.yaml").boundary
    bicrystal = Bicrystal.build(boundary, 3.164849)
    return Frame.build(
        bicrystal, slabs_of(boundary.slab_heights, 8.0), 72 * bicrystal.cell[0][0] / 12
    )


def small_config(*overrides: str) -> CampaignConfig:
    return load_campaign(CAMPAIGNS / "smoke.yaml", [*SMALL, *overrides])


@pytest.fixture(scope="session")
def searched_run(tmp_path_factory) -> Path:
    """A run directory after the search. Do not write to it: copy it."""
    return made_once(tmp_path_factory, "searched", search)


def search(run_dir: Path) -> None:
    config = small_config()
    RunDirectory(run_dir).config.write_text(dump(config))
    prepare(run_dir, config, CAMPAIGNS)
    search_chunk(str(run_dir), 0)
    worker_child(str(run_dir)).close()
    assert RunDirectory(run_dir).search_part(0).exists()
    select(str(run_dir), 1)


@pytest.fixture(scope="session")
def trained_run(searched_run, tmp_path_factory) -> Path:
    """The searched run with its first model. Do not write to it: copy it."""

    def train(run_dir: Path) -> None:
        shutil.copytree(searched_run, run_dir, dirs_exist_ok=True)
        RunDirectory(run_dir).config.write_text(dump(small_config(*TRAINED)))
        train_with(1, run_dir)

    return made_once(tmp_path_factory, "trained", train)


@pytest.fixture
def trained_copy(trained_run, tmp_path) -> Iterator[Callable[..., Path]]:
    """Makes copies of the trained run, each with its own changes to the campaign."""
    copies: list[Path] = []

    def copy(name: str, *overrides: str) -> Path:
        run_dir = tmp_path / name
        shutil.copytree(trained_run, run_dir)
        RunDirectory(run_dir).config.write_text(dump(small_config(*TRAINED, *overrides)))
        copies.append(run_dir)
        return run_dir

    yield copy
    for run_dir in copies:
        worker_child(str(run_dir)).close()


@pytest.fixture
def run_copy(searched_run, tmp_path):
    """Makes copies of the searched run, each with its own changes to the campaign."""

    def copy(name: str, *overrides: str) -> Path:
        run_dir = tmp_path / name
        shutil.copytree(searched_run, run_dir)
        RunDirectory(run_dir).config.write_text(dump(small_config(*overrides)))
        return run_dir

    return copy


def launch(line: list[str], **variables: str) -> None:
    """A launch line on this machine, to its end; its output is in the error if it fails."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "UCX_TLS": "self,sm",
        **variables,
    }
    done = subprocess.run(
        line, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


def train_with(num_processes: int, run_dir: Path, version: int = 1) -> None:
    launch(ranks_line(num_processes, "gcd_hpc.stages.train", run_dir, version))


def ranks_line(num_processes: int, module: str, *arguments: object) -> list[str]:
    """Starts a module as so many processes on this machine."""
    line = [sys.executable, "-m", "gcd_hpc.workers.ranks", str(num_processes), module]
    return [*line, *map(str, arguments)]


def sample_with(num_ranks: int, run_dir: Path, version: int = 1) -> None:
    mpiexec = local_mpiexec(find_mpiexec())
    launch(
        [
            mpiexec,
            "-n",
            str(num_ranks),
            sys.executable,
            "-m",
            "gcd_hpc.stages.sample",
            str(run_dir),
            str(version),
        ]
    )


@contextmanager
def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A training in the block ends with an exception right after it saved its state at a step."""
    from gcd_hpc.networks.checkpoint import save_state
    from gcd_hpc.stages import training_loop

    class Interrupted(Exception):
        pass

    def save_and_end(path, state):
        save_state(path, state)
        if state["step"] == step:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "save_state", save_and_end)
        with pytest.raises(Interrupted):
            yield
