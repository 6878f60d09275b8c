"""The particle baseline does what it should where it should: it removes small noise from the
crystal that it was trained on.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.errors import CheckpointError
from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.experiments.particles import (
    ParticleConfig,
    load_particles,
    noisy_starts,
    particle_config,
    random_starts,
    sample_particles,
    train_particles,
)
from gcd_hpc.experiments.voxel_crystals import LATTICES, crystal_cell
from gcd_hpc.networks.checkpoint import load
from gcd_hpc.structures.lattices import conventional_cell

BOX = (3.0, 3.0, 3.0)
CLEAN = conventional_cell("sc", "Po", 1.0).repeat(3).positions
CONFIG = ParticleConfig(
    cutoff=1.45,
    max_sigma=0.2,
    width=32,
    num_layers=2,
    num_steps=450,
    batch_size=8,
    learning_rate=6e-3,
    num_warmup=50,
    ema_decay=0.98,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Path of a model after seconds of training, and its curves."""
    path = tmp_path_factory.mktemp("particles") / "model.safetensors"
    return path, train_particles([CLEAN], BOX, CONFIG, seed=0, index=0, path=path)


def sample(path, starts, sampler="ode", num_steps=10, **options):
    return sample_particles(
        path, starts, BOX, CONFIG, sampler, num_steps, seed=0, index=1, **options
    )["positions"]


def rmsd(cells):
    return np.mean([fit_lattice(cell, CLEAN, BOX).rmsd for cell in cells])


def test_training_lowers_the_loss_most_where_there_is_little_noise(trained):
    _, curves = trained
    assert curves["loss"][:5].mean() > 0.9
    assert curves["loss"][-5:].mean() < 0.5  # 0.37
    at = dict(zip(curves["validation_t"], curves["validation_loss"], strict=True))
    assert (
        at[0.3] < 0.4
    )  # 0.25, of which 1/27 is the drift of the whole crystal, which nobody can tell
    assert at[0.3] < at[1.0]


@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_samples_from_a_slightly_noisy_crystal_are_the_crystal_again(trained, sampler):
    starts = noisy_starts(CLEAN, 0.1, 4, seed=0, index=1)
    assert rmsd(starts) > 0.15
    assert rmsd(sample(trained[0], starts, sampler, t_start=0.5)) < 0.08


def test_shifted_starts_give_shifted_samples(trained):
    starts = noisy_starts(CLEAN, 0.1, 2, seed=0, index=1)
    shift = np.array([0.3, 1.7, -0.6])
    gap = (
        sample(trained[0], starts + shift, t_start=0.5)
        - sample(trained[0], starts, t_start=0.5)
        - shift
    )
    np.testing.assert_allclose(
        gap - np.round(gap / 3.0) * 3.0, 0.0, atol=1e-4
    )  # float32, over 20 evaluations


def test_a_sample_does_not_depend_on_the_size_of_the_batch(trained):
    starts = random_starts(3, 27, BOX, seed=0, index=1)
    together, apart = (
        sample(trained[0], starts, "sde", num_steps=5, batch_size=size) for size in (3, 1)
    )
    gap = together - apart
    np.testing.assert_allclose(gap - np.round(gap / 3.0) * 3.0, 0.0, atol=1e-4)


def test_the_same_seed_trains_the_same_model_and_another_index_another(tmp_path):
    short = replace(CONFIG, num_steps=3)
    digests = []
    for number, index in enumerate((0, 0, 1)):
        torch.rand(number)  # what else the process draws is of no matter
        path = tmp_path / f"{number}.safetensors"
        train_particles([CLEAN], BOX, short, seed=0, index=index, path=path)
        digests.append(load(path)[1]["sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_several_structures_are_learned_by_one_model(tmp_path):
    """Of two crystals sheared against each other, one batch holds both sooner or later: the loss is
    that of a mean over both.
    """
    other = CLEAN + np.array([0.5, 0.0, 0.0]) * (CLEAN[:, 2:] > 1.5)
    curves = train_particles(
        [CLEAN, other], BOX, replace(CONFIG, num_steps=40), 0, 0, tmp_path / "model.safetensors"
    )
    assert curves["loss"].shape == (40,)
    assert np.isfinite(curves["loss"]).all()


def test_a_model_of_another_width_is_refused(trained):
    with pytest.raises(CheckpointError, match="made for another network"):
        load_particles(trained[0], BOX, replace(CONFIG, width=48))


def test_random_starts_fill_the_box_evenly():
    starts = random_starts(100, 64, (4.0, 5.0, 6.0), seed=0, index=0)
    assert starts.shape == (100, 64, 3)
    # 6,400 numbers of a uniform distribution: quartiles are known to 0.6 % of the box.
    quartiles = np.quantile(starts / (4.0, 5.0, 6.0), [0.25, 0.5, 0.75], axis=(0, 1))
    np.testing.assert_allclose(quartiles, np.outer([0.25, 0.5, 0.75], np.ones(3)), atol=0.025)


@pytest.mark.parametrize("budget", ["quick", "full"])
@pytest.mark.parametrize("lattice", LATTICES)
def test_an_atom_of_a_crystal_sees_at_least_its_second_shell_and_no_image_of_itself(
    lattice, budget
):
    config = particle_config(lattice, budget)
    distances = np.linalg.norm(
        crystal_cell(lattice) - crystal_cell(lattice)[0], axis=1
    )  # at most half the box along each axis or wrapped
    shells = np.unique(distances[1:].round(6))
    assert shells[1] < config.cutoff <= 2.0
    assert config.max_sigma == 0.4  # of a lattice constant, as in the paper
