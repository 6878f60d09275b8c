"""Records of measurements and their arrays."""

import json

import numpy as np
import pytest

from gcd_hpc.errors import StoreError
from gcd_hpc.phases.record import MeasuredRecord, structure_sha256
from gcd_hpc.store.arrays import read_arrays, write_arrays
from gcd_hpc.store.run_directory import RunDirectory
from tests.store.synthetic import make_candidate


@pytest.fixture
def record():
    return MeasuredRecord(
        kind="excess",
        phase="1/5-1",
        candidate="search-000001",
        structure_sha256="00ab",
        potential_sha256="cd",
        settings={"strain": 1e-3},
        version="1.0",
        date="2026-11-26T12:00:00+00:00",
        cpu_s=1.5,
        results={"excess_volume_a": 0.498},
    )


def test_a_record_is_read_as_it_was_written(tmp_path, record):
    path = RunDirectory(tmp_path).measured("excess", "1of5-1")
    assert MeasuredRecord.read(path) is None
    record.write(path)
    assert MeasuredRecord.read(path) == record
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("damage", ["cut", "edited"])
def test_a_damaged_record_is_refused_with_its_path(tmp_path, record, damage):
    path = tmp_path / "1of5-1.json"
    record.write(path)
    text = path.read_text()
    path.write_text(text[:40] if damage == "cut" else text.replace("0.498", "0.398"))
    with pytest.raises(StoreError, match=r"1of5-1\.json: the measurement cannot be read"):
        MeasuredRecord.read(path)


def test_the_question_depends_on_structure_potential_and_settings_only(record):
    same = record.model_copy(update={"phase": "1/5-2", "candidate": "model-01-000002", "cpu_s": 9})
    assert same.question == record.question
    for change in ({"structure_sha256": "1"}, {"potential_sha256": "2"}, {"settings": {}}):
        assert record.model_copy(update=change).question != record.question


def test_a_moved_atom_changes_the_hash_of_a_structure():
    one = make_candidate(1)
    moved = make_candidate(1, positions=one.positions + 1e-9)
    assert structure_sha256(one) == structure_sha256(make_candidate(1)) != structure_sha256(moved)


def test_arrays_are_read_as_they_were_written_and_a_changed_number_is_refused(tmp_path):
    path = tmp_path / "1of5-1.h5"
    energies = np.arange(6.0).reshape(2, 3)
    write_arrays(path, {"energies_ev": energies})
    np.testing.assert_array_equal(read_arrays(path)["energies_ev"], energies)
    content = bytearray(path.read_bytes())
    place = content.index(energies.tobytes())
    content[place + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="energies_ev does not have its checksum"):
        read_arrays(path)


def test_a_record_is_plain_json(tmp_path, record):
    record.write(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["results"] == record.results
