"""The particle baseline does what it should where it should: it removes small noise from the
crystal that it was trained on.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.diffusion.exploding import Anneal, Steps
from gcd_hpc.errors import CheckpointError
from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.learning.particles import (
    Cell,
    ParticleConfig,
    even_starts,
    load_particles,
    noisy_starts,
    random_starts,
    sample_particles,
    train_particles,
)
from gcd_hpc.networks.checkpoint import load, save
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
    return path, train_particles([Cell(CLEAN, BOX)], CONFIG, seed=0, index=0, path=path)


def sample(path, starts, sampler="ode", num_steps=10, **options):
    model, steps = load_particles(path), Steps(sampler, num_steps)
    return sample_particles(model, starts, BOX, steps, seed=0, index=1, **options)


def rmsd(cells):
    return np.mean([fit_lattice(cell, CLEAN, BOX).rmsd for cell in cells])


@pytest.mark.slow
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
        train_particles([Cell(CLEAN, BOX)], short, seed=0, index=index, path=path)
        digests.append(load(path)[1]["sha256"])
    assert digests[0] == digests[1] != digests[2]


def structure_factor(structures, length, waves):
    """Mean S(k) of structures (M, N, 3) at wave vectors 2 pi / length times whole numbers."""
    phases = np.exp(2j * np.pi / length * structures @ np.array(waves, dtype=float).T)  # (M, N, W)
    return float(np.mean(np.abs(phases.sum(axis=1)) ** 2) / structures.shape[1])


@pytest.mark.parametrize("num_atoms", [216, 200])
def test_even_starts_have_the_long_waves_of_a_dense_structure_under_the_same_noise(num_atoms):
    length, sigma = 12.0, 0.9
    lengths = (length,) * 3
    starts = even_starts(100, num_atoms, lengths, sigma, seed=0, index=0)
    # Noise alone gives 1 - exp(-k^2 sigma^2); independent positions would have 1.
    expected = 1.0 - np.exp(-((2 * np.pi / length * sigma) ** 2))  # 0.20
    longest = structure_factor(starts, length, np.eye(3))
    assert longest == pytest.approx(expected, rel=0.35)
    others = random_starts(100, num_atoms, lengths, seed=0, index=0)
    assert structure_factor(others, length, np.eye(3)) > 3 * longest
    # Of the order of the points nothing is left to see.
    short = [(6, 0, 0), (0, 6, 0), (0, 0, 6), (3, 4, 5), (5, 3, 4)]
    assert 0.6 < structure_factor(starts, length, short) < 1.6


def test_even_starts_do_not_depend_on_how_they_are_divided():
    whole = even_starts(4, 27, BOX, 0.3, seed=1, index=2)
    parts = [even_starts(2, 27, BOX, 0.3, seed=1, index=2, first=first) for first in (0, 2)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_several_structures_are_learned_by_one_model(tmp_path):
    """Of two crystals sheared against each other, one batch holds both sooner or later: the loss is
    that of a mean over both.
    """
    other = CLEAN + np.array([0.5, 0.0, 0.0]) * (CLEAN[:, 2:] > 1.5)
    cells = [Cell(CLEAN, BOX), Cell(other, BOX)]
    short = replace(CONFIG, num_steps=40)
    curves = train_particles(cells, short, 0, 0, tmp_path / "model.safetensors")
    assert curves["loss"].shape == (40,)
    assert np.isfinite(curves["loss"]).all()


def test_a_model_is_loaded_as_it_was_trained_and_refused_where_another_is_expected(trained):
    assert load_particles(trained[0]).config == CONFIG
    with pytest.raises(CheckpointError, match="made for another network"):
        load_particles(trained[0], expected=replace(CONFIG, width=48))


def test_a_model_of_another_kind_is_refused(tmp_path):
    save(tmp_path / "other.safetensors", {}, {"unet": {}})
    with pytest.raises(CheckpointError, match="cannot be loaded as a particle model"):
        load_particles(tmp_path / "other.safetensors")


def test_random_starts_fill_the_box_evenly():
    starts = random_starts(100, 64, (4.0, 5.0, 6.0), seed=0, index=0)
    assert starts.shape == (100, 64, 3)
    # 6,400 numbers of a uniform distribution: quartiles are known to 0.6 % of the box.
    quartiles = np.quantile(starts / (4.0, 5.0, 6.0), [0.25, 0.5, 0.75], axis=(0, 1))
    np.testing.assert_allclose(quartiles, np.outer([0.25, 0.5, 0.75], np.ones(3)), atol=0.025)


FCC = conventional_cell("fcc", "Cu", 1.5).repeat(2).positions
EQUIVARIANT = replace(
    CONFIG, network="equivariant", width=16, num_steps=250, times="focused", t_min=0.05
)


@pytest.fixture(scope="module")
def of_two_boxes(tmp_path_factory):
    """Path and curves of an equivariant model of one crystal at two lattice constants."""
    path = tmp_path_factory.mktemp("particles") / "model.safetensors"
    cells = [Cell(scale * FCC, tuple(scale * edge for edge in BOX)) for scale in (1.0, 1.1)]
    config = replace(EQUIVARIANT, batch_size=4)
    return path, train_particles(cells, config, 0, 0, path, held_out=cells[1:])


@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_one_equivariant_model_learns_boxes_of_different_sizes(of_two_boxes, scale):
    path, curves = of_two_boxes
    assert curves["validation_loss"].min() < 0.3  # 0.19
    box = tuple(scale * edge for edge in BOX)
    starts = noisy_starts(scale * FCC, 0.1, 4, seed=0, index=1)
    model = load_particles(path)
    t_start = model.process.time_of(0.1)
    cells = sample_particles(model, starts, box, Steps("sde", 10), 0, 1, t_start)
    found = [fit_lattice(cell, scale * FCC, box).rmsd for cell in cells]
    assert np.mean(found) < 0.1  # 0.06 and 0.08, of 0.17 at the start


def test_annealed_samples_of_a_turned_start_differ_by_the_draws_alone(of_two_boxes):
    """Without noise, which is not turned, an equivariant sampler gives turned samples."""
    model = load_particles(of_two_boxes[0])
    starts = noisy_starts(FCC, 0.05, 2, seed=0, index=1)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    sampled, turned = (
        sample_particles(model, start, BOX, Steps("ode", 5), 0, 1, 0.3)
        for start in (starts, starts @ turn.T)
    )
    gap = turned - sampled @ turn.T
    np.testing.assert_allclose(gap - np.round(gap / 3.0) * 3.0, 0.0, atol=1e-4)


def test_a_guide_changes_every_evaluation_of_the_score(of_two_boxes):
    calls = []

    def guide(score, process):
        def counted(x, t):
            calls.append(float(process.sigma(t[0])))
            return score(x, t)

        return counted

    plan = Anneal(2, 0.02, 0.1, 5, 3, 2)
    model = load_particles(of_two_boxes[0])
    sample_particles(model, FCC[None], BOX, plan, 0, 1, guide=guide)
    assert len(calls) == plan.num_evaluations == 5 + 2 * 3 + 2 + 1
    assert calls[0] == pytest.approx(0.2)
    assert calls[5] == calls[8] == pytest.approx(0.1)
    assert calls[-1] == pytest.approx(0.01)


def test_a_large_structure_keeps_its_numbering_whatever_order_the_network_sees(
    of_two_boxes, monkeypatch
):
    model = load_particles(of_two_boxes[0])
    starts = noisy_starts(FCC, 0.05, 1, seed=0, index=1)
    whole = sample_particles(model, starts, BOX, Steps("ode", 5), 0, 1, 0.3)
    monkeypatch.setattr("gcd_hpc.learning.particles.DENSE_ATOMS", 20)
    ordered = sample_particles(model, starts, BOX, Steps("ode", 5), 0, 1, 0.3)
    gap = whole - ordered
    np.testing.assert_allclose(gap - np.round(gap / 3.0) * 3.0, 0.0, atol=1e-5)
