"""Data of one candidate for the 3D view: its atoms, and the environments that colour them."""

from typing import Any

import numpy as np

from gcd_hpc.browse.tables import plain
from gcd_hpc.errors import StoreError
from gcd_hpc.store.alloys import excess_energies, symbols_of
from gcd_hpc.store.material_rows import kind_fields
from gcd_hpc.store.parts import MAX_LENGTH_A, MIN_EDGE_A
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.environments import environments
from gcd_hpc.structures.periodic import minimum_image, with_tilt, wrap

DIGITS = 3
"""Decimals of a position in Å; smaller differences are invisible."""
MOVED_DIGITS = 2
"""Decimals of a position before relaxation in Å, and of the centro-symmetry in Å^2."""
SURFACE_A = 10.0
"""Distance from the ends of the slab within which energies are surface energies, Å."""
REGION_A = 15.0
"""Largest distance from the boundary of the atoms in a reduced file, Å."""


def structure_record(candidate: Candidate, element: str, whole: bool = True) -> dict[str, Any]:
    """All fields of a candidate, and its atoms: x and y in the boundary plane, z along the normal.

    The middle of the box is z = 0. Energies are relative to the bulk crystal, eV. Before
    relaxation they are None, and the positions are the unrelaxed ones. After it, ``before`` holds
    the unrelaxed positions, each at the periodic image nearest to the relaxed one.

    Args:
        whole: with the atoms far from the boundary.
    """
    positions, relaxed = shown_positions(candidate)
    excess = excess_energies(vars(candidate))
    cell = np.asarray(candidate.cell, dtype=float)
    is_box, in_plane = _in_plane(candidate)
    # The offset keeps atoms at the periodic border from jumping to the other side by rounding.
    inside = wrap(positions + 0.05, in_plane, is_box) - 0.05
    inside[:, 2] = positions[:, 2] - _middle(positions)
    kept = _kept(positions, whole)
    atoms: dict[str, Any] = {"size": int(kept.sum()), "element": element}
    if candidate.formula:
        atoms["names"] = np.array(symbols_of(candidate.numbers, element))[kept].tolist()
    if not kept.all():
        atoms["index"] = np.flatnonzero(kept).tolist()
    atoms |= axes_record(inside[kept], DIGITS)
    before = np.asarray(candidate.unrelaxed_positions, dtype=float)
    if relaxed and before.shape == positions.shape and np.isfinite(before).all():
        moved = minimum_image(before - positions, in_plane, is_box)
        atoms["before"] = axes_record((inside + moved)[kept], MOVED_DIGITS)
    return {
        "id": candidate.id,
        "fields": {
            field.name: plain(getattr(candidate, field.name)) for field in kind_fields(False)
        },
        "relaxed": relaxed,
        "whole": whole,
        "atoms": atoms | {"cell": plain(cell), "tilt": plain(candidate.tilt_a)},
        "energies": rounded(excess[kept], DIGITS)
        if relaxed and np.isfinite(excess[kept]).all()
        else None,
    }


def environment_record(
    candidate: Candidate, lattice: str, before: bool = False, whole: bool = True
) -> dict[str, Any]:
    """Environments of the atoms of ``structure_record``, and the length up to which they bond.

    Args:
        before: of the atoms before relaxation.
        whole: with the atoms far from the boundary.

    Raises:
        StoreError: if there are no such positions, or too few atoms.
    """
    positions, relaxed = shown_positions(candidate)
    if before and relaxed:
        positions = np.asarray(candidate.unrelaxed_positions, dtype=float)
    if not len(positions) or not np.isfinite(positions).all() or not _in_plane(candidate)[0].all():
        raise StoreError(f"{candidate.id}: has no positions or no cell to find neighbours in")
    try:
        found = environments(positions, _in_plane(candidate)[1], lattice)
    except ValueError as error:
        raise StoreError(f"{candidate.id}: {error}") from error
    kept = _kept(shown_positions(candidate)[0], whole)
    return {
        "bond_a": round(found.bond_a, DIGITS),
        "coordination": found.coordination[kept].tolist(),
        "kinds": found.kinds[kept].tolist(),
        "centro": rounded(found.centro_symmetry[kept], MOVED_DIGITS),
        "grains": found.grains[kept].tolist(),
    }


def shown_positions(candidate: Candidate) -> tuple[np.ndarray, bool]:
    """Positions (N, 3) in Å, the unrelaxed ones where nothing was relaxed; and which they are."""
    relaxed = bool(np.isfinite(candidate.positions).all()) and candidate.num_atoms > 0
    chosen = candidate.positions if relaxed else candidate.unrelaxed_positions
    return np.asarray(chosen, dtype=float).reshape(-1, 3), relaxed


def _in_plane(candidate: Candidate) -> tuple[np.ndarray, np.ndarray]:
    """Which edges in the plane are known, (2,), and the cell as vectors (2, 2), Å."""
    edges = np.asarray(candidate.cell, dtype=float)[:2]
    is_box = (edges > MIN_EDGE_A) & (edges < MAX_LENGTH_A)
    return is_box, with_tilt(edges, candidate.tilt_a if is_box.all() else 0.0)


def _middle(positions: np.ndarray) -> float:
    """Height of the middle between the lowest and the highest atom, Å."""
    if not len(positions):
        return 0.0
    return float((positions[:, 2].min() + positions[:, 2].max()) / 2)


def _kept(positions: np.ndarray, whole: bool) -> np.ndarray:
    """Which atoms are shown, (N,): those at known places, of a reduced file near the boundary."""
    is_near = np.abs(positions[:, 2] - _middle(positions)) <= REGION_A
    return np.asarray(np.isfinite(positions).all(axis=1) & (whole | is_near))


def axes_record(positions: np.ndarray, digits: int) -> dict[str, list[float]]:
    """Positions (N, 3) as a list for each axis, with a number of decimals."""
    return {axis: rounded(positions[:, place], digits) for place, axis in enumerate("xyz")}


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


def rounded(values: np.ndarray, digits: int) -> list[float]:
    """Numbers (N,) with a number of decimals."""
    # Adding 0 turns -0.0 into 0.0, which is shorter.
    return list((np.round(values, digits) + 0.0).tolist())
