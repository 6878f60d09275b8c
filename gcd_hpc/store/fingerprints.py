"""Fingerprints of stored candidates, read with no more of each file than they need."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.store.alloys import compared_energies, kinds_of
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.crystal import neighbor_distance
from gcd_hpc.store.hdf5 import START
from gcd_hpc.store.parts import WHOLE_ATOMS, each_of_part
from gcd_hpc.store.physics import box_of
from gcd_hpc.store.provenance import section_of
from gcd_hpc.structures.fingerprint import (
    Fingerprint,
    boundary_height,
    fingerprint,
    slab_weights,
)

_ROWS = (
    *("num_atoms", "cell", "tilt_a", "cohesive_ev", "element_energies_ev"),
    *("surface_depth_a", "axial_ratio"),
)
CORE_A, FADE_A = 6.0, 3.0
"""Height to both sides of the boundary within which its atoms count in full, and height over which
their weight fades to zero, Å.

Farther atoms feel how far away the held ends of the slab are: the weakly strained layers of one
structure in two slabs of different heights differ by more than two structures do.
"""
_ATOMS = ("positions", "energies_ev", "numbers")


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
    ascending = numbers[order]
    starts = np.cumsum([0, *(num for _, num in parts)])
    borders = np.searchsorted(ascending, starts).tolist()
    found: list[Fingerprint] = []
    for (path, _), start, (first, last) in zip(
        parts, starts.tolist(), pairwise(borders), strict=False
    ):
        if first < last:
            rows = (ascending[first:last] - start).tolist()
            found += [_fingerprint(row, config, elements) for row in _structures(path, rows)]
    return [found[place] for place in np.argsort(order, kind="stable").tolist()]


def _structures(path: Path, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Fields that fingerprints need of some rows of a file, verified by its checksums."""
    with reading(path) as file:
        is_large = file.num_atoms > WHOLE_ATOMS
        if not is_large:
            columns = file.columns([START.name, *_ROWS, *_ATOMS])
    if is_large:
        yield from (vars(candidate) for candidate in each_of_part(path, rows))
        return
    for row in rows:
        start = columns[START.name][row]
        atoms = slice(start, start + columns["num_atoms"][row])
        yield {name: columns[name][row] for name in _ROWS} | {
            name: columns[name][atoms] for name in _ATOMS
        }


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
