"""The campaign's choice of decoder."""

import numpy as np
import pytest
import torch

from gcd_hpc.errors import CheckpointError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.decoding import load_decoder, prepare_decoder
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.voxels.encoder import encode
from tests.stages.conftest import CAMPAIGNS, small_config

pytestmark = pytest.mark.lammps
LEARNED = (
    "decoder.kind=learned",
    "decoder.num_steps=150",
    "decoder.num_features=16",
    "decoder.learning_rate=5e-3",
)


@pytest.fixture
def structures(searched_run):
    return read_part(RunDirectory(searched_run).training_set(1))


def setting_of(run_dir, *overrides: str) -> BoundarySystem:
    return BoundarySystem.build(small_config(*overrides), CAMPAIGNS, RunDirectory(run_dir))


def voxels(system: BoundarySystem, positions: np.ndarray) -> torch.Tensor:
    return encode(positions, system.grid)[None]


def test_the_moment_decoder_needs_no_training(searched_run, structures, tmp_path):
    system = setting_of(searched_run)
    prepare_decoder(tmp_path, system, structures)
    assert not RunDirectory(tmp_path).decoder_file.exists()
    decoded = load_decoder(tmp_path, system)(voxels(system, structures[0].positions), system.grid)
    assert len(decoded.positions) == structures[0].num_atoms


def test_the_learned_decoder_is_trained_once_and_read_back(searched_run, structures, tmp_path):
    system = setting_of(searched_run, *LEARNED)
    RunDirectory(tmp_path).decoder_file.parent.mkdir()
    prepare_decoder(tmp_path, system, structures)
    written = RunDirectory(tmp_path).decoder_file.read_bytes()
    prepare_decoder(tmp_path, system, structures)
    assert RunDirectory(tmp_path).decoder_file.read_bytes() == written
    array = voxels(system, structures[0].positions)
    first, again = (load_decoder(tmp_path, system)(array, system.grid) for _ in range(2))
    assert np.array_equal(first.positions, again.positions)
    assert len(first.positions) > 0
    assert set(first.numbers) == {74}


def test_a_learned_decoder_that_is_missing_is_named(searched_run, tmp_path):
    with pytest.raises(CheckpointError, match=r"decoder\.safetensors"):
        load_decoder(tmp_path, setting_of(searched_run, *LEARNED))
