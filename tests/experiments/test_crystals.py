"""Crystals of two models beside the ideal ones: what is counted, and that three figures share one
set of models.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.experiments import crystals, particles, work
from gcd_hpc.experiments.boundary import BoundaryBudget
from gcd_hpc.experiments.crystal_numbers import (
    BOX,
    best_sampler,
    curve,
    describe,
    ideal_order,
    split,
    typical,
)
from gcd_hpc.experiments.crystals import (
    QUICK,
    SAMPLERS,
    CrystalBudget,
    fig1,
    fig4,
    figS2,
    panel,
)
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.voxel_crystals import LATTICES, VoxelConfig, crystal_cell
from gcd_hpc.experiments.work import Workshop


def noisy(lattice: str, sigma: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (
        crystal_cell(lattice)
        + rng.uniform(0, 4, 3)
        + sigma * rng.standard_normal(crystal_cell(lattice).shape)
    )


# Mickel et al., J. Chem. Phys. 138 (2013) 044501, table I; bcc with 8 neighbours has the q of a
# cube's corners, sc that of its faces.
@pytest.mark.parametrize(
    ("lattice", "q4", "q6"),
    [("sc", 0.7638, 0.3536), ("bcc", 0.5092, 0.6285), ("fcc", 0.1909, 0.5745)],
)
def test_bond_order_of_the_ideal_crystals_is_the_published_one(lattice, q4, q6):
    assert ideal_order(lattice, 4) == pytest.approx(q4, abs=1e-4)
    assert ideal_order(lattice, 6) == pytest.approx(q6, abs=1e-4)


@pytest.mark.parametrize("lattice", LATTICES)
def test_cells_with_little_noise_are_good(lattice):
    found = describe([noisy(lattice, 0.005, seed) for seed in range(3)], lattice)
    assert found["num_exact"] == found["num_recovered"] == found["num_good"] == 3
    assert found["num_atoms"] == {str(len(crystal_cell(lattice))): 3}
    assert found["rmsd_a"]["mean"] == pytest.approx(0.005 * np.sqrt(3), rel=0.1)
    assert found["rmsd_a"]["mean"] < found["worst_atom_a"]["median"] <= found["worst_atom_a"]["max"]
    assert abs(found["q6"]["deviation_percent"]) < 1


def test_a_rattled_crystal_is_recovered_but_not_good():
    found = describe([noisy("sc", 0.02)], "sc")
    assert (found["num_exact"], found["num_recovered"], found["num_good"]) == (1, 1, 0)


def test_a_cell_with_the_right_number_of_atoms_in_wrong_places_is_not_recovered():
    moved = noisy("sc", 0.0)
    moved[5] += 0.5
    found = describe([moved], "sc")
    assert (found["num_exact"], found["num_recovered"]) == (1, 0)
    assert found["defects_per_cell"] == {"displaced": 0, "missing": 1, "extra": 1}


def test_numbers_of_atoms_are_counted_in_order():
    cells = [noisy("sc", 0.0), noisy("sc", 0.0)[3:], noisy("sc", 0.0)[1:], noisy("sc", 0.0)]
    found = describe(cells, "sc")
    assert list(found["num_atoms"].items()) == [("61", 1), ("63", 1), ("64", 2)]
    assert found["num_exact"] == found["num_recovered"] == 2
    assert found["defects_per_cell"]["missing"] == 1.0


@pytest.mark.parametrize("lattice", LATTICES)
def test_random_gases_are_not_recovered(lattice):
    cells = [
        np.random.default_rng(seed).uniform(0, 4, crystal_cell(lattice).shape) for seed in range(5)
    ]
    found = describe(cells, lattice)
    assert (found["num_exact"], found["num_recovered"], found["num_good"]) == (5, 0, 0)
    assert abs(found["q6"]["deviation_percent"]) > 10


def test_the_particle_model_is_shown_at_its_best():
    gas = np.random.default_rng(0).uniform(0, 4, (64, 3))
    described = {
        "ode": describe([gas], "sc"),
        "sde": describe([noisy("sc", 0.01)], "sc"),
        "restart": describe([gas[1:]], "sc"),
    }
    assert best_sampler(described) == "sde"
    del described["sde"]
    fewest = min(described, key=lambda name: described[name]["defects_per_cell"]["missing"])
    assert best_sampler(described) == fewest


def test_a_typical_cell_is_neither_the_best_nor_the_worst():
    whole = noisy("sc", 0.01)
    cells = [np.random.default_rng(0).uniform(0, 4, (64, 3)), whole, whole[2:]]
    assert len(typical(cells, "sc")) == 62


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_drawn_cell_is_whole_and_shows_who_left_its_site(lattice):
    moved = noisy(lattice, 0.01)
    moved[7, 0] += 0.2
    drawn = panel("", moved, lattice)
    near = 0.5 * drawn.bond / 1.25
    # Half a neighbour distance from the box's faces: no atom is cut off, and bonds need no copies.
    assert drawn.positions[np.arange(len(moved)) != 7].min() > near - 0.05 - 0.5 * (lattice != "sc")
    assert drawn.displacements.argmax() == 7 and drawn.displacements[7] == pytest.approx(
        0.2, abs=0.06
    )
    assert np.delete(drawn.displacements, 7).max() < 0.06


def test_loss_curves_are_kept_short_and_without_costs():
    training = {"loss": np.arange(1000.0), "core_s": np.array(3.0), "validation_loss": np.ones(4)}
    kept = curve(training)
    assert set(kept) == {"loss", "steps", "validation_loss"}
    assert len(kept["loss"]) == len(kept["steps"]) == 100 and kept["steps"][-1] == 1000
    assert kept["loss"][0] == np.arange(10).mean()


def test_cells_of_different_sizes_are_split_where_they_were_joined():
    cells = [noisy("sc", 0.0)[:number] for number in (3, 0, 5)]
    sampled = {"positions": np.concatenate(cells), "num_atoms": np.array([3, 0, 5])}
    assert [len(cell) for cell in split(sampled)] == [3, 0, 5]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Both models of each crystal, too small to learn anything, one after the other."""
    voxels = VoxelConfig(
        width=8, num_blocks=1, num_steps=25, batch_size=1, num_evaluations=2, num_resamples=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "_side_by_side", work._one_by_one)
        patch.setattr(
            crystals,
            "QUICK",
            CrystalBudget(
                dict.fromkeys(LATTICES, voxels), 2, (("ode", 1), ("sde", 2), ("restart", 1))
            ),
        )
        real = particles.particle_config
        tries = ("search.num_tries=4", "search.chunk_size=2", "search.md.probability=0")
        patch.setattr(
            crystals,
            "BUDGETS",
            {"quick": BoundaryBudget("w_sigma5_withheld.yaml", tries, 1, 1, 1, 1, 1)},
        )
        patch.setattr(
            particles,
            "particle_config",
            lambda *key: replace(real(*key), width=8, num_layers=1, num_steps=2, batch_size=1),
        )
        yield Workshop(tmp_path_factory.mktemp("out"), "quick", 0, "cpu")


