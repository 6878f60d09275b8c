"""Data of one structure of a material for the 3D view: its atoms, energies and bonds."""

from typing import Any

import numpy as np
from ase import Atoms

from gcd_hpc.browse.page.structure import (
    DIGITS,
    MOVED_DIGITS,
    axes_record,
    rounded,
    shown_positions,
)
from gcd_hpc.browse.tables import plain
from gcd_hpc.errors import StoreError
from gcd_hpc.store.material_rows import kind_fields
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.bonds import bond_length, num_bonds
from gcd_hpc.structures.periodic import minimum_image, wrap

EDGES_PERCENT = (2, 98)
"""Percentiles of the energies at the ends of the colour scale."""


def material_record(candidate: RunCandidate) -> dict[str, Any]:
    """All fields of a structure, and its atoms in a box whose middle in z is z = 0.

    Energies are relative to the mean of the structure, eV; None before relaxation.
    """
    positions, relaxed = shown_positions(candidate)
    cell = np.asarray(candidate.cell, dtype=float)
    down = np.array([0.0, 0.0, cell[2] / 2])
    inside = wrap(positions, cell) - down
    atoms: dict[str, Any] = {"size": len(positions), "element": candidate.element}
    atoms |= axes_record(inside, DIGITS)
    before = np.asarray(candidate.unrelaxed_positions, dtype=float)
    if relaxed and before.shape == positions.shape and np.isfinite(before).all():
        moved = minimum_image(before - positions, cell)
        atoms["before"] = axes_record(inside + moved, MOVED_DIGITS)
    energies = relative_energies(candidate) if relaxed else np.full(len(positions), np.nan)
    fields = kind_fields(True)
    return {
        "id": candidate.id,
        "fields": {field.name: plain(getattr(candidate, field.name)) for field in fields},
        "relaxed": relaxed,
        "whole": True,
        "atoms": atoms | {"cell": plain(cell), "tilt": 0.0, "height": float(cell[2])},
        "energies": rounded(energies, DIGITS) if np.isfinite(energies).all() else None,
    }


def material_environment(candidate: RunCandidate, before: bool = False) -> dict[str, Any]:
    """Number of bonds of each atom, and the length up to which atoms bond.

    Raises:
        StoreError: if there are no such positions.
    """
    positions, relaxed = shown_positions(candidate)
    if before and relaxed:
        positions = np.asarray(candidate.unrelaxed_positions, dtype=float)
    if not len(positions) or not np.isfinite(positions).all():
        raise StoreError(f"{candidate.id}: has no positions to find neighbours in")
    symbols = [candidate.element] * len(positions)
    atoms = Atoms(symbols, positions, cell=np.asarray(candidate.cell), pbc=True)
    bonds = num_bonds(atoms).tolist()
    return {"bond_a": round(bond_length(candidate.element), DIGITS), "coordination": bonds}


def material_range(candidate: RunCandidate) -> list[float] | None:
    """Energies at the ends of the colour scale, relative to the mean, eV; None if not known."""
    energies = relative_energies(candidate)
    if not len(energies) or not np.isfinite(energies).all():
        return None
    return [round(float(value), 2) for value in np.percentile(energies, EDGES_PERCENT)]


def relative_energies(candidate: RunCandidate) -> np.ndarray:
    """Energies of the atoms (N,) relative to their mean, eV."""
    energies = np.asarray(candidate.energies_ev, dtype=float)
    return energies - energies.mean() if len(energies) else energies
