"""A machine of two cores."""

import pytest

from gcd_hpc.config.site import SiteConfig


@pytest.fixture
def site() -> SiteConfig:
    return SiteConfig(cores=2).resolved()
