"""The list of boundaries about an axis."""

from itertools import combinations

import pytest

from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.catalogue import known_boundaries
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.naming import family, orientations

SLABS = (27.0, 27.0)


def listed(lattice="fcc", axis=(0, 0, 1), max_sigma=29, max_index=1):
    return list(known_boundaries("Cu", lattice, 3.6, axis, max_sigma, max_index, SLABS))


def planes(found, kind):
    return {
        (one.rotation.sigma, family(one.bicrystal.lower.directions[2]))
        for one in found
        if one.kind == kind
    }


def test_symmetric_tilts_about_001_are_those_of_the_literature():
    # Each Sigma about [001] has two: (hk0) and its partner.
    expected = {
        (5, (2, 1, 0)), (5, (3, 1, 0)), (13, (3, 2, 0)), (13, (5, 1, 0)), (17, (4, 1, 0)),
        (17, (5, 3, 0)), (25, (4, 3, 0)), (25, (7, 1, 0)), (29, (5, 2, 0)), (29, (7, 3, 0)),
    }  # fmt: skip
    assert planes(listed(), "symmetric tilt") == expected


def test_symmetric_tilts_about_110_are_those_of_the_literature():
    expected = {
        (3, (1, 1, 1)), (3, (2, 1, 1)), (9, (2, 2, 1)), (9, (4, 1, 1)), (11, (3, 1, 1)),
        (11, (3, 3, 2)), (17, (3, 2, 2)), (17, (4, 3, 3)), (19, (3, 3, 1)), (19, (6, 1, 1)),
        (27, (5, 1, 1)), (27, (5, 5, 2)), (33, (4, 4, 1)), (33, (8, 1, 1)), (33, (5, 2, 2)),
        (33, (5, 5, 4)),
    }  # fmt: skip
    assert planes(listed(axis=(1, 1, 0), max_sigma=33), "symmetric tilt") == expected


def test_a_sigma_with_two_rotations_about_one_axis_has_two_twist_boundaries():
    twists = [one for one in listed(axis=(1, 1, 0), max_sigma=33) if one.kind == "twist"]
    angles = [one.rotation.angle_deg for one in twists if one.rotation.sigma == 33]
    assert angles == pytest.approx([20.05, 58.99], abs=0.01)


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc", "diamond"])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, -1, 0), (1, 1, 1), (1, 1, 2)])
def test_every_listed_boundary_is_the_one_that_its_keys_name(lattice, axis):
    found = listed(lattice, axis, 33)
    assert {one.kind for one in found} == {"twist", "symmetric tilt", "asymmetric tilt"}
    for one in found:
        again = Bicrystal.build(one.config, 3.6)
        assert again.cell == one.bicrystal.cell
        assert again.sigma == one.rotation.sigma
        assert again.strain == (0.0, 0.0, 0.0)
        lower, upper = orientations(one.config)
        if "upper_plane" in one.keys:
            assert family(upper[2]) == family(tuple(one.keys["upper_plane"]))
            assert not one.rotation.mirrors(lower[2])


def test_no_boundary_is_listed_twice():
    found = listed(axis=(1, 1, 0), max_sigma=33, max_index=2)
    for one, other in combinations(found, 2):
        marks = [
            (
                two.rotation.smallest,
                two.kind,
                sorted(family(grain[2]) for grain in orientations(two.config)),
            )
            for two in (one, other)
        ]
        assert marks[0] != marks[1]


def test_the_number_of_atoms_is_that_of_two_joined_slabs():
    for lattice in ("fcc", "diamond"):
        for one in listed(lattice, max_sigma=13):
            frame = Frame.build(one.bicrystal, SLABS, Frame.least_height(one.bicrystal, SLABS))
            assert len(frame.join((0.0, 0.0, 0.0))) == one.num_atoms


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 0), (1, 2, 3)])
def test_planes_of_large_indices_are_listed_without_strain(axis):
    found = listed(axis=axis, max_sigma=99, max_index=2)
    largest = max(max(map(abs, one.bicrystal.upper.directions[2])) for one in found)
    assert largest > 200
    assert {one.bicrystal.strain for one in found} == {(0.0, 0.0, 0.0)}
