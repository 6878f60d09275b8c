import numpy as np
import pytest
from ase.build import bulk

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.lattices import conventional_cell, cubic_lattice


@pytest.mark.parametrize(
    ("lattice", "num_atoms"), [("sc", 1), ("bcc", 2), ("fcc", 4), ("diamond", 8)]
)
def test_conventional_cells_are_those_of_ase(lattice, num_atoms):
    ours, theirs = conventional_cell(lattice, "W", 3.2), bulk("W", lattice, a=3.2, cubic=True)
    assert len(ours) == num_atoms
    places = [
        sorted(map(tuple, (atoms.get_scaled_positions() % 1).round(6).tolist()))
        for atoms in (ours, theirs)
    ]
    assert places[0] == places[1]


def test_ideal_hcp_has_twelve_neighbours_at_the_lattice_constant():
    crystal = conventional_cell("hcp", "Mg", 3.2) * (4, 4, 4)
    distances = crystal.get_distances(70, range(len(crystal)), mic=True)
    assert np.sum(np.isclose(distances, 3.2, atol=1e-6)) == 12
    assert np.sort(distances)[1] == pytest.approx(3.2)


def test_the_axial_ratio_of_hcp_is_an_option():
    assert conventional_cell("hcp", "Zn", 2.66, 1.86).cell.lengths()[2] == pytest.approx(
        2.66 * 1.86
    )


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc", "diamond"])
def test_nearest_neighbours_of_cubic_lattices(lattice):
    crystal = conventional_cell(lattice, "W", 1.0) * (2, 2, 2)
    assert closest_pair(crystal.positions, crystal.cell, (True, True, True)) == pytest.approx(
        cubic_lattice(lattice).neighbor
    )


@pytest.mark.parametrize(
    ("lattice", "a0", "ratio", "message"),
    [
        ("bct", 3.0, None, "expected one of"),
        ("bcc", -1.0, None, "positive length"),
        ("fcc", 3.0, 1.6, "only hcp has an axial ratio"),
    ],
)
def test_impossible_crystals_are_refused(lattice, a0, ratio, message):
    with pytest.raises(StructureError, match=message):
        conventional_cell(lattice, "W", a0, ratio)
