"""From the name of a boundary to the directions of both grains along the box axes.

A name is an axis, a Sigma or an angle, and a plane of the lower grain. The rotations about the axis
with this Sigma are found by integer arithmetic, and one of them is chosen. The cell is the smallest
rectangle of lattice vectors that both grains share in the plane.
"""

from functools import cache
from typing import Protocol, TypeVar

from gcd_hpc.config.boundary import BoundaryConfig, Triad
from gcd_hpc.config.miller import Miller, coprime, cross, dot, spelled, three_direction, three_plane
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.coincidence import (
    Rotation,
    rotations,
    sigmas,
    smallest_cell,
    smallest_edges,
)
from gcd_hpc.structures.grain import Edges
from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.orientation import Directions

NUM_NEAR = 4
"""Coincidences that a message names."""


class Coincidence(Protocol):
    """A rotation with a coincidence lattice, whatever the crystal."""

    def mirrors(self, plane: Miller) -> bool:
        """Whether the grains are mirror images of each other at this plane of the lower one."""

    @property
    def sigma(self) -> int:
        """Coincidence index."""

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation, from -180 to 180 degrees."""


Named = TypeVar("Named", bound=Coincidence)


@cache
def orientations(config: BoundaryConfig) -> tuple[Directions, Directions]:
    """Crystal directions along the box axes of the lower and of the upper grain.

    Raises:
        OrientationError: if there is no boundary of this name.
    """
    if config.lower is not None and config.upper is not None:
        return _directions(config.lower), _directions(config.upper)
    rotation = rotation_of(config)
    assert rotation is not None
    assert config.axis is not None
    plane = coprime(three_plane(config.plane or config.axis))
    lower = smallest_cell(cubic_lattice(config.lattice), rotation, plane)
    x, y, z = (rotation.turned(direction) for direction in lower)
    return lower, (x, y, z)


@cache
def oblique_edges(config: BoundaryConfig) -> tuple[Edges, Edges] | None:
    """Edges of the smallest cell in the lower and in the upper grain, in quarters of a0; None where
    the cell is a rectangle.

    Raises:
        OrientationError: if there is no boundary of this name.
    """
    if config.cell == "rectangle":
        return None
    rotation, crystal = rotation_of(config), cubic_lattice(config.lattice)
    assert rotation is not None
    assert config.axis is not None
    edges = smallest_edges(crystal, rotation, coprime(three_plane(config.plane or config.axis)))
    if edges is None:
        return None
    first, second = edges
    return edges, (rotation.carried(first), rotation.carried(second))


@cache
def rotation_of(config: BoundaryConfig) -> Rotation | None:
    """The rotation that a boundary's name means; None where triads name the boundary.

    Of several rotations a symmetric tilt is preferred, then the smallest angle, then the positive
    sense.

    Raises:
        OrientationError: if there is no such rotation.
    """
    if config.axis is None:
        return None
    axis = coprime(three_direction(config.axis))
    plane = coprime(three_plane(config.plane or config.axis))
    candidates = _candidates(axis, config)
    if config.upper_plane is not None:
        candidates = _onto(candidates, plane, coprime(three_plane(config.upper_plane)))
    # The list begins with the smallest angle, and min takes the first of equals.
    return min(candidates, key=lambda one: not (is_twist(config) or one.mirrors(plane)))


def is_twist(config: BoundaryConfig) -> bool:
    """Whether axis names a boundary whose normal is the axis."""
    if config.axis is None or config.plane is None:
        return config.twist
    return not any(cross(three_direction(config.axis), three_plane(config.plane)))


def kind_of(config: BoundaryConfig, rotation: Coincidence) -> str:
    """Twist, symmetric tilt or asymmetric tilt about the axis that names a boundary."""
    if is_twist(config) or config.plane is None:
        return "twist"
    is_symmetric = rotation.mirrors(coprime(three_plane(config.plane)))
    return "symmetric tilt" if is_symmetric else "asymmetric tilt"


def _candidates(axis: Miller, config: BoundaryConfig) -> list[Rotation]:
    """Rotations of the Sigma, and of the coincidence nearest to the angle where that is given.

    Raises:
        OrientationError: if there is none.
    """
    if config.sigma is not None:
        known = rotations(axis, config.sigma)
        if not known:
            raise OrientationError(_no_such_sigma(axis, config.sigma))
    else:
        known = [one for sigma in sigmas(axis, config.max_sigma) for one in rotations(axis, sigma)]
    return nearest_to_angle(known, config, spelled(axis))


def nearest_to_angle(known: list[Named], config: BoundaryConfig, axis: str) -> list[Named]:
    """Rotations of the coincidence nearest to the angle of a name; all where none is given.

    Args:
        axis: name of the axis for messages.

    Raises:
        OrientationError: if no coincidence lies within the tolerance.
    """
    angle = config.angle
    if angle is None:
        return known
    # Distances from the angle asked for, degrees, and Sigma.
    ranks = [(round(abs(abs(one.angle_deg) - angle), 9), one.sigma) for one in known]
    nearest = min(ranks, default=(config.angle_tolerance + 1, 0))
    if nearest[0] > config.angle_tolerance:
        order = sorted(range(len(known)), key=lambda place: ranks[place])
        near = dict.fromkeys(
            f"{abs(known[place].angle_deg):.2f} (Sigma {known[place].sigma})" for place in order
        )
        raise OrientationError(_no_such_angle(axis, angle, config, list(near)[:NUM_NEAR]))
    return [one for one, rank in zip(known, ranks, strict=True) if rank == nearest]


def _no_such_angle(axis: str, angle: float, config: BoundaryConfig, near: list[str]) -> str:
    if not near:
        return (
            f"boundary.max_sigma: no rotation about {axis} has a Sigma up to"
            f" {config.max_sigma}; raise it"
        )
    limit = f"Sigma {config.sigma}" if config.sigma else f"Sigma up to {config.max_sigma}"
    cure = "choose one of them or raise boundary.angle_tolerance"
    cure += "" if config.sigma else " or boundary.max_sigma"
    return (
        f"boundary.angle: no coincidence of {limit} about {axis} lies within"
        f" {config.angle_tolerance:g} degrees of {angle:g}; the nearest are"
        f" {', '.join(near)}: {cure}"
    )


def _directions(triad: Triad) -> Directions:
    x, y, z = (coprime(three_direction(one)) for one in (triad.x, triad.y, triad.z))
    return x, y, z


def _no_such_sigma(axis: Miller, sigma: int) -> str:
    # The rotations of m = 1 or 2 and n = 1 exist about every axis, so that some Sigma is found.
    known = sigmas(axis, max(2 * sigma + 30, dot(axis, axis) + 4))
    near = sorted(sorted(known, key=lambda one: abs(one - sigma))[:NUM_NEAR])
    return (
        f"boundary.sigma: no rotation about {spelled(axis)} has Sigma {sigma}; the nearest that"
        f" exist are {', '.join(map(str, near))}"
    )


def _onto(candidates: list[Rotation], plane: Miller, wanted: Miller) -> list[Rotation]:
    """Rotations that turn a plane of the lower grain into a family of planes of the upper one.

    Raises:
        OrientationError: if there is none.
    """
    found = [one for one in candidates if family(one.turned(plane)) == family(wanted)]
    if found:
        return found
    families = sorted({family(one.turned(plane)) for one in candidates})
    raise OrientationError(
        f"boundary.upper_plane: Sigma {candidates[0].sigma} about {spelled(candidates[0].axis)}"
        f" does not join the plane {spelled(plane, '()')} to {spelled(wanted, '()')}, but to"
        f" {' or '.join(spelled(one, '{}') for one in families)}"
    )


def family(plane: Miller) -> Miller:
    """Representative of the planes that the symmetry of the cube makes equivalent."""
    x, y, z = sorted(map(abs, plane), reverse=True)
    return x, y, z
