"""Fit of an ideal crystal to a cell of atoms: translation, and assignment of atoms to sites."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.periodic import minimum_image, wrap

Array = NDArray[np.float64]

_ON_SITE = 0.5
"""Distance within which an atom belongs to a site, in nearest-neighbour distances."""
_DISPLACED = 0.1
"""Distance beyond which an atom is displaced: about Lindemann's criterion for melting."""
_NUM_CANDIDATES = 32
_MAX_PASSES, _CONVERGED = 50, 1e-12


@dataclass(frozen=True)
class LatticeFit:
    """Fit of a cell to the ideal crystal, with at most one atom for each site; lengths as given."""

    rmsd: float
    """Root mean square distance of the assigned atoms from their sites; NaN if there are none."""
    worst: float
    """Largest of these distances."""
    num_displaced: int
    """Number of atoms more than 0.1 nearest-neighbour distances from their site."""
    num_missing: int
    """Number of sites without an atom (vacancies)."""
    num_extra: int
    """Number of atoms without a site (interstitials)."""
    offset: Array
    """Translation (3,) from the ideal crystal to the cell."""

    @property
    def num_defects(self) -> int:
        """Number of displaced, missing and extra atoms."""
        return self.num_displaced + self.num_missing + self.num_extra


def fit_lattice(positions: ArrayLike, ideal: ArrayLike, lengths: ArrayLike) -> LatticeFit:
    """Find the translation of the ideal crystal that fits the atoms of a periodic box best.

    Each of some atoms in turn is placed on the first site. The best of these starts is moved to the
    mean of the atoms near sites until it converges, so that missing, extra or distant atoms do not
    affect the fit.

    Args:
        positions: (N, 3).
        ideal: (M, 3), a crystal with few kinds of site, such as sc, bcc, fcc or diamond.
        lengths: (3,) of the periodic box.

    Raises:
        StructureError: if the crystal has too few sites for a fit.
    """
    box = np.asarray(lengths, dtype=np.float64)
    atoms = wrap(positions, box)
    sites = wrap(ideal, box)
    if len(sites) < 2:
        raise StructureError(
            f"a fit to a lattice needs a crystal of at least two sites, got {len(sites)}"
        )
    if not len(atoms):
        return LatticeFit(np.nan, np.nan, 0, len(sites), 0, np.zeros(3))
    tree = cKDTree(sites, boxsize=box)
    neighbor = float(np.min(tree.query(sites, k=2)[0][:, 1]))
    reach = _ON_SITE * neighbor

    offset = _rest(_best_start(atoms, sites, tree, box, reach), atoms, tree, box, reach)
    # An extra atom beside a full site affected the mean; one atom per site is least squares.
    offset = offset + _paired_gaps(atoms - offset, sites, box, reach).mean(axis=0)
    gaps = _paired_gaps(atoms - offset, sites, box, reach)
    distances = np.linalg.norm(gaps, axis=1)
    return LatticeFit(
        rmsd=float(np.sqrt(np.mean(distances**2))),
        worst=float(distances.max()),
        num_displaced=int((distances > _DISPLACED * neighbor).sum()),
        num_missing=len(sites) - len(gaps),
        num_extra=len(atoms) - len(gaps),
        offset=wrap(offset, box),
    )


def _best_start(atoms: Array, sites: Array, tree: cKDTree, box: Array, reach: float) -> Array:
    """Best translation that puts one of some atoms on the first site."""
    chosen = np.unique(np.linspace(0, len(atoms) - 1, _NUM_CANDIDATES).round().astype(int))
    offsets = atoms[chosen] - sites[0]  # (K, 3)
    distances, _ = tree.query(
        wrap(atoms - offsets[:, None], box), distance_upper_bound=reach
    )  # (K, N), infinite beyond
    best: Array = offsets[np.argmin(np.square(np.minimum(distances, reach)).sum(axis=1))]
    return best


def _rest(offset: Array, atoms: Array, tree: cKDTree, box: Array, reach: float) -> Array:
    """Refine a translation by the mean of the atoms within reach of a site, until it converges."""
    for _ in range(_MAX_PASSES):
        placed = wrap(atoms - offset, box)
        distances, nearest = tree.query(placed, distance_upper_bound=reach)
        near = np.isfinite(distances)
        step = minimum_image(placed[near] - tree.data[nearest[near]], box).mean(axis=0)
        offset = offset + step
        if np.abs(step).max() < _CONVERGED * box.max():
            break
    return offset


def _paired_gaps(placed: Array, sites: Array, box: Array, reach: float) -> Array:
    """Vectors (P, 3) from site to atom of the optimal one-to-one assignment, within the reach."""
    gaps = minimum_image(placed[:, None] - sites, box)  # (N, M, 3)
    squared = np.square(gaps).sum(axis=2)
    # Longer distances count as the reach, so that a vacancy far from an interstitial does not shift
    # the row of atoms between them.
    atom, site = linear_sum_assignment(np.minimum(squared, reach**2))
    paired: Array = gaps[atom, site][squared[atom, site] < reach**2]
    return paired
