"""The experiment with images, at a size of seconds, and how its hits are counted."""

import json

import numpy as np
import pytest

from gcd_hpc.experiments.boundary_numbers import PHASES, Phase
from gcd_hpc.experiments.image import View, hits_of, study, withheld_subject
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.work import Workshop
from tests.experiments.test_boundary import TINY


def test_a_hit_has_the_energy_and_the_projection_of_the_phase():
    phase = PHASES[1]
    relaxed = {
        "status": np.array(["ok", "ok", "ok", "ok", "invalid"]),
        "n_fraction": np.array([0.4, 0.4, 0.4, 0.4, 0.2]),
        "gb_energy_j_m2": np.array([2.469, 2.469, 2.469, 2.9, np.nan]),
    }
    judged = {
        "as_it_lies": np.array([0.999, 0.65, 0.65, 0.3, np.nan]),
        "turned": np.array([0.999, 0.999, 0.92, np.nan, np.nan]),
    }
    found = hits_of(relaxed, [judged], phase)
    assert found["hits"] == {"phase": 3, "turned": 2, "as_it_lies": 1}
    assert (found["candidates"], found["with_its_n"], found["refused_or_failed"]) == (5, 4, 1)


@pytest.mark.slow
@pytest.mark.lammps
def test_a_small_study_judges_every_candidate_and_repeats_without_work(tmp_path):
    # Any structure without missing atoms is the phase: a search of a few tries finds one.
    views = [View(Phase("[0]", 0.0, 20.0), "x")]
    subject, _ = withheld_subject(Workshop(tmp_path), TINY, views)
    first = study(Workshop(tmp_path), [subject], {}, 1, 1)
    (numbers,) = first.numbers["views"].values()
    for kind in ("guided", "unguided"):
        hits = numbers[kind]["hits"]
        assert numbers[kind]["candidates"] == TINY.block_size
        assert 0 <= hits["as_it_lies"] <= hits["turned"] <= hits["phase"] <= TINY.block_size
    assert min(first.costs.values()) > 0
    kept = study(Workshop(tmp_path), [subject], {}, 1, 1)
    assert json.dumps(plain(kept.numbers)) == json.dumps(plain(first.numbers))
