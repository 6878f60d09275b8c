"""Campaigns of a material side by side: errors, energies and cost; what has no common target."""

import json

import numpy as np
import pytest

from gcd_hpc.browse.compare import compare
from gcd_hpc.browse.compare_figure import plot_comparison
from gcd_hpc.browse.compare_materials import MaterialComparison, material_comparison_figure
from gcd_hpc.browse.tables import json_text
from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.target import write_target
from gcd_hpc.store.index import RunStore
from tests.browse.test_compare import text_of
from tests.material_run import ENERGIES_EV, TARGET, write_material_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("materials")
    return [write_material_run(folder, name) for name in ("first", "second")]


def test_each_run_has_its_smallest_error_its_means_and_its_difference_in_pairs(runs):
    found = compare(*runs)
    assert isinstance(found, MaterialComparison) and found.problem == ""
    one = found.runs[0]
    assert (one.run, one.candidates, one.lowest_id) == ("first", 14, "model-02-000002")
    assert (one.spectrum_error, one.spectrum_error_se) == (0.02, 0.01)
    guided = [0.05, 0.07, 0.04, 0.06, 0.025, 0.035, 0.02, 0.03]
    assert one.errors["guided"] == pytest.approx(sorted(guided))
    # Candidates 0 and 1 have the unguided ones 4 and 5 as twins, in both rounds.
    assert one.difference.num == 4
    assert one.difference.mean == pytest.approx(np.mean([-0.07, -0.07, -0.095, -0.105]))
    assert one.mean_energies_ev["quenches"].num == 4
    text = text_of(found)
    assert "0.0200 ± 0.0100" in text and "guided less unguided" in text
    record = json.loads(json_text(found.record()))
    assert record["is_comparable"] is True
    assert record["runs"][1]["mean_errors"]["guided"]["num"] == 8


def test_errors_to_different_targets_are_not_compared(runs, tmp_path):
    other = write_material_run(tmp_path, "other")
    changed = MeasuredSpectrum(ENERGIES_EV, TARGET[::-1].copy(), "C", "K", "mine")
    write_target(other / "targets" / "target.csv", changed)
    found = compare(runs[0], other)
    assert found.problem == "first and other: their target files differ"
    assert "Spectrum errors are not compared: first and other" in text_of(found)
    with pytest.raises(StoreError, match=r"cannot be drawn together: .*; leave --out out"):
        material_comparison_figure(found)


def test_a_file_of_results_is_compared_without_its_cost(runs, tmp_path):
    file = tmp_path / "results.h5"
    RunStore(runs[0]).write_all(file)
    found = compare(file, runs[1])
    assert found.problem == ""
    assert np.isnan(found.runs[0].core_s) and found.runs[0].spectrum_error == 0.02


def test_the_figure_has_the_errors_of_every_run(runs, tmp_path):
    found = compare(*runs)
    (axes,) = material_comparison_figure(found).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["first", "second"]
    assert plot_comparison(found, tmp_path / "both.svg").stat().st_size > 5_000
