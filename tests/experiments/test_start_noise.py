"""The sweep over start noise: what counts as recovered, and that the command's numbers repeat."""

from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.experiments import particles, start_noise
from gcd_hpc.experiments.outcome import plain, write_outcome
from gcd_hpc.experiments.particles import BOX, particle_config, training_task
from gcd_hpc.experiments.start_noise import (
    StartNoiseBudget,
    denoise_starts,
    describe,
    fig2,
    rdf_distance,
    start_time,
)
from gcd_hpc.experiments.voxel_crystals import crystal_cell
from gcd_hpc.experiments.work import Workshop
from gcd_hpc.learning.particles import noisy_starts, random_starts

CLEAN = crystal_cell("sc")


def test_a_shifted_crystal_in_any_order_is_recovered():
    cell = np.random.default_rng(0).permutation(CLEAN + np.array([0.3, 2.2, 0.9])) % 4.0
    found = describe(cell[None])
    assert found["share_recovered"] == 1.0
    assert found["rmsd"][0] < 1e-9
    assert found["q6"] == pytest.approx(
        0.35355, abs=1e-4
    )  # of the simple cubic crystal: sqrt(2) / 4
    assert found["rdf_distance"] < 0.02  # rounding moves atoms over the edges of bins


def test_a_crystal_with_a_hole_an_extra_atom_or_one_atom_off_its_site_is_not():
    vacancy, displaced = CLEAN.copy(), CLEAN.copy()
    vacancy[0] = [1.5, 1.5, 1.5]
    displaced[0] += [0.12, 0.0, 0.0]
    found = describe(np.stack([CLEAN, vacancy, displaced]))
    assert found["num_recovered"] == 1
    assert found["vacancies"] == [0, 1, 0]
    assert found["displaced"] == [0, 0, 1]
    assert found["close_pairs"] == [0, 0, 0]


def test_two_atoms_on_one_site_are_told():
    doubled = CLEAN.copy()
    doubled[0] = CLEAN[5] + [0.01, 0.0, 0.0]
    found = describe(doubled[None])
    assert found["close_pairs"] == [1]
    assert found["vacancies"] == [1]


def test_the_distance_of_rdfs_grows_with_the_noise():
    cells = [noisy_starts(CLEAN, sigma, 5, seed=0, index=0) for sigma in (0.0, 0.05, 0.1, 0.2, 0.4)]
    distances = [
        rdf_distance(cell, CLEAN[None])
        for cell in [*cells, random_starts(5, 64, BOX, seed=0, index=0)]
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.02
    assert 0.8 < distances[-1] < 1.0


def test_the_model_is_told_the_noise_of_the_start_up_to_the_most_it_knows():
    config = particle_config("sc", "quick")
    assert [start_time(sigma, config) for sigma in (0.1, 0.4, 0.5, None)] == pytest.approx(
        [0.25, 1.0, 1.0, 1.0]
    )
    assert start_time(0.0, config) > 0.01  # or nothing would be asked of it


@pytest.fixture
def tiny(monkeypatch):
    """The whole experiment with a model of two steps and one noise level."""
    config = replace(
        particle_config("sc", "quick"), width=8, num_layers=1, num_steps=2, batch_size=2
    )
    monkeypatch.setattr(particles, "particle_config", lambda lattice, budget: config)
    monkeypatch.setattr(
        start_noise, "QUICK", StartNoiseBudget(num_cells=2, sampler="sde", num_steps=2)
    )
    monkeypatch.setattr(start_noise, "SIGMAS", (None,))


@pytest.mark.usefixtures("tiny", "one_by_one")
def test_a_rerun_gives_the_same_numbers_from_what_is_kept_and_anew(tmp_path):
    workshop = Workshop(tmp_path, seed=3)
    first, again = fig2(workshop), fig2(workshop)
    assert plain(first.numbers) == plain(again.numbers)
    assert first.costs == again.costs
    assert first.costs.keys() == {"training", "sampling"}
    assert all(path.exists() for path in write_outcome(workshop, "fig2", first, "test", 1.0))

    training = training_task(Workshop(tmp_path / "anew", seed=3), "sc")
    curves = training.function(*training.arguments)
    cells = denoise_starts(
        None,
        training.arguments[4],
        training.arguments[1],
        start_noise.QUICK,
        3,
        start_noise.FIRST_INDEX,
        "cpu",
    )
    assert plain(curves["loss"]) == plain(first.numbers["training"]["loss"])
    assert plain(describe(cells["positions"])) == plain(first.numbers["levels"][0]["generated"])
