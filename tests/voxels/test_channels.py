"""One voxel channel an element: atoms of two-element crystals in, the same atoms out."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.data import atomic_numbers

from gcd_hpc.errors import StructureError
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.encoder import encode, encode_elements
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.moment import decode_moments
from gcd_hpc.voxels.species import decode_elements
from tests.voxels.crystals import compare, crystal

NI, AL = atomic_numbers["Ni"], atomic_numbers["Al"]
CHANNELS = Channels((AL, NI))


def b2() -> tuple[np.ndarray, np.ndarray, Grid]:
    """NiAl, 4 x 4 x 4 cells of 2.88 Å, on voxels as wide as those of automatic grids."""
    atoms = bulk("NiAl", "cesiumchloride", a=2.88).repeat(4)
    edge = float(atoms.cell[0, 0])
    return atoms.positions, atoms.numbers, Grid((16,) * 3, (edge,) * 3, (True,) * 3)


def l12() -> tuple[np.ndarray, np.ndarray, Grid]:
    """Ni3Al, 3 x 3 x 3 cells of 3.57 Å."""
    atoms = bulk("Ni", "fcc", a=3.57, cubic=True)
    atoms.numbers[0] = AL
    atoms = atoms.repeat(3)
    edge = float(atoms.cell[0, 0])
    return atoms.positions, atoms.numbers, Grid((12,) * 3, (edge,) * 3, (True,) * 3)


CRYSTALS = {"B2 NiAl": b2, "L1_2 Ni3Al": l12}


@pytest.fixture(params=CRYSTALS)
def compound(request):
    return CRYSTALS[request.param]()


def test_the_density_of_a_channel_integrates_to_the_number_of_its_atoms(compound):
    positions, numbers, grid = compound
    array = encode_elements(positions + 0.3, numbers, CHANNELS, grid)
    assert array.shape == (2, *grid.shape)
    for channel, number in zip(array, CHANNELS.numbers, strict=True):
        # Single precision rounds each voxel by at most 6e-8 of itself.
        count = int((numbers == number).sum())
        assert channel.double().sum().item() == pytest.approx(count, abs=1e-7 * count)


def test_positions_and_elements_of_a_compound_come_back(compound):
    positions, numbers, grid = compound
    for shift in np.random.default_rng(0).uniform(0.0, grid.spacing, (3, 3)):
        moved = positions + shift
        array = encode_elements(moved, numbers, CHANNELS, grid).numpy()
        decoded, of_atoms = decode_elements(array, CHANNELS, grid, decode_moments)
        for number in CHANNELS.numbers:
            error, lost, extra = compare(
                decoded[of_atoms == number], moved[numbers == number], grid
            )
            assert (lost, extra) == (0, 0)
            assert error < 1e-5  # single precision


def test_atoms_of_two_elements_in_one_voxel_come_back_both():
    _, _, grid = b2()
    positions = np.array([[1.1, 1.1, 1.1], [1.3, 1.2, 1.4]]) * grid.spacing
    array = encode_elements(positions, [NI, AL], CHANNELS, grid)
    decoded, numbers = decode_elements(array.numpy(), CHANNELS, grid, decode_moments)
    assert numbers.tolist() == [AL, NI]
    assert decoded == pytest.approx(positions[::-1], abs=1e-6)


@pytest.mark.parametrize("lattice", ["bcc", "fcc"])
def test_the_only_channel_of_an_element_is_its_array_and_decodes_as_that(lattice):
    positions, grid = crystal(lattice)
    only = Channels.of(["W"])
    numbers = np.full(len(positions), 74)
    array = encode_elements(positions, numbers, only, grid)
    assert torch.equal(array, encode(positions, grid)[None])
    decoded, of_atoms = decode_elements(array.numpy(), only, grid, decode_moments)
    assert np.array_equal(decoded, decode_moments(array[0].numpy(), grid))
    assert np.array_equal(of_atoms, numbers)


def test_an_element_without_atoms_has_an_empty_channel():
    positions, _, grid = b2()
    array = encode_elements(positions, np.full(len(positions), NI), CHANNELS, grid)
    assert not array[0].any()
    decoded, numbers = decode_elements(array.numpy(), CHANNELS, grid, decode_moments)
    assert len(decoded) == len(positions)
    assert set(numbers) == {NI}


def test_channels_are_in_the_order_of_atomic_numbers():
    assert Channels.of(["Ni", "Al", "Ni"]).symbols == ("Al", "Ni")
    with pytest.raises(ValueError, match="ascending"):
        Channels((NI, AL))


def test_atoms_of_an_element_without_a_channel_are_refused_by_name():
    positions, numbers, grid = b2()
    with pytest.raises(StructureError, match=r"atoms of Al: .* those of Ni, Cu"):
        encode_elements(positions, numbers, Channels.of(["Cu", "Ni"]), grid)


@pytest.mark.parametrize("share", [0.55, 0.7])
def test_an_atom_split_between_channels_is_one_atom_of_the_larger_share(share):
    """A generated array may be undecided; a decoder of single channels would lose or double it."""
    positions, numbers, grid = b2()
    sure = encode_elements(positions + 0.3, numbers, CHANNELS, grid)
    generator = np.random.default_rng(0)
    noise = 0.01 * generator.standard_normal(sure.shape, dtype=np.float32)
    array = share * sure.numpy() + (1 - share) * sure.numpy()[::-1] + noise
    decoded, of_atoms = decode_elements(array, CHANNELS, grid, decode_moments)
    assert len(decoded) == len(positions)
    for number in CHANNELS.numbers:
        moved = positions[numbers == number] + 0.3
        error, lost, extra = compare(decoded[of_atoms == number], moved, grid)
        assert (lost, extra) == (0, 0)
        assert error < 0.1  # a few times the noise of 0.01 atoms a voxel
