"""Numbers that generated carbon is judged by, against cases whose answers are known."""

import numpy as np
import pytest

from gcd_hpc.experiments.carbon import perfect_diamond
from gcd_hpc.experiments.carbon_budget import CELLS
from gcd_hpc.experiments.spectra_numbers import (
    Line,
    bond_numbers,
    bootstrap,
    rms,
    structure_factor,
)

A0 = 3.567
BOX = np.full(3, CELLS * A0)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_the_place_on_a_line_is_that_of_the_nearest_point(rng):
    start, end = rng.standard_normal((2, 7))
    line = Line(start, end)
    across = rng.standard_normal(7)
    across -= (across @ (end - start)) / ((end - start) @ (end - start)) * (end - start)
    spectra = np.stack([start, end, 0.3 * end + 0.7 * start + across, 2.0 * end - start])
    assert line.place(spectra) == pytest.approx([0.0, 1.0, 0.3, 2.0])


def test_the_bootstrap_finds_the_standard_error_and_the_interval_of_a_mean(rng):
    cells = 5.0 + 2.0 * rng.standard_normal(400)
    found = bootstrap(cells, rng)
    assert found.value == pytest.approx(cells.mean())
    # 2,000 resamples give a standard deviation to 1.6 %, its tails a few times worse.
    assert found.standard_error == pytest.approx(cells.std() / 20.0, rel=0.06)
    assert found.high - found.low == pytest.approx(2 * 1.96 * cells.std() / 20.0, rel=0.1)


def test_the_bootstrap_takes_any_statistic_over_the_cells(rng):
    cells = rng.standard_normal((50, 4))
    target = np.ones(4)
    found = bootstrap(cells, rng, lambda drawn: rms(drawn.mean(axis=1) - target))
    assert found.value == pytest.approx(float(rms(cells.mean(axis=0) - target)))
    assert found.low < found.value < found.high


def test_diamond_is_four_fold_without_close_pairs_and_a_moved_atom_is_counted():
    diamond = perfect_diamond(tuple(BOX))
    numbers = bond_numbers(diamond[None], BOX)
    assert numbers["sp3"] == 1.0
    assert numbers["angle_spread_deg"] == pytest.approx(0.0, abs=1e-4)
    assert numbers["close_pairs_per_cell"] == 0.0
    moved = diamond.copy()
    moved[0] += 0.3 * (diamond[1] - diamond[0])
    assert bond_numbers(moved[None], BOX)["close_pairs_per_cell"] == 1.0


def test_the_structure_factor_is_the_sum_over_all_atoms_at_the_waves_of_the_box(rng):
    lengths = np.array([7.0, 8.0, 9.0])
    positions = rng.uniform(size=(30, 3)) * lengths
    q, s = structure_factor(positions, lengths, 2.5)
    numbers = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    waves = 2.0 * np.pi * numbers / lengths
    lengths_q = np.linalg.norm(waves, axis=1)
    inside = (lengths_q <= 2.5) & (lengths_q > 0.0)
    assert 2 * len(q) == inside.sum()
    expected = np.abs(np.exp(1j * positions @ waves[inside].T).sum(axis=0)) ** 2 / 30
    assert np.sort(np.concatenate([s, s])) == pytest.approx(np.sort(expected))
    assert q.min() == pytest.approx(2.0 * np.pi / 9.0)


def test_random_atoms_scatter_as_an_ideal_gas(rng):
    _, s = structure_factor(rng.uniform(0.0, 20.0, (2000, 3)), np.full(3, 20.0), 2.0)
    # S of one wave has the standard deviation 1.
    assert s.mean() == pytest.approx(1.0, abs=4.0 / np.sqrt(len(s)))
