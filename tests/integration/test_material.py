"""The campaign of a material as users run it: LAMMPS, torch, Parsl and an engine of spectra, with a
driver that is killed in the verification of a round.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.numpy
import yaml

from gcd_hpc.campaign.events import Finished
from gcd_hpc.spectra.feff10 import Feff10, Feff10Settings
from gcd_hpc.spectra.table_file import read_labelled
from gcd_hpc.store.parts import read_columns, read_part, read_provenance, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import ROW_FIELDS
from tests.campaign.conftest import ROOT
from tests.campaign.histories import read_events
from tests.cli.test_reading import called
from tests.integration.material_engine import CALLS, HOLD, NUM_BEFORE
from tests.material import SMALL, write_target_of
from tests.processes import processes_of
from tests.sharing import made_once

pytestmark = [pytest.mark.lammps, pytest.mark.slow]
MEASURED = ("sample_s", "relax_s", "cpu_s")
"""Fields that hold times, which differ between runs."""
NUM_ATOMS = 6
"""Atoms of a sample that are computed."""


def start(folder: Path, run_dir: Path) -> subprocess.Popen[bytes]:
    """The campaign in a process of its own, with its files beside the run."""
    if not (folder / "small.yaml").exists():
        engine = "tests.integration.material_engine:Noted"
        text = SMALL.replace("tests.material:Distances", engine)
        (folder / "small.yaml").write_text(text)
        write_target_of(folder / "target.csv", 3.5)
    variables = {CALLS: str(folder / "calls"), HOLD: str(folder / "hold"), "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "gcd_hpc.cli", "campaign", str(folder / "small.yaml")]
    with open(folder / "driver.log", "a") as log:
        return subprocess.Popen(
            [*line, "--run-dir", str(run_dir)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **variables},
            start_new_session=True,
        )


def complete(folder: Path, run_dir: Path) -> None:
    driver = start(folder, run_dir)
    assert driver.wait(timeout=900) == 0, (folder / "driver.log").read_text()


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """RUN of a complete campaign, made once in a session. Do not write to it."""
    make = lambda folder: complete(folder, folder / "run")  # noqa: E731
    return made_once(tmp_path_factory, "material-campaign", make) / "run"


def products(run_dir: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Every product of a run by its path, as named arrays without times."""
    run = RunDirectory(run_dir)
    rows = [part for folder in run.part_folders() for part in sorted(folder.glob("*.h5"))]
    for path in [*rows, *run.training_sets()]:
        names = [field.name for field in ROW_FIELDS if field.name not in MEASURED]
        columns = dict(read_columns([path], names))
        for number, row in enumerate(read_part(path)):
            for name in ("positions", "unrelaxed_positions", "energies_ev"):
                columns[f"{name} {number}"] = np.asarray(getattr(row, name))
        yield str(path.relative_to(run_dir)), columns
    for path in sorted([*run_dir.glob("parts/label/*.h5"), *run_dir.glob("parts/*/spectra/*.h5")]):
        table = read_labelled(path).table
        arrays = {"structure": table.structure, "atom": table.atom, "values": table.values}
        yield str(path.relative_to(run_dir)), arrays
    for path in sorted(run_dir.glob("models/*/*.safetensors")):
        yield str(path.relative_to(run_dir)), safetensors.numpy.load_file(path)


def num_finished(run_dir: Path) -> Counter[str]:
    return Counter(one.task.name for one in read_events(run_dir) if isinstance(one, Finished))


def test_two_rounds_quench_learn_guide_and_verify_and_every_command_reads_them(whole):
    run = RunDirectory(whole)
    rows = [row for round in (1, 2) for part in run.relaxed_parts(round) for row in read_part(part)]
    assert Counter((row.round, row.guided) for row in rows) == {
        (round, kind): num for round in (1, 2) for kind, num in (("guided", 3), ("unguided", 2))
    }
    sound = [row for row in rows if row.status == "ok"]
    assert sound
    assert all(0 < row.spectrum_error < 2 and row.num_labelled == NUM_ATOMS for row in sound)
    for name in ("results.h5", "summary.md", "spectra.png", "errors.png"):
        assert (whole / name).exists(), name
    text, code = called("status", str(whole), "--json")
    assert code == 0, text
    record: dict[str, Any] = json.loads(text)
    lowest = min(row.spectrum_error for row in sound if row.guided == "guided")
    assert (record["status"], record["kind"]) == ("complete", "material")
    assert record["best"]["guided"]["spectrum_error"] == pytest.approx(lowest, abs=1e-12)
    assert record["tried"] == 4 + 2 * 5
    for words in (["status"], ["failures"], ["verify"], ["top"], ["ls"], ["report"]):
        text, code = called(*words, str(whole))
        assert code == 0, f"{words}: {text}"


