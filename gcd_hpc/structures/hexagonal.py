"""Grains of hexagonal close-packed crystals, and the coincidences about their axis c.

Lattice vectors in the basal plane are the integers m + n w of Eisenstein, where w turns by 120
degrees: vectors a1 and a2 of the crystal are 1 and w. A rotation about c with a coincidence lattice
multiplies them by z / conj(z) for such a number z, and its Sigma is the norm of z where that is no
multiple of 3. These coincidences do not depend on c/a. Others do, so that triads must name them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import atan2, degrees, gcd, isqrt, sqrt

from gcd_hpc.config.boundary import BoundaryConfig, Triad
from gcd_hpc.config.miller import (
    Indices,
    Miller,
    coprime,
    cross,
    four_direction,
    four_plane,
    three_direction,
    three_plane,
)
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.crystal import hcp_crystal
from gcd_hpc.structures.grain import Edges, Grain, plane_grain
from gcd_hpc.structures.naming import NUM_NEAR, nearest_to_angle

Number = tuple[int, int]
"""m + n w"""

AXIS = (0, 0, 0, 1)
_UNITS: tuple[Number, ...] = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
_ROOT_OF_MINUS_3: Number = (1, 2)


@dataclass(frozen=True)
class BasalRotation:
    """Rotation about c from the lower to the upper grain's crystal coordinates: z^2 unit / sigma.

    z: coprime number whose norm is sigma.
    unit: a rotation by a multiple of 60 degrees, which is a symmetry of the lattice.
    """

    sigma: int
    z: Number
    unit: Number
    axis: Indices = AXIS

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation, from -180 to 180 degrees."""
        m, n = self._factor
        angle = degrees(atan2(n * sqrt(3) / 2, m - n / 2))
        return 180.0 if angle < -180 + 1e-9 else angle

    @property
    def _factor(self) -> Number:
        return _times(_times(self.z, self.z), self.unit)

    def carried(self, vector: Miller) -> Miller:
        """A vector that both grains share, in the upper grain's coordinates."""
        m, n = _times(self._factor, (vector[0], vector[1]))
        assert m % self.sigma == n % self.sigma == 0, f"{vector} is not shared"
        return m // self.sigma, n // self.sigma, vector[2]

    def mirrors(self, plane: Miller) -> bool:
        """Whether the two grains are mirror images of each other at a prismatic plane."""
        along = coprime(_trace(plane))
        upper = coprime((*_times(self._factor, (along[0], along[1])), 0))
        mirrored = _conjugate((along[0], along[1]))
        return any(_times(mirrored, unit) == upper[:2] for unit in _UNITS)


def hexagonal_grains(config: BoundaryConfig, a0: float, c0: float) -> tuple[Grain, Grain]:
    """Lower and upper grain of a boundary in hcp.

    A named boundary has its repeats; grains that triads name have blocks of the shortest lattice
    vectors along x and y.

    Raises:
        OrientationError: if there is no boundary of this name.
    """
    crystal = hcp_crystal(config.symbols[0], a0, c0)
    lower, upper = (plane_grain(crystal, edges, _names(edges)) for edges in shared_edges(config))
    return lower, upper


@cache
def shared_edges(config: BoundaryConfig) -> tuple[Edges, Edges]:
    """Lattice vectors along the edges of the common cell in the lower and in the upper grain.

    Of grains that triads name, they are the shortest along x and y in either grain.

    Raises:
        OrientationError: if there is no boundary of this name.
    """
    if config.lower is not None and config.upper is not None:
        return _triad_edges(config.lower), _triad_edges(config.upper)
    rotation = basal_rotation(config)
    assert rotation is not None
    plane = three_plane(config.plane) if config.plane else (0, 0, 1)
    if plane[2]:
        edges = _basal_edges(rotation, config.cell == "smallest")
    else:
        along = coprime(_trace(plane))
        m, n = _times(rotation._factor, (along[0], along[1]))
        multiple = rotation.sigma // gcd(rotation.sigma, m, n)
        edges = (0, 0, 1), (multiple * along[0], multiple * along[1], 0)
    first, second = edges
    return edges, (rotation.carried(first), rotation.carried(second))


@cache
def basal_rotation(config: BoundaryConfig) -> BasalRotation | None:
    """The rotation that a boundary's name means; None where triads name the boundary.

    Of several rotations a symmetric tilt is preferred, then the smallest angle, then the positive
    sense.

    Raises:
        OrientationError: if there is no such rotation.
    """
    if config.axis is None:
        return None
    candidates = _candidates(config)
    plane = three_plane(config.plane) if config.plane else (0, 0, 1)
    return min(candidates, key=lambda one: not (plane[2] or one.mirrors(plane)))


def _candidates(config: BoundaryConfig) -> list[BasalRotation]:
    sigmas = [config.sigma] if config.sigma else list(basal_sigmas(config.max_sigma))
    known = [one for sigma in sigmas for one in rotations(sigma)]
    if not known and config.sigma:
        wanted = config.sigma
        near = sorted(basal_sigmas(2 * wanted + 30), key=lambda one: abs(one - wanted))
        raise OrientationError(
            f"boundary.sigma: no rotation about [0 0 0 1] of hcp has Sigma {config.sigma}; the"
            f" nearest that exist are {', '.join(map(str, sorted(near[:NUM_NEAR])))}"
        )
    return nearest_to_angle(known, config, "[0 0 0 1] of hcp")


def rotations(sigma: int) -> list[BasalRotation]:
    """All rotations about c with this Sigma, by the size of their angle, positive ones first.

    Those that differ only by a symmetry of the crystal are all listed.
    """
    numbers = [(m, n) for m in range(2, 2 * isqrt(sigma) + 2) for n in range(1, m)]
    found = {
        round(one.angle_deg, 9): one
        for z in numbers
        if _norm(z) == sigma and gcd(*z) == 1 and sigma % 3
        for one in (BasalRotation(sigma, z, unit) for unit in _UNITS)
    }
    return sorted(found.values(), key=lambda one: (round(abs(one.angle_deg), 9), -one.angle_deg))


def basal_sigmas(largest: int) -> Iterator[int]:
    """Every Sigma from 7 to ``largest`` that exists about c."""
    return (sigma for sigma in range(7, largest + 1, 2) if rotations(sigma))


def _basal_edges(rotation: BasalRotation, is_smallest: bool) -> Edges:
    """Edges of the smallest cell of a basal twist boundary, or of the smallest rectangle."""
    m, n = _conjugate(rotation.z)
    factor: Number = (0, 1) if is_smallest else _ROOT_OF_MINUS_3
    return (m, n, 0), (*_times((m, n), factor), 0)


def _triad_edges(triad: Triad) -> Edges:
    return coprime(three_direction(triad.x)), coprime(three_direction(triad.y))


def _names(edges: Edges) -> tuple[Indices, Indices, Indices]:
    """Four-index directions along x and y, and the plane at right angles to z."""
    x, y = (four_direction(one) for one in edges)
    return x, y, four_plane(coprime(cross(*edges)))


def _trace(plane: Miller) -> Miller:
    """Basal vector in a prismatic plane, right-handed after c with the plane's normal."""
    return plane[1], -plane[0], 0


def _times(a: Number, b: Number) -> Number:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0] - a[1] * b[1]


def _conjugate(a: Number) -> Number:
    return a[0] - a[1], -a[1]


def _norm(a: Number) -> int:
    return a[0] ** 2 - a[0] * a[1] + a[1] ** 2
