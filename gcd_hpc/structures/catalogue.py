"""The coincidence boundaries of a crystal about one axis, with the keys that name them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import gcd, isqrt
from typing import Any

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.miller import (
    Indices,
    Miller,
    coprime,
    dot,
    four_plane,
    spelled,
    three_direction,
)
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.character import Character, character_of
from gcd_hpc.structures.coincidence import Rotation, rotations, sigmas
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.hexagonal import AXIS, BasalRotation, basal_rotation, basal_sigmas
from gcd_hpc.structures.hexagonal import rotations as basal_rotations
from gcd_hpc.structures.naming import family, kind_of, rotation_of


@dataclass(frozen=True)
class NamedBoundary:
    """One boundary and its rotation.

    config: boundary section that names it.
    """

    config: BoundaryConfig
    rotation: Rotation | BasalRotation

    @property
    def keys(self) -> dict[str, Any]:
        """Keys of the boundary section that name it."""
        given = self.config.model_dump(mode="json", exclude_defaults=True)
        return {key: one for key, one in given.items() if key not in ("element", "lattice")}

    @property
    def kind(self) -> str:
        """Twist, symmetric tilt or asymmetric tilt about the axis that was asked for."""
        return kind_of(self.config, self.rotation)

    @property
    def name(self) -> str:
        """Short name of letters, digits, _ and -, such as s5_210, s5_100_430 or s5_001_twist.

        A symmetric tilt is named by Sigma and plane, which determine it whatever the axis is. Large
        indices are set apart: s137_11_4_0.
        """
        config = self.config
        planes = [one for one in (config.plane, config.upper_plane) if one is not None]
        if self.kind == "twist":
            parts = [*map(_joined, [config.axis or ()]), "twist"]
        else:
            parts = [_joined(one) for one in planes]
        angle = [] if config.angle is None else [f"{config.angle:g}deg"]
        return "_".join([f"s{self.rotation.sigma}", *parts, *angle])


def _joined(indices: Indices) -> str:
    is_short = all(abs(one) < 10 for one in indices)
    return ("" if is_short else "_").join(map(str, indices))


@dataclass(frozen=True)
class KnownBoundary(NamedBoundary):
    """One boundary with its bicrystal, and the number of atoms in two slabs."""

    bicrystal: Bicrystal
    num_atoms: int

    @cached_property
    def character(self) -> Character:
        """What the literature calls the boundary."""
        return character_of(self.config, self.bicrystal)

    @property
    def planes(self) -> tuple[Indices, Indices]:
        """Planes of the lower and of the upper grain, as the literature has them."""
        assert self.character.planes is not None  # no slab files name it
        return self.character.planes


def named_boundaries(
    element: str, lattice: str, axis: Indices, max_sigma: int, max_index: int
) -> Iterator[NamedBoundary]:
    """Twist boundaries, symmetric tilts, and asymmetric tilts of low planes, by Sigma.

    Args:
        axis: rotation axis, which is [0 0 0 1] in hcp.
        max_sigma: largest Sigma.
        max_index: largest Miller index of the lower plane of an asymmetric tilt boundary.

    Raises:
        OrientationError: if the axis has no coincidences at every c/a of hcp.
    """
    names = _basal_names if lattice == "hcp" else _cubic_names
    for keys in names(axis, max_sigma, max_index):
        config = BoundaryConfig.model_validate({"element": element, "lattice": lattice, **keys})
        rotation = (basal_rotation if lattice == "hcp" else rotation_of)(config)
        assert rotation is not None
        yield NamedBoundary(config, rotation)


def known_boundaries(
    element: str,
    lattice: str,
    a0: float,
    axis: Indices,
    max_sigma: int,
    max_index: int,
    slab_heights: tuple[float, float],
) -> Iterator[KnownBoundary]:
    """``named_boundaries`` with their bicrystals; same errors.

    Args:
        a0: lattice constant, Å.
        slab_heights: of the lower and of the upper grain, Å, in which atoms are counted.
    """
    for one in named_boundaries(element, lattice, axis, max_sigma, max_index):
        bicrystal = Bicrystal.build(one.config, a0)
        frame = Frame.build(bicrystal, slab_heights, Frame.least_height(bicrystal, slab_heights))
        yield KnownBoundary(one.config, one.rotation, bicrystal, frame.num_atoms)


def _basal_names(axis: Indices, max_sigma: int, max_index: int) -> Iterator[dict[str, Any]]:
    """Keys that name the boundaries of hcp about c."""
    if any(three_direction(axis)[:2]):
        raise OrientationError(
            "axis must be 0001 in hcp, whose other axes have coincidences at chosen c/a only,"
            f" got {spelled(axis)}"
        )
    # Symmetric tilts have planes of norm Sigma or 3 Sigma.
    largest = max(max_index, isqrt(4 * max_sigma) + 1)
    # One plane of each family of prismatic planes.
    planes = [(h, k, 0) for h in range(1, largest + 1) for k in range(h + 1) if gcd(h, k) == 1]
    planes.sort(key=lambda plane: plane[0] ** 2 + plane[0] * plane[1] + plane[1] ** 2)
    for sigma in basal_sigmas(max_sigma):
        name = {"sigma": sigma, "axis": AXIS}
        yield name | {"twist": True}
        candidates = basal_rotations(sigma)
        symmetric = [one for one in planes if any(each.mirrors(one) for each in candidates)]
        low = [one for one in planes if max(one) <= max_index and one not in symmetric]
        # The two families of lowest indices; those of the others have the same boundaries.
        for plane in (*symmetric[:2], *low):
            yield name | {"plane": four_plane(plane)}


def _cubic_names(axis: Indices, max_sigma: int, max_index: int) -> Iterator[dict[str, Any]]:
    """Keys that name the boundaries of a cubic crystal."""
    direction = coprime(three_direction(axis))
    planes = _zone(direction, max(max_index, isqrt(2 * max_sigma)))
    for sigma in sigmas(direction, max_sigma):
        yield from _names(direction, sigma, planes, max_index)


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
