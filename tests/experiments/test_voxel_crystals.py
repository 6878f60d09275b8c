"""The voxel model of one crystal: what it learns from, and that it depends on its seed alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.experiments.voxel_crystals import (
    LATTICES,
    VOXELS,
    CrystalTraining,
    VoxelConfig,
    crystal_cell,
    crystal_grid,
    encoded,
    learning_rate,
    sample_voxels,
    train_voxels,
    unconditional,
)
from gcd_hpc.networks.checkpoint import load, save
from gcd_hpc.voxels.moment import decode_moments

TINY = VoxelConfig(width=8, num_blocks=1, num_steps=60, batch_size=2, num_evaluations=3)
CPU = torch.device("cpu")


def ignore(fraction: float) -> None:
    """Nobody watches."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("lattice", "num_atoms", "num_voxels"), [("sc", 64, 24), ("bcc", 128, 20), ("fcc", 256, 24)]
)
def test_cells_and_arrays_are_those_of_the_paper(lattice, num_atoms, num_voxels):
    assert len(crystal_cell(lattice)) == num_atoms
    array = encoded(crystal_cell(lattice) + 0.123, lattice)
    assert array.shape == (num_voxels,) * 3
    assert array.sum() == pytest.approx(num_atoms, rel=1e-5)


@pytest.mark.parametrize("lattice", LATTICES)
def test_what_it_learns_from_decodes_to_the_crystal_anywhere_in_the_box(lattice):
    training = CrystalTraining(lattice, TINY, seed=0, device=CPU)
    clean, _, _ = training.batch(0, 0, 8)
    cells = [
        decode_moments(array.numpy() * training.scale, crystal_grid(lattice))
        for array in clean[:, 0]
    ]
    fits = [fit_lattice(cell, crystal_cell(lattice), (4.0, 4.0, 4.0)) for cell in cells]
    assert max(fit.rmsd for fit in fits) < 1e-5
    assert all(fit.num_missing == fit.num_extra == 0 for fit in fits)
    steps = np.array([fit.offset for fit in fits]) * VOXELS[lattice] / 4
    assert (np.ptp(steps, axis=0) > 1).all(), "shifts of more than a voxel"
    assert (np.std(steps % 1, axis=0) > 0.1).all(), "and of parts of a voxel"


@pytest.mark.parametrize("lattice", LATTICES)
def test_the_scale_makes_the_voxels_as_large_as_the_noise(lattice):
    clean, noise, _ = CrystalTraining(lattice, TINY, seed=0, device=CPU).batch(0, 0, 32)
    assert float(clean.std()) == pytest.approx(1.0, rel=0.1)
    assert float(noise.std()) == pytest.approx(1.0, rel=0.1)


def test_times_of_a_batch_are_spread_over_the_whole_process():
    training = CrystalTraining("sc", TINY, seed=0, device=CPU)
    _, _, time = training.batch(0, 0, 8)
    span = training.schedule.t_max - training.schedule.t_min
    assert ((time - training.schedule.t_min) / span * 8).floor().tolist() == list(range(8))


def test_no_two_batches_are_the_same():
    training = CrystalTraining("sc", TINY, seed=0, device=CPU)
    noises = [training.batch(*key, 1)[1] for key in [(0, 0), (0, 1), (1, 0)]]
    noises += [
        CrystalTraining(lattice, TINY, seed=seed, device=CPU).batch(0, 0, 1)[1]
        for lattice, seed in [("fcc", 0), ("sc", 1)]
    ]
    assert len({float(noise.flatten()[0]) for noise in noises}) == len(noises)


def test_the_model_rolls_with_its_input_along_every_axis():
    torch.manual_seed(0)
    network = unconditional(TINY).eval()
    torch.nn.init.normal_(network.last.conv.weight)
    x, log_snr = torch.randn(1, 1, 20, 20, 20), torch.zeros(1)
    rolled = network(x.roll((4, 8, -4), dims=(2, 3, 4)), log_snr)
    assert torch.allclose(rolled, network(x, log_snr).roll((4, 8, -4), dims=(2, 3, 4)), atol=1e-4)


def test_the_rate_rises_then_falls_to_zero():
    config = VoxelConfig(num_steps=1000, learning_rate=1e-3)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates[0] < 5e-5 and rates[-1] < 1e-8
    assert np.argmax(rates) == 49 and np.all(np.diff(rates[50:]) < 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    path = tmp_path_factory.mktemp("model") / "deeper" / "bcc.safetensors"
    fractions: list[float] = []
    arrays = train_voxels("bcc", TINY, 3, "cpu", path, fractions.append)
    assert fractions == [pytest.approx(50 / 60), 1.0]
    return path, arrays


def test_the_loss_falls(trained):
    _, arrays = trained
    assert len(arrays["loss"]) == 60
    assert arrays["validation_step"].tolist() == [50, 60]
    assert arrays["validation_loss"][-1] < 0.95 * arrays["loss"][:5].mean()
    assert np.isfinite(arrays["loss"]).all()


def test_the_same_seed_trains_the_same_model(trained, tmp_path):
    path, arrays = trained
    again = train_voxels("bcc", TINY, 3, "cpu", tmp_path / "again.safetensors", ignore)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_cell_does_not_depend_on_how_many_are_asked_for(trained):
    path, _ = trained
    few = sample_voxels(path, "bcc", TINY, 5, "cpu", 1, ignore)
    more = sample_voxels(path, "bcc", TINY, 5, "cpu", 2, ignore)
    assert more["voxels"].shape == (2, 20, 20, 20)
    assert np.array_equal(few["voxels"][0], more["voxels"][0])
    assert not np.array_equal(more["voxels"][0], more["voxels"][1])
    assert len(more["positions"]) == more["num_atoms"].sum()
    assert np.array_equal(more["positions"][: more["num_atoms"][0]], few["positions"])


def test_samples_are_multiplied_by_the_scale_of_the_model(trained, tmp_path):
    path, _ = trained
    weights, metadata = load(path)
    save(
        tmp_path / "doubled.safetensors",
        weights,
        {"lattice": "bcc", "scale": 2 * metadata["scale"]},
    )
    once, twice = (
        sample_voxels(file, "bcc", TINY, 5, "cpu", 1, ignore)["voxels"]
        for file in (path, tmp_path / "doubled.safetensors")
    )
    assert twice == pytest.approx(2 * once, rel=1e-5, abs=1e-7)
    assert once.std() > 0
