"""A toy campaign on a site file, in a process of its own: ``python -m tests.slurm.toy_campaign SITE
RUN``.
"""

import sys
from pathlib import Path

from gcd_hpc.campaign.driver import run_campaign
from gcd_hpc.workers.allocation import site_here
from tests.campaign.conftest import TOY_MODULES, make_config, toy_prepare

if __name__ == "__main__":
    site = site_here(sys.argv[1] if sys.argv[1] != "detected" else None)
    spread = {"train": "tests.slurm.spread_train", "sample": "tests.slurm.spread_sample"}
    outcome = run_campaign(
        make_config(explore={"generations": 1, "chains": 8, "chains_per_task": 1}),
        site,
        Path(sys.argv[2]),
        Path.cwd(),
        prepare=toy_prepare,
        modules=TOY_MODULES | spread,
    )
    print(outcome.status)
