"""Cu Sigma5 (310)[001] with its search of 40 tries, which all tests of a session share."""

from pathlib import Path

import pytest

from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.store.run_directory import RunDirectory
from tests.sharing import made_once

CAMPAIGN = Path(__file__).parents[2] / "benchmarks/boundaries/cu_sigma5_310_1x1.yaml"
GROUND_STATE_J_M2 = 0.9048
"""Of the phase of normal kites; 0.905 in the literature for this potential."""


def copper_run(factory: pytest.TempPathFactory) -> Path:
    """A run directory after the search. Do not write to it: copy it."""
    return made_once(factory, "copper", _search)


def _search(run_dir: Path) -> None:
    config = load_campaign(CAMPAIGN)
    RunDirectory(run_dir).config.write_text(dump(config))
    prepare(run_dir, config, CAMPAIGN.parent)
    for chunk in range(2):
        search_chunk(str(run_dir), chunk)
    worker_child(str(run_dir)).close()
