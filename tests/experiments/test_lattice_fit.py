"""Fits to a lattice: exact where the answer is known, and not led astray by defects."""

import numpy as np
import pytest

from gcd_hpc.errors import StructureError
from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.structures.lattices import conventional_cell

LENGTHS = np.array([4.0, 4.0, 4.0])
LATTICES = ["sc", "bcc", "fcc", "diamond"]


def crystal(lattice: str) -> np.ndarray:
    return conventional_cell(lattice, "Po", 1.0).repeat(4).positions


def neighbor(lattice: str) -> float:
    return {"sc": 1.0, "bcc": np.sqrt(3) / 2, "fcc": np.sqrt(0.5), "diamond": np.sqrt(3) / 4}[
        lattice
    ]


def shuffled(positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moved anywhere, renumbered, and with atoms in other images of the box."""
    moved = rng.permutation(positions + rng.uniform(0, 4, 3))
    return moved + LENGTHS * rng.integers(-2, 3, moved.shape)


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_shifted_and_renumbered_crystal_fits_exactly(lattice):
    fit = fit_lattice(
        shuffled(crystal(lattice), np.random.default_rng(1)), crystal(lattice), LENGTHS
    )
    assert fit.rmsd < 1e-12 and fit.worst < 1e-12
    assert (fit.num_displaced, fit.num_missing, fit.num_extra) == (0, 0, 0)


def test_the_offset_takes_the_ideal_crystal_to_the_cell():
    shift = np.array([0.31, 0.77, 0.05])
    fit = fit_lattice(crystal("fcc") + shift, crystal("fcc"), LENGTHS)
    back = fit_lattice(crystal("fcc") + shift - fit.offset, crystal("fcc"), LENGTHS).offset
    # A lattice vector of fcc is a multiple of halves with an even sum.
    halves = 2 * np.minimum(back, LENGTHS - back)
    assert halves == pytest.approx(np.round(halves), abs=1e-9) and np.round(halves).sum() % 2 == 0


@pytest.mark.parametrize("lattice", LATTICES)
def test_the_rmsd_is_that_of_the_noise_about_its_mean(lattice):
    rng = np.random.default_rng(2)
    ideal = crystal(lattice)
    noise = 0.03 * neighbor(lattice) * rng.standard_normal(ideal.shape)
    noise -= noise.mean(axis=0)
    fit = fit_lattice(shuffled(ideal + noise, rng), ideal, LENGTHS)
    assert fit.rmsd == pytest.approx(np.sqrt(np.square(noise).sum(axis=1).mean()), rel=1e-9)
    assert fit.worst == pytest.approx(np.linalg.norm(noise, axis=1).max(), rel=1e-9)


def test_atoms_far_from_their_site_are_counted_and_do_not_pull_at_the_others():
    moved = crystal("bcc")
    moved[[3, 50, 70]] += [0.2, 0.0, 0.0]
    fit = fit_lattice(moved, crystal("bcc"), LENGTHS)
    assert (fit.num_displaced, fit.num_missing, fit.num_extra) == (3, 0, 0)
    # The best translation lies 3 / 128 of 0.2 further on.
    assert fit.worst == pytest.approx(0.2 * (1 - 3 / 128), rel=1e-9)


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_vacancy_is_counted(lattice):
    ideal = crystal(lattice)
    fit = fit_lattice(
        shuffled(np.delete(ideal, [0, 17], axis=0), np.random.default_rng(3)), ideal, LENGTHS
    )
    assert (fit.num_displaced, fit.num_missing, fit.num_extra) == (0, 2, 0)
    assert fit.worst < 1e-12


@pytest.mark.parametrize(
    "place", [(0.5, 0.5, 0.5), (2.3, 0.0, 0.0)], ids=["between sites", "beside a full site"]
)
def test_an_interstitial_is_counted(place):
    ideal = crystal("sc")
    fit = fit_lattice(np.vstack([[place], ideal]), ideal, LENGTHS)
    assert (fit.num_missing, fit.num_extra) == (0, 1)
    assert fit.rmsd < 1e-12


def test_a_vacancy_far_from_an_interstitial_leaves_the_row_between_them_alone():
    ideal = crystal("sc")
    moved = ideal.copy()
    moved[0] = [2.5, 0.5, 0.0]
    fit = fit_lattice(moved, ideal, LENGTHS)
    assert (fit.num_displaced, fit.num_missing, fit.num_extra) == (0, 1, 1)


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_random_gas_is_far_from_any_lattice(lattice):
    rng = np.random.default_rng(4)
    ideal = crystal(lattice)
    fit = fit_lattice(rng.uniform(0, 4, ideal.shape), ideal, LENGTHS)
    assert fit.rmsd > 0.2 * neighbor(lattice)
    assert fit.num_missing == fit.num_extra > 0.3 * len(ideal)
    assert fit.num_displaced > 0.8 * (len(ideal) - fit.num_missing)


def test_another_crystal_of_the_same_box_is_no_fit():
    fit = fit_lattice(crystal("fcc"), crystal("bcc"), LENGTHS)
    assert fit.num_extra >= 128


def test_an_empty_box_misses_every_site():
    fit = fit_lattice(np.empty((0, 3)), crystal("sc"), LENGTHS)
    assert (fit.num_displaced, fit.num_missing, fit.num_extra) == (0, 64, 0)
    assert np.isnan(fit.rmsd) and np.isnan(fit.worst)


def test_a_crystal_of_one_site_is_refused():
    with pytest.raises(StructureError, match="at least two sites, got 1"):
        fit_lattice(crystal("sc"), np.zeros((1, 3)), LENGTHS)
