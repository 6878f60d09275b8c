"""Subjects of measurements that several files of tests share."""

from collections.abc import Iterator

import pytest

from gcd_hpc.phases.measuring import Subject
from tests.phases.twin import made_twin


@pytest.fixture(scope="session")
def twin_subject(tmp_path_factory) -> Iterator[Subject]:
    """The coherent twin of copper."""
    with made_twin(tmp_path_factory.mktemp("measuring")) as subject:
        yield subject
