"""Two of five candidates are poison: the campaign goes on, says what was wrong with each, and no
worker waits for long.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.browse.failures import failure_rows
from gcd_hpc.campaign.driver import Outcome, run_campaign
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.engines.child import NUM_TIMEOUTS
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.table import MODULES
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import FIELDS, Candidate
from tests.integration.poison import KINDS, REASONS, poison_of

pytestmark = pytest.mark.lammps
ROOT = Path(__file__).parents[2]
NUM, CHUNK = 20, 5
TIMEOUT_S = 3.0
HUNG_S = NUM_TIMEOUTS * TIMEOUT_S
"""On the clock, which ``poison`` makes as short as the limit of processor time."""
RESTART_S = 10.0
"""More than two new LAMMPS processes, the next relaxation and the step to the next chunk take on
busy cores.
"""


def config() -> CampaignConfig:
    overrides = [
        f"search.num_tries={NUM}",
        f"search.chunk_size={CHUNK}",
        f"relaxation.timeout_s={TIMEOUT_S}",
        "relaxation.preset=paper",
        # Otherwise the preset of a good candidate hangs on the energies of those before it in its
        # chunk.
        "relaxation.screen=false",
    ]
    return load_campaign(ROOT / "campaigns" / "smoke.yaml", overrides)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory) -> tuple[Path, Outcome]:
    """A search by two workers."""
    run_dir = tmp_path_factory.mktemp("poisoned") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the workers import the stage from the tests
        outcome = run_campaign(
            config(),
            SiteConfig(cores=2),
            run_dir,
            ROOT / "campaigns",
            modules=MODULES | {"search": "tests.integration.poison"},
            until="search",
        )
    return run_dir, outcome


@pytest.fixture(scope="module")
def rows(poisoned) -> dict[int, Candidate]:
    found = list(open_run(poisoned[0]))
    return {row.index: row for row in found}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[int, Candidate]:
    """The same search without poison, here."""
    run_dir = tmp_path_factory.mktemp("undisturbed")
    RunDirectory(run_dir).config.write_text(dump(config()))
    prepare(run_dir, config(), ROOT / "campaigns")
    for chunk in range(NUM // CHUNK):
        search_chunk(str(run_dir), chunk)
    worker_child(str(run_dir)).close()
    return {
        row.index: row
        for chunk in range(NUM // CHUNK)
        for row in read_part(RunDirectory(run_dir).search_part(chunk))
    }


def test_the_campaign_finishes(poisoned, rows):
    _, outcome = poisoned
    assert outcome.status == "complete"
    assert sorted(rows) == list(range(NUM))
    assert len(outcome.state.finished) == NUM // CHUNK


def test_two_of_five_candidates_are_poison_a_quarter_of_each_kind():
    kinds = [poison_of(index) for index in range(NUM)]
    assert {kind: kinds.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, NUM // 10)


def test_every_poisonous_candidate_is_listed_with_its_reason_as_a_failure_of_physics(
    poisoned, rows
):
    listed = {row["name"]: row for row in failure_rows(poisoned[0])}
    assert set(listed) == {rows[index].id for index in range(NUM) if poison_of(index)}
    for index in range(NUM):
        if kind := poison_of(index):
            failure = listed[rows[index].id]
            assert (failure["kind"], failure["class"], failure["outcome"]) == (
                "candidate",
                "physics",
                "recorded",
            )
            assert REASONS[kind] in failure["reason"], kind


def test_all_good_candidates_are_relaxed_bit_for_bit_as_without_poison(rows, undisturbed):
    timings = {"sample_s", "relax_s", "cpu_s"}
    for index in range(NUM):
        if poison_of(index) is None:
            assert rows[index].status == "ok"
            for field in FIELDS:
                if field.name not in timings:
                    mine, other = (
                        getattr(rows[index], field.name),
                        getattr(undisturbed[index], field.name),
                    )
                    np.testing.assert_array_equal(mine, other, err_msg=f"{index} {field.name}")


def test_no_worker_is_without_a_finished_candidate_for_longer_than_two_timeouts_and_a_restart(
    poisoned,
):
    times = [
        [float(line) for line in path.read_text().split()]
        for path in poisoned[0].glob("finished-*")
    ]
    assert len(times) == 2
    gaps = [later - earlier for worker in times for earlier, later in pairwise(worker)]
    assert HUNG_S <= max(gaps) < HUNG_S + RESTART_S


def test_a_hung_candidate_holds_its_worker_for_two_timeouts(rows):
    for index in range(NUM):
        if poison_of(index) == "hang":
            assert HUNG_S <= rows[index].relax_s < HUNG_S + RESTART_S
