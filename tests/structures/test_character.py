"""What the literature calls a boundary."""

import pytest

from gcd_hpc.browse.boundaries import boundary_records
from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.catalogue import known_boundaries
from gcd_hpc.structures.character import character_of, described

# Planes of symmetric tilt boundaries and their misorientations as they are listed in the
# literature: Olmsted et al. (2009) for [001], Tschopp et al. (2015) for [110].
LISTED = {
    (0, 0, 1): {(3, 1, 0): 36.87, (2, 1, 0): 53.13, (5, 1, 0): 22.62, (3, 2, 0): 67.38},
    (1, -1, 0): {(1, 1, 3): 50.48, (1, 1, 2): 70.53, (1, 1, 1): 109.47, (2, 2, 1): 141.06},
    (1, 1, 1): {(2, -3, 1): 38.21, (3, -4, 1): 27.80},
}
SIGMAS = {(3, 1, 0): 5, (2, 1, 0): 5, (5, 1, 0): 13, (3, 2, 0): 13, (1, 1, 3): 11, (1, 1, 2): 3}
SIGMAS |= {(1, 1, 1): 3, (2, 2, 1): 9, (2, -3, 1): 7, (3, -4, 1): 13}


def of(**keys):
    config = BoundaryConfig(element="Cu", lattice="fcc", **keys)
    return character_of(config, Bicrystal.build(config, 3.6))


@pytest.mark.parametrize(
    ("axis", "plane", "angle"),
    [(axis, plane, angle) for axis, planes in LISTED.items() for plane, angle in planes.items()],
)
def test_symmetric_tilts_lie_at_the_angles_of_the_literature(axis, plane, angle):
    found = of(axis=axis, sigma=SIGMAS[plane], plane=plane)
    assert (found.kind, found.sigma) == ("symmetric tilt", SIGMAS[plane])
    assert found.angle_deg == pytest.approx(angle, abs=0.005)  # listed with two decimals
    assert found.axis == tuple(sorted(map(abs, axis)))


def test_a_coherent_twin_is_a_tilt_or_a_twist_as_its_axis_says():
    tilt, twist = (
        of(axis=(1, -1, 0), sigma=3, plane=(1, 1, 1)),
        of(axis=(1, 1, 1), sigma=3, twist=True),
    )
    assert (tilt.kind, twist.kind) == ("symmetric tilt", "twist")
    assert tilt.angle_deg == pytest.approx(109.4712, abs=1e-4)
    assert twist.angle_deg == pytest.approx(60)


def test_triads_and_a_name_of_the_same_boundary_have_one_character():
    lower = {"x": [0, 0, 1], "y": [-1, 2, 0], "z": [-2, -1, 0]}
    upper = {"x": [0, 0, 1], "y": [1, 2, 0], "z": [-2, 1, 0]}
    named, found = of(axis=(0, 0, 1), sigma=5, plane=(2, 1, 0)), of(lower=lower, upper=upper)
    assert (found.kind, found.sigma, found.planes[0]) == ("symmetric tilt", 5, (2, 1, 0))
    assert found.angle_deg == pytest.approx(named.angle_deg)
    twist = of(
        lower={"x": [3, -1, 0], "y": [1, 3, 0], "z": [0, 0, 1]},
        upper={"x": [3, 1, 0], "y": [-1, 3, 0], "z": [0, 0, 1]},
    )
    assert (twist.kind, twist.axis, twist.sigma) == ("twist", (0, 0, 1), 5)
    assert twist.angle_deg == pytest.approx(36.8699, abs=1e-4)


def test_a_twin_is_described_and_listed_by_the_angle_of_the_literature():
    """The smallest rotation of the same boundary is a twist of 60 degrees about <111>."""
    config = BoundaryConfig(element="Cu", lattice="fcc", axis=(1, 1, 0), sigma=3, plane=(1, -1, 1))
    text = described(config, Bicrystal.build(config, 3.6))
    assert (
        text == "Sigma 3 symmetric tilt, 109.47 degrees about <0 1 1>, planes (1 -1 1) on (1 -1 -1)"
    )
    records = boundary_records(list(known_boundaries("Cu", "fcc", 3.6, (1, 1, 0), 3, 1, (20, 20))))
    tilts = [one for one in records if one["kind"] == "symmetric tilt"]
    (twin,) = (one for one in tilts if one["lower_plane"] == [1, -1, 1])
    assert (twin["sigma"], twin["upper_plane"]) == (3, [1, -1, -1])
    assert twin["angle_deg"] == pytest.approx(109.4712, abs=1e-4)


@pytest.mark.parametrize(
    ("element", "lattice", "axis", "order"),
    [
        ("Cu", "fcc", (0, 0, 1), 4),
        ("W", "bcc", (1, 1, 0), 2),
        ("W", "bcc", (1, 1, 1), 3),
        ("Cu", "fcc", (1, 1, 2), 1),
        ("Ti", "hcp", (0, 0, 0, 1), 6),
    ],
)
def test_the_angle_is_that_of_a_rotation_equal_to_the_named_one(element, lattice, axis, order):
    def folded(angle):
        return min(angle % (360 / order), -angle % (360 / order))

    for one in known_boundaries(element, lattice, 3.0, axis, 13, 1, (20.0, 20.0)):
        found = character_of(one.config, one.bicrystal)
        assert found.kind == one.kind
        assert folded(found.angle_deg) == pytest.approx(folded(one.rotation.angle_deg), abs=1e-6)
        assert found.sigma == one.rotation.sigma
