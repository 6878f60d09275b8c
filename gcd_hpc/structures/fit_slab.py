"""Fit of a slab from another source to the campaign's bicrystal.

Energy and excess volume of a boundary are defined only between perfect crystals of both grains.
Structure files seldom contain them exactly: surfaces are relaxed, atoms vibrate, lattice constants
are rounded, or a plane is incomplete. The outer layers of a slab are therefore matched with the
lattices of both grains and put on their sites.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import Bicrystal, Side
from gcd_hpc.structures.grain import Positions
from gcd_hpc.structures.periodic import (
    Neighbors,
    cartesian,
    edges_and_tilt,
    fractional,
    in_plane,
    minimum_image,
    spelled_cell,
    with_tilt,
)
from gcd_hpc.structures.sites import Sites

LENGTH_TOLERANCE = 1e-3
"""Largest relative difference of the box edges from whole repeats of the campaign's cell."""
SITE_TOLERANCE = 0.25
"""Largest distance of an atom from its lattice site, in nearest-neighbour distances.

It is more than surfaces relax and atoms vibrate, and less than what a grain of another orientation
would need.
"""
MAX_SURFACE = 10.0
"""Thickness at either end of a slab that may be disordered and is removed, Å."""
_NUM_STARTS = 12
"""Number of atoms tried as lattice points at the start of a fit, for each atom of the basis.

Of the atoms of a basis of several only one lies at the lattice points.
"""
_NUM_PASSES = 5
"""Number of times that a fitted lattice is moved by the median distance to its atoms."""


@dataclass(frozen=True)
class FittedSlab:
    """A slab whose outer layers are perfect crystal.

    atoms: slab in whole repeats of the campaign's cell, the lower grain below.
    num_removed: atoms of incomplete layers removed at both ends.
    largest_shift: largest distance by which an atom of the outer layers was moved to its site, Å.
    """

    atoms: Atoms
    num_removed: int
    largest_shift: float


@dataclass(frozen=True)
class _End:
    """The outer layers of one grain.

    removed: indices of the atoms beyond these layers.
    held: indices of the atoms in them.
    sites: lattice sites of the held atoms, (num_held, 3) Å.
    largest_shift: largest distance of a held atom from its site, Å.
    """

    removed: NDArray[np.int64]
    held: NDArray[np.int64]
    sites: Positions
    largest_shift: float


def fit_slab(atoms: Atoms, bicrystal: Bicrystal, held: float) -> FittedSlab:
    """Put a slab into the campaign's cell and its outer layers on the lattices of both grains.

    The slab may be reversed, or mirrored or turned in its plane: the boundary is the same. Its
    in-plane cell is scaled to that of the campaign. Layers at an end without exactly one atom at
    every site are removed, an atom of another element counting as none.

    Args:
        held: thickness of the outer layers, Å.

    Raises:
        StructureError: if the in-plane edges are no whole repeats, or if an end is not the
            expected grain over this thickness.
    """
    fitting = False
    for turned in _turned(atoms):
        repeats = _repeats(turned, bicrystal)
        if repeats is None:
            continue
        fitting = True
        cell = bicrystal.replicated(*repeats)
        slab = Sites(cell.wrap(_scaled(turned, cell)), turned.numbers)
        lower = _end(slab, cell, "lower", "lower", held)
        upper = lower and _end(slab, cell, "upper", "upper", held)
        if lower and upper:
            turned.cell[:2, :2] = cell.cell
            return _joined(turned, slab.positions, lower, upper)
    if not fitting:
        raise StructureError(_wrong_lengths(atoms, bicrystal))
    raise StructureError(_wrong_grains(atoms, bicrystal, held))


def _scaled(atoms: Atoms, cell: Bicrystal) -> Positions:
    """Positions (N, 3) Å of a slab whose in-plane cell is deformed to that of the campaign."""
    positions: Positions = atoms.positions.copy()
    edges, tilt = edges_and_tilt(cell.cell)
    if tilt:
        flat = fractional(positions[:, :2], _like(atoms, tilt, edges[0]))
        positions[:, :2] = cartesian(flat, cell.cell)
    else:
        positions[:, :2] *= edges / atoms.cell.lengths()[:2]
    return positions


def _like(atoms: Atoms, tilt: float, length: float) -> Positions:
    """In-plane cell (2, 2) Å of a slab, of all equivalent ones that with the lean nearest to tilt.

    Args:
        tilt, length: of the campaign's cell, Å.
    """
    (x, y), given = edges_and_tilt(in_plane(atoms.cell))
    wanted = tilt * x / length
    return with_tilt([x, y], wanted + float(minimum_image([given - wanted], [x])[0]))


