"""The paper's boundary, laid out as slabs."""

import pytest

from gcd_hpc.structures.frame import Frame
from tests.engines.conftest import sigma5_frame


@pytest.fixture(scope="session")
def frame() -> Frame:
    return sigma5_frame()
