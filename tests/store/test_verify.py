"""One file of candidates under the magnifying glass: three real structures, relaxed by LAMMPS
(tests/store/golden.py).
"""

import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gcd_hpc.store.blocks import Blocks
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.checksums import (
    checksum,
)
from gcd_hpc.store.findings import KEPT, Report
from gcd_hpc.store.hdf5 import (
    START,
)
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.physics import row_fault
from gcd_hpc.store.schema import FIELDS
from gcd_hpc.store.verify import verify_file
from tests.store.synthetic import assert_same, make_candidate

FOLDER = Path(__file__).parent
FIRST, SECOND = "search-000000", "search-000001"


@pytest.fixture
def part(tmp_path) -> Path:
    """A copy of the golden file."""
    return Path(shutil.copyfile(FOLDER / "golden_v5.h5", tmp_path / "part-00000.h5"))


def report_on(path: Path) -> Report:
    report = Report()
    verify_file(path, report)
    return report


def sentences(path: Path) -> dict[str, list[str]]:
    """What was found, by check."""
    found: dict[str, list[str]] = {}
    for finding in report_on(path).findings():
        found.setdefault(finding.check, []).append(str(finding))
    return found


def rewrite(path: Path, name: str, place, value) -> None:
    """Change a value and make its checksum fit, as a program would that writes something wrong."""
    with h5py.File(path, "r+") as file:
        dataset = file[name]
        dataset[place] = value
        values = dataset.asstr()[...] if h5py.check_string_dtype(dataset.dtype) else dataset[...]
        dataset.attrs["crc32"] = np.int64(checksum(values))


def test_nothing_is_wrong_with_a_real_part(part):
    report = report_on(part)
    assert list(report.findings()) == []
    assert report.is_sound
    looked_at = {name: outcome.num for name, outcome in report.outcomes.items() if outcome.num}
    # The structure before relaxation, and the one after.
    rows = dict.fromkeys(["ids", "status", "n", "energies", "relaxation"], 3) | {"atoms": 6}
    assert looked_at == {"structure": 1, "units": 1, "checksums": 1, **rows}


@pytest.mark.parametrize("version", ["3", "4", "6", "6_leaning", "7", "7_material"])
def test_nothing_is_wrong_with_a_real_part_of_any_version(version):
    outcomes = report_on(FOLDER / f"golden_v{version}.h5").outcomes
    assert [name for name, outcome in outcomes.items() if outcome.num_wrong] == []


def test_every_byte_of_the_file_is_gone_through(part):
    steps = []
    verify_file(part, Report(), steps.append)
    assert sum(steps) == part.stat().st_size


