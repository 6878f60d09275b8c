"""A slab from elsewhere, laid onto the campaign's bicrystal.

Energy and excess volume of a boundary mean something only between perfect crystals of both grains.
Structure files seldom hold them exactly: surfaces were relaxed, atoms vibrate, lattice constants
are rounded, a plane is not complete. The outer layers of a slab are therefore compared with the
lattices of both grains, and put on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.bicrystal import Bicrystal, Positions, Side
from gcd_hpc.structures.periodic import minimum_image

LENGTH_TOLERANCE = 1e-3
"""Largest relative difference of the box edges from whole repeats of the campaign's cell."""
SITE_TOLERANCE = 0.25
"""An atom this close to a lattice site is on it, in nearest-neighbour distances: more than surfaces
relax and atoms vibrate, less than another orientation allows for every atom.
"""
MAX_SURFACE = 10.0
"""Height at an end of a slab that may be no crystal and is taken off, Å."""
_NUM_STARTS = 12
"""Atoms that are tried as lattice points to begin a fit."""
_NUM_PASSES = 5
"""Times that a fitted lattice is moved by the median distance to its atoms."""


@dataclass(frozen=True)
class FittedSlab:
    """A slab whose ends are perfect crystal.

    atoms: in whole repeats of the campaign's cell, the lower grain below.
    num_removed: atoms taken off both ends, where layers were not complete.
    largest_shift: by which an atom of the outer layers was moved onto its site, Å.
    """

    atoms: Atoms
    num_removed: int
    largest_shift: float


@dataclass(frozen=True)
class _End:
    """The outer layers of one grain.

    removed: atoms beyond the layers; held: atoms in them; sites: where these belong, (num_held, 3)
    Å; largest_shift: Å.
    """

    removed: NDArray[np.int64]
    held: NDArray[np.int64]
    sites: Positions
    largest_shift: float


def fit_slab(atoms: Atoms, bicrystal: Bicrystal, held: float) -> FittedSlab:
    """The slab in the campaign's cell, its outer layers put on the lattices of both grains.

    The slab may be turned over or mirrored along the axes of the box: the boundary is the same. Its
    in-plane lengths are made those of the campaign. Layers at an end that do not hold one atom at
    every site are taken off.

    Args:
        held: thickness of the outer layers, Å.

    Raises:
        StructureError: if the in-plane lengths are no whole repeats, or an end is not the grain
            that belongs there over this thickness.
    """
    fitting = False
    for turned in _turned(atoms):
        repeats = _repeats(turned, bicrystal)
        if repeats is None:
            continue
        fitting = True
        cell = bicrystal.replicated(*repeats)
        positions = turned.positions.copy()
        positions[:, :2] *= np.array(cell.lengths) / turned.cell.lengths()[:2]
        positions = cell.wrap(positions)
        lower = _end(positions, cell, "lower", "lower", held)
        upper = lower and _end(positions, cell, "upper", "upper", held)
        if lower and upper:
            turned.cell = [*cell.lengths, turned.cell[2, 2]]
            return _joined(turned, positions, lower, upper)
    if not fitting:
        raise StructureError(_wrong_lengths(atoms, bicrystal))
    raise StructureError(_wrong_grains(atoms, bicrystal, held))


def _turned(atoms: Atoms) -> Iterator[Atoms]:
    """Copies of the slab after the 16 rotations and mirrors of a box that keep z along z; first the
    slab as it is.
    """
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
    """How often the campaign's cell fits into the box along x and y; None if it does not."""
    repeats = []
    for length, unit in zip(atoms.cell.lengths()[:2], bicrystal.lengths, strict=True):
        repeats.append(max(1, round(length / unit)))
        if abs(length / (repeats[-1] * unit) - 1) > LENGTH_TOLERANCE:
            return None
    x, y = repeats
    return x, y


