"""Box and slabs of a bicrystal, and how two perfect grains are joined in it."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import BORDER, Bicrystal
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import minimum_image
from gcd_hpc.structures.sites import Sites

FREE = 2.0
"""Empty space kept below and above the slabs, Å."""
MIN_REGION = 24.0
"""Height between the held layers, Å: the energy is summed at least 12 Å to both sides."""


@dataclass(frozen=True)
class Frame:
    """Box of height `height`, open along z, around two slabs of whole lattice planes.

    bottom: height of the lowest plane of the lower grain, Å; (0, 0, bottom) is a lattice point.
    num_lower_planes, num_upper_planes: planes of the two slabs.

    A registry (dx, dy, dz) moves the upper grain. 0 <= dz < the plane spacing of the upper grain,
    so that the first gap between the slabs is one to two spacings wide.
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
        """Slabs of the given heights (Å), rounded to whole planes, in the middle of a box.

        Raises:
            StructureError: if a slab has no plane, or if less than FREE remains at either end.
        """
        num_lower, num_upper = _num_planes(bicrystal, slab_heights)
        spacings = (bicrystal.plane_spacing, bicrystal.upper.plane_spacing)
        if num_lower < 1 or num_upper < 1:
            raise StructureError(
                "boundary.slab_heights: each slab needs at least one lattice plane,"
                f" {spacings[0]:.3f} and {spacings[1]:.3f} Å, got {slab_heights[0]:g} and"
                f" {slab_heights[1]:g} Å"
            )
        extent = _extent(bicrystal, num_lower, num_upper)
        bottom = (height - extent) / 2
        # A box of the least height must not be refused for the rounding of its height.
        if bottom < FREE - BORDER:
            raise StructureError(
                f"boundary.slab_heights: the slabs and one plane spacing take {extent:.2f} Å and"
                f" need {FREE:g} Å free at both ends, {extent + 2 * FREE:.2f} Å in all; the box is"
                f" {height:.2f} Å high: lower them or raise voxels.shape[2]"
            )
        return cls(bicrystal, height, bottom, num_lower, num_upper)

    @staticmethod
    def least_height(bicrystal: Bicrystal, slab_heights: tuple[float, float]) -> float:
        """Height of the lowest box that holds slabs of these heights, Å."""
        return _extent(bicrystal, *_num_planes(bicrystal, slab_heights)) + 2 * FREE

    @property
    def centre(self) -> float:
        """Height at which the lower slab ends, Å."""
        return self.bottom + self.num_lower_planes * self.bicrystal.plane_spacing

    @property
    def top(self) -> float:
        """Height at which the upper slab ends at dz = 0, Å."""
        return self.centre + self.num_upper_planes * self.bicrystal.upper.plane_spacing

    @property
    def cell(self) -> NDArray[np.float64]:
        """Edges of the box as rows (ax, 0, 0), (bx, by, 0) and (0, 0, height), (3, 3) Å."""
        edges = np.zeros((3, 3))
        edges[:2, :2] = self.bicrystal.cell
        edges[2, 2] = self.height
        return edges

    def edges_around(self, *structures: Positions) -> tuple[float, float, float]:
        """Extents along x, y and z of a box that holds structures, (N, 3) Å each.

        They are those of the frame if the structures fit into it.

        A boundary that gets more atoms than fit between the grains lifts the upper grain when it is
        relaxed. A box that is too low for it ends FREE above the highest atom.
        """
        highest = max((float(one[:, 2].max(initial=0.0)) for one in structures), default=0.0)
        height = highest + FREE if highest > self.height else self.height
        (ax, _), (_, by) = self.bicrystal.cell
        return ax, by, height

    @property
    def upper_plane(self) -> float:
        """Height of the upper grain's plane at dz = 0 that is nearest to the bottom, Å."""
        spacing = self.bicrystal.upper.plane_spacing
        return self.centre - round((self.centre - self.bottom) / spacing) * spacing

    @property
    def num_atoms(self) -> int:
        """Atoms of both slabs in whole planes."""
        bicrystal = self.bicrystal
        return (
            self.num_lower_planes * bicrystal.lower.atoms_per_plane
            + self.num_upper_planes * bicrystal.upper.atoms_per_plane
        )

    def lower(self, z_max: float) -> Positions:
        """Perfect lower grain from the bottom up to z_max, (N, 3) Å."""
        return self.lower_sites(z_max).positions

    def lower_sites(self, z_max: float) -> Sites:
        """The same with the elements of its atoms."""
        origin = (0.0, 0.0, self.bottom)
        return Sites(*self.bicrystal.lattice_sites("lower", origin, self.bottom, z_max))

    def upper(self, registry: ArrayLike, z_min: float) -> Positions:
        """Perfect upper grain at a registry (3,) from z_min to its top, (N, 3) Å."""
        return self.upper_sites(registry, z_min).positions

    def upper_sites(self, registry: ArrayLike, z_min: float) -> Sites:
        """The same with the elements of its atoms."""
        shift = np.asarray(registry, dtype=float)
        origin = np.array([shift[0], shift[1], self.upper_plane + shift[2]])
        top = self.top + shift[2]
        return Sites(*self.bicrystal.lattice_sites("upper", origin, z_min, top))

    def join(self, registry: ArrayLike) -> Atoms:
        """Both perfect grains at a registry (3,) Å, in whole planes.

        The lower grain ends at the centre, the upper one begins at the centre plus dz.
        """
        # Not from the centre: half of a double layer may lie in between.
        first = self.centre + np.asarray(registry, dtype=float)[2]
        sites = self.lower_sites(self.centre).and_also(self.upper_sites(registry, first))
        return self.atoms(*sites)

    def atoms(self, positions: Positions, numbers: NDArray[np.integer] | None = None) -> Atoms:
        """Atoms at positions (N, 3) Å in this box.

        Args:
            numbers: (N,) atomic numbers; may be left out if there is one element.
        """
        if numbers is None:
            (number,) = self.bicrystal.numbers
            numbers = np.full(len(positions), number)
        return Atoms(
            numbers,
            positions=positions,
            cell=self.cell,
            pbc=(True, True, False),
        )

    def random_registry(self, rng: np.random.Generator) -> Positions:
        """Random registry (dx, dy, dz) in Å: uniform over the cell and one plane spacing."""
        (ax, _), (bx, by) = self.bicrystal.cell
        along_x, along_y, along_z = rng.random(3).tolist()
        spacing = self.bicrystal.upper.plane_spacing
        return np.array([along_x * ax + along_y * bx, along_y * by, along_z * spacing])

    def reduced(self, registry: ArrayLike) -> Positions:
        """Equivalent registry (3,) Å from another lattice point of the upper grain.

        dx and dy lie in the common cell, and 0 <= dz < the plane spacing of the upper grain.
        """
        origin, spacing = np.asarray(registry, dtype=float), self.bicrystal.upper.plane_spacing
        return np.asarray(self.bicrystal.lattice_points("upper", origin, 0.0, spacing)[0])

    def transform(
        self, positions: Positions, operation: Positions, numbers: NDArray[np.integer] | None = None
    ) -> Positions:
        """Apply a symmetry operation of the bicrystal to a structure, (N, 3) Å.

        The result is shifted so that its lowest plane lies at the bottom again and (0, 0, bottom)
        is a lattice point of its lower grain. Each atom of a compound's lower grain is then on a
        site of its own element.

        Args:
            positions: (N, 3) Å.
            operation: (3, 3), one of ``Bicrystal.symmetry_operations``.
            numbers: (N,) atomic numbers; may be left out if there is one element.
        """
        turned = positions @ np.asarray(operation, dtype=float).T
        spacing = self.bicrystal.plane_spacing
        # The lowest planes, and the lattice sites that they may take.
        chosen = turned[:, 2] < turned[:, 2].min() + 1.5 * spacing
        slab = turned[chosen]
        lowest = slab[np.argmin(slab[:, 2])]
        sites = self.lower_sites(self.bottom + 2 * spacing)
        # Move the lowest atom to each site of the bottom plane; take the first best fit.
        starts = sites.positions[sites.positions[:, 2] < self.bottom + BORDER]
        shifts = starts - lowest
        kinds = None if numbers is None else np.asarray(numbers)[chosen]
        misfits = [self._misfit(slab + shift, kinds, sites) for shift in shifts]
        return self.bicrystal.wrap(turned + shifts[int(np.argmin(np.round(misfits, 3)))])

    def _misfit(self, slab: Positions, numbers: NDArray[np.integer] | None, sites: Sites) -> float:
        """Sum of the distances from the atoms (N, 3) of a slab to their nearest sites (M, 3), Å.

        A site of another element counts as farther by a nearest-neighbour distance.
        """
        offsets = minimum_image(slab[:, None] - sites.positions, self.bicrystal.cell)  # (N, M, 3)
        distances = np.linalg.norm(offsets, axis=2)
        if numbers is not None:
            is_other = numbers[:, None] != sites.numbers
            distances[is_other] += self.bicrystal.nearest_neighbor
        return float(distances.min(axis=1).sum())


def _num_planes(bicrystal: Bicrystal, slab_heights: tuple[float, float]) -> tuple[int, int]:
    """Whole lattice planes of the lower and of the upper slab."""
    lower, upper = slab_heights
    return round(lower / bicrystal.plane_spacing), round(upper / bicrystal.upper.plane_spacing)


def _extent(bicrystal: Bicrystal, num_lower: int, num_upper: int) -> float:
    """Height of two slabs and of the largest gap between them beyond one plane, Å."""
    lower, upper = bicrystal.plane_spacing, bicrystal.upper.plane_spacing
    return num_lower * lower + num_upper * upper + upper
