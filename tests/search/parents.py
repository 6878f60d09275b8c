"""Parents for the tests: bicrystals whose atoms cost the more energy the nearer they are to the
boundary, and the relaxed reference structures.
"""

from pathlib import Path

import numpy as np

from gcd_hpc.search.windows import Parent
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image
from tests.reference import ATOM_ENERGY, phase

W_COHESIVE_EV = -8.759994
"""docs/science.md#d3."""
SLABS = (27.0, 27.0)


def made_up(frame: Frame, registry=(0.7, 1.1, 0.4)) -> Parent:
    """Both grains joined, with made-up energies: a boundary and two surfaces."""
    registry = frame.reduced(registry)
    positions = frame.join(registry).positions
    heights, middle = positions[:, 2], frame.centre
    depth = np.minimum(heights - heights.min(), heights.max() - heights)
    noise = np.random.default_rng(len(positions)).random(len(positions))
    excess = (0.5 + noise) * np.exp(-(((heights - middle) / 2.0) ** 2)) + 3.0 * np.exp(-depth)
    return Parent(positions, excess, registry)


def reference(path: Path, bicrystal: Bicrystal, height: float = 80.0) -> tuple[Parent, Frame]:
    """A relaxed phase of W Sigma5, and a frame around slabs lower than its own."""
    atoms = phase(path)
    frame = Frame.build(bicrystal, SLABS, height)
    positions = atoms.positions.copy()
    positions[:, 2] += frame.bottom - positions[:, 2].min()
    # Any atom of the top plane is a lattice point of the upper grain.
    top = positions[np.argmax(positions[:, 2])]
    registry = frame.reduced(top - np.array([0.0, 0.0, frame.upper_plane]))
    return Parent(positions, atoms.arrays[ATOM_ENERGY] - W_COHESIVE_EV, registry), frame


def gaps(frame: Frame, positions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each position to the nearest of the others, (N,) Å."""
    offsets = minimum_image(positions[:, None] - others, frame.bicrystal.cell)  # (N, M, 3)
    return np.linalg.norm(offsets, axis=2).min(axis=1)
