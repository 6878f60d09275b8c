"""What the literature calls a boundary: its kind, its axis, its planes and an angle to draw it at.

A boundary has many rotations, because each grain may be turned by a symmetry of its crystal. The
rotation meant here is the one about the axis that names the boundary, or that both grains share
along an edge of the box: the coherent twin of an fcc crystal is a tilt of 109.47 degrees about
<0 1 1> if it is named so, and a twist of 60 degrees about <1 1 1> otherwise.
"""

from dataclasses import dataclass
from itertools import permutations, product
from math import acos, atan2, degrees, remainder, sqrt

import numpy as np

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.miller import (
    Indices,
    Miller,
    coprime,
    dot,
    spelled,
    three_direction,
    three_plane,
)
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.disorientation import is_mirrored
from gcd_hpc.structures.hexagonal import AXIS, basal_rotation
from gcd_hpc.structures.naming import family, kind_of, rotation_of
from gcd_hpc.structures.orientation import unit_rows

_TURNS: dict[Indices, int] = {(0, 0, 1): 4, (0, 1, 1): 2, (1, 1, 1): 3, AXIS: 6}
"""Order of the rotations of the crystal about an axis; 1 about every other axis."""


@dataclass(frozen=True)
class Character:
    """Kind of a boundary, and where a figure of many boundaries shows it.

    kind: twist, symmetric tilt, asymmetric tilt or mixed.
    axis: family of the rotation axis, in cubic crystals ascending and not negative.
    angle_deg: of a symmetric tilt twice the angle between its plane and the plane of lowest indices
    that holds the axis, so that the planes of a zone come in their order; else the smallest angle
    of an equal rotation about the axis.
    planes: of the lower and of the upper grain, whose first index other than 0 is positive; None of
    grains that slab files hold.
    """

    kind: str
    axis: Indices
    angle_deg: float
    sigma: int | None
    planes: tuple[Indices, Indices] | None


@dataclass(frozen=True)
class _Turn:
    """A rotation about the axis that names a boundary, and the kind of boundary that it makes."""

    kind: str
    axis: Indices
    angle_deg: float


def character_of(config: BoundaryConfig, bicrystal: Bicrystal) -> Character:
    """Character of a boundary.

    Args:
        bicrystal: the boundary's, at any lattice constant.
    """
    smallest, planes = bicrystal.misorientation, None
    if bicrystal.lower.directions is not None:
        lower, upper = (_positive(grain.named[2]) for grain in (bicrystal.lower, bicrystal.upper))
        planes = lower, upper
    turn = _named(config) or _shared(bicrystal)
    if turn is None or planes is None:
        return Character(
            smallest.character, smallest.axis, smallest.angle_deg, smallest.sigma, planes
        )
    is_hexagonal = bicrystal.lattice == "hcp"
    axis = AXIS if is_hexagonal else _ascending(three_direction(turn.axis))
    if turn.kind == "symmetric tilt" and is_hexagonal:
        angle = basal_tilt_angle(planes[0])
    elif turn.kind == "symmetric tilt":
        angle = tilt_angle(three_direction(turn.axis), three_plane(planes[0]))
    else:
        angle = _folded(turn.angle_deg, _TURNS.get(axis, 1))
    return Character(turn.kind, axis, angle, smallest.sigma, planes)


def described(config: BoundaryConfig, bicrystal: Bicrystal) -> str:
    """Sigma, kind, angle, axis and planes of a boundary as the literature has them, on one line.

    Args:
        bicrystal: the boundary's, at any lattice constant.
    """
    found = character_of(config, bicrystal)
    sigma = "no coincidence lattice" if found.sigma is None else f"Sigma {found.sigma}"
    about = f"{found.kind}, {found.angle_deg:.2f} degrees about {spelled(found.axis, '<>')}"
    normals = bicrystal.lower.normal, bicrystal.upper.normal
    planes = " on ".join(spelled(one, "()") for one in found.planes or normals)
    basis = "" if found.planes is not None else ", in primitive vectors of the crystal"
    return f"{sigma} {about}, planes {planes}{basis}"


