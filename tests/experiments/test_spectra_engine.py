"""FEFF10's view of guided cells: its scale and level are found from atoms of known spectra."""

from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.experiments.carbon_data import load_frames
from gcd_hpc.experiments.spectra_engine import (
    BINS,
    REFERENCES,
    SETTINGS,
    align,
    cell_tasks,
    difference,
    engine_numbers,
    frame_tasks,
    restricted,
)
from gcd_hpc.experiments.spectra_targets import line
from gcd_hpc.experiments.work import Workshop


@pytest.fixture(scope="module")
def known():
    """Spectra (A, 100) of some atoms of the reference frames."""
    frames = {frame.name: frame for frame in load_frames()}
    return np.concatenate([frames[name].spectra[::7] for name in REFERENCES])


def as_computed(known, level=0.2, origin=271.0, width=0.43):
    """The same on FEFF10's energies."""
    energies = origin + width * np.arange(known.shape[1])
    return level * np.stack([np.interp(SETTINGS.energies_ev, energies, one) for one in known])


def test_scale_and_level_are_found_from_atoms_of_known_spectra(known):
    found = align(as_computed(known), known, line())
    assert found.width_ev == pytest.approx(0.43)
    assert found.origin_ev == pytest.approx(271.0)
    # Linear interpolation between FEFF10's energies smooths a little.
    assert found.level == pytest.approx(5.0, rel=0.01)
    exact = restricted(line()).place(known[:, BINS])
    assert found.place(as_computed(known), line()) == pytest.approx(exact, abs=0.03)


def test_a_spectrum_of_half_the_contrast_is_brought_to_the_places_of_the_data(known):
    mean = known.mean(axis=0)
    faint = as_computed(mean + 0.5 * (known - mean))
    found = align(faint, known, line())
    exact = restricted(line()).place(known[:, BINS])
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.place(faint, line()).mean() == pytest.approx(exact.mean(), abs=0.01)


def test_the_difference_of_two_means_has_the_errors_of_both():
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal(60), 0.5 + 2.0 * rng.standard_normal(60)
    found = difference(first, last, rng)
    assert found.value == pytest.approx(last.mean() - first.mean())
    expected = np.sqrt(first.var() / 60 + last.var() / 60)
    assert found.standard_error == pytest.approx(expected, rel=0.06)


def test_atoms_that_failed_are_counted_and_left_out(known):
    computed = as_computed(known)
    broken = computed[:20].copy()
    broken[0] = np.nan
    # The last half of the known atoms is that of the denser frame.
    half = len(known) // 2
    references = [
        {"values": computed[part], "known": known[part]}
        for part in (slice(0, 20), slice(half, half + 20))
    ]
    found = engine_numbers({"2.0": broken, "3.0": computed[-20:]}, references, line(), 0)
    assert found["num_failed"] == 1
    assert found["num_reference_atoms"] == 40
    assert found["median_correlation"] == pytest.approx(1.0, abs=0.01)
    assert found["a"]["3.0"]["value"] > found["a"]["2.0"]["value"]


def test_every_atom_that_is_asked_for_is_in_one_task(tmp_path):
    workshop = Workshop(tmp_path)
    cells = cell_tasks(workshop, [Path("low"), Path("high")], (12.0,) * 3, 20)
    frames = frame_tasks(workshop, 20, 2)
    assert [(task.arguments[2], task.arguments[4]) for task in cells] == [
        *[(0, 0), (0, 10), (1, 0), (1, 10)]
    ]
    assert [(task.arguments[0], task.arguments[1], task.arguments[3]) for task in frames] == [
        *[(REFERENCES[0], 2, 0), (REFERENCES[0], 2, 10)],
        *[(REFERENCES[1], 3, 0), (REFERENCES[1], 3, 10)],
    ]
    # Their files, from which the command resumes, have names of their own.
    assert len({workshop.path(task) for task in [*cells, *frames]}) == 8
