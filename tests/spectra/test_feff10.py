"""FEFF10 in its child process: one real atom, its failures, its time and its end.

The clusters have five atoms and take a second and a half each.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms

from gcd_hpc.errors import GcdError, LaunchError, StructureError
from gcd_hpc.spectra import feff10
from gcd_hpc.spectra.align import correlations
from gcd_hpc.spectra.feff10 import Feff10, Feff10Settings, feff_input
from gcd_hpc.structures.surroundings import surroundings

DATA = Path(__file__).parent.parent / "data" / "feff10_methane.csv"
CH = 1.087
METHANE = Atoms(
    "CH4", [[0, 0, 0], *(CH / 3**0.5 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]))]
)


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("feff10", reason="FEFF10 (the extra spectra) is not installed")
    with Feff10() as engine:
        yield engine