def _named(config: BoundaryConfig) -> _Turn | None:
    """Rotation that names a boundary; None where triads or slab files do."""
    rotation = (basal_rotation if config.lattice == "hcp" else rotation_of)(config)
    if rotation is None:
        return None
    return _Turn(kind_of(config, rotation), rotation.axis, rotation.angle_deg)


def _shared(bicrystal: Bicrystal) -> _Turn | None:
    """Rotation about the normal or an edge of the box, along which both grains have one direction.

    None in crystals that are not cubic, and if there is no such direction, which triads need not
    have.
    """
    if bicrystal.lower.directions is None or bicrystal.lattice == "hcp":
        return None
    lower, upper = (
        tuple(coprime(three_direction(one)) for one in grain.named)
        for grain in (bicrystal.lower, bicrystal.upper)
    )
    for edge in (2, 0, 1):
        if lower[edge] == upper[edge]:
            below, above = (unit_rows((one[0], one[1], one[2])) for one in (lower, upper))
            cosine = float(np.clip((np.trace(above.T @ below) - 1) / 2, -1.0, 1.0))
            kind = "twist"
            if edge != 2:
                is_symmetric = is_mirrored(bicrystal.lower, bicrystal.upper)
                kind = "symmetric tilt" if is_symmetric else "asymmetric tilt"
            return _Turn(kind, lower[edge], degrees(acos(cosine)))
    return None


def _folded(angle_deg: float, order: int) -> float:
    """Smallest angle of an equal rotation about an axis of this order, degrees."""
    return abs(remainder(angle_deg, 360 / order))


def tilt_angle(axis: Miller, plane: Miller) -> float:
    """Tilt angle of the symmetric boundary on a plane of a cubic crystal, degrees.

    It is twice the smallest angle between the plane and a plane of the lowest indices that holds
    the axis: about [001] from 0 at (100) to 90 at (110), about [110] from 0 at (001) to 180 at
    (1-10), about [111] from 0 at (1-10) to 60 at (11-2).

    Args:
        axis: coprime indices of a direction in the plane.
    """
    low: list[Miller] = [
        (x, y, z)
        for x, y, z in product(range(-3, 4), repeat=3)
        if (x or y or z) and not dot(axis, (x, y, z))
    ]
    low = low or [plane]
    least = family(min(low, key=lambda one: (dot(one, one), family(one))))
    equal = [one for one in low if family(one) == least]
    cosine = max(abs(dot(one, plane)) / sqrt(dot(one, one) * dot(plane, plane)) for one in equal)
    return 2 * degrees(acos(min(cosine, 1.0)))


def basal_tilt_angle(plane: Indices) -> float:
    """Tilt angle of the symmetric boundary of hcp on a prismatic plane about c, degrees.

    It is twice the angle to the nearest plane of the family {1 0 -1 0}.
    """
    h, k, _ = three_plane(plane)
    return 2 * _folded(degrees(atan2(k * sqrt(3) / 2, h + k / 2)), 6)


def zone_axis(axis: Indices, plane: Miller) -> Miller | None:
    """A direction of a family of axes of cubic crystals that lies in a plane; None if none does."""
    for order in permutations(three_direction(axis)):
        for signs in product((1, -1), repeat=3):
            x, y, z = (sign * index for sign, index in zip(signs, order, strict=True))
            if not dot((x, y, z), plane):
                return x, y, z
    return None


def _positive(plane: Indices) -> Indices:
    """A plane or its opposite, which is the same plane: the one whose first index is positive."""
    opposite = tuple(-index for index in plane)
    return max(plane, opposite)


def _ascending(axis: Miller) -> Miller:
    x, y, z = sorted(map(abs, axis))
    return x, y, z
