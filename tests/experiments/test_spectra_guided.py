"""Guided carbon: targets that differ, and a table that says what was met and what not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.diffusion.exploding import Anneal
from gcd_hpc.experiments.outcome import plain
from gcd_hpc.experiments.spectra_forward import ForwardBudget
from gcd_hpc.experiments.spectra_guided import MAIN, STRENGTHS, GuidedBudget, study_guided
from gcd_hpc.experiments.spectra_networks import guide_recipe, judge_recipe
from gcd_hpc.experiments.spectra_numbers import rms
from gcd_hpc.experiments.spectra_outcome import Cells, Truth, acceptance, condition_numbers
from gcd_hpc.experiments.spectra_sampling import prior_config
from gcd_hpc.experiments.spectra_scale import ScaleBudget, pull_numbers, study_scale
from gcd_hpc.experiments.spectra_targets import (
    Condition,
    cell_spectrum,
    fold,
    line,
    mean_spectrum,
    target_spectrum,
)
from gcd_hpc.experiments.work import Workshop

NUM_CELLS = 8


def truth():
    frames = fold().held_out
    spectra = np.stack([cell_spectrum(frame) for frame in frames])
    positions = np.stack([frame.positions for frame in frames])
    return Truth(
        spectra.mean(axis=0),
        positions,
        frames[0].lengths,
        spectra + 0.01,
        np.full_like(spectra, 0.01),
        positions[:1],
        -6.6,
        {},
    )


def cells(name, target, place, frame=0):
    """True frames as generated cells, whose spectra lie at a place of the line, +- 0.05."""
    along = line()
    noise = 0.05 * np.random.default_rng(len(name)).standard_normal((NUM_CELLS, 1))
    spectra = along.start + (place + noise) * (along.end - along.start)
    positions = np.repeat(fold().training[frame].positions[None], NUM_CELLS, axis=0)
    return Cells(
        Condition(name, target),
        None if target == "none" else target_spectrum(target, 0),
        positions,
        spectra,
        spectra,
        positions,
        np.full(NUM_CELLS, -6.3),
    )


def test_no_frame_of_the_generated_density_is_trained_on_and_the_odd_frame_is_no_target():
    assert {frame.nominal_density for frame in fold().held_out} == {2.5}
    assert 2.5 not in {frame.nominal_density for frame in fold().training}
    odd = next(frame for frame in fold().training if frame.name == "d2.0_2")
    # It is three times as far from the target as the frames that the target is made of.
    others = [
        float(rms(cell_spectrum(frame) - mean_spectrum(2.0)))
        for frame in fold().training
        if frame.nominal_density == 2.0 and frame.name != odd.name
    ]
    assert float(rms(cell_spectrum(odd) - mean_spectrum(2.0))) > 3.0 * max(others)


def test_the_true_frames_lie_between_the_two_targets():
    along = line()
    assert along.place([mean_spectrum(2.0), mean_spectrum(3.0)]) == pytest.approx([0.0, 1.0])
    assert float(along.place(mean_spectrum(2.5))) == pytest.approx(0.34, abs=0.01)


def test_the_control_is_as_far_away_as_the_target_but_in_another_direction():
    middle = np.mean([cell_spectrum(frame) for frame in fold().training], axis=0)
    control, target = target_spectrum("permuted", 0), target_spectrum("high", 0)
    assert float(rms(control - middle)) == pytest.approx(float(rms(target - middle)))
    cosine = (control - middle) @ (target - middle) / np.linalg.norm(target - middle) ** 2
    assert abs(cosine) < 0.3
    assert not np.array_equal(control, target_spectrum("permuted", 1))


def checked(low, high):
    found = acceptance(
        cells("2.0", "low", low),
        cells("3.0", "high", high),
        cells("own", "own", 0.36),
        cells("unguided", "none", 0.4),
        truth(),
        line(),
        0,
    )
    return {check.what: check for check in found}


def test_cells_that_moved_to_their_targets_meet_the_expectations_of_steering():
    found = checked(0.1, 0.8)
    for what in ("a(3.0) - a(2.0)", "a(3.0) from unguided", "a(2.0) from unguided"):
        assert found[what].is_met
    assert found["error to target 3.0"].is_met
    assert found["error to the own density's spectrum"].is_met
    # All cells are the same frame here.
    assert not found["sp3(3.0) - sp3(2.0), as generated"].is_met


def test_cells_that_stayed_or_went_the_wrong_way_do_not_meet_them():
    found = checked(0.4, 0.4)
    assert not found["a(3.0) - a(2.0)"].is_met
    assert not found["a(3.0) from unguided"].is_met
    assert not found["error to target 3.0"].is_met
    wrong = checked(0.8, 0.1)
    assert not wrong["a(3.0) from unguided"].is_met
    assert not wrong["a(2.0) from unguided"].is_met


def test_numbers_of_a_condition_are_those_of_its_cells_and_repeat_themselves():
    high, unguided = cells("3.0", "high", 0.8), cells("unguided", "none", 0.4)
    first = condition_numbers(high, unguided, truth(), line(), 0, 3)
    assert first == condition_numbers(high, unguided, truth(), line(), 0, 3)
    assert first["a_judge"]["value"] == pytest.approx(float(line().place(high.judge).mean()))
    length = float(rms(line().end - line().start))
    assert first["error_of_unguided"]["value"] == pytest.approx(0.6 * length, rel=0.1)
    assert first["relaxed"]["above_true_frame_ev"] == pytest.approx(0.3)


TINY = GuidedBudget(
    ForwardBudget(guide_recipe(3, width=8), *[judge_recipe(3, width=8)] * 2, num_members=0),
    prior_config(5, width=8, num_layers=1),
    Anneal(num_restarts=1, num_descent_steps=3, num_restart_steps=2, num_final_steps=1),
    tuple(replace(one, num_cells=2) for one in MAIN),
    tuple(replace(one, num_cells=2) for one in STRENGTHS[:1]),
    relaxed=(),
    num_labelled=0,
)


def judged(place, num, rng):
    """Judged cells whose spectra lie about a place between the two ends."""
    middle = line().start + place * (line().end - line().start)
    return middle + 0.01 * rng.standard_normal((num, len(middle)))


def test_the_fall_in_large_cells_is_a_share_of_that_in_small_ones_with_an_interval():
    rng = np.random.default_rng(0)
    small = {"judge-0": judged(0.5, 10, rng), "judge-1": judged(0.9, 10, rng)}
    large = {"judge-0": judged(0.5, 8, rng), "judge-1": judged(0.6, 8, rng)}
    large["judge-2"] = judged(0.8, 8, rng)
    pull = pull_numbers(small, large, seed=0)
    low, high = pull["extensive_share_interval"]
    assert low < pull["extensive_share_of_fall"] < high
    assert pull["plain_share_of_fall"] < low
    nothing = pull_numbers(small | {"judge-1": small["judge-0"]}, large, seed=0)
    assert nothing["extensive_share_of_fall"] is nothing["extensive_share_interval"] is None


@pytest.mark.slow
def test_guided_and_large_cells_share_their_networks_and_their_small_cells(tmp_path, one_by_one):
    workshop = Workshop(tmp_path)
    guided = study_guided(workshop, TINY)
    json.dumps(plain(guided.numbers), allow_nan=False)
    made = set(workshop.work.iterdir())
    scale = study_scale(workshop, ScaleBudget(TINY, (2,), num_guided=2))
    assert set(scale.numbers["sizes"]) == {"216", "1728"}
    assert scale.numbers["guided"]["num_cells"]["extensive_1728"] == 2
    added = {path.name.rpartition("-")[0] for path in set(workshop.work.iterdir()) - made}
    assert added == {
        *("spectra-cells-unguided-large-2", "spectra-cells-3.0-plain-2"),
        *("spectra-cells-3.0-extensive-2", "spectra-judged-216", "spectra-judged-1728"),
    }
