"""Moves: one relaxed slab, or two, in; the unrelaxed structure of the next try out.

Local moves change the atoms of one window and leave all others bit for bit as they are. They are
grand canonical: each has its own change of the number of atoms. Parents must lie in the frame, as
``windows.recentred`` puts them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.errors import StructureError
from gcd_hpc.search.windows import CORE, Parent, Window, boundary_height, drawn_by_energy
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import (
    Neighbors,
    cartesian,
    depths,
    heights,
    in_plane,
    minimum_image,
    wrap,
)
from gcd_hpc.structures.sites import Sites

REMOVAL_EV = 0.2
"""Excess energy by which an atom is e times as likely as another to be removed, eV."""
AMPLITUDE = (0.1, 0.4)
"""Smallest and largest standard deviation by which the atoms of a window are shaken, Å."""
SHIFT = 0.8
"""Standard deviation of a rigid shift of the upper grain along x and along y, Å."""
NUM_VOIDS, NUM_LARGEST = 200, 5
"""Random points tried for an atom to insert, and how many of the emptiest may be taken."""
VOID_DEPTH = 4.0
"""Largest distance of an inserted atom from the boundary along z, Å."""
SAME_REGISTRY = 0.3
"""Largest in-plane difference of the registries of two structures that are crossed, Å."""
SHARE = (0.25, 0.75)
"""Smallest and largest share of the cell that a crossover takes from the partner."""
MERGED, OVERLAP = 0.7, 0.3
"""Atoms from both sides of a cut that are nearer than MERGED count as one. The partner's part is
wider by OVERLAP, so that no atom beside the cut is lost. In nearest-neighbour distances.
"""


@dataclass(frozen=True)
class Proposal:
    """Unrelaxed structure of a try.

    positions: (N, 3) Å.
    registry: (3,) of the upper grain before relaxation, Å.
    window: where atoms changed; None if the whole boundary did.
    species: (N,) atomic numbers; None if there is one element.
    """

    positions: Positions
    registry: Positions
    window: Window | None
    species: NDArray[np.int64] | None = None


Move = Callable[[Parent, Frame, Window, np.random.Generator], Proposal]


def remove(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Remove one atom of the window, preferably one of high energy, and shake the others."""
    shaken = _shaken(parent, frame, window, rng)
    removed = _drawn(parent, frame, window, rng)
    return _proposal(parent, _without(shaken, removed), window)


