import numpy as np
import pytest
from ase.build import fcc111

from gcd_hpc.structures.analysis import rdf, rdf_around, steinhardt
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.lattices import conventional_cell
from tests.structures.boundaries import W_TWIST


# q4, q6 of the perfect lattices: Mickel et al., J. Chem. Phys. 138 (2013) 044501, table I.
@pytest.mark.parametrize(
    ("lattice", "num_neighbors", "q4", "q6"),
    [("sc", 6, 0.764, 0.354), ("bcc", 8, 0.509, 0.629), ("fcc", 12, 0.190, 0.575)],
)
def test_steinhardt_parameters_of_the_perfect_lattices(lattice, num_neighbors, q4, q6):
    crystal = conventional_cell(lattice, "W", 3.0) * (4, 4, 4)
    for order, expected in ((4, q4), (6, q6)):
        values = steinhardt(crystal.positions, crystal.cell.lengths(), order, num_neighbors)
        assert values.shape == (len(crystal),)
        assert values == pytest.approx(expected, abs=1e-3)


def test_the_first_peak_of_the_rdf_is_the_nearest_neighbour():
    crystal = conventional_cell("fcc", "Cu", 3.6) * (2, 2, 2)
    distances, values = rdf(crystal.positions, crystal.cell.lengths(), 6.0, 300)
    assert distances[np.flatnonzero(values)[0]] == pytest.approx(3.6 / np.sqrt(2), abs=0.02)


def test_the_rdf_counts_the_neighbours():
    crystal = conventional_cell("bcc", "W", 3.2) * (3, 3, 3)
    distances, values = rdf(crystal.positions, crystal.cell.lengths(), 6.0, 600)
    density = 2 / 3.2**3
    shells = np.cumsum(values * 4 * np.pi * distances**2 * 0.01 * density)
    assert shells[np.searchsorted(distances, 3.0)] == pytest.approx(8, abs=0.05)
    assert shells[np.searchsorted(distances, 3.6)] == pytest.approx(14, abs=0.05)


def test_the_bulk_of_a_boundary_is_bcc():
    frame = Frame.build(W_TWIST, (20.0, 20.0), 60.0)
    atoms = frame.join((0.0, 0.0, 0.0))
    values = steinhardt(atoms.positions, frame.cell, 6, 8, pbc=(True, True, False))
    bulk = np.abs(atoms.positions[:, 2] - frame.bottom - 10) < 2
    assert values[bulk] == pytest.approx(0.6285, abs=1e-3)
    distances, heights = rdf(atoms.positions, frame.cell, 6.0, 200, pbc=(True, True, False))
    assert distances[np.argmax(heights)] == pytest.approx(W_TWIST.nearest_neighbor, abs=0.05)


def test_distances_around_all_atoms_of_a_crystal_are_its_radial_distribution_function():
    crystal = conventional_cell("bcc", "W", 3.165) * (3, 3, 3)
    lengths, density = crystal.cell.lengths(), len(crystal) / crystal.get_volume()
    centres, expected = rdf(crystal.positions, lengths, 6.0)
    again, found = rdf_around(
        crystal.positions, np.ones(len(crystal), dtype=bool), lengths, 6.0, density
    )
    np.testing.assert_array_equal(centres, again)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_distances_around_inner_atoms_do_not_feel_the_open_ends():
    slab = conventional_cell("bcc", "W", 3.165) * (1, 1, 12)
    lengths = slab.cell.lengths() + np.array([0.0, 0.0, 20.0])
    heights = slab.positions[:, 2]
    inner = (heights > 6.5) & (heights < heights.max() - 6.5)
    whole = rdf_around(slab.positions, inner, slab.cell.lengths(), 6.0, 2 / 3.165**3)[1]
    open_ends = rdf_around(
        slab.positions, inner, lengths, 6.0, 2 / 3.165**3, pbc=(True, True, False)
    )[1]
    np.testing.assert_allclose(open_ends, whole, atol=1e-5)


def test_distances_in_a_rhomb_are_those_in_the_rectangle_of_two():
    slab = fcc111("Cu", (2, 2, 6), a=3.6, vacuum=8.0)
    slab.rattle(0.1, seed=1)
    doubled = np.concatenate([slab.positions, slab.positions + slab.cell.array[1]])
    rectangle = np.diag(slab.cell) * [1, 2, 1]
    options = (6.0, 0.08, 200, (True, True, False))
    chosen = np.abs(slab.positions[:, 2] - slab.cell[2, 2] / 2) < 2.0
    _, expected = rdf_around(doubled, np.tile(chosen, 2), rectangle, *options)
    _, found = rdf_around(slab.positions, chosen, slab.cell, *options)
    # freud computes in single precision, so that a distance may fall into the next bin.
    assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() < 0.02 * np.cumsum(expected).max()
    assert np.mean(np.abs(found - expected) > 1e-3) < 0.05
