"""A set of toy campaigns, and its driver in a process of its own, to be killed:
``python -m tests.campaign.toy_set RUN [ROUNDS]``.
"""

import sys
from pathlib import Path
from typing import Any

from gcd_hpc.campaign.set_driver import run_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.workers.allocation import resolve
from tests.campaign.conftest import TOYS, make_config

EXPLORE = {"generations": 5, "patience": 2, "chains": 2, "chains_per_task": 1}
NAMES = ("a", "b", "c")


def make_set(names: tuple[str, ...] = NAMES, **changes: Any) -> SetConfig:
    """Boundaries of three search chunks and three generations of two chunks each, of which the last
    two find nothing.
    """
    sections = {"budget": {"rounds": 0}, "explore": EXPLORE} | changes
    return SetConfig("toys", {name: make_config(name=name, **sections) for name in names})


if __name__ == "__main__":
    site = resolve(SiteConfig(cores=2, drain_s=4.0))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    config = make_set(budget={"rounds": rounds})
    outcome = run_set(config, site, Path(sys.argv[1]), Path.cwd(), **TOYS)
    print(outcome.status)
