"""A driver in a process of its own, to be killed: ``python -m tests.campaign.toy_driver RUN``, with
a second word ``material`` for the campaign of one.

A lost worker is noticed within a second. The variable HEARTBEAT_LIMIT_S shortens the silence after
which a pool counts as lost.
"""

import os
import sys
from pathlib import Path

from gcd_hpc.campaign.driver import run_campaign
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.workers import parsl_pools
from tests.campaign.conftest import TOYS, make_config, make_material

if __name__ == "__main__":
    parsl_pools.HEARTBEAT_S = 1
    if "HEARTBEAT_LIMIT_S" in os.environ:
        parsl_pools.HEARTBEAT_LIMIT_S = int(os.environ["HEARTBEAT_LIMIT_S"])
    one = {"processes_per_node": 1}
    site = SiteConfig.model_validate({"cores": 2, "drain_s": 4.0, "training": one, "sampling": one})
    config = make_material() if sys.argv[2:] == ["material"] else make_config()
    outcome = run_campaign(config, site, Path(sys.argv[1]), Path.cwd(), **TOYS)
    print(outcome.status)
