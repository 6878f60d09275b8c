"""A machine of two cores."""

import pytest

from gcd_hpc.config.site import SiteConfig
from gcd_hpc.workers.allocation import resolve


@pytest.fixture
def site() -> SiteConfig:
    return resolve(SiteConfig(cores=2))
