"""Boundaries of hcp crystals, named by four indices, by triads and by coincidences about c."""

from math import sqrt

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial import cKDTree

from gcd_hpc.config.boundary import BoundaryConfig, Triad
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.hexagonal import rotations
from gcd_hpc.structures.periodic import images

A, C = 2.9305, 4.6783  # published with GRIP for Ti.meam.spline
GRIP_SPACING = 0.959231  # GRIP's dlat of (2 -1 -3 0) Ti, Å


def boundary(**name):
    return Bicrystal.build(BoundaryConfig(element="Ti", lattice="hcp", **name), A, C)


def triad(x, y, z):
    return Triad(x=x, y=y, z=z)


GRIP = {
    "lower": triad((5, -1, -4, 0), (0, 0, 0, -1), (-1, 3, -2, 0)),
    "upper": triad((4, 1, -5, 0), (0, 0, 0, -1), (-2, 3, -1, 0)),
}
TILT = {"sigma": 7, "axis": (0, 0, 0, 1), "plane": (-1, 3, -2, 0)}
TWIST = {"sigma": 7, "axis": (0, 0, 0, 1), "twist": True}
PYRAMIDAL = {
    "lower": triad((-1, 2, -1, 0), (-1, 0, 1, 2), (1, 0, -1, 1)),
    "upper": triad((1, -2, 1, 0), (1, 0, -1, -2), (1, 0, -1, 1)),
}
ALL = {
    "GRIP's tilt": boundary(**GRIP),
    "tilt": boundary(**TILT),
    "asymmetric tilt": boundary(sigma=13, axis=(0, 0, 1), plane=(1, 0, 0)),
    "twist": boundary(**TWIST),
    "twist in the smallest cell": boundary(**TWIST, cell="smallest"),
    "pyramidal": boundary(**PYRAMIDAL),
}


def hcp_sites(grain, extent):
    """Sites of the infinite crystal around the origin in its own coordinates, by ASE's words."""
    steps = np.arange(-extent, extent + 1)
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = cells[:, None] + np.array([[0, 0, 0], [1 / 3, 2 / 3, 1 / 2]])
    return sites.reshape(-1, 3) @ grain.crystal.matrix


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_grain_is_the_infinite_hcp_crystal(name, side):
    case = ALL[name]
    grain = case.grain(side)
    positions = case.lattice_positions(side, (0, 0, 0), -6.0, 6.0)
    around, _ = images(positions, case.cell, 6.0)
    inner = around[np.linalg.norm(around, axis=1) < 5.0]
    turn = np.linalg.solve(grain.crystal.matrix, grain.primitive)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-9)
    crystal = hcp_sites(grain, 4)
    expected = crystal[np.linalg.norm(crystal, axis=1) < 5.0]
    assert len(inner) == len(expected)
    assert cKDTree(inner).query(expected @ turn)[0].max() < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_every_spacing_of_the_planes_holds_n_plane_atoms(name):
    case = ALL[name]
    for planes in (1, 3, 8):
        height = planes * case.plane_spacing
        assert len(case.lattice_positions("lower", (0.1, 0.2, 0.3), 0.0, height)) == (
            planes * case.lower.atoms_per_plane
        )


def test_grips_titanium_boundary_has_its_plane_spacing_and_two_atoms_a_plane():
    case = ALL["GRIP's tilt"]
    assert case.plane_spacing == pytest.approx(GRIP_SPACING, abs=1e-6)
    # GRIP's [n] = 0.5 has 2 atoms more than [n] = 0 in a cell of two repeats: N_plane is 4 there.
    assert case.atoms_per_plane == 2
    assert case.replicated(2, 1).atoms_per_plane == 4
    assert np.diag(case.cell) == pytest.approx((sqrt(7) * A, C))


def test_a_tilt_by_sigma_and_plane_is_grips_boundary_by_directions():
    by_name, by_triads = ALL["tilt"], ALL["GRIP's tilt"]
    assert by_name.lower.named[2] == by_triads.lower.named[2] == (-1, 3, -2, 0)
    assert by_name.upper.named[2] == by_triads.upper.named[2] == (-2, 3, -1, 0)
    assert sorted(np.diag(by_name.cell)) == pytest.approx(sorted(np.diag(by_triads.cell)))
    assert by_name.misorientation == by_triads.misorientation
    assert (by_name.sigma, by_name.character) == (7, "symmetric tilt")
    assert by_name.misorientation_deg == pytest.approx(21.786789, abs=1e-6)
    assert by_name.misorientation_axis == (0, 0, 0, 1)


