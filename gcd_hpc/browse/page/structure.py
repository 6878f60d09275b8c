"""Data of one candidate for the 3D view, in which the boundary normal is horizontal."""

from typing import Any

import numpy as np

from gcd_hpc.browse.tables import plain
from gcd_hpc.store.alloys import excess_energies, symbols_of
from gcd_hpc.store.parts import MAX_LENGTH_A, MIN_EDGE_A
from gcd_hpc.store.schema import ROW_FIELDS, Candidate
from gcd_hpc.structures.periodic import with_tilt, wrap

DIGITS = 3
"""Decimals of a position in Å; smaller differences are invisible."""
SURFACE_A = 10.0
"""Distance from the ends of the slab within which energies are surface energies, Å."""
REGION_A = 15.0
"""Largest distance from the boundary of the atoms in a reduced file, Å."""


def structure_record(candidate: Candidate, element: str, whole: bool = True) -> dict[str, Any]:
    """All fields of a candidate, and its atoms in the axes of the view: normal, x, y.

    The middle of the box is 0 on the normal. Energies are relative to the bulk crystal, eV. Before
    relaxation they are None, and the positions are the unrelaxed ones.

    Args:
        whole: with the atoms far from the boundary.
    """
    relaxed = bool(np.isfinite(candidate.positions).all()) and candidate.num_atoms > 0
    positions = np.asarray(candidate.positions if relaxed else candidate.unrelaxed_positions)
    excess = excess_energies(vars(candidate))
    cell = np.asarray(candidate.cell, dtype=float)
    height = (
        positions[:, 2] - (positions[:, 2].min() + positions[:, 2].max()) / 2
        if len(positions)
        else np.empty(0)
    )
    kept = np.isfinite(positions).all(axis=1) & (whole | (np.abs(height) <= REGION_A))
    # The offset keeps atoms at the periodic border from jumping to the other side by rounding.
    is_box = (cell[:2] > MIN_EDGE_A) & (cell[:2] < MAX_LENGTH_A)
    in_plane = with_tilt(cell[:2], candidate.tilt_a if is_box.all() else 0.0)
    inside = wrap(positions[:, :2] + 0.05, in_plane, is_box) - 0.05
    fields = {field.name: plain(getattr(candidate, field.name)) for field in ROW_FIELDS}
    names = {}
    if candidate.formula:
        names["names"] = np.array(symbols_of(candidate.numbers, element))[kept].tolist()
    return {
        "id": candidate.id,
        "fields": fields,
        "relaxed": relaxed,
        "whole": whole,
        "atoms": {
            "size": int(kept.sum()),
            "element": element,
            **names,
            "x": _rounded(height[kept]),
            "y": _rounded(inside[kept, 0]),
            "z": _rounded(inside[kept, 1]),
            "cell": plain(cell[[2, 0, 1]]),
            "tilt": plain(candidate.tilt_a),
        },
        "energies": _rounded(excess[kept]) if relaxed and np.isfinite(excess[kept]).all() else None,
    }


def energy_range(candidate: Candidate) -> list[float] | None:
    """Lowest and highest energy above the bulk of atoms away from the surfaces, eV, or None."""
    height = candidate.positions[:, 2]
    excess = excess_energies(vars(candidate))
    known = np.isfinite(height) & np.isfinite(excess)
    if not known.any():
        return None
    inner = (
        known
        & (height >= height[known].min() + SURFACE_A)
        & (height <= height[known].max() - SURFACE_A)
    )
    seen = excess[inner] if inner.any() else excess[known]
    return [round(float(seen.min()), 2), round(float(seen.max()), 2)]


def _rounded(values: np.ndarray) -> list[float]:
    # Adding 0 turns -0.0 into 0.0, which is shorter.
    return list((np.round(values, DIGITS) + 0.0).tolist())
