"""Carbon: bonds are counted as chemistry counts them, diamond is told from what is not, and the
experiment repeats itself.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from gcd_hpc.diffusion.exploding import Anneal, Steps
from gcd_hpc.engines.quench import MeltQuench
from gcd_hpc.experiments.carbon import (
    perfect_diamond,
    quench_block,
    study_carbon,
)
from gcd_hpc.experiments.carbon_bonds import (
    BOND,
    bond_angles,
    bonds,
    coordination,
    coordination_shares,
    is_tetrahedral,
    on_diamond_sites,
)
from gcd_hpc.experiments.carbon_budget import CELLS, NUM_ATOMS, QUICK
from gcd_hpc.experiments.carbon_numbers import frame_to_frame, mean_rdf, rdf_difference
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.work import Workshop

A0 = 3.567
LENGTHS = (CELLS * A0,) * 3
BOX = np.array(LENGTHS)
FAST = MeltQuench(liquid_steps=500, quench_steps=1_000, hold_steps=200)


@pytest.fixture
def crystal() -> NDArray[np.float64]:
    return perfect_diamond(LENGTHS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_every_atom_of_diamond_has_four_tetrahedral_bonds(crystal: NDArray[np.float64]):
    assert len(crystal) == NUM_ATOMS
    assert (coordination(crystal, BOX) == 4).all()
    assert is_tetrahedral(crystal, BOX).all()
    assert np.allclose(np.concatenate(bond_angles(crystal, BOX)), np.degrees(np.arccos(-1 / 3)))


def test_every_atom_of_graphene_has_three_bonds_at_120_degrees_and_none_is_tetrahedral():
    bond = 1.42
    cell = bond * np.array(
        [[0.0, 0.0, 0.0], [np.sqrt(3) / 2, 0.5, 0.0], [np.sqrt(3) / 2, 1.5, 0.0], [0.0, 2.0, 0.0]]
    )
    sheet = Atoms("C4", cell, cell=[np.sqrt(3) * bond, 3 * bond, 20.0]).repeat((3, 2, 1))
    positions, lengths = sheet.positions, sheet.cell.lengths()
    assert (coordination(positions, lengths) == 3).all()
    assert np.allclose(np.concatenate(bond_angles(positions, lengths)), 120.0)
    assert not is_tetrahedral(positions, lengths).any()


def test_bonds_are_those_that_all_pairs_of_nearest_images_give(rng: np.random.Generator):
    positions = rng.uniform(-5.0, 15.0, (60, 3))
    lengths = np.array([7.0, 8.0, 9.0])
    vectors = positions[None] - positions[:, None]
    vectors -= lengths * np.round(vectors / lengths)
    near = np.linalg.norm(vectors, axis=-1) < BOND
    np.fill_diagonal(near, False)
    pairs, found = bonds(positions, lengths)
    assert np.array_equal(pairs, np.argwhere(near))
    assert np.allclose(found, vectors[near])


def test_shares_of_coordination_add_up_to_one(rng: np.random.Generator):
    shares = coordination_shares(rng.uniform(0.0, 6.0, (3, 80, 3)), np.array([6.0] * 3))
    assert shares.shape == (3, 7)
    assert np.allclose(shares.sum(axis=1), 1.0)
    assert shares[:, 6].min() > 0, "so dense that some atoms have six bonds and more"


def test_a_vacancy_takes_a_bond_from_four_atoms(crystal: NDArray[np.float64]):
    numbers = coordination(crystal[1:], BOX)
    assert (np.bincount(numbers) == [0, 0, 0, 4, NUM_ATOMS - 5]).all()


def test_shifted_and_slightly_rattled_diamond_is_on_its_sites(
    crystal: NDArray[np.float64], rng: np.random.Generator
):
    moved = (crystal + [0.4, 1.1, 2.9] + 0.03 * rng.standard_normal(crystal.shape)) % BOX
    assert on_diamond_sites(moved, BOX, A0).all()


def test_atoms_that_left_their_sites_are_counted_out(crystal: NDArray[np.float64]):
    crystal[[3, 70, 150]] += [0.5, 0.0, 0.0]
    assert np.array_equal(np.flatnonzero(~on_diamond_sites(crystal, BOX, A0)), [3, 70, 150])


def test_two_atoms_on_one_site_are_both_counted_out(crystal: NDArray[np.float64]):
    crystal[9] = crystal[100] + [0.1, 0.0, 0.0] - BOX
    assert np.array_equal(np.flatnonzero(~on_diamond_sites(crystal, BOX, A0)), [9, 100])


def test_few_atoms_of_an_ideal_gas_are_on_sites_of_diamond(rng: np.random.Generator):
    share_of_volume = NUM_ATOMS * 4 / 3 * np.pi * 0.3**3 / BOX.prod()
    assert (
        on_diamond_sites(rng.uniform(0.0, BOX, (NUM_ATOMS, 3)), BOX, A0).mean()
        < 4 * share_of_volume
    )


def test_an_rdf_differs_from_that_of_another_form_and_not_from_its_own(
    crystal: NDArray[np.float64], rng: np.random.Generator
):
    own, gas = (
        mean_rdf(crystal[None], LENGTHS),
        mean_rdf(rng.uniform(0.0, BOX, (2, NUM_ATOMS, 3)), LENGTHS),
    )
    assert rdf_difference(own, mean_rdf(crystal[None] + 1.0, LENGTHS)) < 1e-6
    assert rdf_difference(own, gas) > 1.0


def test_frames_differ_by_the_mean_over_their_pairs(
    crystal: NDArray[np.float64], rng: np.random.Generator
):
    frames = crystal + 0.05 * rng.standard_normal((3, NUM_ATOMS, 3))
    single = [mean_rdf(frame[None], LENGTHS) for frame in frames]
    pairs = [rdf_difference(single[i], single[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert frame_to_frame(frames, LENGTHS) == pytest.approx(np.mean(pairs))
    assert frame_to_frame(np.stack([crystal, crystal + 1.0]), LENGTHS) < 1e-6
    assert np.isnan(frame_to_frame(frames[:1], LENGTHS)), "one frame has no pair"


@pytest.mark.slow
@pytest.mark.lammps
def test_a_glass_does_not_depend_on_the_block_that_it_is_made_in():
    together = quench_block(FAST, 0, 0, 2, report=lambda _: None)
    alone = quench_block(FAST, 0, 1, 1, report=lambda _: None)
    assert np.array_equal(together["positions"][1], alone["positions"][0])


@pytest.mark.lammps
@pytest.mark.slow
def test_the_experiment_gives_the_same_numbers_again(tmp_path: Path):
    models = {
        form: replace(config, width=8, num_layers=1, num_steps=3)
        for form, config in QUICK.models.items()
    }
    cases = (QUICK.cases[0], QUICK.cases[1], QUICK.cases[-1])
    small = {
        "num_training": 1,
        "num_held_out": 1,
        "num_blocks": 1,
        "num_generated": 1,
    }
    samplers = {"amorphous": Anneal(1, num_descent_steps=2), "diamond": Steps("sde", 2)}
    budget = replace(QUICK, programme=FAST, models=models, cases=cases, samplers=samplers, **small)
    first, again = (study_carbon(Workshop(tmp_path / name), budget) for name in ("first", "again"))
    assert json.dumps(plain(first.numbers)) == json.dumps(plain(again.numbers))
    assert set(first.costs) == {"melt_quench", "training", "sampling", "relaxation"}
    assert min(first.costs.values()) > 0
    assert first.numbers["cases"]["diamond-0.1"]["num_structures"] == 1