def test_the_driver_labels_and_verifies_with_feff10_itself(tmp_path):
    """One round of the smallest campaign: two atoms of each structure, eight in all, which take
    about 25 to 50 core-seconds.
    """
    pytest.importorskip("feff10", reason="FEFF10 (the extra spectra) is not installed")
    campaign = yaml.safe_load(SMALL)
    campaign["material"]["num_atoms"] = 16
    campaign["quench"] |= {"densities_g_cm3": [1.3, 1.6], "num_per_density": 1, "chunk_size": 1}
    # FEFF10's mesh ends at other energies for other atoms, for some of so few below 310 eV.
    window = (274.0, 304.0, 0.5)
    engine = {"engine": "feff10", "atoms_per_structure": 2, "atoms_per_candidate": 2}
    engine["window_ev"] = list(window)
    campaign |= {"labelling": engine, "budget": {"rounds": 1}}
    campaign["material"]["density_g_cm3"] = 1.5
    campaign["sampling"] |= {"num_guided": 1, "num_unguided": 1}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(campaign))
    shutil.copy(ROOT / "campaigns" / "carbon_xanes.csv", tmp_path / "target.csv")
    complete(tmp_path, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    tables = [read_labelled(run.labelled_part(chunk)).table for chunk in range(2)]
    tables.append(read_labelled(run.verified_spectra(1, 0)).table)
    with Feff10(Feff10Settings(window_ev=window)) as engine_itself:
        for table in tables:
            assert table.engine == "feff10" and table.settings == engine_itself.settings
            np.testing.assert_array_equal(table.energies_ev, engine_itself.energies_ev)
            assert table.is_ok.all(), table.reason
            assert (table.seconds > 0.1).all()
        labelled = read_labelled(run.verified_spectra(1, 0))
        structure, atom = labelled.structures[labelled.table.structure[0]], labelled.table.atom[0]
        again = engine_itself.spectrum(structure, int(atom))
    assert again.values is not None
    np.testing.assert_array_equal(labelled.table.values[0], again.values)
    rows = read_part(run.relaxed_part(1, 0))
    assert [(row.guided, row.status, row.num_labelled) for row in rows] == [
        ("guided", "ok", 2),
        ("unguided", "ok", 2),
    ]
    assert all(0 < row.spectrum_error < 2 for row in rows)


def test_a_driver_killed_within_a_verification_goes_on_bit_for_bit_and_computes_no_atom_twice(
    tmp_path, whole
):
    run_dir, hold = tmp_path / "run", tmp_path / "hold"
    hold.touch()
    driver, calls = start(tmp_path, run_dir), tmp_path / "calls"
    deadline = time.monotonic() + 600
    begun = RunDirectory(run_dir).begun("verify-01-00000")
    kept = RunDirectory(run_dir).verified_spectra(1, 0)
    while not begun.exists() or len(list(kept.parent.rglob("*-*.json"))) < NUM_BEFORE:
        assert time.monotonic() < deadline and driver.poll() is None, "no verification begins"
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    hold.unlink()
    complete(tmp_path, run_dir)
    assert num_finished(run_dir) == num_finished(whole)
    assert set(num_finished(run_dir).values()) == {1}
    # The calls that were held may have ended between the signal and the end of their workers.
    num_calls = Counter(calls.read_text().splitlines())
    assert sum(num - 1 for num in num_calls.values()) <= 2
    found, expected = dict(products(run_dir)), dict(products(whole))
    assert found.keys() == expected.keys()
    assert len(found) == 2 + 2 + 2 * (1 + 2 + 4 * 3)
    for path, arrays in expected.items():
        assert found[path].keys() == arrays.keys(), path
        for name, values in arrays.items():
            is_equal = np.array_equal(found[path][name], values, equal_nan=values.dtype.kind == "f")
            assert is_equal, f"{path}: {name}"
    assert processes_of(run_dir) == []


def test_verify_finds_a_damaged_file_of_spectra_and_a_record_that_differs_from_its_rows(
    tmp_path, whole
):
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    spectra = RunDirectory(run_dir).verified_spectra(1, 0)
    with h5py.File(spectra, "r+") as file:
        file["spectra/values"][0, 0] += 1.0
    part = RunDirectory(run_dir).relaxed_part(2, 0)
    rows = [replace(row, spectrum_error=0.001) for row in read_part(part)]
    write_part(part, rows, read_provenance(part))
    text, code = called("verify", str(run_dir), "--json")
    assert code == 1
    for path, expected in (
        (spectra, "spectra as they were written"),
        (part, "the lowest values that its record has"),
    ):
        assert str(path) in text
        assert expected in text