def test_four_indices_and_three_name_the_same_directions():
    lower = triad((2, 1, 0), (0, 0, -1), (-1, 3, 0))  # [5 -1 -4 0] is 3 times [3 1 0]
    with pytest.raises(ValidationError, match=r"must be the plane that holds x and y"):
        boundary(lower=lower, upper=GRIP["upper"])
    three = triad((3, 1, 0), (0, 0, -1), (-1, 3, 0))
    assert boundary(lower=three, upper=GRIP["upper"]) == ALL["GRIP's tilt"]


def test_a_basal_twist_has_half_the_area_in_its_smallest_cell():
    small, rectangle = ALL["twist in the smallest cell"], ALL["twist"]
    assert small.area == pytest.approx(7 * sqrt(3) / 2 * A**2)
    assert rectangle.area == pytest.approx(2 * small.area)
    assert (small.atoms_per_plane, rectangle.atoms_per_plane) == (14, 28)
    assert small.sigma == rectangle.sigma == 7
    assert small.character == "twist"


def test_a_plane_without_a_normal_among_the_lattice_directions_has_an_inclined_block():
    case = ALL["pyramidal"]
    # 1/d^2 = 4/3 (h^2 + hk + k^2) / a^2 + l^2 / c^2
    assert case.plane_spacing == pytest.approx((4 / 3 / A**2 + 1 / C**2) ** -0.5)
    assert case.lower.cell[2][:2] != (0.0, 0.0)
    assert case.sigma is None


def test_coincidences_about_c_are_those_of_the_tables():
    """Sigma 7, 13, 19 and 31 by 21.79, 27.80, 13.17 and 17.90 degrees: Bonnet, Cousineau and
    Warrington, Acta Cryst. A37 (1981) 184.
    """
    smallest = {sigma: rotations(sigma)[0].angle_deg for sigma in (7, 13, 19, 31)}
    expected = {7: 21.7868, 13: 27.7958, 19: 13.1736, 31: 17.8966}
    assert smallest == pytest.approx(expected, abs=1e-4)
    assert not rotations(3)
    assert not rotations(9)


@pytest.mark.parametrize("name", ALL)
def test_a_symmetry_of_the_boundary_keeps_its_lower_grain(name):
    case = ALL[name]
    frame = Frame.build(case, (12.0, 12.0), 50.0)
    atoms = frame.join((0.4, 0.3, 0.2))
    lower = frame.lower(frame.bottom + 4.0)
    for operation in case.symmetry_operations:
        turned = frame.transform(atoms.positions, operation)
        assert cKDTree(images(turned, case.cell, 1.0)[0]).query(lower)[0].max() < 1e-6


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ({**TWIST, "a0": 2.9, "c0": 9.0}, "must be 1.2 to 2.2 times a0 in hcp, got 9"),
        ({**TWIST, "c0": 4.7}, "is required beside c0 but missing"),
        ({**TWIST, "axis": (1, 1, -1, 1)}, "third index that is minus the sum .* -2, got -1"),
        ({**TWIST, "axis": (1, 1, -2, 0)}, r"must be \[0 0 0 1\] in hcp"),
        ({**TWIST, "axis": (0, 0, 0, 0, 1)}, "must be a list of 3 values, or of 4 in hcp"),
        ({**TWIST, "lattice": "fcc"}, "must be a list of 3 values in fcc"),
        (
            {**TWIST, "lattice": "fcc", "axis": (0, 0, 1), "c0": 4.7, "a0": 2.9},
            "is a constant of hcp",
        ),
        (
            {**GRIP, "lower": triad((1, 0, 0), (0, 1, 0), (0, 0, 1))},
            "must be at right angles at any c/a",
        ),
        (
            {**GRIP, "lower": triad((5, -1, -4, 0), (0, 0, 0, 1), (-1, 3, -2, 0))},
            "must be right-handed",
        ),
    ],
)
def test_names_that_mean_no_boundary_in_hcp_are_refused(name, problem):
    with pytest.raises(ValidationError, match=problem):
        BoundaryConfig(**{"element": "Ti", "lattice": "hcp", **name})


def test_a_sigma_that_hcp_lacks_is_refused_with_those_that_it_has():
    with pytest.raises(OrientationError, match=r"hcp has Sigma 5; .* are 7, 13, 19, 31"):
        boundary(sigma=5, axis=(0, 0, 0, 1), twist=True)
    with pytest.raises(OrientationError, match=r"the nearest are 21.79 .Sigma 7."):
        boundary(angle=24.0, axis=(0, 0, 0, 1), twist=True, max_sigma=19)