def _turned(atoms: Atoms) -> Iterator[Atoms]:
    """Copies of the slab as other choices of x and y describe it, and reversed; as given first."""
    if edges_and_tilt(in_plane(atoms.cell))[1]:
        yield from _turned_leaning(atoms)
    else:
        yield from _turned_upright(atoms)


def _turned_leaning(atoms: Atoms) -> Iterator[Atoms]:
    """Copies of a slab that leans, each short lattice vector along x, mirrored and reversed."""
    cell, height = np.array(in_plane(atoms.cell)), atoms.cell[2, 2]
    shortest = [(1, 0), (0, 1), (1, -1), (1, 1), (-1, 0), (0, -1), (-1, 1), (-1, -1)]
    for (i, j), mirror, reverse in product(shortest, (1, -1), (1, -1)):
        first, second = np.array([i, j]) @ cell, cell[1] if i else cell[0]
        x_axis = first / np.linalg.norm(first)
        axes = np.array([x_axis, mirror * np.array([-x_axis[1], x_axis[0]])])
        (length, _), (lean, up) = np.array([first, second]) @ axes.T
        lean *= np.sign(up)
        turned = atoms.copy()
        turned.positions[:, :2] = atoms.positions[:, :2] @ axes.T
        if reverse < 0:
            turned.positions[:, 2] = height - atoms.positions[:, 2]
        lean = float(minimum_image([lean], [length])[0])
        turned.set_cell(with_tilt([length, abs(up), height], lean))
        yield turned


def _turned_upright(atoms: Atoms) -> Iterator[Atoms]:
    """Copies of the slab under the 16 box symmetries that keep z along z; the identity first."""
    lengths = atoms.cell.lengths()
    for order, signs in product(((0, 1, 2), (1, 0, 2)), product((1, -1), repeat=3)):
        turned = atoms.copy()
        edges = lengths[list(order)]
        positions = atoms.positions[:, order] * signs
        positions[:, 2] += edges[2] if signs[2] < 0 else 0.0
        turned.set_cell(edges)
        turned.set_positions(positions)
        yield turned


def _repeats(atoms: Atoms, bicrystal: Bicrystal) -> tuple[int, int] | None:
    """Repeats of the campaign's cell in the box along x and y; None if they are not whole."""
    extents, _ = edges_and_tilt(in_plane(atoms.cell))
    repeats = []
    for length, unit in zip(extents, np.diag(bicrystal.cell), strict=True):
        repeats.append(max(1, round(length / unit)))
        if abs(length / (repeats[-1] * unit) - 1) > LENGTH_TOLERANCE:
            return None
    x, y = repeats
    (width, _), (tilt, _) = bicrystal.replicated(x, y).cell
    lean = _like(atoms, tilt, width)[1, 0] - tilt * extents[0] / width
    return None if abs(lean) > LENGTH_TOLERANCE * width else (x, y)


def _end(slab: Sites, cell: Bicrystal, end: Side, side: Side, held: float) -> _End | None:
    """Outermost complete layers of a grain at one end of a slab, as thick as held, or None."""
    z = slab.positions[:, 2]
    depths = z - z.min() if end == "lower" else z.max() - z
    spacing = cell.grain(side).plane_spacing
    outer = slab.of(depths < held)
    origin = _origin(outer, depths[depths < held] > held / 2, cell, side)
    if origin is None:
        return None
    # Lattice sites of whole planes, one plane beyond the end of the slab.
    window = np.flatnonzero(depths < held + MAX_SURFACE)
    first, last = np.floor(
        (z[window][[z[window].argmin(), z[window].argmax()]] - origin[2]) / spacing
    )
    low, high = origin[2] + np.array([first - 1, last + 2]) * spacing
    sites = Sites(*cell.lattice_sites(side, origin, low, high))
    planes = np.floor((sites.positions[:, 2] - low) / spacing + 1e-3).astype(int)
    distances, nearest = _nearest(slab.positions[window], sites.positions, cell)
    on_site = distances < SITE_TOLERANCE * cell.nearest_neighbor
    on_site &= slab.numbers[window] == sites.numbers[nearest]
    # A plane is complete if each of its sites has one atom and no atom is off site.
    num_atoms = np.bincount(nearest[on_site], minlength=len(planes))
    complete = np.ones(planes.max() + 1, dtype=bool)
    complete[planes[num_atoms != 1]] = False
    complete[planes[nearest[~on_site]]] = False
    # The outermost run of complete planes as thick as the held layers.
    num_planes = ceil(held / spacing)
    runs = np.convolve(complete, np.ones(num_planes), mode="valid") > num_planes - 0.5
    starts = np.flatnonzero(runs)
    if not len(starts):
        return None
    start = starts[0] if end == "lower" else starts[-1]
    plane = planes[nearest]
    beyond = plane < start if end == "lower" else plane >= start + num_planes
    inside = (plane >= start) & (plane < start + num_planes)
    return _End(
        removed=window[beyond],
        held=window[inside],
        sites=sites.positions[nearest[inside]],
        largest_shift=float(distances[inside].max()),
    )


