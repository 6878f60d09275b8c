"""A bicrystal in two parts, of which the upper one is shifted along the boundary.

docs/phases.md#gamma says which shifts repeat and how the parts are kept from overlapping.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.search.windows import Parent, boundary_height
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.frame import FREE, Frame
from gcd_hpc.structures.periodic import Array, Neighbors, in_plane, minimum_image, wrap
from gcd_hpc.structures.registry import in_plane_translations, shift_cell
from gcd_hpc.structures.sites import Positions, Sites

SAME_PLACE = 0.05
"""Largest distance of an atom from another one's image under a translation, Å: relaxed atoms that
are equivalent differ by less, other ones by tenths of an Ångström.
"""


@dataclass(frozen=True)
class Halves:
    """The two parts of a bicrystal at the shift (0, 0).

    cell: box as rows, (3, 3) Å.
    period: smallest cell of the shifts that repeat the structure, as rows (2, 2) Å.
    """

    lower: Sites
    upper: Sites
    cell: Array
    period: Array

    def shifted(self, shift: ArrayLike, clearance: float) -> tuple[Atoms, float]:
        """The bicrystal with the upper part shifted in the plane and lifted off the lower one.

        Args:
            shift: (2,) Å.
            clearance: least distance of two atoms of different parts, Å.

        Returns:
            The atoms, those of the lower part first, and the lift in Å: the smallest one, from 0,
            that leaves the clearance.
        """
        step = np.array([*np.asarray(shift, dtype=float), 0.0])
        moved = self.upper.moved(step)
        lift = _lift(self.lower.positions, moved.positions, in_plane(self.cell), clearance)
        sites = self.lower.and_also(moved.moved((0.0, 0.0, lift)))
        cell = self.cell.copy()
        cell[2, 2] = max(cell[2, 2], float(sites.positions[:, 2].max()) + FREE)
        positions = wrap(sites.positions, in_plane(cell))
        return Atoms(sites.numbers, positions, cell=cell, pbc=(True, True, False)), lift


def perfect_cut(frame: Frame) -> Halves:
    """Both perfect grains of a frame, cut between lattice planes and joined without a gap.

    The shifts repeat with the translations of either crystal in the plane.
    """
    bicrystal = frame.bicrystal
    lower = frame.lower_sites(frame.centre)
    upper = frame.upper_sites(np.zeros(3), frame.centre)
    period = shift_cell(*in_plane_translations(bicrystal), bicrystal.cell)
    return Halves(lower, upper, frame.cell, period)


def halves_of(candidate: RunCandidate, frame: Frame) -> Halves:
    """A relaxed structure, parted at the height of its boundary.

    The shifts repeat with those translations of either crystal that map a part onto itself.
    """
    atoms = candidate.to_atoms()
    sites = Sites(atoms.positions, np.asarray(atoms.numbers, dtype=np.int64))
    is_upper = sites.positions[:, 2] > height_of(candidate, frame)
    lower, upper = sites.of(~is_upper), sites.of(is_upper)
    cell = in_plane(candidate.box)
    low, high = in_plane_translations(frame.bicrystal)
    period = shift_cell(_mapping(low, lower, cell), _mapping(high, upper, cell), cell)
    return Halves(lower, upper, np.asarray(candidate.box, dtype=float), period)


def height_of(candidate: RunCandidate, frame: Frame) -> float:
    """Height of the boundary of a relaxed structure, Å."""
    excess = excess_energies(vars(candidate))
    parent = Parent(candidate.positions, excess, np.asarray(candidate.registry_relaxed))
    return boundary_height(parent, frame)


def _mapping(translations: Positions, part: Sites, cell: Array) -> Positions:
    """Those of some translations (K, 2) that map all atoms of a part onto atoms, (M, 2) Å."""
    neighbors = Neighbors(part.positions, cell)
    return np.array([one for one in translations if _maps(one, part, neighbors)]).reshape(-1, 2)


def _maps(translation: NDArray[np.float64], part: Sites, neighbors: Neighbors) -> bool:
    moved = part.positions + np.array([*translation, 0.0])
    distances, nearest = neighbors.nearest(moved)
    return bool((distances < SAME_PLACE).all() and (part.numbers[nearest] == part.numbers).all())


def _lift(lower: Positions, upper: Positions, cell: Array, clearance: float) -> float:
    """Smallest lift of the upper atoms, from 0, above which no lower atom is nearer, Å."""
    low = lower[lower[:, 2] > upper[:, 2].min() - clearance]
    high = upper[upper[:, 2] < lower[:, 2].max() + clearance]
    apart = minimum_image(high[:, None] - low, cell)  # (num_high, num_low, 3)
    beside = (apart[..., :2] ** 2).sum(axis=-1)
    # Heights at which an upper atom is as far from a lower one as the clearance.
    needed = np.sqrt(np.clip(clearance**2 - beside, 0.0, None)) - apart[..., 2]
    return float(needed[beside < clearance**2].max(initial=0.0))
