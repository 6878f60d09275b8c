"""A kill at a random moment of a small campaign that starts from a model;
``python -m tests.chaos --kills 50`` is the long form.
"""

import pytest

from gcd_hpc.store.parts import write_part
from tests import chaos
from tests.integration.conftest import OPTIONS
from tests.smoke import SMALL
from tests.store.synthetic import make_candidate

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]


@pytest.mark.slow
def test_a_kill_loses_nothing_repeats_nothing_and_leaves_no_process(started, tmp_path):
    # It draws the driver.
    options = ["--kills", "1", "--seed", "8", "--run-dir", str(tmp_path), "--suspend-s", "5"]
    options += ["--undisturbed", str(started / "run")]
    changes = (*SMALL, *OPTIONS, f"model={started / 'model.safetensors'}")
    assert chaos.main([*options, *(word for change in changes for word in ("--set", change))]) == 0


def test_the_same_seed_draws_the_same_kills():
    draws = [
        [chaos.Kill.draw(seed, number, chaos.KINDS) for number in range(50)] for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert {kill.kinds[0] for kill in draws[0]} == set(chaos.KINDS)
    assert all(0.0 <= kill.delay_s <= chaos.MAX_DELAY_S for kill in draws[0])


def test_a_lost_and_a_changed_candidate_are_told(tmp_path, capsys):
    for name, found in (
        ("undisturbed", [make_candidate(0), make_candidate(1)]),
        ("campaign-01", [make_candidate(0, num_atoms=31)]),
    ):
        write_part(tmp_path / name / "parts/search/part-00000.h5", found, {})
    tally = chaos.Tally()
    chaos.check(chaos.Campaign(tmp_path / "campaign-01", []), tmp_path / "undisturbed", tally)
    assert len(tally.failures) == 2
    assert (
        "search-000001" in tally.failures[0]
        and "got others for ['search-000000']" in tally.failures[1]
    )
    assert capsys.readouterr().out.count("FAILURE") == 2
