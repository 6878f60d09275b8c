import numpy as np
import pytest
import torch

from gcd_hpc.errors import StructureError
from gcd_hpc.voxels.encoder import encode, occupancies
from gcd_hpc.voxels.grid import Grid
from tests.reference import GROUND_STATE, METASTABLE
from tests.voxels.crystals import boundary, crowd, crystal

GRID = Grid.build((12, 12, 24), (10.008, 10.008))


def random_positions(num_atoms: int, seed: int = 0) -> torch.Tensor:
    """Atoms anywhere in the plane, also outside of the box, and at least a voxel from the open
    ends.
    """
    generator = np.random.default_rng(seed)
    positions = generator.uniform(-1.0, 2.0, (num_atoms, 3)) * GRID.lengths
    positions[:, 2] = generator.uniform(
        GRID.spacing[2], GRID.lengths[2] - 2 * GRID.spacing[2], num_atoms
    )
    return torch.from_numpy(positions)


@pytest.mark.parametrize("num_atoms", [0, 1, 7, 300])
def test_density_integrates_to_the_number_of_atoms(num_atoms):
    array = encode(random_positions(num_atoms), GRID)
    assert array.dtype == torch.float32
    # Single precision rounds each voxel by at most 6e-8 of itself.
    assert array.double().sum().item() == pytest.approx(num_atoms, abs=1e-7 * max(1, num_atoms))


def test_occupancies_of_an_atom_sum_to_one_in_double_precision():
    _, weights = occupancies(random_positions(50), GRID)
    assert (weights.sum(dim=1) - 1).abs().max() < 1e-15 * 8


def test_an_atom_on_a_voxel_centre_fills_that_voxel_alone():
    array = encode(
        torch.tensor([[3.0, 4.0, 5.0]], dtype=torch.float64)
        * torch.tensor(GRID.spacing, dtype=torch.float64),
        GRID,
    )
    assert array[3, 4, 5].item() == pytest.approx(1.0)
    assert (array > 1e-6).sum() == 1


def test_weights_are_the_tent_function_of_the_paper():
    position = np.array([3.3, 4.6, 5.1])
    array = encode(torch.from_numpy(position[None] * GRID.spacing), GRID)
    for voxel in np.ndindex(3, 3, 3):
        index = np.add(voxel, (2, 3, 4))
        expected = np.prod(np.maximum(0.0, 1 - abs(position - index)))
        assert array[tuple(index)].item() == pytest.approx(expected, abs=1e-6)


def test_shifting_atoms_by_whole_voxels_rolls_the_density():
    grid = Grid((12, 12, 24), (12.0, 12.0, 24.0))  # whole numbers, so that the shift is exact
    positions = (
        torch.round(
            torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            * 2**20
        )
        / 2**20
        * 12
        + 1
    )
    shifted = positions + torch.tensor([3.0, -5.0, 7.0], dtype=torch.float64)
    assert torch.equal(
        encode(shifted, grid), encode(positions, grid).roll((3, -5, 7), dims=(0, 1, 2))
    )


def test_atoms_beyond_a_periodic_edge_come_in_at_the_other():
    positions = random_positions(30)
    lengths = torch.tensor([*GRID.lengths[:2], 0.0], dtype=torch.float64)
    assert torch.allclose(encode(positions + 3 * lengths, GRID), encode(positions, GRID), atol=1e-6)


def test_gradient_agrees_with_finite_differences():
    # Away from the kinks at voxel centres, where the derivative jumps.
    generator = torch.Generator().manual_seed(1)
    cells = torch.randint(1, 10, (6, 3), generator=generator)
    inside = 0.2 + 0.6 * torch.rand(6, 3, generator=generator, dtype=torch.float64)
    positions = (
        (cells + inside) * torch.tensor(GRID.spacing, dtype=torch.float64)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: occupancies(r, GRID)[1], (positions,))
    pattern = torch.randn(GRID.shape, generator=generator)
    (gradient,) = torch.autograd.grad((encode(positions, GRID) * pattern).sum(), positions)
    numeric = torch.zeros_like(gradient)
    for entry in np.ndindex(6, 3):
        step = torch.zeros_like(numeric)
        step[entry] = 0.01
        with torch.no_grad():
            numeric[entry] = (
                (encode(positions + step, GRID) - encode(positions - step, GRID)) * pattern
            ).double().sum() / 0.02
    # The tent is piecewise linear in each coordinate: only single precision separates the two.
    assert torch.allclose(gradient, numeric, atol=1e-4)


@pytest.mark.parametrize("height", [-0.1, 23.5 * 0.834])
def test_an_atom_whose_tent_would_be_cut_off_is_refused(height):
    with pytest.raises(StructureError, match="open axis z, got"):
        encode(torch.tensor([[1.0, 1.0, height]], dtype=torch.float64), GRID)


def test_atoms_exactly_at_the_outermost_voxel_centres_are_whole():
    ends = torch.tensor([[1.0, 1.0, 0.0], [5.0, 5.0, 23 * GRID.spacing[2]]], dtype=torch.float64)
    assert encode(ends, GRID).double().sum().item() == pytest.approx(2.0, abs=1e-6)


def test_positions_that_are_no_numbers_are_refused():
    with pytest.raises(StructureError, match="finite"):
        encode(torch.full((1, 3), float("nan"), dtype=torch.float64), GRID)


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc"])
def test_crystals_fill_grids_that_repeat_in_all_directions(lattice):
    positions, grid = crystal(lattice)
    array = encode(torch.from_numpy(positions), grid)
    assert array.double().sum().item() == pytest.approx(len(positions), abs=1e-4)


def test_shared_voxels_count_where_tents_of_two_atoms_overlap():
    pitch = GRID.spacing[0]
    apart = torch.tensor([[0.5, 0.5, 1.5], [2.5, 0.5, 1.5]], dtype=torch.float64) * pitch
    touching = torch.tensor([[0.5, 0.5, 1.5], [1.5, 0.5, 1.5]], dtype=torch.float64) * pitch
    assert GRID.num_shared(apart.numpy()) == 0
    assert GRID.num_shared(touching.numpy()) == 4


def test_atoms_of_the_reference_boundaries_share_hardly_any_voxel():
    for path in (GROUND_STATE, METASTABLE):
        positions, grid = boundary(path)
        assert grid.num_shared(positions) <= 16


def test_a_crowd_shares_voxels():
    positions, grid = crowd(seed=0, shortest=1.9)
    assert grid.num_shared(positions) > 0
