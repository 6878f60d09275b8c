"""Hexagonal crystals and oblique cells against pymatgen's builder, which knows nothing of ours."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.structures.bicrystal import Bicrystal
from tests.structures.their_grains import cubic, grains, pymatgen

pytestmark = pytest.mark.filterwarnings("ignore")

A, C = 2.9305, 4.6783
A0 = 3.6


class Case(NamedTuple):
    """Keys of a boundary, pymatgen's words for it, and how many of our cells fit in its cell.

    pymatgen begins with conventional cells of fcc, whose lattice is sparser in the plane.
    """

    keys: dict
    axis: tuple
    angle: float
    plane: tuple
    ratio: int


BASAL = {"element": "Ti", "lattice": "hcp", "axis": (0, 0, 0, 1)}
OCTAHEDRAL = {"element": "Cu", "lattice": "fcc", "axis": (1, 1, 1), "twist": True}
C_AXIS = (0, 0, 0, 1)
CASES = {
    "Ti Sigma7 basal twist": Case(
        {**BASAL, "sigma": 7, "twist": True, "cell": "smallest"}, C_AXIS, 21.786789, C_AXIS, 1
    ),
    "Ti Sigma13 basal twist": Case(
        {**BASAL, "sigma": 13, "twist": True, "cell": "smallest"}, C_AXIS, 27.795772, C_AXIS, 1
    ),
    "Ti Sigma7 tilt": Case(
        {**BASAL, "sigma": 7, "plane": (-1, 3, -2, 0)}, C_AXIS, 38.213211, (-1, 3, -2, 0), 1
    ),
    "Ti Sigma13 asymmetric tilt": Case(
        {**BASAL, "sigma": 13, "plane": (1, 0, -1, 0)}, C_AXIS, 27.795772, (1, 0, -1, 0), 1
    ),
    "Cu Sigma3 {111} twist": Case(
        {**OCTAHEDRAL, "sigma": 3, "cell": "smallest"}, (1, 1, 1), 60.0, (1, 1, 1), 4
    ),
    "Cu Sigma7 {111} twist": Case(
        {**OCTAHEDRAL, "sigma": 7, "cell": "smallest"}, (1, 1, 1), 38.213211, (1, 1, 1), 4
    ),
}


@cache
def ours(name: str) -> Bicrystal:
    config = BoundaryConfig(**CASES[name].keys)
    return Bicrystal.build(config, *((A, C) if config.lattice == "hcp" else (A0,)))


def titanium():
    core = pymatgen()
    return core.Structure.from_spacegroup(
        "P6_3/mmc", core.Lattice.hexagonal(A, C), ["Ti"], [[1 / 3, 2 / 3, 1 / 4]]
    )


def their_angles(name: str) -> list[float]:
    case, generator = CASES[name], pymatgen().interface.GrainBoundaryGenerator
    if case.keys["lattice"] == "hcp":
        # Coincidences about c exist at any c/a, which is therefore not given.
        return generator.enum_sigma_hex(20, case.axis, None)[case.keys["sigma"]]
    return generator.get_rotation_angle_from_sigma(case.keys["sigma"], case.axis, lat_type="c")


@cache
def theirs(name: str):
    case = CASES[name]
    angle = min(their_angles(name), key=lambda one: abs(one - case.angle))
    assert angle == pytest.approx(case.angle, abs=1e-5)
    crystal = titanium() if case.keys["lattice"] == "hcp" else cubic("Fm-3m", A0, ["Cu"])
    return grains(crystal, case.axis, angle, case.plane)


def their_area(name: str) -> float:
    a, b, _ = theirs(name).lattice.matrix
    return float(np.linalg.norm(np.cross(a, b)))


@pytest.mark.parametrize("name", CASES)
def test_sigma_and_the_area_of_the_cell_are_pymatgens(name):
    boundary = ours(name)
    assert boundary.sigma == theirs(name).sigma == CASES[name].keys["sigma"]
    assert their_area(name) / boundary.area == pytest.approx(CASES[name].ratio, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_misorientation_is_the_smallest_of_pymatgens_angles(name):
    assert ours(name).misorientation_deg == pytest.approx(min(their_angles(name)), abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_equal_heights_hold_as_many_atoms_as_in_pymatgens_grains(name):
    boundary, gb = ours(name), theirs(name)
    planes = gb.lattice.volume / their_area(name) / 2 / boundary.plane_spacing
    assert planes == pytest.approx(round(planes), abs=1e-6)
    assert len(gb) == 2 * round(planes) * boundary.lower.atoms_per_plane * CASES[name].ratio


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_atoms_have_their_neighbours_where_pymatgens_have_them(name, side):
    """Distances from an atom of one grain, and their heights above it."""
    boundary, gb = ours(name), theirs(name)
    reach = 1.45 * boundary.nearest_neighbor  # pymatgen's grains are two cells high
    grain = gb.bottom_grain if side == "lower" else gb.top_grain
    heights = np.array([site.frac_coords[2] % 1 * gb.lattice.c for site in grain])
    middle = grain[int(np.argmin(np.abs(heights - np.median(heights))))]
    expected = np.sort([one.nn_distance for one in gb.get_neighbors(middle, reach)])
    positions = boundary.lattice_positions(side, (0, 0, 0), -10.0, 10.0)
    edges = np.zeros((2, 3))
    edges[:, :2] = boundary.cell
    steps = np.stack(np.meshgrid(range(-5, 6), range(-5, 6)), axis=-1).reshape(-1, 2)
    around = (positions[:, None] + steps @ edges).reshape(-1, 3)
    centre = positions[np.argmin(np.abs(positions[:, 2]))]
    distances = np.sort(np.linalg.norm(around - centre, axis=1))[1:]
    # pymatgen's coordinates are good to 1e-5 Å.
    assert distances[distances < reach] == pytest.approx(expected, abs=1e-4)
