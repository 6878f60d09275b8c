"""Targets of guided carbon: spectra of other densities, of the own one, and a control."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_data import OTHER_NORMALISATION, Fold, Frame, leave_out, load_frames
from gcd_hpc.experiments.spectra_numbers import Line
from gcd_hpc.seeds import CARBON, generator

Array = NDArray[np.float64]
TargetName = Literal["none", "low", "high", "own", "permuted"]

DENSITY = 2.5
"""Density of all generated cells, g/cm^3. No network is trained on frames of it."""
LOW, HIGH = 2.0, 3.0
"""Densities whose spectra are the ends of the line that the cells are to be moved along."""
PERMUTE = 30
"""Purpose of the random stream of the control; the key is (CARBON, PERMUTE)."""


@dataclass(frozen=True)
class Condition:
    """Cells that are generated for one target at one strength of the guidance."""

    name: str
    target: TargetName
    strength: float = 0.0
    num_cells: int = 10
    is_extensive: bool = True
    """Whether the pull on an atom is the same in a cell of any size."""


def fold() -> Fold:
    """Frames to train on, and the true frames of the density that the cells are generated at."""
    return leave_out(DENSITY)


def mean_spectrum(density: float) -> Array:
    """Mean spectrum (K,) over the frames of a nominal density, without the differently made one."""
    frames = [
        frame
        for frame in load_frames()
        if frame.nominal_density == density and frame.name != OTHER_NORMALISATION
    ]
    return np.asarray(np.mean([cell_spectrum(frame) for frame in frames], axis=0))


def cell_spectrum(frame: Frame) -> Array:
    """Mean spectrum (K,) over the atoms of a frame."""
    return np.asarray(frame.spectra.mean(axis=0))


def line() -> Line:
    """Line from the mean spectrum of the low density to that of the high one."""
    return Line(mean_spectrum(LOW), mean_spectrum(HIGH))


def target_of(condition: Condition, seed: int) -> Array | None:
    """Spectrum (K,) of a condition's target; None for unguided cells."""
    return None if condition.target == "none" else target_spectrum(condition.target, seed)


def target_spectrum(target: TargetName, seed: int) -> Array:
    """Spectrum (K,) that cells are guided to.

    "permuted" is as far from the mean of all training frames as "high", but in a direction without
    meaning: its differences are those of "high" in a random order of the energies.

    Raises:
        ValueError: for "none".
    """
    if target == "none":
        raise ValueError("unguided cells have no target spectrum")
    if target == "permuted":
        middle = np.mean([cell_spectrum(frame) for frame in fold().training], axis=0)
        order = generator(seed, CARBON, PERMUTE).permutation(len(middle))
        return np.asarray(middle + (mean_spectrum(HIGH) - middle)[order])
    return mean_spectrum({"low": LOW, "high": HIGH, "own": DENSITY}[target])
