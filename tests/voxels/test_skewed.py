"""Voxels in boxes whose second in-plane edge leans: encoding, decoding and windows."""

import numpy as np
import pytest
import torch
from ase.build import fcc111
from hypothesis import given
from hypothesis import strategies as st

from gcd_hpc.learning.assembly import window_mask
from gcd_hpc.search.windows import Window
from gcd_hpc.structures.periodic import minimum_image
from gcd_hpc.voxels.clusters import average_clusters
from gcd_hpc.voxels.encoder import encode
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.moment import decode_moments
from tests.voxels.crystals import NEAREST_NEIGHBOR

SEEDS = st.integers(0, 2**32 - 1)


def rattled(seed: int) -> tuple[np.ndarray, Grid]:
    """Rattled {111} layers of an fcc crystal in their rhombic cell, and its grid."""
    slab = fcc111("W", (2, 3, 8), a=NEAREST_NEIGHBOR * 2**0.5, vacuum=3.0)
    rng = np.random.default_rng(seed)
    positions = slab.positions + rng.normal(0.0, 0.1, slab.positions.shape)
    grid = Grid.fitting(
        slab.cell[:2, :2], slab.cell[2, 2], 1.0, 0.32 * NEAREST_NEIGHBOR, 0.1, multiple=4
    )
    return positions + grid.positions_of(rng.random(3)), grid


def test_voxels_follow_the_edges_of_the_box():
    grid = Grid.build((8, 12, 24), [[8.0, 0.0], [4.0, 8.0]])
    assert grid.spacing == pytest.approx((1.0, 80**0.5 / 12, (1.0 + 80**0.5 / 12) / 2))
    assert np.allclose(grid.positions_of([8, 12, 24]), grid.cell.sum(axis=0))
    assert np.allclose(grid.voxel[1], [4.0 / 12, 8.0 / 12, 0.0])


def test_a_grid_of_right_angles_is_the_same_in_both_forms():
    assert Grid.build((6, 8, 20), (5.1, 7.3)) == Grid.build((6, 8, 20), [[5.1, 0.0], [0.0, 7.3]])


@given(SEEDS)
def test_skewed_voxels_hold_one_unit_an_atom_at_its_place(seed):
    """The tolerance is that of 32-bit voxels."""
    positions, grid = rattled(seed)
    array = encode(positions[:1], grid).double().numpy()
    assert array.sum() == pytest.approx(1.0, abs=1e-6)
    filled = np.argwhere(array > 0)
    offsets = grid.displacement(positions[0], grid.positions_of(filled))
    mean = (offsets * array[tuple(filled.T)][:, None]).sum(axis=0)
    assert np.abs(mean).max() < 1e-6


@given(SEEDS)
def test_atoms_come_back_from_skewed_voxels(seed):
    """Two atoms that share voxels are told apart to a hundredth of an Å, others to 32 bits."""
    positions, grid = rattled(seed)
    decoded = decode_moments(encode(positions, grid).numpy(), grid)
    assert len(decoded) == len(positions)
    gaps = np.linalg.norm(grid.displacement(positions[:, None], decoded[None]), axis=2)
    assert np.sort(gaps.min(axis=1))[: len(positions) // 2].max() < 1e-4
    assert gaps.min(axis=1).max() < 0.05
    assert len(set(gaps.argmin(axis=1).tolist())) == len(positions)


def test_skewed_voxels_are_differentiable_in_the_positions():
    positions, grid = rattled(0)
    given_positions = torch.tensor(positions[:3], requires_grad=True)
    weights = torch.randn(grid.shape, generator=torch.Generator().manual_seed(0))
    (encode(given_positions, grid) * weights).sum().backward()
    step = 1e-4
    for axis in range(3):
        moved = positions[:3].copy()
        moved[0, axis] += step
        moved_by = (encode(moved, grid) - encode(positions[:3], grid)).double()
        change = float((moved_by * weights).sum()) / step
        assert float(given_positions.grad[0, axis]) == pytest.approx(change, rel=1e-2, abs=1e-2)


def test_clusters_join_across_the_leaning_edge():
    grid = Grid.build((8, 8, 24), [[8.0, 0.0], [4.0, 7.0]])
    beside = np.array([[0.05, 0.05, 5.0], [7.95 + 4.0, 6.95, 5.0], [4.0, 3.0, 5.0]])
    means = average_clusters(beside, grid, 0.5)
    assert len(means) == 2
    assert np.abs(grid.displacement(np.array([0.0, 0.0, 5.0]), means)).min(axis=0).max() < 1e-9


@given(st.tuples(st.floats(0, 1), st.floats(0, 1)), st.floats(1.0, 3.0))
def test_windows_are_round_in_skewed_voxels(place, radius):
    grid = Grid.build((8, 8, 12), [[8.0, 0.0], [4.0, 7.0]])
    centre = np.append(np.array(place) @ grid.cell[:2, :2], 5.0)
    shift = np.array([0.3, 0.2, 0.1])
    known = window_mask([Window(centre, radius, 2.0)], grid, shift).numpy()
    centres = grid.positions_of(np.argwhere(~known)) - shift
    offsets = minimum_image(centres - centre, grid.cell[:2, :2])
    assert (np.linalg.norm(offsets[:, :2], axis=1) <= radius).all()
    # The disc has the same area wherever it lies: to the voxels that its edge cuts.
    layers = (np.abs(np.arange(12) * grid.spacing[2] - 0.1 - 5.0) <= 2.0).sum()
    area = (~known).sum() / layers * float(np.linalg.det(grid.voxel[:2, :2]))
    assert area == pytest.approx(np.pi * radius**2, abs=2 * np.pi * radius)


def test_a_leaning_grid_is_periodic_in_its_plane():
    with pytest.raises(ValueError, match="periodic in its plane"):
        Grid((4, 4, 4), (4.0, 4.0, 4.0), (True, False, False), tilt=1.0)