def insert(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Shake the atoms of the window and insert one into a large void.

    Of several elements the crystal's are drawn, in its ratio.
    """
    shaken = _shaken(parent, frame, window, rng)
    number = 0
    if parent.species is not None:
        number = int(rng.choice(frame.bicrystal.lower.crystal.numbers))
    return _proposal(parent, _with_one_more(shaken, number, frame, window, rng), window)


def exchange(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Move one atom of the window into a large void, after a shake."""
    shaken = _shaken(parent, frame, window, rng)
    moved = _drawn(parent, frame, window, rng)
    fewer, number = _without(shaken, moved), int(shaken.numbers[moved])
    return _proposal(parent, _with_one_more(fewer, number, frame, window, rng), window)


def shake(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Displace the atoms of the window at random, all with the same standard deviation."""
    return _proposal(parent, _shaken(parent, frame, window, rng), window)


def shift(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Shift the upper grain in the boundary plane. The window plays no part."""
    step = np.array([*rng.normal(0.0, SHIFT, 2), 0.0])
    positions = parent.positions.copy()
    upper = positions[:, 2] > boundary_height(parent, frame)
    positions[upper] = frame.bicrystal.wrap(positions[upper] + step)
    return Proposal(positions, frame.reduced(parent.registry + step), None, parent.species)


def swap(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Let an atom of the window and one of another element change places.

    The other one lies in the window as well or, if there is none, as near to the boundary along z.

    Raises:
        StructureError: if all atoms at the boundary are of one element.
    """
    numbers = parent.sites.numbers.copy()
    inside = np.flatnonzero(window.mask(parent.positions, frame.cell))
    around = np.abs(parent.positions[:, 2] - window.centre[2]) <= window.depth
    if len(np.unique(numbers[inside])) > 1:
        around[:] = False
        around[inside] = True
    first = int(rng.choice(inside))
    others = np.flatnonzero(around & (numbers != numbers[first]))
    if not len(others):
        raise StructureError(
            f"cannot swap two elements: all atoms within {window.depth:g} Å of the boundary are of"
            " one"
        )
    second = int(rng.choice(others))
    numbers[[first, second]] = numbers[[second, first]]
    return Proposal(parent.positions, parent.registry, window, numbers)


def transmute(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Proposal:
    """Exchange an atom of the window for one of another element from a reservoir.

    The chemical potentials of both enter the energy of the result.
    """
    numbers = parent.sites.numbers.copy()
    chosen = _drawn(parent, frame, window, rng)
    others = [number for number in frame.bicrystal.numbers if number != numbers[chosen]]
    numbers[chosen] = int(rng.choice(others))
    return Proposal(parent.positions, parent.registry, window, numbers)


LOCAL_MOVES: Mapping[str, Move] = MappingProxyType(
    {"remove": remove, "insert": insert, "exchange": exchange, "shake": shake, "shift": shift}
)
"""Moves of one parent, by the labels under which candidates are stored."""


SPECIES_MOVES: Mapping[str, Move] = MappingProxyType({"swap": swap, "transmute": transmute})
"""Further moves of one parent where there are several elements. They leave positions as they are.
"""


def local_moves(num_elements: int) -> Mapping[str, Move]:
    """Moves of one parent for a number of elements."""
    return LOCAL_MOVES if num_elements == 1 else {**LOCAL_MOVES, **SPECIES_MOVES}


def _proposal(parent: Parent, sites: Sites, window: Window) -> Proposal:
    species = None if parent.species is None else sites.numbers
    return Proposal(sites.positions, parent.registry, window, species)


def _shaken(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> Sites:
    """Atoms after one random displacement of each atom of the window."""
    positions = parent.positions.copy()
    inside = window.mask(positions, frame.cell)
    amplitude = rng.uniform(*AMPLITUDE)
    moved = positions[inside] + rng.normal(0.0, amplitude, (int(inside.sum()), 3))
    positions[inside] = frame.bicrystal.wrap(moved)
    return Sites(positions, parent.sites.numbers)


def _drawn(parent: Parent, frame: Frame, window: Window, rng: np.random.Generator) -> int:
    """One atom of the window, preferably of high energy."""
    inside = np.flatnonzero(window.mask(parent.positions, frame.cell))
    return drawn_by_energy(parent.excess_ev, inside, REMOVAL_EV, rng)


def _without(sites: Sites, removed: int) -> Sites:
    """The atoms without one."""
    return sites.of(np.arange(len(sites.positions)) != removed)


def _with_one_more(
    sites: Sites, number: int, frame: Frame, window: Window, rng: np.random.Generator
) -> Sites:
    """The atoms, and one with an atomic number in one of the largest voids of the window."""
    depth = min(VOID_DEPTH, window.depth)
    # Uniform points of the disc, (NUM_VOIDS, 3) Å.
    angles = rng.uniform(0.0, 2 * np.pi, NUM_VOIDS)
    radii = window.radius * np.sqrt(rng.random(NUM_VOIDS))
    heights = rng.uniform(-depth, depth, NUM_VOIDS)
    offsets = np.column_stack([radii * np.cos(angles), radii * np.sin(angles), heights])
    points = frame.bicrystal.wrap(window.centre + offsets)
    # Distance from each point to the nearest atom; the largest few, and one of them.
    distances, _ = Neighbors(sites.positions, frame.bicrystal.cell).nearest(points)
    largest = np.argsort(-distances, kind="stable")[:NUM_LARGEST]
    return sites.and_also(Sites(points[[rng.choice(largest)]], np.array([number])))


def crossover(
    parent: Parent, partner: Parent, frame: Frame, rng: np.random.Generator
) -> Proposal | None:
    """Part of the boundary from a partner of the same registry, the rest from the parent.

    The partner is moved by a lattice vector of the lower grain for which the registries agree, and
    its upper grain by the small difference that is left. The cell is cut twice along one edge, and
    the partner gives the part between the cuts, within CORE of the frame's centre. The number of
    atoms follows from the parts.

    Returns:
        None if the registries differ by more than SAME_REGISTRY in the plane.
    """
    steps = _matching_steps(parent, partner, frame, rng)
    if steps is None:
        return None
    whole_step, upper_step = steps
    upper = partner.positions[:, 2] > boundary_height(partner, frame)
    cell = frame.bicrystal.cell
    other = wrap(partner.positions + whole_step + upper[:, None] * upper_step, cell)
    # Long edges are cut more often than short ones, of which no two parts could be made.
    lengths = heights(cell)
    axis = int(rng.choice(2, p=lengths / sum(lengths.tolist())))
    start, width = rng.random() * lengths[axis], rng.uniform(*SHARE) * lengths[axis]
    margin = OVERLAP * frame.bicrystal.nearest_neighbor
    kept = parent.sites.of(~_between(parent.positions, frame, axis, start, width, 0.0))
    added = Sites(other, partner.sites.numbers).of(
        _between(other, frame, axis, start, width, margin)
    )
    # Of two atoms that meet at the cut, the parent's stays.
    distances, _ = Neighbors(kept.positions, cell).nearest(added.positions)
    apart = distances >= MERGED * frame.bicrystal.nearest_neighbor
    sites = kept.and_also(added.of(apart))
    species = None if parent.species is None else sites.numbers
    return Proposal(sites.positions, parent.registry, None, species)


def _matching_steps(
    parent: Parent, partner: Parent, frame: Frame, rng: np.random.Generator
) -> tuple[Positions, Positions] | None:
    """Steps that bring the partner into the registry of the parent, or None if there are none.

    Returns:
        The lattice vector of the lower grain that moves the whole partner, and the step that its
        upper grain takes after that, (3,) Å each. One pair is drawn if several match.
    """
    bicrystal, origin = frame.bicrystal, (0.0, 0.0, 0.0)
    spacing = bicrystal.upper.plane_spacing
    # Steps of the upper grain that give the parent's registry, by at most half a plane along z.
    wanted = bicrystal.lattice_points(
        "upper", parent.registry - partner.registry, -spacing / 2, spacing / 2
    )
    whole = bicrystal.lattice_points("lower", origin, 0.0, bicrystal.plane_spacing / 2)
    left = minimum_image(wanted[:, None] - whole, bicrystal.cell)  # (num_upper, num_lower, 3)
    matching = np.argwhere(np.hypot(left[..., 0], left[..., 1]) <= SAME_REGISTRY)
    if not len(matching):
        return None
    one, two = matching[rng.integers(len(matching))]
    return whole[two], left[one, two]


def _between(
    positions: Positions, frame: Frame, axis: int, start: float, width: float, margin: float
) -> NDArray[np.bool_]:
    """Mask (N,) of the atoms between the cuts and within CORE of the centre, and in a margin."""
    cell = frame.bicrystal.cell
    along = depths(positions, cell)[:, axis, None] - (start - margin)
    along = wrap(along, heights(cell)[[axis]])[:, 0]
    near = np.abs(positions[:, 2] - frame.centre) < CORE + margin
    return np.asarray((along < width + 2 * margin) & near)


def tile(parent: Parent, cell: ArrayLike, repeats: tuple[int, int]) -> Parent:
    """The structure of a smaller cell, repeated in the boundary plane.

    Args:
        cell: in-plane vectors (2, 2) of the parent's cell, Å.
        repeats: copies along the first and along the second vector.
    """
    copies = np.stack(np.meshgrid(*map(np.arange, repeats), [0], indexing="ij"), axis=-1)
    offsets = np.zeros((len(copies.reshape(-1, 3)), 1, 3))  # (num_copies, 1, 3)
    offsets[:, 0, :2] = cartesian(copies.reshape(-1, 3)[:, :2], in_plane(cell))
    positions = (parent.positions + offsets).reshape(-1, 3)
    species = None if parent.species is None else np.tile(parent.species, len(offsets))
    return Parent(positions, np.tile(parent.excess_ev, len(offsets)), parent.registry, species)
