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


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc", "diamond"])
def test_nearest_neighbours_of_cubic_lattices(lattice):
    crystal = conventional_cell(lattice, "W", 1.0) * (2, 2, 2)
    assert closest_pair(crystal.positions, crystal.cell, (True, True, True)) == pytest.approx(
        cubic_lattice(lattice).neighbor
    )


@pytest.mark.parametrize(
    ("lattice", "a0", "message"),
    [("bct", 3.0, "must be one of"), ("bcc", -1.0, "positive length")],
)
def test_impossible_crystals_are_refused(lattice, a0, message):
    with pytest.raises(StructureError, match=message):
        conventional_cell(lattice, "W", a0)
