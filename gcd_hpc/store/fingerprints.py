"""Fingerprints of stored candidates, read with no more of each file than they need."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.store.alloys import compared_energies, kinds_of
from gcd_hpc.store.crystal import neighbor_distance
from gcd_hpc.store.physics import box_of
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.rows import read_fields
from gcd_hpc.structures.fingerprint import (
    Fingerprint,
    boundary_height,
    fingerprint,
    slab_weights,
)

_FIELDS = (
    *("cell", "tilt_a", "cohesive_ev", "element_energies_ev", "surface_depth_a", "axial_ratio"),
    *("positions", "energies_ev", "numbers"),
)
CORE_A, FADE_A = 6.0, 3.0
"""Height to both sides of the boundary within which its atoms count in full, and height over which
their weight fades to zero, Å.

Farther atoms feel how far away the held ends of the slab are: the weakly strained layers of one
structure in two slabs of different heights differ by more than two structures do.
"""


def fingerprints(
    parts: Sequence[tuple[Path, int]], numbers: np.ndarray, config: str, elements: Sequence[str]
) -> list[Fingerprint]:
    """Fingerprint of each relaxed row ``numbers`` (M,), in their order; every file is read once.

    Args:
        parts: files with their number of rows, ``Rows.parts``.
        config: attribute ``config`` of the files, which describes the boundary.
        elements: chemical symbols, in the order of the histograms.

    Raises:
        StoreError: naming the file that is damaged.
    """
    order = np.argsort(numbers, kind="stable")
    rows = read_fields(parts, numbers[order], _FIELDS)
    found = [_fingerprint(row, config, elements) for row in rows]
    return [found[place] for place in np.argsort(order, kind="stable").tolist()]


def outer_thickness(row: Mapping[str, Any], config: str) -> float:
    """Height of the layers of a stored slab that its relaxation held, Å."""
    thickness = section_of(config, "relaxation").get("outer_thickness", "auto")
    depth = float(row["surface_depth_a"])
    return outer_layers(thickness, depth if np.isfinite(depth) else None)


def _fingerprint(row: Mapping[str, Any], config: str, elements: Sequence[str]) -> Fingerprint:
    positions, box = row["positions"], box_of(row)
    outer = outer_thickness(row, config)
    weights = slab_weights(positions, compared_energies(row), float(row["cohesive_ev"]), outer)
    above = np.abs(positions[:, 2] - boundary_height(positions, weights))
    fade = np.clip((above - CORE_A) / FADE_A, 0.0, 1.0)
    return fingerprint(
        positions,
        box,
        weights * (0.5 + 0.5 * np.cos(np.pi * fade)),
        neighbor_distance(config, float(row["cell"][0]), float(row["axial_ratio"])),
        kinds_of(row["numbers"], elements),
        len(elements),
    )
