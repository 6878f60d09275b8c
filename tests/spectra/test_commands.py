"""The commands about spectra: what they print and write, and what they refuse in one sentence."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

from gcd_hpc import cli
from gcd_hpc.spectra.table_file import Labelled, read_labelled, write_labelled
from gcd_hpc.spectra.target import read_target
from tests.spectra.stand_in import ENERGIES
from tests.spectra.tables import make_labelled, make_structures, make_table

ENGINE = ("--engine", "tests.spectra.stand_in:StandIn")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; what it printed, and its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["gcd-hpc", "spectra", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        return out if code == 0 else err

    return run


@pytest.fixture
def frames(tmp_path):
    write(tmp_path / "frames.xyz", make_structures(), format="extxyz")
    return "frames.xyz"


def write_measured(name="measured.csv", start=284.0, stop=306.0, shift=0.0):
    """A measured spectrum with the features of the stand-in's mean, on a shifted scale."""
    fine = np.arange(start, stop, 0.1)
    values = 1 + np.exp(-((fine - shift - 292) ** 2))
    text = "".join(
        f"{energy:.1f},{value:.6f}\n" for energy, value in zip(fine, values, strict=True)
    )
    with open(name, "w") as file:
        file.write("energy_ev,mu\n" + text)
    return name


def test_structures_are_labelled_and_shown(run, frames):
    printed = run("label", frames, *ENGINE, "--atoms", 6, "--out", "labelled.h5")
    assert "6 of 6 atoms have a spectrum; they are of 3 of 3 structures" in printed
    shown = run("show", "labelled.h5", "--out", "figure.png")
    assert "C K edge by stand-in 1: 21 energies from 280 to 300 eV" in shown
    assert "3 core-seconds, 0.5 for an atom" in shown
    run("show", "labelled.h5", "--out", "labelled.extxyz")
    frames = read("labelled.extxyz", ":")
    assert sum(np.isfinite(one.arrays["xanes"]).all(axis=1).sum() for one in frames) == 6


@pytest.mark.parametrize("form", ["POSCAR", "carbon.cif", "carbon.xyz", "carbon.traj"])
def test_structures_of_any_format_are_read(run, form):
    write(form, bulk("C", cubic=True), **({"format": "extxyz"} if form == "carbon.xyz" else {}))
    run("label", form, *ENGINE, "--out", "labelled.h5")
    # All atoms of diamond have the same surroundings.
    assert len(read_labelled(Path("labelled.h5")).table) == 1