def _origin(
    outer: Sites, inner: NDArray[np.bool_], cell: Bicrystal, side: Side
) -> Positions | None:
    """Lattice point of the grain that fits most of the outer atoms, (3,) Å; None if under half fit.

    Its exact position follows from the inner atoms, which lie far from the surface.
    """
    heights = outer.positions[:, 2]
    low, high = heights.min(), heights.max()
    margin = cell.nearest_neighbor
    reach = SITE_TOLERANCE * cell.nearest_neighbor

    def matched(origin: Positions) -> tuple[NDArray[np.bool_], Positions]:
        """Mask of the atoms on sites, and the vectors from the nearest sites to all atoms, Å."""
        sites = Sites(*cell.lattice_sites(side, origin, low - margin, high + margin))
        distances, nearest = _nearest(outer.positions, sites.positions, cell)
        near = (distances < reach) & (outer.numbers == sites.numbers[nearest])
        gaps = outer.positions - sites.positions[nearest]
        return near, minimum_image(gaps, cell.cell)

    # Try some of the atoms, at all heights, as lattice points, then refine the best one.
    kinds = cell.grain(side).crystal.numbers
    places = np.argsort(heights)
    places = places[outer.numbers[places] == kinds[0]]
    if not len(places):
        return None
    num_starts = _NUM_STARTS * len(kinds)
    chosen = np.unique(np.linspace(0, len(places) - 1, num_starts).round().astype(int))
    starts = outer.positions[places[chosen]]
    counts = [matched(start)[0].sum() for start in starts]
    if max(counts) < 0.5 * len(heights):
        return None
    origin: Positions = starts[int(np.argmax(counts))]
    for _ in range(_NUM_PASSES):
        near, gaps = matched(origin)
        exact = near & inner if (near & inner).any() else near
        origin = origin + np.median(gaps[exact], axis=0)
    return origin


def _nearest(
    positions: Positions, sites: Positions, cell: Bicrystal
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to the nearest site, Å, and that site's index, (N,) each."""
    return Neighbors(sites, cell.cell).nearest(cell.wrap(positions))


def _joined(atoms: Atoms, positions: Positions, lower: _End, upper: _End) -> FittedSlab:
    for end in (lower, upper):
        positions[end.held] = end.sites
    atoms.set_positions(positions)
    kept = np.ones(len(atoms), dtype=bool)
    kept[lower.removed] = kept[upper.removed] = False
    return FittedSlab(
        atoms[kept], int((~kept).sum()), max(lower.largest_shift, upper.largest_shift)
    )


def _wrong_lengths(atoms: Atoms, bicrystal: Bicrystal) -> str:
    expected, got = (spelled_cell(cell, digits=4) for cell in (bicrystal.cell, atoms.cell))
    return (
        f"its in-plane edges, {got}, are no whole repeats of the campaign's cell,"
        f" {expected}; cut or scale it to that cell, or use the campaign of its own boundary"
    )


def _wrong_grains(atoms: Atoms, bicrystal: Bicrystal, held: float) -> str:
    """Error text that names the grains found at both ends of a slab."""
    repeats = _repeats(atoms, bicrystal)
    cell = bicrystal.replicated(*repeats) if repeats else bicrystal
    slab = Sites(cell.wrap(atoms.positions), atoms.numbers)
    ends: tuple[Side, Side] = ("lower", "upper")
    found = {
        end: [side for side in ends if repeats and _end(slab, cell, end, side, held)]
        for end in ends
    }
    got = " and ".join(
        f"{'the ' + sides[0] if sides else 'neither'} grain at the {end} end"
        for end, sides in found.items()
    )
    return (
        "not the boundary of the campaign: the lower end must be the lattice of the lower grain and"
        " the upper end that of the upper grain, every atom of the outer"
        f" {held:.1f} Å within {SITE_TOLERANCE * bicrystal.nearest_neighbor:.2f} Å of its site"
        f"{' and of its element' if len(bicrystal.elements) > 1 else ''}, but it has {got}; use the"
        " campaign of its own boundary"
    )
