import numpy as np
import pytest
import torch

from gcd_hpc.errors import StructureError
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.moment import decode_moments
from tests.reference import GROUND_STATE, METASTABLE
from tests.voxels.crystals import boundary, compare, crowd, crystal


def encoded(positions: np.ndarray, grid: Grid) -> np.ndarray:
    return encode(torch.from_numpy(positions), grid).numpy()


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc"])
def test_crystals_come_back_exactly_wherever_they_lie_on_the_grid(lattice):
    positions, grid = crystal(lattice)
    for shift in np.random.default_rng(0).uniform(0.0, 1.0, (5, 3)):
        moved = positions + shift
        error, lost, extra = compare(decode_moments(encoded(moved, grid), grid), moved, grid)
        assert (lost, extra) == (0, 0)
        assert error < 1e-5


@pytest.mark.parametrize("path", [GROUND_STATE, METASTABLE], ids=["ground-state", "metastable"])
def test_grain_boundaries_come_back_exactly(path):
    positions, grid = boundary(path)
    for shift in np.random.default_rng(0).uniform(0.0, grid.spacing, (10, 3)):
        moved = positions + shift
        decoded = decode_moments(encoded(moved, grid), grid)
        error, lost, extra = compare(decoded, moved, grid)
        assert (lost, extra) == (0, 0)
        assert error < 1e-5


@pytest.mark.parametrize("shortest", [2.0, 2.2])
def test_shared_voxels_never_lose_an_atom(shortest):
    num_shared = 0
    for seed in range(5):
        positions, grid = crowd(seed, shortest)
        num_shared += grid.num_shared(positions)
        error, lost, extra = compare(
            decode_moments(encoded(positions, grid), grid), positions, grid
        )
        assert (lost, extra) == (0, 0)
        assert error < 1e-5
    assert num_shared > 0


def test_noise_of_a_generated_array_neither_loses_nor_adds_atoms():
    positions, grid = boundary(GROUND_STATE)
    generator = np.random.default_rng(0)
    for shift in generator.uniform(0.0, grid.spacing, (5, 3)):
        moved = positions + shift
        noisy = encoded(moved, grid) + 0.03 * generator.standard_normal(grid.shape)
        error, lost, extra = compare(decode_moments(noisy, grid), moved, grid)
        assert (lost, extra) == (0, 0)
        # Eight voxels with noise 0.03 move a mean by 0.03 sqrt(8)/2 = 0.042 voxels an axis, more
        # when the block is misjudged.
        assert error < 0.13


def test_an_empty_array_has_no_atoms():
    grid = Grid.build((12, 12, 24), (10.008, 10.008))
    assert decode_moments(np.zeros(grid.shape), grid).shape == (0, 3)


def test_atoms_at_the_open_ends_stay_in_the_box():
    grid = Grid.build((12, 12, 24), (10.008, 10.008))
    positions = np.array([[1.0, 1.0, 0.0], [5.0, 5.0, 23 * grid.spacing[2]]])
    error, lost, extra = compare(decode_moments(encoded(positions, grid), grid), positions, grid)
    assert (lost, extra) == (0, 0)
    assert error < 1e-5


def test_an_array_that_holds_no_numbers_is_refused():
    grid = Grid.build((12, 12, 24), (10.008, 10.008))
    with pytest.raises(StructureError, match="finite"):
        decode_moments(np.full(grid.shape, np.nan), grid)


def test_pure_noise_is_decoded_to_atoms_within_the_box():
    grid = Grid.build((12, 12, 72), (10.008, 10.008))
    array = np.random.default_rng(0).standard_normal(grid.shape)
    positions = decode_moments(array, grid)
    assert np.isfinite(positions).all()
    assert 0 < len(positions) < array.size
