"""The experiment that asks for fractions, at a size of seconds."""

import json

import pytest

from gcd_hpc.experiments.ask_n import KINDS, study
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.work import Workshop
from tests.experiments.test_boundary import TINY


@pytest.mark.slow
@pytest.mark.lammps
def test_a_small_study_counts_every_candidate_and_repeats_without_work(tmp_path):
    first = study(Workshop(tmp_path), TINY, 1)
    assert set(first.numbers["kinds"]) == set(KINDS)
    for numbers in first.numbers["kinds"].values():
        assert numbers["candidates"] == TINY.block_size
        assert 0 <= numbers["as_asked"] <= numbers["candidates"]
    assert min(first.costs.values()) > 0
    kept = study(Workshop(tmp_path), TINY, 1)
    assert json.dumps(plain(kept.numbers)) == json.dumps(plain(first.numbers))
