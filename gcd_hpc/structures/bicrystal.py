"""Bicrystals: two grains of one crystal, given by the Miller indices along the box axes.

The box axes x and y span the boundary plane, z is its normal. Lengths are in Å. Lattice sites are
counted in integers (quarters of the lattice constant), so that rounding cannot lose or double an
atom at a cell border.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations, product
from math import ceil, floor, gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.miller import Miller, dot
from gcd_hpc.errors import OrientationError
from gcd_hpc.structures.lattices import CubicLattice, cubic_lattice
from gcd_hpc.structures.naming import orientations
from gcd_hpc.structures.orientation import (
    Directions,
    Misorientation,
    length,
    misorientation,
    unit_rows,
)
from gcd_hpc.structures.periodic import wrap

Positions = NDArray[np.float64]
Side = Literal["lower", "upper"]

BORDER = 1e-6
"""Atoms at most this far below a cut count as lying on it, Å."""
MAX_REPEATS = 100
"""Longest common cell that is tried where triads name the grains, in periods of the lower one."""


@dataclass(frozen=True)
class Response:
    """Relaxation of a grain along z, which is free, after it was strained in the boundary plane.

    normal: strain zz.
    shear_x, shear_y: in-plane displacement of a layer per unit of its unrelaxed height.
    energy_ev: energy per atom above the unstrained crystal, eV.
    """

    normal: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    energy_ev: float = 0.0


@dataclass(frozen=True)
class Grain:
    """One orientation of the crystal, periodic along the box axes.

    repeats: periods of this grain in the common cell along x and y, replicas included.
    strain: (xx, yy) that fits the grain to the common cell.
    response: relaxation along z under this strain.
    """

    directions: Directions
    lattice: str
    a0: float
    repeats: tuple[int, int] = (1, 1)
    strain: tuple[float, float] = (0.0, 0.0)
    response: Response = Response()

    @cached_property
    def crystal(self) -> CubicLattice:
        """Cubic lattice of the grain."""
        return cubic_lattice(self.lattice)

    @property
    def periods(self) -> tuple[float, float, float]:
        """Lengths of the shortest lattice vectors along the box axes, before straining, Å."""
        x, y, z = (
            self.a0 * length(axis) * self.crystal.halves_along(axis) / 2 for axis in self.directions
        )
        return x, y, z

    @property
    def plane_spacing(self) -> float:
        """Distance of the lattice planes parallel to the boundary, Å."""
        normal = self.directions[2]
        spacing = self.a0 * self.crystal.plane_halves(normal) / (2 * length(normal))
        return spacing * (1 + self.response.normal)

    @property
    def expansion(self) -> float:
        """Relative increase of the volume by the strain."""
        x, y = self.strain
        return (1 + x) * (1 + y) * (1 + self.response.normal) - 1

    @property
    def atoms_per_plane(self) -> int:
        """Atoms in one lattice plane parallel to the boundary, in the whole common cell."""
        area = self.periods[0] * self.repeats[0] * self.periods[1] * self.repeats[1]
        spacing = self.plane_spacing / (1 + self.response.normal)
        return round(area * spacing * len(self.crystal.sites) / self.a0**3)

    @property
    def layer_offsets(self) -> tuple[float, ...]:
        """Heights in [0, plane spacing) of the atoms of the basis within one lattice plane, Å."""
        normal = self.directions[2]
        # The plane spacing in the units of dot(normal, site).
        step = 2 * self.crystal.plane_halves(normal)
        return tuple(
            dot(normal, site) % step / step * self.plane_spacing for site in self.crystal.basis
        )

    @cached_property
    def cell_fractions(self) -> Positions:
        """Sites of one rectangular cell of the three periods, (M, 3), as fractions, sorted by z."""
        axes = self.directions
        # Edges of the cell, its bounding box of conventional cells, and all sites in that box, in
        # quarters of a0.
        vectors = [
            tuple(2 * self.crystal.halves_along(axis) * index for index in axis) for axis in axes
        ]
        moduli = np.array([dot(axis, axis) * 2 * self.crystal.halves_along(axis) for axis in axes])
        corners = np.array(list(product((0, 1), repeat=3))) @ np.array(vectors)
        first, last = corners.min(axis=0) // 4, -(-corners.max(axis=0) // 4)
        ranges = (np.arange(start, stop + 1) for start, stop in zip(first, last, strict=True))
        cells = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
        sites = (4 * cells[:, None] + np.array(self.crystal.sites)).reshape(-1, 3)
        # Components of the sites along the box axes; the cell keeps those of [0, 1).
        numerators = sites @ np.array(axes).T
        inside = numerators[np.all((numerators >= 0) & (numerators < moduli), axis=1)]
        expected = len(self.crystal.sites) * abs(round(np.linalg.det(np.array(vectors)))) // 64
        assert len(inside) == expected, (
            f"expected {expected} atoms in a cell of the grain, got {len(inside)}"
        )
        return np.asarray(inside[np.lexsort(inside.T)] / moduli)


@dataclass(frozen=True)
class Bicrystal:
    """Two grains that share an in-plane cell.

    lengths: (Lx, Ly) of the common cell, replicas included, Å.
    plane_spacing: distance of the lower grain's lattice planes, Å.
    atoms_per_plane: N_plane, the modulus of [n]: atoms in one lattice plane of the whole cell, or
    the greatest common divisor of both grains' numbers where these differ.
    strain: (xx, yy) of the upper grain.
    """

    element: str
    lattice: str
    a0: float
    lower: Grain
    upper: Grain
    lengths: tuple[float, float]
    plane_spacing: float
    atoms_per_plane: int
    nearest_neighbor: float
    atomic_volume: float
    strain: tuple[float, float]

    @classmethod
    def build(cls, config: BoundaryConfig, a0: float) -> "Bicrystal":
        """The bicrystal of the campaign's boundary at the lattice constant a0.

        Raises:
            OrientationError: if there is no boundary of the config's name, or if no common cell
                fits within max_strain.
        """
        crystal = cubic_lattice(config.lattice)
        lower, upper = (Grain(one, config.lattice, a0) for one in orientations(config))
        # A side of a coincidence cell has at most Sigma periods of either grain.
        longest = max(MAX_REPEATS, config.sigma or 0)
        fits = [
            _fit(axis, low, up, config.max_strain, longest)
            for axis, low, up in zip("xy", lower.periods, upper.periods, strict=False)
        ]
        (low_x, up_x, strain_x), (low_y, up_y, strain_y) = fits
        x, y = config.replicas
        lower = Grain(lower.directions, config.lattice, a0, (low_x * x, low_y * y))
        upper = Grain(
            upper.directions, config.lattice, a0, (up_x * x, up_y * y), (strain_x, strain_y)
        )
        lengths = (lower.periods[0] * lower.repeats[0], lower.periods[1] * lower.repeats[1])
        atomic_volume = a0**3 / len(crystal.sites)
        return cls(
            element=config.element,
            lattice=config.lattice,
            a0=a0,
            lower=lower,
            upper=upper,
            lengths=lengths,
            plane_spacing=lower.plane_spacing,
            atoms_per_plane=gcd(lower.atoms_per_plane, upper.atoms_per_plane),
            nearest_neighbor=crystal.neighbor * a0,
            atomic_volume=atomic_volume,
            strain=upper.strain,
        )

    def relaxed(self, response: Response) -> "Bicrystal":
        """This bicrystal with the relaxation of its strained upper grain."""
        return replace(self, upper=replace(self.upper, response=response))

    @property
    def area(self) -> float:
        """Area of the boundary in the common cell, Å^2."""
        return self.lengths[0] * self.lengths[1]

    @cached_property
    def misorientation(self) -> Misorientation:
        """The smallest rotation between the grains and the coincidence index Sigma."""
        return misorientation(self.lower.directions, self.upper.directions)

    @property
    def sigma(self) -> int | None:
        """Coincidence index; None where there is no coincidence lattice."""
        return self.misorientation.sigma

    @property
    def misorientation_deg(self) -> float:
        """Angle of the misorientation, degrees."""
        return self.misorientation.angle_deg

    @property
    def misorientation_axis(self) -> Miller:
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
        lengths = (x * self.lengths[0], y * self.lengths[1])
        atoms_per_plane = x * y * self.atoms_per_plane
        return replace(
            self, lower=lower, upper=upper, lengths=lengths, atoms_per_plane=atoms_per_plane
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
        grain, (length_x, length_y) = self.grain(side), self.lengths
        height = grain.periods[2] * (1 + grain.response.normal)
        origin = np.asarray(origin, dtype=float)
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
        steps = np.array([length_x / grain.repeats[0], length_y / grain.repeats[1], height])
        # All copies of the cell that may reach between the cuts, (num_copies M, 3) Å.
        positions = ((grain.cell_fractions + copies[:, None]) * steps + origin).reshape(-1, 3)
        positions = positions[
            (positions[:, 2] >= z_min - BORDER) & (positions[:, 2] < z_max - BORDER)
        ]
        # Shear of a strained grain, in proportion to the unrelaxed height.
        response = grain.response
        if response.shear_x or response.shear_y:
            before = (positions[:, 2:] - origin[2]) / (1 + response.normal)  # (N, 1) Å
            positions[:, :2] += before * np.array([response.shear_x, response.shear_y])
        return self.wrap(positions[np.argsort(positions[:, 2], kind="stable")])

    def lattice_points(
        self, side: Side, origin: Positions | tuple[float, float, float], z_min: float, z_max: float
    ) -> Positions:
        """Sites at which a grain looks as it does at its origin, (N, 3) Å, sorted by height.

        These are the sites of lattice_positions without diamond's second atom: only they differ by
        translations of the crystal.
        """
        simple, grain = self, self.grain(side)
        if grain.lattice == "diamond":
            grain = replace(grain, lattice="fcc")
            simple = replace(self, lower=grain) if side == "lower" else replace(self, upper=grain)
        return simple.lattice_positions(side, origin, z_min, z_max)

    def wrap(self, positions: Positions) -> Positions:
        """Positions (N, 3) with x and y folded into the common cell."""
        return wrap(positions, self.lengths)

    @cached_property
    def symmetry_operations(self) -> tuple[NDArray[np.int64], ...]:
        """Symmetries of the bicrystal: signed permutations (3, 3) of the box axes, identity first.

        Operations that reverse z swap the grains. An operation counts if each cut grain lands, up
        to a shift, on the grain that takes its place. In diamond this excludes operations that
        would put the other half of a double layer lowest.
        """
        square = np.isclose(*self.lengths, rtol=1e-10, atol=0) and np.isclose(
            *self.strain, rtol=0, atol=1e-10
        )
        operations = []
        for order, signs in product(permutations(range(2)), product((1, -1), repeat=3)):
            operation = np.zeros((3, 3), dtype=np.int64)
            operation[(0, 1, 2), (*order, 2)] = signs
            if (square or order == (0, 1)) and self._is_symmetry(operation):
                operations.append(operation)
        identity_first = sorted(operations, key=lambda one: not np.array_equal(one, np.eye(3)))
        return tuple(identity_first)

    def _is_symmetry(self, operation: NDArray[np.int64]) -> bool:
        if operation[2, 2] > 0:
            return _maps(operation, self.lower, self.lower) and _maps(
                operation, self.upper, self.upper
            )
        unstrained = max(map(abs, self.strain)) < 1e-10
        return (
            unstrained
            and _maps(operation, self.lower, self.upper)
            and _maps(operation, self.upper, self.lower)
        )


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


def _maps(operation: NDArray[np.int64], source: Grain, target: Grain) -> bool:
    """Whether a rotation or mirror maps a cut grain onto another, up to a lattice shift."""
    # The operation in crystal coordinates, from source to target, must be one of the cube's.
    exact = unit_rows(target.directions).T @ operation @ unit_rows(source.directions)
    turn = np.rint(exact).astype(int)
    if np.abs(exact - turn).max() > 1e-9:
        return False
    basis, crystal = np.array(source.crystal.basis), target.crystal
    normal = np.array(target.directions[2])
    step = 2 * crystal.plane_halves(target.directions[2])
    # The lowest layer after the operation must be a layer of lattice points, as in a freshly cut
    # grain.
    heights = basis @ np.array(source.directions[2]) % step
    lowest = basis[np.argmin(heights if operation[2, 2] > 0 else -heights)]
    images = (basis - lowest) @ turn.T
    for shift in basis:
        shifted = images + shift
        onto = all(any(crystal.contains((a - b).tolist()) for b in basis) for a in shifted)
        if onto and int(shift @ normal) % step == 0:
            return True
    return False
