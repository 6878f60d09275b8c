"""A bicrystal in its box: where the slabs begin and end, and how two perfect grains are joined."""

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import BORDER, Bicrystal, Positions
from gcd_hpc.structures.periodic import minimum_image

FREE = 2.0
"""Empty space kept below and above the slabs, Å."""
MIN_REGION = 24.0
"""Height between the held layers, Å: the energy is summed over at least ±12 Å about the boundary.
"""


@dataclass(frozen=True)
class Frame:
    """A box of height `height` with open ends in z around two slabs of whole lattice planes.

    bottom: height of the lowest plane of the lower grain, which has a lattice point at (0, 0,
    bottom).
    centre: bottom plus the lower slab; top: centre plus the upper slab, Å.

    A registry (dx, dy, dz) moves the upper grain: 0 <= dz < its plane spacing, so that the first
    gap between the slabs is one to two spacings wide. Where the grains differ in spacing, dz counts
    in the upper grain's.
    """

    bicrystal: Bicrystal
    height: float
    bottom: float
    num_lower_planes: int
    num_upper_planes: int

    @classmethod
    def build(
        cls, bicrystal: Bicrystal, slab_heights: tuple[float, float], height: float
    ) -> "Frame":
        """Slabs of the given heights, rounded to whole planes, in the middle of a box.

        Raises:
            StructureError: if a slab has no plane, or less than 2 Å stay free at either end.
        """
        spacings = (bicrystal.plane_spacing, bicrystal.upper.plane_spacing)
        num_lower, num_upper = (
            round(slab / spacing) for slab, spacing in zip(slab_heights, spacings, strict=True)
        )
        if num_lower < 1 or num_upper < 1:
            raise StructureError(
                "boundary.slab_heights: each slab needs at least one lattice plane,"
                f" {spacings[0]:.3f} and {spacings[1]:.3f} Å, got {slab_heights[0]:g} and"
                f" {slab_heights[1]:g} Å"
            )
        extent = num_lower * spacings[0] + num_upper * spacings[1] + spacings[1]
        bottom = (height - extent) / 2
        if bottom < FREE:
            raise StructureError(
                f"boundary.slab_heights: the slabs and one plane spacing take {extent:.2f} Å and"
                f" need {FREE:g} Å free at both ends, {extent + 2 * FREE:.2f} Å in all; the box is"
                f" {height:.2f} Å high: lower them or raise voxels.shape[2]"
            )
        return cls(bicrystal, height, bottom, num_lower, num_upper)

    @property
    def centre(self) -> float:
        return self.bottom + self.num_lower_planes * self.bicrystal.plane_spacing

    @property
    def top(self) -> float:
        return self.centre + self.num_upper_planes * self.bicrystal.upper.plane_spacing

    @property
    def lengths(self) -> tuple[float, float, float]:
        """Box lengths, Å."""
        return (*self.bicrystal.lengths, self.height)

    @property
    def upper_plane(self) -> float:
        """A lattice plane of the upper grain at dz = 0: planes meet the centre; of equal grains,
        the bottom as well.
        """
        spacing = self.bicrystal.upper.plane_spacing
        return self.centre - round((self.centre - self.bottom) / spacing) * spacing

    def lower(self, z_max: float) -> Positions:
        """The perfect lower grain from the bottom up to z_max, (N, 3)."""
        return self.bicrystal.lattice_positions(
            "lower", (0.0, 0.0, self.bottom), self.bottom, z_max
        )

    def upper(self, registry: ArrayLike, z_min: float) -> Positions:
        """The perfect upper grain in its registry from z_min to its top, (N, 3)."""
        shift = np.asarray(registry, dtype=float)
        origin = np.array([shift[0], shift[1], self.upper_plane + shift[2]])
        return self.bicrystal.lattice_positions("upper", origin, z_min, self.top + shift[2])

    def join(self, registry: ArrayLike) -> Atoms:
        """Both perfect grains: whole planes of the lower one below the centre and of the upper one
        from the centre plus dz on.
        """
        first = (
            self.centre + np.asarray(registry, dtype=float)[2]
        )  # not the centre: half of a double layer may lie between
        return self.atoms(np.concatenate([self.lower(self.centre), self.upper(registry, first)]))

    def atoms(self, positions: Positions) -> Atoms:
        """Atoms of the campaign's element in this box, periodic in x and y."""
        element = self.bicrystal.element
        return Atoms(
            [element] * len(positions),
            positions=positions,
            cell=self.lengths,
            pbc=(True, True, False),
        )

    def random_registry(self, rng: np.random.Generator) -> Positions:
        """(dx, dy, dz), uniform over the common cell and one plane spacing of the upper grain."""
        return rng.random(3) * np.array(
            [*self.bicrystal.lengths, self.bicrystal.upper.plane_spacing]
        )

    def reduced(self, registry: ArrayLike) -> Positions:
        """The same registry counted from another lattice point of the upper grain: dx and dy in the
        cell, 0 <= dz < its plane spacing.
        """
        upper = self.bicrystal.upper
        translations = (
            replace(upper, lattice="fcc") if upper.lattice == "diamond" else upper
        )  # without the basis
        lattice = replace(self.bicrystal, upper=translations)
        return lattice.lattice_positions(
            "upper", np.asarray(registry, dtype=float), 0.0, upper.plane_spacing
        )[0]

    def transform(self, positions: Positions, operation: NDArray[np.integer]) -> Positions:
        """A structure under a symmetry operation of the bicrystal, set back on the lower grain's
        lattice points, (N, 3).

        The lowest plane comes to lie at the bottom again, and a lattice point of the lower grain at
        (0, 0, bottom).
        """
        turned = positions @ np.asarray(operation, dtype=float).T
        spacing = self.bicrystal.plane_spacing
        slab = turned[turned[:, 2] < turned[:, 2].min() + 1.5 * spacing]
        lowest = slab[np.argmin(slab[:, 2])]
        sites = self.bicrystal.lattice_positions(
            "lower", (0.0, 0.0, self.bottom), self.bottom, self.bottom + 2 * spacing
        )
        starts = sites[sites[:, 2] < self.bottom + BORDER]
        shifts = starts - lowest
        misfits = [self._misfit(slab + shift, sites) for shift in shifts]
        return self.bicrystal.wrap(turned + shifts[int(np.argmin(np.round(misfits, 3)))])

    def _misfit(self, slab: Positions, sites: Positions) -> float:
        """Sum of the distances from the atoms of a slab to their nearest lattice sites."""
        offsets = minimum_image(slab[:, None] - sites, self.bicrystal.lengths)
        # (num_atoms, num_sites, 3)
        return float(np.linalg.norm(offsets, axis=2).min(axis=1).sum())
