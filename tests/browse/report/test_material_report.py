"""Report of a campaign of a material: its spectra, errors with intervals, bonds and cost."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.browse.material_figures import losses_figure
from gcd_hpc.browse.material_losses import read_losses
from gcd_hpc.browse.material_numbers import (
    bonds_of,
    errors_by_round,
    groups_of,
    interval,
    twin_differences,
)
from gcd_hpc.browse.material_spectra import read_spectra
from gcd_hpc.browse.report.html import to_html
from gcd_hpc.browse.report.pdf import to_pdf
from gcd_hpc.browse.report.writing import report_document
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bonds import bond_shares
from tests.material_run import CHANGE, ENERGIES_EV, TARGET, write_material_run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_material_run(tmp_path_factory.mktemp("material"))


@pytest.fixture
def run(path):
    return open_run(path)


def test_spectra_of_a_run_are_those_that_its_files_hold(run):
    spectra = read_spectra(run)
    np.testing.assert_array_equal(spectra.energies_ev, ENERGIES_EV)
    np.testing.assert_allclose(spectra.target, TARGET, atol=1e-12)
    assert len(spectra.means) == 16 and spectra.engine == "stand-in 1"
    # Each mean differs from the target by its error: 0.04 in round 1.
    difference = spectra.means["model-01-000002"] - TARGET
    np.testing.assert_allclose(difference, 0.04 * CHANGE, atol=1e-12)
    band = spectra.band(groups_of(run)["unguided"])
    np.testing.assert_allclose(band.mean, TARGET + 0.13 * CHANGE, atol=1e-12)
    errors = [0.12, 0.14, 0.12, 0.14]
    np.testing.assert_allclose(band.deviation, np.std(errors, ddof=1) * abs(CHANGE), atol=1e-12)
    assert spectra.band(["nothing"]) is None


def test_errors_of_each_round_have_intervals_by_students_t(run):
    first, control, second, _ = errors_by_round(run)
    assert [one.guided for one in (first, control)] == ["guided", "unguided"]
    assert (first.round, second.round) == (1, 2)
    assert (first.num, first.num_failed, control.num, control.num_failed) == (4, 0, 3, 1)
    # 3.182 is the 97.5 % quantile of Student's t with three degrees of freedom.
    half = 3.182446 * np.std([0.05, 0.07, 0.04, 0.06], ddof=1) / 2
    assert first.error.mean == pytest.approx(0.055)
    assert first.error.half_width == pytest.approx(half, rel=1e-6)
    assert (first.lowest_id, second.lowest_id) == ("model-01-000002", "model-02-000002")
    assert np.isnan(interval(np.array([0.1])).half_width)
    assert str(interval(np.empty(0))) == "-"


def test_twins_are_compared_in_pairs(run):
    found = twin_differences(run)
    # Guided candidates 0 and 1 have the unguided ones 4 and 5 as twins; the third one has failed.
    first = np.array([0.05 - 0.12, 0.07 - 0.14])
    assert (found["1"].num, found["all"].num) == (2, 4)
    assert found["1"].mean == pytest.approx(first.mean())
    both = np.concatenate([first, [0.025 - 0.12, 0.035 - 0.14]])
    # 3.182 is the 97.5 % quantile of Student's t with three degrees of freedom.
    half = 3.182446 * np.std(both, ddof=1) / 2
    assert found["all"].half_width == pytest.approx(half, rel=1e-6)


def test_bonds_are_counted_in_the_periodic_cell(run):
    shares, errors = bonds_of(run, groups_of(run)["guided"])
    assert shares.sum() == pytest.approx(1) and (errors >= 0).all()
    atoms = run["model-01-000000"].to_atoms()
    before = bonds_of(run, ["model-01-000000"])[0]
    atoms.translate(3.0)
    # Atoms that are moved across the border keep their bonds.
    np.testing.assert_allclose(bond_shares(atoms), before)


def test_the_report_of_a_material_shows_its_spectra_and_nothing_of_a_boundary(path):
    document = report_document(path)
    html = to_html(document)
    titles = [section.title for section in document.sections]
    first = ["Spectra", "Spectrum errors by round", "Training"]
    assert titles[4:10] == [*first, "Candidates", "Bonds", "Cost"]
    for words in (
        "0.0200 ± 0.0100",
        "0.0550 ± 0.0205",
        "model-02-000002",
        "target.csv",
        "guided less unguided",
    ):
        assert words in html, words
    assert html.count("data:image/png") == 3
    text = re.sub(r"<pre>.*?</pre>|<style>.*?</style>", "", html, flags=re.DOTALL)
    for words in ("[n]", "J/m²", "boundary", "excess", "nan"):
        assert words not in text, words
    content = to_pdf(document)
    assert content.startswith(b"%PDF-") and content.count(b"/Subtype /Image") >= 3


def test_a_file_of_results_alone_is_reported_without_its_spectra(path, tmp_path):
    part = RunDirectory(path).relaxed_part(1, 0)
    alone = tmp_path / "results.h5"
    shutil.copyfile(part, alone)
    html = to_html(report_document(alone))
    assert "Spectra are in the run directory" in html and "0.0550" in html


def test_a_material_of_which_nothing_was_verified_is_reported_honestly(path, tmp_path):
    quenches = RunDirectory(path).quenched_parts()
    provenance = {"config": open_run(path).provenance["config"]}
    run = RunDirectory(tmp_path / "begun")
    rows = [replace(row, num_labelled=0) for part in quenches for row in read_part(part)]
    write_part(run.quenched_part(0), rows, provenance)
    html = to_html(report_document(run.path))
    assert "No candidate was compared with the target yet." in html
    assert "No spectra were computed yet." in html and "quenches" in html


def test_the_report_draws_the_losses_of_both_networks(path, tmp_path):
    run = RunDirectory(shutil.copytree(path, tmp_path / "run"))
    assert "No losses of a training are known." in to_html(report_document(run.path))
    run.model_dir(1).mkdir(parents=True)
    rows = [[step, 1.0 / step, None] for step in range(10, 110, 10)]
    run.training_progress(1).write_text(json.dumps({"history": rows}))
    run.property_losses(1).write_text(json.dumps({"history": [row[:2] for row in rows]}))
    (losses,) = read_losses(run)
    assert losses.prior == losses.network == [(row[0], row[1]) for row in rows]
    first, second = losses_figure([losses]).axes
    for axes in (first, second):
        (line,) = axes.lines
        assert line.get_xydata().tolist() == [[row[0], row[1]] for row in rows]
    assert "No losses" not in to_html(report_document(run.path))
