"""One candidate for the 3D view, which wants the normal of the boundary to lie flat."""

import math
from typing import Any

import numpy as np

from gcd_hpc.store.parts import MAX_LENGTH_A, MIN_EDGE_A
from gcd_hpc.store.schema import ROW_FIELDS, Candidate
from gcd_hpc.structures.periodic import wrap

DIGITS = 3
"""A thousandth of an Å is far below what can be seen."""
SURFACE_A = 10.0
"""Nearer to the ends of the box atoms have no neighbours on one side: their energies say nothing
about the boundary.
"""
REGION_A = 15.0
"""Atoms further from the boundary than this are left out where a file must be small."""


def structure_record(candidate: Candidate, element: str, whole: bool = True) -> dict[str, Any]:
    """Values of all fields, and the atoms in the axes of the view: normal, x, y, with the middle of
    the box at 0 of the normal.

    Energies are those above the bulk crystal, eV; None before relaxation, when the positions are
    those of the sample.

    Args:
        whole: with the atoms far from the boundary.
    """
    relaxed = bool(np.isfinite(candidate.positions).all()) and candidate.num_atoms > 0
    positions = np.asarray(candidate.positions if relaxed else candidate.unrelaxed_positions)
    excess = np.asarray(candidate.energies_ev) - candidate.cohesive_ev
    cell = np.asarray(candidate.cell, dtype=float)
    height = (
        positions[:, 2] - (positions[:, 2].min() + positions[:, 2].max()) / 2
        if len(positions)
        else np.empty(0)
    )
    kept = np.isfinite(positions).all(axis=1) & (whole | (np.abs(height) <= REGION_A))
    # Atoms on the border of the periodic directions stay where they are within rounding.
    is_box = (cell[:2] > MIN_EDGE_A) & (cell[:2] < MAX_LENGTH_A)
    inside = wrap(positions[:, :2] + 0.05, cell[:2], is_box) - 0.05
    fields = {field.name: _plain(getattr(candidate, field.name)) for field in ROW_FIELDS}
    return {
        "id": candidate.id,
        "fields": fields,
        "relaxed": relaxed,
        "whole": whole,
        "atoms": {
            "size": int(kept.sum()),
            "element": element,
            "x": _rounded(height[kept]),
            "y": _rounded(inside[kept, 0]),
            "z": _rounded(inside[kept, 1]),
            "cell": [_plain(edge) for edge in (cell[2], cell[0], cell[1])],
        },
        "energies": _rounded(excess[kept]) if relaxed and np.isfinite(excess[kept]).all() else None,
    }


def energy_range(candidate: Candidate) -> list[float] | None:
    """Lowest and highest energy above the bulk crystal of the atoms that are not near a surface,
    eV; None before relaxation.
    """
    height = candidate.positions[:, 2]
    excess = np.asarray(candidate.energies_ev) - candidate.cohesive_ev
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
    # Adding 0 turns -0.0 into 0.0, one character less.
    return list((np.round(values, DIGITS) + 0.0).tolist())


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(one) for one in np.ravel(np.asarray(value)).tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
