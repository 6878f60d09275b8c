"""Bicrystals: two grains that share a cell in the boundary plane.

The box axes x and y span the boundary plane, z is its normal, and the first edge of the common cell
lies along x. Lengths are in Å.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, floor, gcd, nan
from typing import Literal

import numpy as np
from ase.data import atomic_numbers

from gcd_hpc.config.boundary import BoundaryConfig, SlabFiles
from gcd_hpc.config.miller import Indices, three_direction
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.crystal import Integers, slab_crystal
from gcd_hpc.structures.disorientation import general_misorientation
from gcd_hpc.structures.grain import (
    SAME,
    Grain,
    InPlane,
    Positions,
    Response,
    Strain,
    cubic_grain,
    cubic_plane_grain,
    plane_grain,
)
from gcd_hpc.structures.hexagonal import hexagonal_grains, shared_edges
from gcd_hpc.structures.lattices import typical_ratio
from gcd_hpc.structures.naming import oblique_edges, orientations
from gcd_hpc.structures.orientation import Directions, Misorientation, misorientation
from gcd_hpc.structures.periodic import wrap
from gcd_hpc.structures.symmetry import symmetries

Side = Literal["lower", "upper"]

BORDER = 1e-6
"""Atoms at most this far below a cut count as lying on it, Å."""
MAX_REPEATS = 100
"""Longest common cell that is tried where triads name the grains, in periods of the lower one."""


@dataclass(frozen=True)
class Bicrystal:
    """Two grains that share an in-plane cell.

    elements: chemical symbols of the crystal, then of solutes.
    cell: edges (ax, 0) and (bx, by) of the common cell, replicas included, Å, with
    |bx| <= ax / 2. bx is 0 in a rectangle.
    atoms_per_plane: N_plane, the modulus of [n]: atoms in one lattice plane of the whole cell, or
    the greatest common divisor of both grains' numbers where these differ.
    """

    elements: tuple[str, ...]
    lattice: str
    a0: float
    lower: Grain
    upper: Grain
    cell: InPlane
    atoms_per_plane: int

    @classmethod
    def build(cls, config: BoundaryConfig, a0: float, c0: float | None = None) -> "Bicrystal":
        """The bicrystal of the campaign's boundary at the lattice constant a0.

        Args:
            a0: lattice constant, Å.
            c0: that of hcp along its axis, Å. Where it is not given, c/a is the config's, or that
                of the element in tables.

        Raises:
            OrientationError: if there is no boundary of the config's name, or if no common cell
                fits within max_strain.
        """
        if config.slabs is not None:
            return cls._from_slabs(config, config.slabs)
        if config.lattice == "hcp":
            return cls._hexagonal(config, a0, c0 or a0 * typical_ratio(config))
        oblique = oblique_edges(config)
        if oblique is not None:
            lower, upper = (
                cubic_plane_grain(edges, config.lattice, config.symbols, a0) for edges in oblique
            )
            return cls.of(lower, upper, config, a0)
        lower, upper = (
            cubic_grain(one, config.lattice, config.symbols, a0) for one in orientations(config)
        )
        lower, upper = _fitted(lower, upper, config)
        return cls.of(lower, upper, config, a0)

    @classmethod
    def _from_slabs(cls, config: BoundaryConfig, slabs: SlabFiles) -> "Bicrystal":
        found = slabs.crystal
        if found is None:
            raise OrientationError(
                "boundary.slabs: the files have not been read; use the command line or"
                " gcd_hpc.run_campaign, which read them"
            )
        below = slab_crystal(found, config.symbols)
        above = slab_crystal(found, config.symbols, found.upper_origin)
        grains = plane_grain(below, found.lower), plane_grain(above, found.upper)
        lower, upper = _fitted(*grains, config)
        return cls.of(lower, upper, config, float(np.linalg.norm(below.matrix[0])))

    @classmethod
    def _hexagonal(cls, config: BoundaryConfig, a0: float, c0: float) -> "Bicrystal":
        lower, upper = hexagonal_grains(config, a0, c0)
        if config.axis is None:
            lower, upper = _fitted(lower, upper, config)
        return cls.of(lower, upper, config, a0)

    @classmethod
    def of(cls, lower: Grain, upper: Grain, config: BoundaryConfig, a0: float) -> "Bicrystal":
        """The bicrystal of two grains whose repeats fit, with the replicas asked for."""
        single = cls(
            elements=config.symbols,
            lattice=config.lattice,
            a0=a0,
            lower=lower,
            upper=upper,
            cell=_common_cell(lower),
            atoms_per_plane=gcd(lower.atoms_per_plane, upper.atoms_per_plane),
        )
        return single.replicated(*config.replicas)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers of the elements."""
        return tuple(atomic_numbers[element] for element in self.elements)

    def relaxed(self, response: Response) -> "Bicrystal":
        """This bicrystal with the relaxation of its strained upper grain."""
        return replace(self, upper=replace(self.upper, response=response))

    @property
    def area(self) -> float:
        """Area of the boundary in the common cell, Å^2."""
        return self.cell[0][0] * self.cell[1][1]

    @property
    def plane_spacing(self) -> float:
        """Distance of the lower grain's lattice planes, Å."""
        return self.lower.plane_spacing

    @property
    def strain(self) -> Strain:
        """In-plane strain of the upper grain."""
        return self.upper.strain

    @property
    def axial_ratio(self) -> float:
        """c/a of hcp; NaN in other crystals."""
        rows = self.lower.crystal.primitive
        return rows[2][2] / rows[0][0] if self.lattice == "hcp" else nan

    @property
    def nearest_neighbor(self) -> float:
        """Nearest-neighbour distance of the crystal, Å."""
        return self.lower.crystal.neighbor

    @property
    def atomic_volume(self) -> float:
        """Volume of an atom in the crystal, Å^3."""
        return self.lower.crystal.atomic_volume

    @cached_property
    def misorientation(self) -> Misorientation:
        """The smallest rotation between the grains and the coincidence index Sigma."""
        if self.lattice in ("hcp", "file"):
            return general_misorientation(self.lower, self.upper)
        return misorientation(_directions(self.lower), _directions(self.upper))

    @property
    def sigma(self) -> int | None:
        """Coincidence index; None where there is no coincidence lattice."""
        return self.misorientation.sigma

    @property
    def misorientation_deg(self) -> float:
        """Angle of the misorientation, degrees."""
        return self.misorientation.angle_deg

    @property
    def misorientation_axis(self) -> Indices:
        """Axis of the misorientation: Miller indices of a family of directions, ascending."""
        return self.misorientation.axis

    @property
    def character(self) -> str:
        """Kind of boundary: twist, symmetric tilt, asymmetric tilt or mixed."""
        return self.misorientation.character

    def replicated(self, x: int, y: int) -> "Bicrystal":
        """This bicrystal in an in-plane cell that is x times y as large."""
        lower, upper = (
            replace(grain, repeats=(x * grain.repeats[0], y * grain.repeats[1]))
            for grain in (self.lower, self.upper)
        )
        (ax, _), (bx, by) = self.cell
        return replace(
            self,
            lower=lower,
            upper=upper,
            cell=_reduced((x * ax, 0.0), (y * bx, y * by)),
            atoms_per_plane=x * y * self.atoms_per_plane,
        )

    def grain(self, side: Side) -> Grain:
        return self.lower if side == "lower" else self.upper

    def lattice_positions(
        self, side: Side, origin: Positions | tuple[float, float, float], z_min: float, z_max: float
    ) -> Positions:
        """Sites of an infinite grain with z_min <= z < z_max, (N, 3) Å, sorted by height.

        x and y are wrapped into the common cell.

        Args:
            origin: position of one lattice point, (3,) Å.
            z_min, z_max: cuts, Å; taken 1e-6 Å lower, so that rounding cannot lose planes on a cut.
        """
        return self.lattice_sites(side, origin, z_min, z_max)[0]

    def lattice_sites(
        self, side: Side, origin: Positions | tuple[float, float, float], z_min: float, z_max: float
    ) -> tuple[Positions, Integers]:
        """The same sites, (N, 3) Å, and their atomic numbers, (N,)."""
        grain = self.grain(side)
        positions, which = self._repeated(grain, grain.fractions, origin, z_min, z_max)
        return positions, grain.numbers[which]

    def lattice_points(
        self, side: Side, origin: Positions | tuple[float, float, float], z_min: float, z_max: float
    ) -> Positions:
        """Sites at which a grain looks as it does at its origin, (N, 3) Å, sorted by height.

        Only they differ by translations of the crystal. Of the sites of lattice_positions, diamond
        and hcp have one in two among them.
        """
        grain = self.grain(side)
        return self._repeated(grain, grain.translations, origin, z_min, z_max)[0]

    def _repeated(
        self,
        grain: Grain,
        fractions: Positions,
        origin: Positions | tuple[float, float, float],
        z_min: float,
        z_max: float,
    ) -> tuple[Positions, Integers]:
        """Places of one block, (M, 3), in all blocks with z_min <= z < z_max: (N, 3) Å, wrapped and
        sorted by height, and the number of each in the block, (N,).
        """
        block = grain.block(self.cell)
        origin, height = np.asarray(origin, dtype=float), block[2, 2]
        first, last = (
            floor((z_min - origin[2]) / height) - 1,
            ceil((z_max - origin[2]) / height) + 1,
        )
        copies = np.stack(
            np.meshgrid(
                np.arange(first, last),
                np.arange(grain.repeats[0]),
                np.arange(grain.repeats[1]),
                indexing="ij",
            ),
            axis=-1,
        ).reshape(-1, 3)[:, [1, 2, 0]]
        # All copies of the block that may reach between the cuts, (num_copies M, 3) Å.
        counts = (fractions + copies[:, None]).reshape(-1, 3)
        positions = counts * block.diagonal()
        for row, column in ((1, 0), (2, 0), (2, 1)):
            if block[row, column]:
                positions[:, column] += counts[:, row] * block[row, column]
        positions += origin
        which = np.tile(np.arange(len(fractions)), len(copies))
        inside = (positions[:, 2] >= z_min - BORDER) & (positions[:, 2] < z_max - BORDER)
        positions, which = positions[inside], which[inside]
        # Shear of a strained grain, in proportion to the unrelaxed height.
        response = grain.response
        if response.shear_x or response.shear_y:
            before = (positions[:, 2:] - origin[2]) / (1 + response.normal)  # (N, 1) Å
            positions[:, :2] += before * np.array([response.shear_x, response.shear_y])
        order = np.argsort(positions[:, 2], kind="stable")
        return self.wrap(positions[order]), which[order]

    def wrap(self, positions: Positions) -> Positions:
        """Positions (N, 3) with x and y folded into the common cell."""
        return wrap(positions, self.cell)

    @cached_property
    def symmetry_operations(self) -> tuple[Positions, ...]:
        """Rotations and mirrors (3, 3) that map the bicrystal onto itself, the identity first."""
        return symmetries(self.lower, self.upper, self.cell)


