"""An engine of known answer, which takes no time, and one that fails or hangs on purpose."""

import os
import time
from pathlib import Path

import numpy as np

from gcd_hpc.spectra.engine import SpectrumResult
from gcd_hpc.structures.surroundings import surroundings

ENERGIES = np.linspace(280, 300, 21)


class StandIn:
    """A peak for each neighbour, at an energy that rises with its distance.

    The variable STAND_IN_FAILS names an atom that fails, STAND_IN_WAIT_S the seconds that each atom
    takes, and STAND_IN_COUNT a folder in which each computed atom leaves a file.
    """

    name, version, settings, element, edge = "stand-in", "1", "{}", "C", "K"
    energies_ev = ENERGIES

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def spectrum(self, structure, atom):
        time.sleep(float(os.environ.get("STAND_IN_WAIT_S", 0)))
        if folder := os.environ.get("STAND_IN_COUNT"):
            (Path(folder) / f"{time.time_ns()}-{os.getpid()}").touch()
        if os.environ.get("STAND_IN_FAILS") == str(atom):
            return SpectrumResult(None, "fails on purpose", 0.5)
        if os.environ.get("STAND_IN_NAN") == str(atom):
            return SpectrumResult(np.full(21, np.nan), "", 0.5)
        distances = np.linalg.norm(surroundings(structure, atom, 4.0)[0], axis=1)
        peaks = 281 + 4 * distances
        values = np.exp(-((ENERGIES[:, None] - peaks) ** 2)).sum(axis=1)
        return SpectrumResult(values, "", 0.5)
