import numpy as np
import pytest

from gcd_hpc.voxels.grid import Grid


def test_voxels_of_a_boundary_are_as_high_as_they_are_wide():
    grid = Grid.build((12, 12, 72), (10.008, 10.008))
    assert grid.spacing == pytest.approx((0.834, 0.834, 0.834))
    assert grid.lengths[2] == pytest.approx(60.048)
    assert grid.periodic == (True, True, False)


def test_wrapping_folds_periodic_axes_only():
    grid = Grid((4, 4, 8), (4.0, 4.0, 8.0))
    assert grid.wrap(np.array([[-0.5, 4.5, -0.5]])) == pytest.approx(np.array([[3.5, 0.5, -0.5]]))


def test_a_hair_below_zero_folds_to_zero_and_not_to_the_length():
    assert Grid((4, 4, 8), (4.0, 4.0, 8.0)).wrap(np.array([[-1e-17, 0.0, 0.0]]))[0, 0] == 0.0


def test_displacements_take_the_shortest_way_around():
    grid = Grid((4, 4, 8), (4.0, 4.0, 8.0))
    assert grid.displacement(np.array([0.5, 0.5, 0.5]), np.array([3.5, 1.0, 7.5])) == pytest.approx(
        [-1.0, 0.5, 7.0]
    )


@pytest.mark.parametrize(
    ("shape", "lengths"), [((2, 4, 4), (1.0, 1.0, 1.0)), ((4, 4, 4), (1.0, 0.0, 1.0))]
)
def test_a_grid_too_small_to_decode_is_refused(shape, lengths):
    with pytest.raises(ValueError, match="got"):
        Grid(shape, lengths)
