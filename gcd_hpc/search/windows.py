"""Parents of a search by moves: their boundary, windows on it, and slabs brought back into place.

Windows are measured in Å and never in lattice planes: planes of high indices hold only one or two
atoms of a cell.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.errors import StructureError
from gcd_hpc.structures.energetics import n_index
from gcd_hpc.structures.fit_slab import SITE_TOLERANCE
from gcd_hpc.structures.frame import MIN_REGION, Frame
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import Neighbors, in_plane, minimum_image
from gcd_hpc.structures.sites import Sites, sites_of

SURFACE = 8.0
"""Atoms this near to an end of the slab have the energies of a free surface, Å."""
DISTURBED = 0.2
"""Atoms of the boundary have at least this share of the largest excess energy."""
PERFECT_EV = 1e-4
"""Excess energies below this are rounding: the slab has no boundary, eV."""
REACH = 6.0
"""Windows are centred on atoms this near to the boundary, Å."""
PREFERENCE_EV = 0.15
"""Excess energy by which an atom is e times as likely as another to be the centre, eV."""
CORE = MIN_REGION / 2
"""Height to both sides of the frame's centre beyond which a slab counts as perfect crystal, Å."""
DRIFT = 2.0
"""Distance of the boundary from the frame's centre at which the slab is moved back, Å."""
PLANE_TOLERANCE = 1e-3
"""Heights of one lattice plane differ by less, those of two planes by more, Å."""


@dataclass(frozen=True)
class Window:
    """A disc in the boundary plane, periodic in x and y, and the layer of atoms it holds.

    centre: (3,) Å.
    radius: in the plane, Å.
    depth: largest distance from the centre along z, Å.
    """

    centre: Positions
    radius: float
    depth: float

    def mask(self, positions: Positions, cell: ArrayLike) -> NDArray[np.bool_]:
        """Whether each atom lies in the window, (N,).

        Args:
            positions: (N, 3) Å.
            cell: lengths (2,) or (3,), or vectors (2, 2) or (3, 3), of the box, Å.
        """
        offsets = minimum_image(positions - self.centre, in_plane(cell))  # (N, 3) Å
        flat = (offsets[:, :2] ** 2).sum(axis=1) <= self.radius**2
        return np.asarray(flat & (np.abs(offsets[:, 2]) <= self.depth))


@dataclass(frozen=True)
class Parent:
    """A relaxed slab that moves start from.

    positions: (N, 3) Å.
    excess_ev: (N,) energy of each atom above that of an atom of the crystal, eV.
    registry: (3,) of the upper grain after relaxation, Å, as a Frame counts it.
    species: (N,) atomic numbers; None if there is one element.
    """

    positions: Positions
    excess_ev: NDArray[np.float64]
    registry: Positions
    species: NDArray[np.int64] | None = None

    @property
    def sites(self) -> Sites:
        """The atoms, with the atomic number 0 for that of the one element."""
        return sites_of(self.positions, self.species)


def boundary_height(parent: Parent, frame: Frame) -> float:
    """Height of the boundary, Å: the mean of its disturbed atoms, weighted by excess energy.

    Atoms near the free surfaces are left out. In a slab of one perfect crystal it is the frame's
    centre.
    """
    heights, excess = parent.positions[:, 2], np.abs(parent.excess_ev)
    inside = (heights > heights.min() + SURFACE) & (heights < heights.max() - SURFACE)
    largest = float(excess[inside].max(initial=0.0))
    if largest < PERFECT_EV:
        return frame.centre
    # A share of the largest: the strain energy of a whole grain and noise stay below it.
    disturbed = inside & (excess > DISTURBED * largest)
    return float(np.average(heights[disturbed], weights=excess[disturbed]))


def draw_window(
    parent: Parent, frame: Frame, config: ExploreConfig, rng: np.random.Generator
) -> Window:
    """Random window at the height of the boundary, about an atom of high excess energy.

    Raises:
        StructureError: if no atom lies near the boundary.
    """
    height = boundary_height(parent, frame)
    reach = min(REACH, config.window_depth)
    near = np.flatnonzero(np.abs(parent.positions[:, 2] - height) <= reach)
    if not len(near):
        raise StructureError(
            f"cannot choose a window: no atom lies within {reach:g} Å of the boundary at z ="
            f" {height:.2f} Å; raise explore.window_depth"
        )
    chosen = drawn_by_energy(parent.excess_ev, near, PREFERENCE_EV, rng)
    x, y = parent.positions[chosen, :2]
    return Window(
        np.array([x, y, height]), float(rng.uniform(*config.window_radius)), config.window_depth
    )


def drawn_by_energy(
    excess_ev: NDArray[np.float64],
    indices: NDArray[np.int64],
    scale_ev: float,
    rng: np.random.Generator,
) -> int:
    """One of the indices (M,), drawn with probabilities proportional to exp(excess / scale)."""
    excess = excess_ev[indices]
    weights = np.exp((excess - excess.max()) / scale_ev)
    return int(rng.choice(indices, p=weights / weights.sum()))