def test_failed_atoms_are_counted_with_their_reasons(run, frames, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAILS", "2")
    printed = run("label", frames, *ENGINE, "--out", "labelled.h5")
    assert "12 of 15 atoms have a spectrum" in printed
    assert "3 failed: fails on purpose" in printed
    write("dimer.xyz", Atoms("C2", [[0, 0, 0], [1.4, 0, 0]]), format="extxyz")
    monkeypatch.setenv("STAND_IN_FAILS", "0")
    monkeypatch.setenv("STAND_IN_NAN", "1")
    run("label", "dimer.xyz", *ENGINE, "--out", "failed.h5", code=1)
    assert not read_labelled(Path("failed.h5")).table.is_ok.any()


def test_a_spectrum_of_another_programs_columns_becomes_a_table(run, tmp_path):
    before = make_labelled(failed=())
    write_labelled(tmp_path / "labelled.h5", before)
    run("show", "labelled.h5", "--out", "labelled.extxyz")
    run("import", "labelled.extxyz", "--out", "again.h5")
    after = read_labelled(tmp_path / "again.h5").table
    np.testing.assert_allclose(after.values, before.table.values, atol=1e-8)
    assert after.sha256 == before.table.sha256


def test_a_measured_spectrum_is_laid_onto_a_table(run, tmp_path):
    write_labelled(tmp_path / "labelled.h5", Labelled(make_structures(), make_table()))
    name = write_measured(start=286, stop=307)
    options = ("--element", "C", "--edge", "K", "--table", "labelled.h5", "--shift", -6.2)
    printed = run("import", name, *options, "--out", "target.h5")
    assert "C K edge from measured.csv: 7 points from 280 to 300 eV" in printed
    target = read_target(tmp_path / "target.h5")
    np.testing.assert_array_equal(target.energies_ev, make_table().energies_ev)
    assert np.trapezoid(target.values, target.energies_ev) == pytest.approx(20)


def test_the_difference_of_two_energy_scales_is_found(run, tmp_path):
    atoms = Atoms("C2", [[0, 0, 0], [1.4, 0, 0]])
    table = make_table(rows=((0, 0), (0, 1)), num_energies=21, failed=(), energies_ev=ENERGIES)
    table.values[:] = 1 + np.exp(-((ENERGIES - 292) ** 2))
    write_labelled(tmp_path / "labelled.h5", Labelled([atoms], table))
    name = write_measured("target.csv", start=280, stop=312, shift=6.2)
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text("# Element.symbol: C\n# Element.edge: K\n" + text)
    printed = run("show", "labelled.h5", "--measured", name, "--out", "both.svg")
    assert "shifted by -6.20 eV" in printed
    assert (tmp_path / "both.svg").exists()


def test_a_target_is_shown_with_or_without_energies(run):
    name = write_measured()
    run("import", name, "--element", "C", "--edge", "K", "--out", "target.csv")
    assert "220 points from 284 to 305.9 eV" in run("show", "target.csv", "--out", "target.pdf")
    run("import", name, "--element", "C", "--edge", "K", "--unit", "bins", "--out", "bins.h5")
    assert "220 bins of unknown energy" in run("show", "bins.h5", "--out", "bins.png")


REFUSED = {
    "a table that is no .h5 file": (
        ("label", "frames.xyz", *ENGINE, "--out", "labelled.csv"),
        "--out must end in .h5",
    ),
    "a missing file of structures": (
        ("label", "none.xyz", *ENGINE, "--out", "a.h5"),
        "none.xyz: cannot be read: No such file",
    ),
    "a file that is no structure": (
        ("label", "measured.csv", *ENGINE, "--out", "a.h5"),
        "measured.csv: cannot be read by ASE",
    ),
    "several elements and none named": (
        ("label", "alloy.xyz", "--out", "a.h5"),
        "the structures hold C, Si; name the absorbing element with --element",
    ),
    "an element that is not there": (
        ("label", "alloy.xyz", "--element", "N", "--window", "400:440:0.4", "--out", "a.h5"),
        "there is no atom of N, only of C, Si",
    ),
    "an edge of unknown energies": (
        ("label", "alloy.xyz", "--element", "Si", "--out", "a.h5"),
        "the energies of the Si K edge are not known; name them with --window",
    ),
    "a window that is none": (
        ("label", "frames.xyz", "--window", "300:280:0.4", "--out", "a.h5"),
        "--window must be START:STOP:STEP",
    ),
    "a spectrum that is shorter than the window of the table": (
        ("import", "measured.csv", *("--element", "C", "--edge", "K"), "--table", "labelled.h5"),
        "measured.csv reaches from 284 to 305.9 eV, which is less than the window from 280",
    ),
    "a table of another element": (
        ("import", "measured.csv", *("--element", "N", "--edge", "K"), "--table", "labelled.h5"),
        "measured.csv: is the N K edge, and the table holds spectra of the C K edge",
    ),
    "a spectrum without energies on a table that has them": (
        (
            *("import", "measured.csv", "--element", "C", "--edge", "K", "--unit", "bins"),
            *("--table", "labelled.h5"),
        ),
        "measured.csv states no energies, so that",
    ),
    "a shift without a table": (
        ("import", "measured.csv", "--element", "C", "--edge", "K", "--shift", "1"),
        "lay a spectrum onto a table; name it with --table",
    ),
    "a unit that is none": (
        ("import", "measured.csv", "--unit", "nm"),
        "--unit must be one of stated, eV, keV, bins, got nm",
    ),
    "a target beside a target": (
        ("show", "measured.csv", "--measured", "measured.csv"),
        "--measured is compared with a table, and measured.csv is none",
    ),
    "a figure in an unknown format": (
        ("show", "labelled.h5", "--out", "figure.doc"),
        "a figure cannot be written with .doc",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_command_refuses(what, run, frames, tmp_path):
    words, reason = REFUSED[what]
    write_measured()
    write(tmp_path / "alloy.xyz", bulk("SiC", "zincblende", a=4.36), format="extxyz")
    write_labelled(tmp_path / "labelled.h5", make_labelled())
    if words[0] == "import":
        words = (*words, "--out", "target.h5")
    said = run(*words, code=2)
    assert reason in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "a.h5").exists()


def test_a_table_by_the_stand_in_is_an_engine_of_the_command(run, frames, tmp_path):
    run("label", frames, *ENGINE, "--atoms", 6, "--out", "labelled.h5")
    run("label", frames, "--engine", "labelled.h5", "--atoms", 6, "--out", "copied.h5")
    first = read_labelled(tmp_path / "labelled.h5").table
    second = read_labelled(tmp_path / "copied.h5").table
    np.testing.assert_array_equal(first.values, second.values)
    assert first.sha256 == second.sha256
