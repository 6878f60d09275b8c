"""Boundaries named by Sigma, axis and plane, against pymatgen, aimsgb and triads made by hand."""

import json
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.coincidence import Rotation, rotations, sigmas
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.naming import orientations, rotation_of
from gcd_hpc.structures.orientation import misorientation
from tests.structures.their_grains import cubic, grains, pymatgen

A0 = 4.0
SPACE_GROUPS = {"sc": "Pm-3m", "bcc": "Im-3m", "fcc": "Fm-3m", "diamond": "Fd-3m"}
AIMSGB = json.loads((Path(__file__).parents[1] / "data" / "aimsgb.json").read_text())["rows"]
# lattice, Sigma, axis, plane of the lower grain, character
NAMED = [
    ("fcc", 5, (0, 0, 1), (2, 1, 0), "symmetric tilt"),
    ("fcc", 5, (0, 0, 1), (3, 1, 0), "symmetric tilt"),
    ("bcc", 5, (0, 0, 1), (3, 1, 0), "symmetric tilt"),
    ("bcc", 13, (0, 0, 1), (3, 2, 0), "symmetric tilt"),
    ("bcc", 27, (1, 1, 0), (5, -5, 2), "symmetric tilt"),
    ("fcc", 9, (1, 1, 0), (2, -2, 1), "symmetric tilt"),
    ("fcc", 11, (1, 1, 0), (1, -1, 3), "symmetric tilt"),
    ("fcc", 7, (1, 1, 1), (2, 1, -3), "symmetric tilt"),
    ("diamond", 9, (1, 1, 0), (1, -1, -4), "symmetric tilt"),
    ("sc", 17, (0, 0, 1), (4, 1, 0), "symmetric tilt"),
    ("bcc", 5, (0, 0, 1), (0, 0, 1), "twist"),
    ("fcc", 3, (1, 1, 1), (1, 1, 1), "twist"),
    ("fcc", 7, (1, 1, 1), (1, 1, 1), "twist"),
    ("diamond", 29, (0, 0, 1), (0, 0, 1), "twist"),
    ("fcc", 5, (0, 0, 1), (1, 0, 0), "asymmetric tilt"),
    ("bcc", 5, (0, 0, 1), (1, 1, 0), "asymmetric tilt"),
    ("fcc", 11, (1, 1, 0), (0, 0, 1), "asymmetric tilt"),
    ("bcc", 9, (1, 1, 0), (1, -1, 1), "asymmetric tilt"),
]
PYMATGEN = [case for case in NAMED if case[0] != "diamond"]


def config(lattice: str, sigma: int | None, axis, plane, **keys) -> BoundaryConfig:
    return BoundaryConfig(
        element="Cu", lattice=lattice, sigma=sigma, axis=axis, plane=plane, **keys
    )


def named(case) -> Bicrystal:
    return Bicrystal.build(config(*case[:4]), A0)


@cache
def theirs(case):
    """pymatgen's boundary with the same rotation and the same plane."""
    lattice, _, axis, plane, _ = case
    rotation = rotation_of(config(*case[:4]))
    # pymatgen turns the upper crystal; ours turns the coordinates, which is the opposite sense.
    crystal = cubic(SPACE_GROUPS[lattice], A0, ["Cu"])
    return grains(crystal, tuple(axis), -rotation.angle_deg % 360, plane)


