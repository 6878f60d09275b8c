"""The paper's boundary, laid out as slabs, and LAMMPS with its potential."""

import pytest

from gcd_hpc.structures.frame import Frame
from tests.engines import conftest as engines

potential, bulk, child = engines.potential, engines.bulk, engines.child


@pytest.fixture(scope="session")
def frame() -> Frame:
    return engines.sigma5_frame()
