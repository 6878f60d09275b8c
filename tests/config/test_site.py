import os

import pytest
from pydantic import ValidationError

from gcd_hpc.config.site import SiteConfig


def test_auto_is_the_cores_that_this_process_may_use():
    site = SiteConfig().resolved()
    assert site.cores == len(os.sched_getaffinity(0))


def test_auto_processes_are_one_a_core():
    site = SiteConfig(cores=3).resolved()
    assert (site.training_processes, site.sampling_ranks, site.relaxation_workers) == (3, 3, 3)


def test_given_numbers_are_kept():
    site = SiteConfig(cores=3, sampling_ranks=2).resolved()
    assert (site.training_processes, site.sampling_ranks) == (3, 2)


def test_resolving_twice_changes_nothing():
    assert SiteConfig().resolved().resolved() == SiteConfig().resolved()


def test_a_site_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        SiteConfig().cores = 4
