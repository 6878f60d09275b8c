"""How the experiments of this room run in small."""

import pytest

from gcd_hpc.experiments import work


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks in this process, one after the other: processes of their own take seconds to begin."""
    monkeypatch.setattr(work, "_side_by_side", work._one_by_one)
