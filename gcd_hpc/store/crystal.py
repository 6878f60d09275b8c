"""Boundary and crystal described by the attribute ``config`` of a file of candidates."""

import json
from fractions import Fraction
from functools import lru_cache
from math import isnan, lcm, nan
from typing import Any

import h5py
import numpy as np
from pydantic import ValidationError

from gcd_hpc.config.campaign import BoundaryConfig
from gcd_hpc.errors import OrientationError
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.schema import UNKNOWN_N
from gcd_hpc.structures.bicrystal import Bicrystal

_MAX_PLANE_ATOMS = 10_000


@lru_cache
def boundary_of(config: Any) -> BoundaryConfig | None:
    """Boundary section of a file's attribute ``config``; None if it is missing or invalid."""
    try:
        section = json.dumps(section_of(str(config), "boundary"))
        boundary = BoundaryConfig.model_validate_json(section, strict=True)
        Bicrystal.build(boundary, 1.0)
        return boundary
    except (ValidationError, OrientationError):
        return None


@lru_cache
def unit_crystal(config: Any, ratio: float | None = None) -> Bicrystal | None:
    """Bicrystal of ``boundary_of`` with a lattice constant of 1 Å; None if there is none.

    Args:
        ratio: c/a of hcp; that of the config or of the element if None.
    """
    boundary = boundary_of(config)
    return None if boundary is None else Bicrystal.build(boundary, 1.0, ratio)


def crystal_of(boundary: BoundaryConfig, length_x: float, ratio: float = nan) -> Bicrystal:
    """Bicrystal of a boundary whose cell is ``length_x`` Å long along x.

    Args:
        ratio: c/a of hcp as a row states it; NaN in other crystals.
    """
    own = None if isnan(ratio) else ratio
    a0 = length_x / Bicrystal.build(boundary, 1.0, own).cell[0][0]
    return Bicrystal.build(boundary, a0, None if own is None else a0 * own)


def neighbor_distance(config: Any, length_x: float, ratio: float = nan) -> float:
    """Nearest-neighbour distance of the crystal, Å; NaN if ``config`` describes no boundary.

    Args:
        length_x: edge of the box along x, Å, which determines the lattice constant.
        ratio: c/a of hcp as the row states it; NaN in other crystals.
    """
    unit = unit_crystal(config, None if isnan(ratio) else ratio)
    return nan if unit is None else unit.nearest_neighbor * length_x / unit.cell[0][0]


def older_n_index(file: h5py.File) -> np.ndarray:
    """n_index of all rows of a file that lacks this column, (M,).

    N_plane is taken from the rows (since version 3), else from the boundary in ``config``, else it
    is the least common denominator of all fractions in the file.
    """
    rows = file["structures"]
    fractions = rows["n_fraction"][...]
    known = np.isfinite(fractions)
    unit = unit_crystal(file.attrs.get("config"))
    planes = np.zeros(len(known), dtype=int)
    if "atoms_per_plane" in rows:
        planes = rows["atoms_per_plane"][...]
    shared = _shared_plane(fractions[known]) if unit is None else unit.atoms_per_plane
    planes = np.where(planes > 0, planes, shared)
    indices = np.full(len(known), UNKNOWN_N)
    indices[known] = np.rint(fractions[known] * planes[known]).astype(int) % planes[known]
    return indices


def _shared_plane(fractions: np.ndarray) -> int:
    exact = (Fraction(one).limit_denominator(_MAX_PLANE_ATOMS) for one in np.unique(fractions))
    return lcm(*(one.denominator for one in exact))
