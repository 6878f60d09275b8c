"""The coincidence boundaries of a cubic crystal about one axis, with the keys that name them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd, isqrt
from typing import Any

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.miller import Indices, Miller, coprime, dot, three_plane
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.coincidence import Rotation, rotations, sigmas
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.naming import family, is_twist, rotation_of


@dataclass(frozen=True)
class KnownBoundary:
    """One boundary: its rotation, its bicrystal, and the number of atoms in two slabs.

    config: boundary section that names it.
    """

    config: BoundaryConfig
    rotation: Rotation
    bicrystal: Bicrystal
    num_atoms: int

    @property
    def keys(self) -> dict[str, Any]:
        """Keys of the boundary section that name it."""
        given = self.config.model_dump(mode="json", exclude_defaults=True)
        return {key: one for key, one in given.items() if key not in ("element", "lattice")}

    @property
    def kind(self) -> str:
        """Twist, symmetric tilt or asymmetric tilt about the axis that was asked for."""
        if is_twist(self.config):
            return "twist"
        is_symmetric = self.rotation.mirrors(three_plane(self.bicrystal.lower.named[2]))
        return "symmetric tilt" if is_symmetric else "asymmetric tilt"


def known_boundaries(
    element: str,
    lattice: str,
    a0: float,
    axis: Miller,
    max_sigma: int,
    max_index: int,
    slab_heights: tuple[float, float],
) -> Iterator[KnownBoundary]:
    """Twist boundaries, symmetric tilts, and asymmetric tilts of low planes, by Sigma.

    Args:
        a0: lattice constant, Å.
        axis: rotation axis.
        max_sigma: largest Sigma.
        max_index: largest Miller index of the lower plane of an asymmetric tilt boundary.
        slab_heights: of the lower and of the upper grain, Å, in which atoms are counted.
    """
    axis = coprime(axis)
    planes = _zone(axis, max(max_index, isqrt(2 * max_sigma)))
    for sigma in sigmas(axis, max_sigma):
        for keys in _names(axis, sigma, planes, max_index):
            config = BoundaryConfig.model_validate({"element": element, "lattice": lattice, **keys})
            rotation = rotation_of(config)
            assert rotation is not None
            bicrystal = Bicrystal.build(config, a0)
            frame = Frame.build(
                bicrystal, slab_heights, Frame.least_height(bicrystal, slab_heights)
            )
            yield KnownBoundary(config, rotation, bicrystal, frame.num_atoms)


def _names(
    axis: Miller, sigma: int, planes: list[Miller], max_index: int
) -> Iterator[dict[str, Any]]:
    """Keys that name each boundary of one Sigma: twists, symmetric tilts, asymmetric tilts."""
    candidates = rotations(axis, sigma)
    name = {"sigma": sigma, "axis": axis}
    twists: set[tuple[float, Indices]] = set()
    for one in candidates:
        if one.smallest not in twists:
            # Some Sigma have two different rotations about one axis, such as 33a and 33c.
            angle = {"angle": round(one.angle_deg, 2)} if twists else {}
            twists.add(one.smallest)
            yield name | {"twist": True} | angle
    symmetric = [
        plane
        for plane in planes
        if dot(plane, plane) in (sigma, 2 * sigma) and any(one.mirrors(plane) for one in candidates)
    ]
    # Planes of one family have the same symmetric boundary.
    for plane in {family(plane): plane for plane in reversed(symmetric)}.values():
        yield name | {"plane": plane}
    low = [plane for plane in planes if max(map(abs, plane)) <= max_index]
    tilts: set[tuple[Any, ...]] = set()
    for plane, one in product(low, candidates):
        upper = family(one.turned(plane))
        mark = (one.smallest, *sorted([family(plane), upper]))
        if mark not in tilts and not one.mirrors(plane):
            tilts.add(mark)
            angle = {"angle": round(abs(one.angle_deg), 2)} if len(twists) > 1 else {}
            yield name | {"plane": plane, "upper_plane": upper} | angle


def _zone(axis: Miller, largest: int) -> list[Miller]:
    """Coprime planes that contain an axis, low indices first; opposite planes count as one."""
    planes = [
        (x, y, z)
        for x, y, z in product(range(-largest, largest + 1), repeat=3)
        if (x, y, z) > (0, 0, 0) and dot((x, y, z), axis) == 0 and gcd(x, y, z) == 1
    ]
    return sorted(planes, key=lambda plane: (dot(plane, plane), [-index for index in plane]))