def check_name(config: BoundaryConfig) -> None:
    """Find the boundary that a config names, at no lattice constant.

    Raises:
        OrientationError: if there is no boundary of this name.
    """
    if config.lattice == "hcp":
        shared_edges(config)
    elif config.slabs is None:
        orientations(config)


def _fitted(lower: Grain, upper: Grain, config: BoundaryConfig) -> tuple[Grain, Grain]:
    """Two grains with the repeats of the smallest common cell along the edges of their blocks.

    Raises:
        OrientationError: if no common cell fits within max_strain.
    """
    # A side of a coincidence cell has at most Sigma periods of either grain.
    longest = max(MAX_REPEATS, config.sigma or 0)
    (low_x, up_x, strain_x), (low_y, up_y, strain_y) = (
        _fit("xy"[axis], low, up, config.max_strain, longest)
        for axis, low, up in (
            (axis, lower.cell[axis][axis], upper.cell[axis][axis]) for axis in range(2)
        )
    )
    lower = replace(lower, repeats=(low_x, low_y))
    upper = replace(upper, repeats=(up_x, up_y), strain=(strain_x, strain_y, 0.0))
    return lower, replace(upper, strain=(strain_x, strain_y, _shear(lower, upper, config)))


def _shear(lower: Grain, upper: Grain, config: BoundaryConfig) -> float:
    """Displacement along x per unit of y that makes the upper grain lean as the lower one does.

    Raises:
        OrientationError: if it is more than max_strain.
    """
    leans = [one.repeats[1] * one.cell[1][0] for one in (lower, upper)]
    if not any(leans):
        return 0.0
    width = lower.repeats[0] * lower.cell[0][0]
    gap = leans[0] - leans[1] * (1 + upper.strain[0])
    shear = (gap - width * round(gap / width)) / (upper.repeats[1] * upper.cell[1][1])
    if abs(shear) > max(config.max_strain, 1e-12):
        raise OrientationError(
            "boundary.max_strain: the in-plane cells of both grains lean differently, and a shear"
            f" of {abs(shear):.2e} would be needed, more than {config.max_strain:g}; allow that"
            " much or give slabs of the same angle"
        )
    return 0.0 if abs(shear) < 1e-12 else shear


