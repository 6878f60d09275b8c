from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_hpc.config.miller import coprime
from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.orientation import misorientation, unit_rows

CUBE = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_miller_indices_are_reduced():
    assert coprime((6, -2, 0)) == (3, -1, 0)


# Sigma, angle and axis of the coincidence boundaries up to 19: Grimmer, Bollmann, Warrington
# (1974), table 3.
@pytest.mark.parametrize(
    ("x", "y", "z", "sigma", "angle", "axis"),
    [
        ((1, 0, 0), (0, 1, 0), (0, 0, 1), 1, 0.0, (0, 0, 1)),
        ((0, 1, 0), (-1, 0, 0), (0, 0, 1), 1, 0.0, (0, 0, 1)),
        ((2, 2, -1), (-1, 2, 2), (2, -1, 2), 3, 60.0, (1, 1, 1)),
        ((3, 4, 0), (-4, 3, 0), (0, 0, 1), 5, 36.87, (0, 0, 1)),
        ((6, 3, -2), (-2, 6, 3), (3, -2, 6), 7, 38.21, (1, 1, 1)),
        ((8, 1, 4), (1, 8, -4), (-4, 4, 7), 9, 38.94, (0, 1, 1)),
        ((9, 2, 6), (2, 9, -6), (-6, 6, 7), 11, 50.48, (0, 1, 1)),
        ((12, 5, 0), (-5, 12, 0), (0, 0, 1), 13, 22.62, (0, 0, 1)),
        ((15, 8, 0), (-8, 15, 0), (0, 0, 1), 17, 28.07, (0, 0, 1)),
        ((18, 1, 6), (1, 18, -6), (-6, 6, 17), 19, 26.53, (0, 1, 1)),
    ],
)
def test_sigma_angle_and_axis_of_known_coincidence_boundaries(x, y, z, sigma, angle, axis):
    relation = misorientation(CUBE, (x, y, z))
    assert (relation.sigma, relation.axis) == (sigma, axis)
    assert relation.angle_deg == pytest.approx(angle, abs=0.005)


def test_a_boundary_without_coincidence_has_no_sigma():
    relation = misorientation(CUBE, ((1, 1, 0), (-1, 1, 0), (0, 0, 1)))
    assert relation.sigma is None
    assert relation.angle_deg == pytest.approx(45)
    assert relation.axis == (0, 0, 1)


def rotated_cube(quaternion):
    """The columns of a rotation with integer quaternion, as Miller indices."""
    a, b, c, d = quaternion
    x = (a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c))
    y = (2 * (b * c - a * d), a * a - b * b + c * c - d * d, 2 * (c * d + a * b))
    z = tuple(int(one) for one in np.cross(x, y))
    return coprime(x), coprime(y), coprime(z)


quaternions = st.tuples(*[st.integers(-3, 3)] * 4).filter(any)


@given(quaternions, st.sampled_from(["sc", "bcc", "fcc"]))
def test_sigma_is_the_share_of_lattice_points_that_coincide(quaternion, name):
    axes, lattice = rotated_cube(quaternion), cubic_lattice(name)
    sigma = misorientation(CUBE, axes).sigma
    turn = np.rint(sigma * unit_rows(axes)).astype(int)  # sigma times the rotation, all integers
    assert np.abs(turn / sigma - unit_rows(axes)).max() < 1e-12
    if sigma > 15:
        return  # the count below takes sigma^3 cells
    cells = 4 * np.array(list(product(range(sigma), repeat=3)))
    points = (cells[:, None] + np.array(lattice.centrings)).reshape(
        -1, 3
    )  # quarters of the lattice constant
    images = points @ turn.T  # sigma times too long
    whole = images[np.all(images % sigma == 0, axis=1)] // sigma
    centrings = {tuple(centring) for centring in lattice.centrings}
    assert sum(tuple(image) in centrings for image in (whole % 4).tolist()) * sigma == len(points)


@given(quaternions, quaternions)
def test_the_misorientation_does_not_depend_on_which_grain_is_below(first, second):
    a, b = rotated_cube(first), rotated_cube(second)
    forth, back = misorientation(a, b), misorientation(b, a)
    assert forth.sigma == back.sigma
    assert forth.angle_deg == pytest.approx(back.angle_deg, abs=1e-6)
    assert forth.angle_deg < 62.81  # the largest disorientation of cubes


@pytest.mark.parametrize(
    ("lower", "upper", "character"),
    [
        (((3, -1, 0), (1, 3, 0), (0, 0, 1)), ((3, 1, 0), (-1, 3, 0), (0, 0, 1)), "twist"),
        (
            ((0, 0, 1), (-1, 3, 0), (-3, -1, 0)),
            ((0, 0, 1), (1, 3, 0), (-3, 1, 0)),
            "symmetric tilt",
        ),
        (
            ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
            ((0, 0, 1), (-3, 4, 0), (-4, -3, 0)),
            "asymmetric tilt",
        ),
        (((1, -1, 0), (1, 1, -2), (1, 1, 1)), ((-1, 1, 0), (-1, -1, 2), (1, 1, 1)), "twist"),
        (((1, 0, 0), (0, 1, 0), (0, 0, 1)), ((2, 2, -1), (-1, 2, 2), (2, -1, 2)), "mixed"),
    ],
)
def test_twist_turns_about_the_normal_and_tilt_about_a_line_in_the_boundary(
    lower, upper, character
):
    assert misorientation(lower, upper).character == character