def test_a_flipped_byte_in_the_positions_is_found(part):
    with h5py.File(part) as file:
        chunk = file["atoms/positions"].id.get_chunk_info(0)
    image = bytearray(part.read_bytes())
    image[chunk.byte_offset + chunk.size // 2] ^= 0x40
    part.write_bytes(image)
    assert list(sentences(part)) == ["checksums"]
    assert (
        "part-00000.h5: expected numbers that can be read, got" in sentences(part)["checksums"][0]
    )


def test_a_flipped_byte_that_still_unpacks_is_found_by_its_checksum(part):
    """In the lowest byte of one coordinate: physics cannot see it."""
    with h5py.File(part, "r+") as file:
        positions = file["atoms/positions"][...]
        positions.view(np.uint8)[0, 0] ^= 0x01
        file["atoms/positions"][...] = positions
    assert sentences(part) == {
        "checksums": [
            f"{part}: atoms/positions: expected what was written, got something else: the checksum"
            " does not fit"
        ]
    }


@pytest.mark.parametrize("name", ["units", "unit"])
def test_a_wrong_unit_attribute_is_found(part, name):
    with h5py.File(part, "r+") as file:
        file["structures/gb_energy_j_m2"].attrs[name] = "eV"
    assert sentences(part) == {
        "units": [f"{part}: structures/gb_energy_j_m2@{name}: expected 'J/m^2', got 'eV'"]
    }


def test_wrong_units_in_a_file_of_version_2_are_found(tmp_path):
    path = Path(shutil.copyfile(FOLDER / "golden_v2.h5", tmp_path / "old.h5"))
    assert report_on(path).outcomes["units"].status == "ok"
    with h5py.File(path, "r+") as file:
        file["atoms/positions"].attrs["unit"] = "nm"
    assert sentences(path)["units"] == [f"{path}: atoms/positions@unit: expected 'Å', got 'nm'"]


def test_labels_that_are_not_those_of_the_schema_are_found(part):
    with h5py.File(part, "r+") as file:
        file["structures/status"].attrs["labels"] = ["good", "bad"]
    assert "structures/status@labels" in sentences(part)["units"][0]


def test_an_energy_that_does_not_follow_from_its_own_stored_energies_is_found(part):
    before = read_part(part)[1].gb_energy_j_m2
    rewrite(part, "structures/gb_energy_j_m2", 1, 2.297)
    expected = (
        f"{part}: {SECOND}: gb_energy_j_m2: expected {before:.6f} J/m^2, as of energies_ev,"
        " cohesive_ev and area_a2, got 2.297000"
    )
    assert sentences(part) == {"energies": [expected]}


@pytest.mark.parametrize(
    ("name", "place", "value", "check", "sentence"),
    [
        ("atoms/energies_ev", 130, -8.0, "energies", "search-000000: gb_energy_j_m2: expected"),
        ("structures/cohesive_ev", 0, -8.7, "energies", "search-000000: gb_energy_j_m2: expected"),
        (
            "structures/surface_depth_a",
            0,
            2.0,
            "energies",
            "search-000000: gb_energy_j_m2: expected",
        ),
        (
            "structures/area_a2",
            0,
            90.0,
            "energies",
            "area_a2: expected 100.162721 Å^2, as of cell, got 90.0",
        ),
        (
            "structures/n_fraction",
            0,
            0.5,
            "n",
            "n_fraction: expected 0.200000 = (262 mod 10) / 10, got 0.500000",
        ),
        (
            "structures/atoms_per_plane",
            0,
            9,
            "n",
            "atoms_per_plane: expected 10, as of the boundary in config, got 9",
        ),
        ("structures/excess_volume_a", 0, 0.0, "atoms", "search-000000: excess_volume_a: expected"),
        ("structures/closest_pair_a", 0, 2.0, "atoms", "search-000000: closest_pair_a: expected"),
        (
            "structures/cell",
            (0, 1),
            0.0,
            "atoms",
            "search-000000: cell: expected the edges of a box",
        ),
        (
            "structures/converged",
            0,
            False,
            "relaxation",
            "converged: expected True, got False with the stop reason 'energy tolerance'",
        ),
        ("structures/evaluations", 0, 0, "relaxation", "evaluations: expected at least 1, got 0"),
        (
            "structures/preset",
            0,
            "",
            "relaxation",
            "preset: expected the tolerances of the last relaxation, got nothing",
        ),
        (
            "structures/max_force_ev_a",
            0,
            -1.0,
            "relaxation",
            "max_force_ev_a: expected no less than 0 eV/Å, got -1.0",
        ),
        (
            "structures/preset",
            0,
            "loose",
            "status",
            "preset: expected one of nothing, local, screen, paper, tight, got loose",
        ),
        (
            "structures/reason",
            0,
            "why?",
            "status",
            "reason: expected none, for it is ok, got 'why?'",
        ),
        (
            "structures/status",
            0,
            "failed",
            "status",
            "gb_energy_j_m2: expected NaN, for it is failed, got numbers",
        ),
        (
            "structures/gb_energy_j_m2",
            0,
            np.nan,
            "status",
            "gb_energy_j_m2: expected finite numbers, for it is ok, got NaN or infinity",
        ),
        (
            "atoms/positions",
            (5, 0),
            np.nan,
            "status",
            "positions: expected finite numbers, for it is ok, got NaN or infinity",
        ),
        ("atoms/positions", (5, 2), 80.0, "atoms", "positions[5]: expected 0 <= z <="),
        (
            "structures/id",
            0,
            SECOND,
            "ids",
            "search-000001: id: expected search-000000, got search-000001",
        ),
        (
            "structures/index",
            0,
            7,
            "ids",
            "search-000000: id: expected search-000007, got search-000000",
        ),
        (
            "structures/start",
            1,
            5,
            "structure",
            "structures/start: expected row 1 to start at 262, got 5",
        ),
        (
            "structures/num_atoms",
            1,
            5,
            "structure",
            "structures/num_atoms: expected 799 atoms in all, as in atoms/positions, got 534",
        ),
    ],
)
def test_what_does_not_follow_is_found_although_its_checksum_fits(
    part, name, place, value, check, sentence
):
    rewrite(part, name, place, value)
    found = sentences(part)
    assert any(sentence in line for line in found[check]), found
    assert "checksums" not in found


def test_two_atoms_in_one_place_are_found(part):
    with h5py.File(part) as file:
        other = file["atoms/positions"][131]
    rewrite(part, "atoms/positions", 130, other + 0.1)
    assert any(
        "positions: expected a boundary of the crystal, got two relaxed atoms are 0.173 Å apart"
        in line
        for line in sentences(part)["atoms"]
    )


def test_an_id_that_occurs_twice_is_found(part):
    rewrite(part, "structures/index", 0, 1)
    rewrite(part, "structures/id", 0, SECOND)
    assert sentences(part) == {
        "ids": [f"{part}: {SECOND}: id: expected an id of its own, got that of a candidate before"]
    }


@pytest.mark.parametrize(
    "name", ["structures/gb_energy_j_m2", "structures/start", "atoms/energies_ev", "plot"]
)
def test_a_missing_dataset_is_found(part, name):
    with h5py.File(part, "r+") as file:
        del file[name]
    assert name in sentences(part)["structure"][0]


def test_a_dataset_of_another_type_or_shape_is_found(part):
    with h5py.File(part, "r+") as file:
        del file["structures/round"], file["structures/reason"], file["structures/sample_s"]
        file["structures/round"] = np.zeros(3, dtype=np.int32)
        file["structures/reason"] = np.array([b"a", b"b", b"c"])
        file["structures/sample_s"] = np.zeros(4)
        file["structures/sample_s"].attrs["crc32"] = 0
    lines = sentences(part)["structure"]
    assert f"{part}: structures/round: expected the type int64, got int32" in lines
    assert any("structures/reason: expected the type UTF-8 text" in line for line in lines)


def test_a_column_of_another_length_is_found(part):
    with h5py.File(part, "r+") as file:
        del file["structures/sample_s"]
        file["structures/sample_s"] = np.zeros(4)
        file["structures/sample_s"].attrs["crc32"] = 0
    assert sentences(part)["structure"] == [
        f"{part}: structures/sample_s: expected the shape (3,), got (4,)"
    ]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_short_is_found(part, share):
    os.truncate(part, int(share * part.stat().st_size))
    assert (
        "expected a complete HDF5 file, got a truncated or corrupt one"
        in sentences(part)["structure"][0]
    )


def test_any_flipped_bit_is_a_finding_or_harmless_and_never_a_crash(part):
    image, golden = part.read_bytes(), read_part(part)
    found = 0
    for place in range(0, len(image), 1499):
        damaged = bytearray(image)
        damaged[place] ^= 0x10
        part.write_bytes(damaged)
        if report_on(part).is_sound:
            assert_same(read_part(part), golden)
        else:
            found += 1
    assert found > 20


def test_a_file_of_an_older_version_finds_the_depth_of_its_surfaces_in_the_run_that_it_lies_in(
    part, tmp_path
):
    """As a file of version 2 has it: without surface_depth_a, the energies need the potential's
    reach.
    """
    shutil.copyfile(FOLDER / "golden_v3.h5", part)
    with h5py.File(part, "r+") as file:
        potential = file["structures/potential_sha256"].asstr()[0]
        for field in FIELDS:
            if field.since == 3:
                del file[field.path]
        file.attrs["schema_version"] = 2
    assert report_on(part).outcomes["energies"].status == "not checked"
    assert "does not hold surface_depth_a" in report_on(part).outcomes["energies"].skipped[0]
    (tmp_path / "bulk.json").write_text(
        f'{{"{potential} W bcc measured": {{"a0": 3.16, "cohesive_ev": -8.76, "cutoff": 7.8925}}}}'
    )
    assert report_on(part).outcomes["energies"].status == "ok"
    assert "energies" not in sentences(part)


def test_a_file_without_a_boundary_says_what_could_not_be_checked(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    report = report_on(tmp_path / "part.h5")
    assert report.outcomes["n"].status == "not checked"
    assert report.outcomes["n"].skipped == [
        f"{tmp_path / 'part.h5'}: the attribute config names no boundary to compare with"
    ]


def test_findings_beyond_a_hundred_are_counted(tmp_path, provenance):
    write_part(
        tmp_path / "part.h5",
        [make_candidate(index, num_atoms=2, preset="loose") for index in range(KEPT + 20)],
        provenance,
    )
    outcome = report_on(tmp_path / "part.h5").outcomes["status"]
    assert len(outcome.findings) == KEPT
    assert outcome.num_wrong > KEPT


def test_a_file_is_read_in_pieces_with_the_same_columns_and_checksums(
    tmp_path, candidates, provenance, monkeypatch
):
    monkeypatch.setattr("gcd_hpc.store.blocks._ATOMS", 50)
    write_part(tmp_path / "part.h5", candidates, provenance)
    with reading(tmp_path / "part.h5") as file:
        blocks = Blocks(file)
        pieces = list(blocks)
        assert [piece["id"].tolist() for piece in pieces] == [
            [FIRST],
            [SECOND, "search-000002"],
            ["search-000003"],
        ]
        for field in (*FIELDS, START):
            stored = file.hdf5[field.path]
            whole = stored.asstr()[...] if field.kind == "text" else stored[...]
            np.testing.assert_array_equal(
                np.concatenate([piece[field.name] for piece in pieces]), whole
            )
        assert blocks.damaged() == []
    assert checksum(np.arange(3)) == zlib.crc32(np.arange(3).tobytes())


@pytest.mark.parametrize(("field", "value"), [("tilt_a", np.inf), ("cell", (5.0, 0.0, 30.0))])
def test_atoms_in_no_box_are_no_boundary(field, value):
    """A lean that is no length, or an edge without one."""
    row = vars(replace(make_candidate(0), **{field: value}))
    assert row_fault(row, 2.7) == "expected atoms with finite positions in a box, got others"


@pytest.mark.parametrize("text", ["=1+1", '{"Xx": [1, 2]}', '{"W": 3}', '{"W": [NaN, 0]}'])
def test_energies_of_elements_that_cannot_be_read_are_a_fault_of_their_row(text):
    fault = row_fault(vars(make_candidate(0, element_energies_ev=text)), 2.7)
    assert fault.startswith("element_energies_ev holds no energies of elements")
