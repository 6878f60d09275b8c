"""Structures that the tests of voxels share: ideal crystals, windows of the reference boundaries,
and crowded random atoms.
"""

from pathlib import Path

import numpy as np
from ase.build import bulk

from gcd_hpc.voxels.grid import Grid
from tests.reference import phase

NEAREST_NEIGHBOR = 2.7408  # Å, W


def crystal(lattice: str) -> tuple[np.ndarray, Grid]:
    """Ideal 4x4x4 cell and the paper's grid for it, as in docs/science.md#d1."""
    voxels = {"sc": 24, "bcc": 20, "fcc": 24}[lattice]
    atoms = bulk("W", lattice, a={"sc": 2.5, "bcc": 3.165, "fcc": 4.0}[lattice], cubic=True).repeat(
        4
    )
    edge = atoms.cell[0, 0]
    return atoms.positions, Grid((voxels,) * 3, (edge,) * 3, (True, True, True))


def boundary(path: Path) -> tuple[np.ndarray, Grid]:
    """A window of 60 Å around the boundary of a reference structure, 12 voxels to 10.008 Å, empty
    voxels at both ends.
    """
    atoms = phase(path)
    positions = atoms.positions
    x, y, _ = atoms.cell.lengths()
    grid = Grid.build((12 * round(x / 10.008), 12, 72), (x, y))
    middle = (positions[:, 2].min() + positions[:, 2].max()) / 2
    window = positions[abs(positions[:, 2] - middle) < grid.lengths[2] / 2 - 2.5]
    return window + np.array([0.0, 0.0, grid.lengths[2] / 2 - 0.4 - middle]), grid


def crowd(seed: int, shortest: float) -> tuple[np.ndarray, Grid]:
    """Random atoms, no pair closer than shortest, Å, as many as fit in some thousand tries."""
    generator = np.random.default_rng(seed)
    grid = Grid.build((12, 12, 24), (10.008, 10.008))
    positions = np.empty((0, 3))
    for _ in range(4000):
        new = generator.uniform(0.0, 1.0, 3) * (*grid.lengths[:2], 21 * grid.spacing[2]) + np.array(
            [0.0, 0.0, grid.spacing[2]]
        )
        if np.linalg.norm(grid.displacement(positions, new), axis=1).min(initial=np.inf) > shortest:
            positions = np.vstack([positions, new])
    return positions, grid


def compare(decoded: np.ndarray, positions: np.ndarray, grid: Grid) -> tuple[float, int, int]:
    """RMSE of the atoms found, in voxels, and how many were lost and are extra; found is what has a
    mutual neighbour within a voxel.
    """
    if not len(decoded):
        return 0.0, len(positions), 0
    gaps = np.linalg.norm(
        grid.displacement(positions[:, None], decoded[None]) / grid.spacing, axis=2
    )  # (N, K)
    nearest = gaps.argmin(axis=1)
    mutual = (gaps[:, nearest].argmin(axis=0) == np.arange(len(positions))) & (
        gaps.min(axis=1) < 1.0
    )
    error = np.sqrt((gaps.min(axis=1)[mutual] ** 2).mean()) if mutual.any() else 0.0
    return float(error), int(len(positions) - mutual.sum()), int(len(decoded) - mutual.sum())