def _end(positions: Positions, cell: Bicrystal, end: Side, side: Side, held: float) -> _End | None:
    """The outermost layers at one end of a slab that are complete layers of a grain over the
    thickness held; None if there are none.
    """
    z = positions[:, 2]
    depths = z - z.min() if end == "lower" else z.max() - z
    spacing = cell.grain(side).plane_spacing
    outer = positions[depths < held]
    origin = _origin(outer, depths[depths < held] > held / 2, cell, side)
    if origin is None:
        return None
    # Whole planes, one beyond the end of the slab.
    window = np.flatnonzero(depths < held + MAX_SURFACE)
    first, last = np.floor(
        (z[window][[z[window].argmin(), z[window].argmax()]] - origin[2]) / spacing
    )
    low, high = origin[2] + np.array([first - 1, last + 2]) * spacing
    sites = cell.lattice_positions(side, origin, low, high)
    planes = np.floor((sites[:, 2] - low) / spacing + 1e-3).astype(int)
    distances, nearest = _nearest(positions[window], sites, cell)
    on_site = distances < SITE_TOLERANCE * cell.nearest_neighbor
    # A plane is complete if each of its sites has one atom and no atom is beside them.
    num_atoms = np.bincount(nearest[on_site], minlength=len(sites))
    complete = np.ones(planes.max() + 1, dtype=bool)
    complete[planes[num_atoms != 1]] = False
    complete[planes[nearest[~on_site]]] = False
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
        sites=sites[nearest[inside]],
        largest_shift=float(distances[inside].max()),
    )


def _origin(
    outer: Positions, inner: NDArray[np.bool_], cell: Bicrystal, side: Side
) -> Positions | None:
    """A lattice point of the grain that most of the outer atoms fit, (3,) Å; None if less than half
    of them do. Where the lattice lies exactly, the inner ones tell, far from the surface.
    """
    low, high = outer[:, 2].min(), outer[:, 2].max()
    margin = cell.nearest_neighbor
    reach = SITE_TOLERANCE * cell.nearest_neighbor

    def matched(origin: Positions) -> tuple[NDArray[np.bool_], Positions]:
        """Which atoms are on sites, and the vectors from the nearest sites to all."""
        sites = cell.lattice_positions(side, origin, low - margin, high + margin)
        distances, nearest = _nearest(outer, sites, cell)
        return distances < reach, minimum_image(outer - sites[nearest], cell.lengths)

    chosen = np.unique(np.linspace(0, len(outer) - 1, _NUM_STARTS).round().astype(int))
    starts = outer[np.argsort(outer[:, 2])[chosen]]
    counts = [matched(start)[0].sum() for start in starts]
    if max(counts) < 0.5 * len(outer):
        return None
    origin = starts[int(np.argmax(counts))]
    for _ in range(_NUM_PASSES):
        near, gaps = matched(origin)
        exact = near & inner if (near & inner).any() else near
        origin = origin + np.median(gaps[exact], axis=0)
    return origin


def _nearest(
    positions: Positions, sites: Positions, cell: Bicrystal
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to the nearest site, Å, and its number, (N,) each."""
    distances, nearest = cKDTree(sites, boxsize=[*cell.lengths, 0.0]).query(cell.wrap(positions))
    return distances, nearest


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
    expected, got = (
        " x ".join(f"{length:.4f}" for length in lengths)
        for lengths in (bicrystal.lengths, atoms.cell.lengths()[:2])
    )
    return (
        f"expected whole repeats of the campaign's cell, {expected} Å, along x and y, got {got} Å"
    )


def _wrong_grains(atoms: Atoms, bicrystal: Bicrystal, held: float) -> str:
    """What was found at both ends of a slab that is not this boundary."""
    repeats = _repeats(atoms, bicrystal)
    cell = bicrystal.replicated(*repeats) if repeats else bicrystal
    positions = cell.wrap(atoms.positions)
    ends: tuple[Side, Side] = ("lower", "upper")
    found = {
        end: [side for side in ends if repeats and _end(positions, cell, end, side, held)]
        for end in ends
    }
    got = " and ".join(
        f"{'the ' + sides[0] if sides else 'neither'} grain at the {end} end"
        for end, sides in found.items()
    )
    return (
        "not the boundary of the campaign: expected the lattice of the lower grain at the lower"
        " end and of the upper grain at the upper end, every atom of the outer"
        f" {held:.1f} Å within {SITE_TOLERANCE * bicrystal.nearest_neighbor:.2f} Å of its site; got"
        f" {got}"
    )