@pytest.mark.slow
@pytest.mark.lammps
def test_three_figures_share_one_set_of_models_and_cells(workshop):
    outcome = fig4(workshop)
    made = {path: path.stat().st_mtime_ns for path in workshop.work.iterdir()}
    first, second = fig1(workshop), figS2(workshop)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    new = {path.name.partition("-")[0] for path in set(workshop.work.iterdir()) - made.keys()}
    assert new == {"dataset", "search", "lowest"}, "Fig. 1 shows a boundary too"
    assert (
        len(outcome.figure.axes) == 12
        and len(first.figure.axes) == 4
        and len(second.figure.axes) == 7
    )
    assert 2.2 < first.numbers["boundary"]["gb_energy_j_m2"] < 6.0
    numbers = json.loads(json.dumps(plain(outcome.numbers), allow_nan=False))
    for lattice in LATTICES:
        assert numbers[lattice]["voxel"].keys() >= {
            "num_exact",
            "num_atoms",
            "rmsd_a",
            "worst_atom_a",
            "defects_per_cell",
            "q4",
            "q6",
        }
        assert set(numbers[lattice]["particle"]) == set(SAMPLERS)
        assert numbers[lattice]["particle"]["ode"]["num_atoms"] == {
            str(len(crystal_cell(lattice))): 2
        }
        assert numbers[lattice]["particle"]["ode"]["num_evaluations"] == 2
        assert len(numbers[lattice]["training"]["voxel"]["loss"]) == 25
        trained, asked = (
            outcome.costs[f"{kind}_voxel_{lattice}"] for kind in ("training", "sampling")
        )
        assert asked > 0 and 0 < trained < outcome.costs["training"]
    assert plain(fig4(workshop).numbers) == plain(outcome.numbers)


def test_the_quick_budget_asks_for_a_hundred_cells_with_every_sampler():
    assert QUICK.num_cells == 100 and dict(QUICK.sampler_steps).keys() == set(SAMPLERS)
    assert BOX == particles.BOX
