"""Damaged files of spectra: the sound answer or one sentence."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import write as write_structures

from gcd_hpc.spectra.columns import from_columns, with_columns
from gcd_hpc.spectra.measured import import_columns
from gcd_hpc.spectra.table_file import Labelled, read_labelled, write_labelled
from gcd_hpc.spectra.target import read_target, write_target
from gcd_hpc.structures.files import read_frames
from tests.fuzz.harness import few_and_many, mutations, outcome, write
from tests.spectra.tables import make_labelled
from tests.spectra.test_measured import ENERGIES, OTHER, VALUES, XDI, rows


def digest(labelled: Labelled) -> str:
    """Hash of all numbers and texts of a file of spectra."""
    table = labelled.table
    words = [table.sha256, *table.status, *table.reason]
    arrays = [table.structure, table.atom, table.values, table.seconds, table.energies_ev]
    for atoms in labelled.structures:
        words.append(json.dumps(atoms.info))
        arrays += [atoms.positions, atoms.numbers, atoms.cell.array, atoms.pbc]
    content = "\0".join(words).encode() + b"".join(np.asarray(one).tobytes() for one in arrays)
    return hashlib.sha256(content).hexdigest()


@few_and_many(300)
def test_a_damaged_table_is_sound_or_refused(tmp_path, num):
    write_labelled(tmp_path / "sound.h5", make_labelled())
    content = (tmp_path / "sound.h5").read_bytes()
    expected = digest(read_labelled(tmp_path / "sound.h5"))
    for index, damaged in enumerate(mutations(content, num, 31, is_text=False)):
        path = write(tmp_path, "damaged.h5", damaged)
        found = outcome(lambda path=path: digest(read_labelled(path)), index)
        assert found.kind == "refused" or found.value == expected, index


@few_and_many(300)
def test_a_damaged_target_is_sound_or_refused(tmp_path, num):
    text = XDI.format(unit="eV") + rows(ENERGIES, OTHER, VALUES)
    before = import_columns(write(tmp_path, "measured.xdi", text.encode()))
    write_target(tmp_path / "sound.h5", before)
    content = (tmp_path / "sound.h5").read_bytes()
    for index, damaged in enumerate(mutations(content, num, 32, is_text=False)):
        path = write(tmp_path, "damaged.h5", damaged)
        found = outcome(lambda path=path: read_target(path).values.tolist(), index)
        assert found.kind == "refused" or found.value == before.values.tolist(), index


@pytest.mark.parametrize("form", ["xdi", "csv"])
@few_and_many(300)
def test_a_damaged_measurement_is_read_or_refused(tmp_path, num, form):
    """A changed digit cannot be noticed; everything else ends in finite numbers or a sentence."""
    text = XDI.format(unit="keV") + rows(ENERGIES / 1000, OTHER, VALUES)
    if form == "csv":
        text = "energy_ev;mu\n" + rows(ENERGIES, VALUES, separator=";")
    options = {} if form == "xdi" else {"element": "C", "edge": "K"}
    for index, damaged in enumerate(mutations(text.encode(), num, 33, is_text=True)):
        path = write(tmp_path, f"damaged.{form}", damaged)

        def read(path: Path = path) -> bool:
            spectrum = import_columns(path, **options)
            return bool(np.isfinite(spectrum.values).all())

        found = outcome(read, index)
        assert found.kind == "refused" or found.value is True, index


@few_and_many(200)
def test_damaged_columns_of_extended_xyz_are_read_or_refused(tmp_path, num):
    write_structures(tmp_path / "sound.extxyz", with_columns(make_labelled()), format="extxyz")
    content = (tmp_path / "sound.extxyz").read_bytes()
    for index, damaged in enumerate(mutations(content, num, 34, is_text=True)):
        path = write(tmp_path, "damaged.extxyz", damaged)
        outcome(lambda path=path: len(from_columns(read_frames(path)).table), index)
