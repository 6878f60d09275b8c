"""Labelling by a stand-in engine: workers, budget, failures, and going on after kill -9."""

import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.io import read, write

from gcd_hpc.errors import LaunchError, StoreError
from gcd_hpc.spectra.choose import choose_atoms
from gcd_hpc.spectra.feff10 import Feff10Settings
from gcd_hpc.spectra.label import EngineChoice, LabelFolder, label
from gcd_hpc.spectra.table_file import read_labelled
from tests.spectra.stand_in import StandIn
from tests.spectra.tables import assert_same_tables

CHOICE = EngineChoice("tests.spectra.stand_in:StandIn", Feff10Settings())


def make_structures():
    rng = np.random.default_rng(5)
    return [Atoms("C12", rng.uniform(0, 6, (12, 3)), cell=[6, 6, 6], pbc=True) for _ in range(3)]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "labelled.h5"


@pytest.fixture
def computed(tmp_path, monkeypatch):
    """Folder with a file for each atom that was computed."""
    folder = tmp_path / "computed"
    folder.mkdir()
    monkeypatch.setenv("STAND_IN_COUNT", str(folder))
    return folder


def num_files(folder):
    return len(list(folder.iterdir()))


def test_the_chosen_atoms_have_the_spectra_of_the_engine(out):
    structures = make_structures()
    made = label(structures, out, CHOICE, 10)
    places = {*zip(made.table.structure.tolist(), made.table.atom.tolist(), strict=True)}
    assert places == {*choose_atoms(structures, "C", 10)}
    for row in range(10):
        atoms = structures[made.table.structure[row]]
        expected = StandIn().spectrum(atoms, int(made.table.atom[row])).values
        np.testing.assert_array_equal(made.table.values[row], expected)
    assert_same_tables(read_labelled(out).table, made.table)
    assert [path.name for path in out.parent.iterdir()] == ["labelled.h5"]


def test_a_table_does_not_depend_on_the_number_of_workers(out):
    alone = label(make_structures(), out, CHOICE, 10)
    both = label(make_structures(), out.with_name("both.h5"), CHOICE, 10, workers=2)
    assert_same_tables(alone.table, both.table)


def test_an_atom_that_fails_is_a_row_with_its_reason_and_the_others_go_on(out, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAILS", "3")
    monkeypatch.setenv("STAND_IN_NAN", "4")
    done = []
    table = label(make_structures(), out, CHOICE, 36, progress=done.append).table
    assert len(table) == 36
    failed = ~table.is_ok
    assert set(table.atom[failed]) == {3, 4}
    assert set(table.reason[failed]) == {
        "fails on purpose",
        "stand-in returned values that are not finite",
    }
    assert (done[-1].num_done, done[-1].num_all, done[-1].num_failed) == (36, 36, 6)
    assert done[-1].core_s == 18


def test_a_budget_of_core_seconds_ends_the_work(out):
    """The stand-in says that each atom takes half a second."""
    assert len(label(make_structures(), out, CHOICE, 30, budget_core_s=4.0).table) == 8


def test_more_atoms_are_added_to_a_finished_table(out, computed):
    label(make_structures(), out, CHOICE, 6)
    grown = label(make_structures(), out, CHOICE, 15)
    assert num_files(computed) == 15
    once = label(make_structures(), out.with_name("once.h5"), CHOICE, 15)
    assert_same_tables(grown.table, once.table)


COMMAND = [
    *(sys.executable, "-m", "gcd_hpc.cli", "spectra", "label", "frames.extxyz"),
    *("--engine", CHOICE.name, "--atoms", "12", "--out", "labelled.h5", "--workers", "2"),
]


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_killed(out, computed, tmp_path):
    write(tmp_path / "frames.extxyz", make_structures())
    structures = read(tmp_path / "frames.extxyz", ":")
    environment = os.environ | {
        "STAND_IN_WAIT_S": "0.2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    killed = subprocess.Popen(COMMAND, cwd=tmp_path, env=environment)
    folder = LabelFolder(out).path
    while len(list(folder.glob("0*.json"))) < 4:
        assert killed.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    # The processes of the pool leave too: left alone, they would wait for work for ever.
    assert workers
    assert not psutil.wait_procs(workers, timeout=10)[1]
    # A file that was being written counts as none.
    damaged = min(folder.glob("0*.json"))
    damaged.write_bytes(damaged.read_bytes()[:40])
    kept = len(list(folder.glob("0*.json"))) - 1
    begun = num_files(computed)
    environment["STAND_IN_WAIT_S"] = "0"
    subprocess.run([*COMMAND, "--workers", "1"], cwd=tmp_path, env=environment, check=True)
    assert num_files(computed) - begun == 12 - kept
    once = label(structures, out.with_name("once.h5"), CHOICE, 12)
    assert_same_tables(read_labelled(out).table, once.table)
    assert not folder.exists()


def test_a_table_of_other_structures_or_settings_is_not_overwritten(out):
    structures = make_structures()
    label(structures, out, CHOICE, 3)
    with pytest.raises(StoreError, match=r"labelled\.h5: holds spectra of other structures"):
        label(structures[:2], out, CHOICE, 3)


def test_labels_under_way_of_another_job_are_not_adopted(out, monkeypatch):
    monkeypatch.setattr("gcd_hpc.spectra.label._finish", lambda *given: None)
    label(make_structures(), out, CHOICE, 3)
    with pytest.raises(StoreError, match="holds labels that are of other structures; remove"):
        label(make_structures()[:2], out, CHOICE, 3)
    LabelFolder(out).job.write_text("{")
    with pytest.raises(StoreError, match="holds labels that are damaged"):
        label(make_structures(), out, CHOICE, 3)


def test_a_table_is_an_engine_that_knows_its_own_atoms(out):
    """The structures are found by what they hold, in whatever order."""
    structures = make_structures()
    made = label(structures, out, CHOICE, 10)
    again = label(
        structures[::-1], out.with_name("again.h5"), EngineChoice(str(out), Feff10Settings()), 36
    )
    assert again.table.sha256 == made.table.sha256
    assert again.table.is_ok.sum() == 10
    assert set(again.table.reason[~again.table.is_ok]) == {"the table has no spectrum of this atom"}
    for number in range(3):
        np.testing.assert_array_equal(
            again.table.dense(number, 12), made.table.dense(2 - number, 12)
        )


def test_an_unknown_engine_is_refused():
    with pytest.raises(LaunchError, match=r"no engine 'fef10'; .* did you mean feff10\?"):
        EngineChoice("fef10", Feff10Settings()).make()
    with pytest.raises(LaunchError, match="engine nowhere:Engine cannot be loaded: No module"):
        EngineChoice("nowhere:Engine", Feff10Settings()).make()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("os:path", "cannot be loaded: 'module' object is not callable"),
        ("os:getcwd", "cannot be used, because it lacks name, version"),
        ("os:nothing", "cannot be loaded: module 'os' has no attribute 'nothing'"),
        ("os:kill", "cannot be loaded: "),
    ],
)
def test_what_is_no_engine_is_refused_in_one_sentence(name, problem):
    with pytest.raises(LaunchError, match=problem):
        EngineChoice(name, Feff10Settings()).make()
