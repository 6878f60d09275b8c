"""The bicrystal builder against pymatgen's, which knows nothing of ours."""

from functools import cache

import numpy as np
import pytest

from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.frame import Frame
from tests.structures.boundaries import CASES
from tests.structures.their_grains import cubic, grains, pymatgen

pytestmark = pytest.mark.filterwarnings("ignore")


@cache
def theirs(name: str):
    case = CASES[name]
    crystal = cubic(case.space_group, case.bicrystal.a0, case.bicrystal.elements)
    return grains(crystal, case.rotation_axis, case.rotation_angle, case.plane)


def their_area(name: str) -> float:
    a, b, _ = theirs(name).lattice.matrix
    return float(np.linalg.norm(np.cross(a, b)))


def their_planes(name: str) -> int:
    """Lattice planes in their lower grain: its distinct heights, since all layers of these five lie
    on lattice planes.
    """
    gb = theirs(name)
    heights = np.sort([site.frac_coords[2] % 1 * gb.lattice.c for site in gb.bottom_grain])
    gaps = np.diff(
        heights, append=heights[0] + gb.lattice.c
    )  # the widest is the other grain, unless it lies at the end
    return int(np.sum(gaps > 0.05))


@pytest.mark.parametrize("name", CASES)
def test_sigma_is_pymatgens(name):
    assert CASES[name].bicrystal.sigma == theirs(name).sigma == CASES[name].sigma


@pytest.mark.parametrize("name", CASES)
def test_misorientation_is_the_literatures_and_one_of_pymatgens_for_this_sigma_and_axis(name):
    case, boundary = CASES[name], CASES[name].bicrystal
    assert boundary.misorientation_deg == pytest.approx(case.angle, abs=1e-6)
    assert boundary.misorientation_axis == case.axis
    angles = pymatgen().interface.GrainBoundaryGenerator.get_rotation_angle_from_sigma(
        case.sigma, case.rotation_axis, lat_type="c"
    )
    assert boundary.misorientation_deg == pytest.approx(min(angles), abs=1e-6)
    assert any(case.rotation_angle == pytest.approx(angle, abs=1e-6) for angle in angles)


@pytest.mark.parametrize("name", CASES)
def test_the_cell_is_pymatgens_or_a_simple_multiple_of_its_area(name):
    # pymatgen's skewed cells of the (113) and (111) planes are twice our rectangles; it doubles the
    # Si cell along [1 -3 0].
    ratio = their_area(name) / CASES[name].bicrystal.area
    assert ratio == pytest.approx(1 if name[:2] in ("W ", "Cu") else 2, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_atoms_per_plane_and_spacing_are_pymatgens(name):
    boundary, gb = CASES[name].bicrystal, theirs(name)
    num_planes, ratio = their_planes(name), round(their_area(name) / boundary.area)
    assert len(gb.bottom_grain) == num_planes * boundary.atoms_per_plane * ratio
    assert gb.lattice.volume / their_area(name) / 2 == pytest.approx(
        num_planes * boundary.plane_spacing, rel=1e-9
    )


@pytest.mark.parametrize("name", CASES)
def test_a_bicrystal_of_pymatgens_height_has_its_number_of_atoms(name):
    boundary, gb = CASES[name].bicrystal, theirs(name)
    height = their_planes(name) * boundary.plane_spacing
    atoms = Frame.build(boundary, (height, height), 2 * height + 20).join((0.0, 0.0, 0.0))
    assert len(atoms) * round(their_area(name) / boundary.area) == len(gb)


@pytest.mark.parametrize("name", CASES)
def test_no_pair_in_either_grain_is_closer_than_in_the_crystal(name):
    boundary = CASES[name].bicrystal
    frame = Frame.build(boundary, (20.0, 20.0), 60.0)
    for grain in (frame.lower(frame.centre), frame.upper((0.3, 0.4, 0.5), frame.centre)):
        assert closest_pair(grain, frame.cell) == pytest.approx(boundary.nearest_neighbor, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_atoms_of_a_grain_lie_where_pymatgens_lie_to_their_neighbours(name):
    boundary, gb = CASES[name].bicrystal, theirs(name)
    reach = 1.9 * boundary.nearest_neighbor
    heights = np.array([site.frac_coords[2] % 1 * gb.lattice.c for site in gb.bottom_grain])
    middle = gb.bottom_grain[int(np.argmin(np.abs(heights - np.median(heights))))]
    expected = np.sort([neighbor.nn_distance for neighbor in gb.get_neighbors(middle, reach)])
    frame = Frame.build(boundary, (30.0, 30.0), 80.0)
    atoms = frame.atoms(frame.lower(frame.centre)) * (7, 3, 1)
    centre = np.argmin(
        np.linalg.norm(
            atoms.positions - (atoms.positions.min(axis=0) + atoms.positions.max(axis=0)) / 2,
            axis=1,
        )
    )
    ours = np.sort(np.linalg.norm(atoms.positions - atoms.positions[centre], axis=1))[1:]
    assert ours[ours < reach] == pytest.approx(
        expected, abs=1e-4
    )  # pymatgen's coordinates are good to 1e-5 Å