def their_shared_translations(case) -> list[np.ndarray]:
    """In-plane vectors that move both of pymatgen's grains onto themselves, in its own cell, Å."""
    gb = theirs(case)
    grains = [
        np.array([site.frac_coords for site in one]) for one in (gb.bottom_grain, gb.top_grain)
    ]
    heights = grains[0][:, 2]
    layer = grains[0][np.abs(heights - np.sort(heights)[len(heights) // 2]) < 1e-4]
    shifts = [one - layer[0] for one in layer]
    return [one @ gb.lattice.matrix for one in shifts if all(is_onto(one, two) for two in grains)]


def is_onto(shift: np.ndarray, sites: np.ndarray) -> bool:
    """Whether a shift moves fractional sites onto sites of the same set."""
    offsets = sites[:, None] + shift - sites
    offsets -= np.rint(offsets)
    # pymatgen's coordinates are good to 1e-5 of the cell.
    return bool((np.abs(offsets).max(axis=2).min(axis=1) < 1e-4).all())


def smallest_rectangle(case) -> float:
    """Area of the smallest rectangle that both of pymatgen's grains share, from its atoms alone."""
    first, second, _ = theirs(case).lattice.matrix
    vectors = np.array(
        [
            shift + i * first + j * second
            for shift in their_shared_translations(case)
            for i, j in product(range(-4, 5), repeat=2)
        ]
    )
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 1e-3]
    lengths = np.linalg.norm(vectors, axis=1)
    areas = lengths[:, None] * lengths
    return float(areas[np.abs(vectors @ vectors.T) < 1e-4 * areas].min())


def heights_of_neighbors(positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Heights above its plane of the nearest neighbours of the middle atom, sorted, Å."""
    heights = positions @ normal
    middle = np.lexsort([np.linalg.norm(positions - positions.mean(axis=0), axis=1)])[0]
    distances = np.linalg.norm(positions - positions[middle], axis=1)
    nearest = np.sort(distances)[1]
    near = (distances > 0.1) & (distances < nearest + 0.1)
    return np.sort(np.abs(heights[near] - heights[middle]))


@pytest.mark.parametrize("case", NAMED, ids=str)
def test_a_name_means_its_sigma_its_plane_and_its_character(case):
    _, sigma, axis, plane, character = case
    boundary = named(case)
    assert boundary.sigma == sigma
    assert boundary.character == character
    assert boundary.lower.directions[2] == plane
    assert boundary.strain == (0.0, 0.0, 0.0)
    assert axis in (*boundary.lower.directions, *boundary.upper.directions)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", PYMATGEN, ids=str)
def test_sigma_and_the_smallest_rectangle_are_those_of_pymatgens_grains(case):
    assert theirs(case).sigma == case[1]
    assert named(case).area == pytest.approx(smallest_rectangle(case), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", PYMATGEN, ids=str)
def test_both_grains_have_pymatgens_planes_at_the_boundary(case):
    gb, ours = theirs(case), named(case)
    first, second, _ = gb.lattice.matrix
    normal = np.cross(first, second) / np.linalg.norm(np.cross(first, second))
    # The plane that pymatgen is given is that of its top grain.
    for side, sites in (("lower", gb.top_grain), ("upper", gb.bottom_grain)):
        whole = pymatgen().Structure.from_sites(sites)
        theirs_around = (whole * (3, 3, 1)).cart_coords
        expected = heights_of_neighbors(theirs_around, normal)
        frame = Frame.build(ours, (20.0, 20.0), 80.0)
        grain = frame.lower(frame.centre) if side == "lower" else frame.upper((0, 0, 0), 40.0)
        around = (frame.atoms(grain) * (5, 5, 1)).positions
        # pymatgen's coordinates are good to 1e-5 of the cell.
        got = heights_of_neighbors(around, np.array([0.0, 0.0, 1.0]))
        assert got == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("row", AIMSGB, ids=str)
def test_sigma_and_angle_are_aimsgbs(row):
    axis, sigma, angle = tuple(row["axis"]), row["sigma"], row["theta"]
    angles = [one.angle_deg for one in rotations(axis, sigma)]
    # aimsgb's angles are rounded to 1e-4 degrees.
    assert any(one == pytest.approx(angle, abs=1e-4) for one in angles)


@pytest.mark.parametrize("row", [one for one in AIMSGB if one["axis"] == [0, 0, 1]], ids=str)
def test_planes_that_aimsgb_calls_symmetric_are(row):
    for plane in row["planes"]:
        if plane[2] == 0:
            boundary = named(("fcc", row["sigma"], (0, 0, 1), tuple(plane), "symmetric tilt"))
            assert boundary.character == "symmetric tilt"
            assert boundary.lower.plane_spacing == pytest.approx(boundary.upper.plane_spacing)


def test_no_sigma_that_aimsgb_lists_is_missing_and_none_is_more():
    for axis in {tuple(row["axis"]) for row in AIMSGB}:
        expected = {row["sigma"] for row in AIMSGB if tuple(row["axis"]) == axis}
        assert set(sigmas(axis, 29)) == expected


def test_a_name_means_the_boundary_of_the_documented_triads():
    triads = BoundaryConfig.model_validate(
        {
            "element": "Cu",
            "lattice": "fcc",
            "lower": {"x": (0, 0, 1), "y": (-1, 2, 0), "z": (-2, -1, 0)},
            "upper": {"x": (0, 0, 1), "y": (1, 2, 0), "z": (-2, 1, 0)},
        }
    )
    by_triads, by_name = Bicrystal.build(triads, A0), named(NAMED[0])
    assert np.diag(by_name.cell) == pytest.approx(np.diag(by_triads.cell))
    assert by_name.atoms_per_plane == by_triads.atoms_per_plane
    assert by_name.misorientation == by_triads.misorientation
    # The distances between the atoms of the two grains tell the boundary from others of its cell.
    spectra = [np.sort(joined(one), axis=None) for one in (by_triads, by_name)]
    assert spectra[0] == pytest.approx(spectra[1], abs=1e-9)


def joined(boundary: Bicrystal) -> np.ndarray:
    atoms = Frame.build(boundary, (12.0, 12.0), 40.0).join((0.0, 0.0, 0.0))
    return atoms.get_all_distances(mic=True)


def test_the_plane_of_the_upper_grain_chooses_between_rotations_of_one_sigma():
    wanted = config("fcc", 5, (0, 0, 1), (2, 1, 0), upper_plane=(2, 11, 0))
    _, upper = orientations(wanted)
    assert sorted(map(abs, upper[2])) == [0, 2, 11]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_name_gives_two_grains_that_share_its_cell(data):
    index = st.integers(-3, 3)
    axis = data.draw(st.tuples(index, index, index).filter(lambda a: np.gcd.reduce(a) == 1))
    sigma = data.draw(st.sampled_from(list(sigmas(axis, 41)) or [3]))
    if not rotations(axis, sigma):
        return
    # Two directions normal to the axis; planes of the zone are their combinations.
    first = np.cross(axis, (1, 0, 0) if axis[1] or axis[2] else (0, 1, 0))
    second = np.cross(axis, first)
    i, j = data.draw(st.tuples(index, index).filter(any))
    plane = i * first + j * second
    plane = tuple(int(one) for one in plane // np.gcd.reduce(plane))
    lattice = data.draw(st.sampled_from(["sc", "bcc", "fcc", "diamond"]))
    given_name = config(lattice, sigma, axis, plane)
    lower, upper = orientations(given_name)
    for grain in (lower, upper):
        x, y, z = map(np.array, grain)
        assert x @ y == y @ z == z @ x == 0
        assert np.cross(x, y) @ z > 0
    assert misorientation(lower, upper).sigma == sigma
    assert Bicrystal.build(given_name, A0).strain == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("axis", "plane", "angle", "sigma"),
    [
        ((0, 0, 1), (2, 1, 0), 36.87, 5),
        ((0, 0, 1), (2, 1, 0), 53.13, 5),
        ((0, 0, 1), (3, 1, 0), 37.3, 5),
        ((1, 1, 0), (1, -1, 1), 70.5, 3),
        ((1, 1, 1), (1, 1, 1), 38.2, 7),
        ((0, 0, 1), (0, 0, 1), 22.6, 13),
    ],
)
def test_an_angle_means_the_nearest_coincidence(axis, plane, angle, sigma):
    by_angle = orientations(config("fcc", None, axis, plane, angle=angle))
    by_both = orientations(config("fcc", sigma, axis, plane, angle=angle))
    assert by_angle == by_both
    assert misorientation(*by_angle).sigma == sigma


def test_a_narrower_limit_of_sigma_finds_another_coincidence():
    angles = {"angle": 40.0, "angle_tolerance": 4.0}
    wide = rotation_of(config("fcc", None, (0, 0, 1), (0, 0, 1), **angles))
    narrow = rotation_of(config("fcc", None, (0, 0, 1), (0, 0, 1), max_sigma=17, **angles))
    assert (wide.sigma, narrow.sigma) == (5, 5)
    farther = {"angle": 41.0, "angle_tolerance": 4.5}
    wide = rotation_of(config("fcc", None, (0, 0, 1), (0, 0, 1), **farther))
    narrow = rotation_of(config("fcc", None, (0, 0, 1), (0, 0, 1), max_sigma=17, **farther))
    assert (wide.sigma, narrow.sigma) == (29, 5)


def test_an_angle_chooses_between_the_two_rotations_of_sigma_33():
    angles = [
        rotation_of(config("fcc", 33, (1, 1, 0), (0, 0, 1), angle=angle)).angle_deg
        for angle in (20.0, 59.0)
    ]
    # Sigma33a and 33c of the literature.
    assert angles == pytest.approx([20.05, 58.99], abs=0.01)


def test_an_angle_without_a_coincidence_is_refused_with_those_that_are_near():
    with pytest.raises(
        OrientationError,
        match=r"within 0.5 degrees of 40; the nearest are 36.87 \(Sigma 5\), 43.60 \(Sigma 29\)",
    ):
        orientations(config("fcc", None, (0, 0, 1), (2, 1, 0), angle=40.0))
    with pytest.raises(OrientationError, match=r"boundary.max_sigma: no rotation about \[0 0 1\]"):
        orientations(config("fcc", None, (0, 0, 1), (2, 1, 0), angle=37.0, max_sigma=3))


def test_a_rotation_of_the_cube_is_no_coincidence():
    assert Rotation((0, 0, 1), 1, 1).sigma == 1
    assert rotations((0, 0, 1), 3) == []


def test_a_sigma_that_does_not_exist_about_the_axis_is_refused_with_those_that_do():
    with pytest.raises(OrientationError, match=r"about \[0 0 1\] has Sigma 7; .* 5, 13, 17, 25"):
        orientations(config("fcc", 7, (0, 0, 1), (2, 1, 0)))


def test_an_upper_plane_that_no_rotation_gives_is_refused_with_those_that_are():
    with pytest.raises(OrientationError, match=r"boundary.upper_plane: .* \{2 1 0\} or \{11 2 0\}"):
        orientations(config("fcc", 5, (0, 0, 1), (2, 1, 0), upper_plane=(1, 1, 1)))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"plane": (2, 1, 1)}, "must contain the axis [0 0 1] (a tilt boundary)"),
        ({"plane": (2, 1, 0), "twist": True}, "must be normal to the axis [0 0 1]"),
        ({}, "is required beside axis, unless twist is true"),
        ({"twist": True, "sigma": None}, "or angle is required beside axis but missing"),
        ({"twist": True, "axis": None}, "is required beside sigma but missing"),
        ({"axis": (0, 0, 0), "twist": True}, "must be a direction"),
        ({"sigma": None, "axis": None}, "is not named"),
    ],
)
def test_an_incomplete_or_impossible_name_is_refused_in_one_sentence(keys, sentence):
    whole = {"element": "Cu", "lattice": "fcc", "sigma": 5, "axis": (0, 0, 1)} | keys
    with pytest.raises(ValidationError) as caught:
        BoundaryConfig(**whole)
    (problem,) = caught.value.errors()
    assert sentence in problem["msg"]


def test_a_boundary_that_is_named_twice_is_refused():
    triad = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
    with pytest.raises(ValidationError, match="is named twice, by lower and by sigma"):
        config("fcc", 5, (0, 0, 1), (2, 1, 0), lower=triad, upper=triad)


@pytest.mark.parametrize("axis", [(1, 1, 0), (-1, -1, 0), (1, -1, 0), (-1, 1, 0)])
def test_x_is_the_axis_whatever_its_sign_where_it_is_an_edge_of_the_cell(axis):
    lower, upper = orientations(config("fcc", 9, axis, (0, 0, 1)))
    assert lower[0] == upper[0] == axis