def recentred(parent: Parent, frame: Frame) -> Parent:
    """The same boundary near the frame's centre again, between the frame's whole planes.

    Moves that add or remove atoms make a slab higher or lower and let its boundary migrate. Here a
    slab whose boundary has left the centre is moved by a lattice vector of the lower grain, so that
    the lower lattice stays where it was. Whole planes beyond the frame's ends are dropped, missing
    ones are added without excess energy, and the registry is reduced to the cell. The number of
    atoms and the height of the slab therefore cannot drift over many generations, and [n] stays the
    same.

    A parent that fits the frame already keeps its atoms bit for bit.

    Raises:
        StructureError: if the outer layers are not the perfect crystals that the registry tells.
    """
    drift = frame.centre - boundary_height(parent, frame)
    step = _lattice_vector(frame, drift) if abs(drift) > DRIFT else np.zeros(3)
    positions = frame.bicrystal.wrap(parent.positions + step)
    moved = replace(parent, positions=positions, registry=frame.reduced(parent.registry + step))
    whole = _with_whole_ends(moved, frame)
    if not step.any() and whole is moved:
        return moved
    result = _on_sites(whole, frame)
    plane = frame.bicrystal.atoms_per_plane
    before, after = (n_index(len(one.positions), plane) for one in (parent, result))
    if before != after:
        raise StructureError(
            "cannot bring the slab back into the frame: its outermost planes are not complete,"
            f" [n] would change from {before}/{plane} to {after}/{plane}"
        )
    return result


def _lattice_vector(frame: Frame, height: float) -> Positions:
    """Lattice vector of the lower grain by the number of planes nearest to a height, (3,) Å."""
    spacing = frame.bicrystal.plane_spacing
    low = (round(height / spacing) - 0.5) * spacing
    points = frame.bicrystal.lattice_points("lower", (0.0, 0.0, 0.0), low, low + spacing)
    return np.asarray(points[0])


def _with_whole_ends(parent: Parent, frame: Frame) -> Parent:
    """The slab cut and filled to the planes of the frame; the parent itself if it has them."""
    heights, upper = parent.positions[:, 2], frame.bicrystal.upper
    top = frame.top + parent.registry[2]
    inside = (heights > frame.bottom - PLANE_TOLERANCE) & (heights < top - PLANE_TOLERANCE)
    # Perfect planes from the frame's ends to the slab's own, none if the slab reaches further.
    above_last = heights.max() - max(upper.layer_offsets) + upper.plane_spacing
    below = frame.lower_sites(heights.min() - PLANE_TOLERANCE)
    above = frame.upper_sites(parent.registry, above_last - PLANE_TOLERANCE)
    num_below, num_above = len(below.positions), len(above.positions)
    if inside.all() and not num_below and not num_above:
        return parent
    # Layers that are no surface any more have no surface energy.
    covered = np.zeros(len(heights), dtype=bool)
    if num_below:
        covered |= heights < heights.min() + SURFACE
    if num_above:
        covered |= heights > heights.max() - SURFACE
    excess = np.where(covered, 0.0, parent.excess_ev)[inside]
    whole = below.and_also(parent.sites.of(inside)).and_also(above)
    return Parent(
        whole.positions,
        np.concatenate([np.zeros(num_below), excess, np.zeros(num_above)]),
        parent.registry,
        None if parent.species is None else whole.numbers,
    )


def _on_sites(parent: Parent, frame: Frame) -> Parent:
    """The slab with the atoms beyond CORE of the centre put on their lattice sites.

    Layers that were free to relax may be held from now on, and held layers must be perfect.

    Raises:
        StructureError: if less than half of the sites at an end have an atom near by.
    """
    positions = parent.positions.copy()
    several = parent.species is not None
    neighbors = Neighbors(positions, frame.bicrystal.cell)
    ends = {
        "lower": frame.lower_sites(frame.centre - CORE),
        "upper": frame.upper_sites(parent.registry, frame.centre + CORE),
    }
    for side, (sites, numbers) in ends.items():
        distances, nearest = neighbors.nearest(sites)
        near = distances < SITE_TOLERANCE * frame.bicrystal.nearest_neighbor
        if near.sum() < 0.5 * len(sites):
            raise StructureError(
                f"cannot bring the slab back into the frame: only {near.sum()} of {len(sites)}"
                f" sites of the {side} grain's outer layers have an atom; registry and positions do"
                " not belong together"
            )
        if several and (parent.sites.numbers[nearest[near]] != numbers[near]).any():
            raise StructureError(
                f"cannot bring the slab back into the frame: the outer layers of the {side} grain"
                " have atoms of other elements than the crystal"
            )
        positions[nearest[near]] = sites[near]
    return replace(parent, positions=positions)