def _directions(grain: Grain) -> Directions:
    x, y, z = (three_direction(one) for one in grain.named)
    return x, y, z


def _fit(
    axis: str, lower: float, upper: float, max_strain: float, longest: int
) -> tuple[int, int, float]:
    """Periods of the lower and upper grain in their shortest common length, and the upper's strain.

    Raises:
        OrientationError: if every length up to ``longest`` periods needs more than max_strain.
    """
    best: tuple[int, int, float] | None = None
    for num_lower in range(1, longest + 1):
        num_upper = max(1, round(num_lower * lower / upper))
        strain = num_lower * lower / (num_upper * upper) - 1
        if abs(strain) < 1e-12:
            return num_lower, num_upper, 0.0
        if abs(strain) <= max_strain:
            return num_lower, num_upper, strain
        if best is None or abs(strain) < 0.5 * abs(best[2]):
            best = num_lower, num_upper, strain
    assert best is not None
    raise OrientationError(
        f"boundary.max_strain: the grains share no cell along {axis} within a strain of"
        f" {max_strain:g}: their periods are {lower:.4f} and {upper:.4f} Å, and {best[0]} of the"
        f" lower on {best[1]} of the upper grain need a strain of {best[2]:.2e}; allow that much or"
        " choose other directions"
    )


def _common_cell(grain: Grain) -> InPlane:
    """In-plane cell of all repeats of an unstrained grain."""
    (ax, _, _), (bx, by, _), _ = grain.cell
    x, y = grain.repeats
    return _reduced((x * ax, 0.0), (y * bx, y * by))


def _reduced(first: tuple[float, float], second: tuple[float, float]) -> InPlane:
    """The same in-plane lattice with the second edge as steep as possible."""
    # Of a lean of half the first edge to either side, rounding must not choose.
    steps = ceil(second[0] / first[0] - 0.5 - SAME)
    return first, (second[0] - first[0] * steps, second[1])
