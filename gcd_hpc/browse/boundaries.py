"""The table of ``gcd-hpc boundaries``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from gcd_hpc.campaign.table import new_table
from gcd_hpc.config.miller import spelled
from gcd_hpc.structures.catalogue import KnownBoundary
from gcd_hpc.structures.periodic import spelled_cell


def boundary_records(found: Sequence[KnownBoundary]) -> list[dict[str, Any]]:
    """One record a boundary: geometry in Å and degrees, and the keys that name it in a campaign."""
    return [
        {
            "sigma": one.character.sigma,
            "angle_deg": one.character.angle_deg,
            "kind": one.character.kind,
            "lower_plane": list(one.planes[0]),
            "upper_plane": list(one.planes[1]),
            "cell_a": np.linalg.norm(one.bicrystal.cell, axis=1).tolist(),
            "area_a2": one.bicrystal.area,
            "atoms_per_plane": one.bicrystal.atoms_per_plane,
            "num_atoms": one.num_atoms,
            "boundary": one.keys,
        }
        for one in found
    ]


def boundary_table(found: Sequence[KnownBoundary], title: str, is_numbered: bool = False) -> Table:
    """Boundaries by Sigma: angle in degrees, planes of both grains, cell, area, N_plane and atoms.

    Args:
        is_numbered: whether the rows are numbered from 1, to choose one.
    """
    table = new_table(title)
    if is_numbered:
        table.add_column("", justify="right")
    for name in ("Sigma", "angle", "kind", "planes", "cell (Å)", "Å^2", "N", "atoms"):
        # Text is folded on a narrow terminal, never cut.
        is_text = name in ("kind", "planes")
        table.add_column(name, justify="left" if is_text else "right", overflow="fold")
    for number, one in enumerate(found, start=1):
        bicrystal, character = one.bicrystal, one.character
        table.add_row(
            *([str(number)] if is_numbered else []),
            str(character.sigma),
            f"{character.angle_deg:.2f}",
            character.kind,
            " ".join(spelled(plane, "()") for plane in one.planes),
            spelled_cell(bicrystal.cell).removesuffix(" Å"),
            f"{bicrystal.area:.1f}",
            str(bicrystal.atoms_per_plane),
            f"{one.num_atoms:,}",
        )
    return table
