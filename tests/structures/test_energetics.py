import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.crystal import hcp_crystal
from gcd_hpc.structures.energetics import closest_pair, excess_volume, gb_energy, n_fraction
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.grain import plane_grain
from tests.structures.boundaries import ALL, PERFECT, SI_TWIST, W_TWIST


def test_one_ev_per_square_angstrom_is_16_joules_per_square_metre():
    assert gb_energy(-99.0, 10, -10.0, 1.0) == pytest.approx(16.021766)


def test_the_crystal_has_no_excess_energy():
    assert gb_energy(-8.759994 * 340, 340, -8.759994, 100.163) == pytest.approx(0.0, abs=1e-9)


def test_an_area_must_be_positive():
    with pytest.raises(ValueError, match="got 0"):
        gb_energy(-1.0, 1, -1.0, 0.0)


@pytest.mark.parametrize(
    ("num_atoms", "expected"), [(340, 0.0), (342, 0.2), (472, 0.2), (339, 0.9)]
)
def test_n_counts_atoms_beyond_whole_planes(num_atoms, expected):
    assert n_fraction(num_atoms, 10) == pytest.approx(expected)


@pytest.mark.parametrize("name", [name for name in ALL if name != "strained"])
def test_two_grains_moved_apart_have_that_excess_volume(name):
    boundary = ALL[name]
    frame = Frame.build(boundary, (20.0, 20.0), 60.0)
    assert excess_volume(frame.join((0.2, 0.3, 0.5)).positions, boundary) == pytest.approx(0.5)


def test_the_crystal_has_no_excess_volume():
    for boundary in (PERFECT, SI_TWIST):
        frame = Frame.build(boundary, (20.0, 20.0), 60.0)
        assert excess_volume(frame.join((0, 0, 0)).positions, boundary) == pytest.approx(
            0.0, abs=1e-9
        )


def test_a_missing_atom_adds_its_volume():
    positions = Frame.build(W_TWIST, (20.0, 20.0), 60.0).join((0, 0, 0)).positions
    missing = np.delete(positions, len(positions) // 2, axis=0)
    assert excess_volume(missing, W_TWIST) == pytest.approx(W_TWIST.atomic_volume / W_TWIST.area)


@given(st.integers(2, 12), st.integers(0, 1000), st.sampled_from([0.0, 2.0, -1.3]))
def test_the_closest_pair_is_ases(num_atoms, seed, tilt):
    rng = np.random.default_rng(seed)
    cell = np.array([[4.0, 0.0, 0.0], [tilt, 6.0, 0.0], [0.0, 0.0, 9.0]])
    atoms = Atoms(
        ["W"] * num_atoms,
        positions=rng.uniform(-1, 2, (num_atoms, 3)) * np.diag(cell),
        cell=cell,
        pbc=(True, True, False),
    )
    distances = atoms.get_all_distances(mic=True) + np.where(np.eye(num_atoms) > 0, np.inf, 0.0)
    assert closest_pair(atoms.positions, atoms.cell, atoms.pbc) == pytest.approx(
        min(distances.min(), 4.0)
    )


def test_fewer_than_two_atoms_have_no_closest_pair():
    assert closest_pair(np.zeros((1, 3)), (3.0, 3.0, 9.0)) == math.inf
    assert closest_pair(np.zeros((0, 3)), (3.0, 3.0, 9.0)) == math.inf


def test_cells_with_an_inclined_normal_are_refused():
    with pytest.raises(StructureError, match="rows of a cell must be"):
        closest_pair(np.zeros((2, 3)), [[3, 0, 0], [0, 3, 0], [0, 1, 3]])


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
def test_a_perfect_hcp_crystal_has_no_excess_volume_wherever_its_planes_begin(first, second):
    crystal = hcp_crystal("Ti", 2.93, 4.68)
    basis = {0: ((0, 0, 0), (2, 4, 3)), 1: ((0, 0, 0), (4, 2, 3))}
    origins = [np.zeros(3), np.array([2, 4, 3]) / 6 @ crystal.matrix]
    # Prismatic planes, whose two layers are a third of a spacing apart.
    grains = [
        plane_grain(replace(crystal, basis=basis[one]), ((1, -3, 0), (0, 0, -1)))
        for one in (first, second)
    ]
    boundary = Bicrystal("Ti", "hcp", 2.93, *grains, ((10.0, 0.0), (0.0, 4.68)), 2)
    boundary = replace(boundary, cell=tuple(row[:2] for row in grains[0].cell[:2]))
    turn = np.linalg.solve(crystal.matrix, grains[0].primitive)
    spacing = boundary.plane_spacing
    # Each grain begins at its own atom of the one crystal.
    lower, upper = (origins[one] @ turn for one in (first, second))
    end = lower[2] + 8 * spacing
    last = upper[2] + spacing * np.ceil((end - upper[2]) / spacing - 1e-9)
    below = boundary.lattice_positions("lower", lower, lower[2], last)
    above = boundary.lattice_positions("upper", upper, last, last + 8 * spacing)
    atoms = np.concatenate([below, above])
    assert excess_volume(atoms, boundary) == pytest.approx(0.0, abs=1e-9)
