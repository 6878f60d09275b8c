"""FEFF10 in its child process: one real atom, its failures, its time and its end.

The cluster has five atoms, so that a spectrum takes a second and a half.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.build import bulk

from gcd_hpc.engines.scratch import PREFIX
from gcd_hpc.errors import LaunchError, StructureError
from gcd_hpc.spectra import feff10
from gcd_hpc.spectra.feff10 import Feff10, Feff10Settings, feff_input
from gcd_hpc.spectra.target import read_target
from gcd_hpc.structures.surroundings import surroundings

STORED = Path(__file__).parent.parent / "data" / "feff10_carbon.csv"
SMALL = Feff10Settings(cluster_a=2.0)


def crystal() -> Atoms:
    """Diamond with displaced atoms."""
    atoms = bulk("C", cubic=True)
    atoms.rattle(0.08, seed=0)
    return atoms


def installed() -> None:
    pytest.importorskip("feff10", reason="FEFF10 (the extra spectra) is not installed")


@pytest.fixture(scope="module")
def spectrum():
    installed()
    with Feff10(SMALL) as engine:
        return engine.spectrum(crystal(), 0)


def test_the_spectrum_of_an_atom_is_the_stored_one(spectrum):
    """``python -m tests.spectra.test_feff10`` made it with feff10-rs 0.2.4 on x86-64."""
    assert spectrum.reason == ""
    assert 0.5 < spectrum.seconds < 60
    # FEFF10 is single-threaded Fortran of one wheel; other processors round otherwise.
    np.testing.assert_allclose(spectrum.values, read_target(STORED).values, rtol=1e-3, atol=1e-3)


def test_an_atom_whose_process_is_killed_is_computed_again_to_the_same_bits(spectrum):
    with Feff10(SMALL) as engine:
        killed = []

        def kill():
            while engine.pid is None or not psutil.Process(engine.pid).children():
                time.sleep(0.02)
            killed.append(engine.pid)
            os.kill(engine.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        again = engine.spectrum(crystal(), 0)
        thread.join()
        assert engine.pid not in killed
    np.testing.assert_array_equal(again.values, spectrum.values)


def test_a_pair_too_close_for_its_potentials_is_a_failed_atom_and_the_child_lives_on():
    installed()
    atoms = crystal()
    vectors, index = surroundings(atoms, 0, 2.0)
    atoms.positions[index[0]] = atoms.positions[0] + 0.6 * vectors[0] / np.linalg.norm(vectors[0])
    with Feff10(SMALL) as engine:
        result = engine.spectrum(atoms, 0)
        assert result.values is None
        assert "stage 'pot' failed" in result.reason
        assert "FOLP for POTENTIAL type" in result.reason
        assert "\n" not in result.reason
        assert psutil.pid_exists(engine.pid)
        # Each atom has a folder, which is gone.
        assert not list(Path(f"/proc/{engine.pid}/cwd").resolve().glob("atom-*"))


def test_an_atom_that_exceeds_its_processor_time_fails_and_leaves_no_process(tmp_path, monkeypatch):
    installed()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Feff10(SMALL, timeout_s=0.2) as engine:
        result = engine.spectrum(crystal(), 0)
        assert result.values is None
        assert "no answer within 0.2 s of processor time" in result.reason
        assert "timeout_s" in result.reason
        assert result.seconds == 0.2
        assert engine.pid is None
    assert not list(tmp_path.glob(f"{PREFIX}*"))
    assert not [
        one for one in psutil.Process().children(True) if "feff10" in " ".join(one.cmdline())
    ]


KILLED = """
from ase.build import bulk
from gcd_hpc.spectra.feff10 import Feff10
with Feff10() as engine:
    engine._ready_process()
    print(engine.pid, flush=True)
    engine.spectrum(bulk("C"), 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell children")
def test_all_processes_of_feff10_end_with_a_parent_that_is_killed():
    installed()
    line = [sys.executable, "-c", KILLED]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        while not (stages := child.children(recursive=True)):
            time.sleep(0.02)
        parent.kill()
    gone, alive = psutil.wait_procs([child, *stages], timeout=5)
    assert len(gone) == 1 + len(stages)
    assert not alive


def test_an_engine_that_is_not_installed_is_said_with_its_cure(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(feff10, "version", version)
    with pytest.raises(LaunchError, match=r"; install it: pip install feff10-rs=="):
        Feff10()


def test_another_element_than_the_absorbing_one_is_refused():
    installed()
    atoms = bulk("SiC", "zincblende", a=4.36)
    with Feff10() as engine:
        with pytest.raises(StructureError, match=r"atom 0 is Si, and the engine computes .* of C"):
            engine.spectrum(atoms, 0)
        with pytest.raises(StructureError, match="atoms 0 to 1, and no atom 2"):
            engine.spectrum(atoms, 2)
    with pytest.raises(StructureError, match="'Qq' is no element"):
        Feff10(Feff10Settings(element="Qq"))


def test_an_atom_without_neighbours_fails_and_the_others_do_not():
    installed()
    with Feff10() as engine:
        result = engine.spectrum(Atoms("C", cell=[20, 20, 20], pbc=True), 0)
    assert result.values is None
    assert "no other atom within 4.05 Å" in result.reason


def test_every_element_has_a_potential_and_the_absorber_one_of_its_own():
    atoms = bulk("SiC", "zincblende", a=4.36)
    lines = feff_input(atoms, 1, replace(SMALL, cluster_a=3.2)).splitlines()
    begin = lines.index("POTENTIALS") + 1
    assert lines[begin : begin + 4] == [
        *("0 6 C 2 2 0.001", "1 6 C 2 2 12", "2 14 Si 2 2 4"),
        "ATOMS",
    ]
    atoms_of = lines[begin + 4 : lines.index("END")]
    assert atoms_of[0] == "0.000000 0.000000 0.000000 0 C"
    assert [line.split()[3] for line in atoms_of[1:]] == ["2"] * 4 + ["1"] * 12


def test_settings_that_change_a_spectrum_change_the_hash_of_its_table():
    installed()
    assert Feff10(SMALL).settings != Feff10().settings
    assert Feff10(SMALL, timeout_s=1).settings == Feff10(SMALL).settings


if __name__ == "__main__":
    from gcd_hpc.spectra.measured import MeasuredSpectrum
    from gcd_hpc.spectra.target import write_target

    with Feff10(SMALL) as engine:
        made = engine.spectrum(crystal(), 0)
    source = "python -m tests.spectra.test_feff10"
    write_target(STORED, MeasuredSpectrum(engine.energies_ev, made.values, "C", "K", source))
