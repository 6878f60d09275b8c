import numpy as np
import pytest

from gcd_hpc.config.miller import dot
from gcd_hpc.structures.grain import cubic_grain
from tests.structures.boundaries import ALL

A0 = 3.0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_block_holds_as_many_sites_as_its_volume_in_the_crystal(name, side):
    grain = ALL[name].grain(side)
    volume = np.linalg.det(np.array(grain.cell))
    assert len(grain.fractions) == grain.num_sites
    assert grain.num_sites * grain.crystal.atomic_volume == pytest.approx(volume)
    assert len(grain.numbers) == len(grain.fractions)
    assert len(grain.fractions) == len(grain.translations) * len(grain.crystal.basis)


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc", "diamond"])
def test_lattice_planes_lie_one_spacing_apart_in_a_block(lattice):
    grain = cubic_grain(((1, -1, 0), (1, 1, -2), (1, 1, 1)), lattice, "X", A0)
    planes = grain.translations[:, 2] * grain.cell[2][2] / grain.spacing
    assert np.abs(planes - np.rint(planes)).max() < 1e-12
    assert len(np.unique(np.rint(planes))) == dot(grain.normal, grain.vectors[2])


def test_diamonds_second_atom_belongs_to_the_plane_of_its_lattice_point():
    grain = cubic_grain(((1, -1, 0), (1, 1, -2), (1, 1, 1)), "diamond", "Si", A0)
    assert grain.phases == (0.0, 0.75)
    assert grain.atoms_per_plane == 2 * len(grain.translations) // 3
