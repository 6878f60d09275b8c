"""Part files: what is written comes back, and nothing half-written is ever seen under the final
name.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.store.blocks import Blocks
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.checksums import (
    checksum,
)
from gcd_hpc.store.field import Field
from gcd_hpc.store.parts import read_columns, read_part, read_provenance, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import BY_NAME, FIELDS, ROW_FIELDS, SCHEMA_VERSION
from tests.store.synthetic import CONFIG, assert_same, make_candidate, read_row


def test_candidates_come_back_bit_for_bit(tmp_path, candidates, provenance):
    write_part(tmp_path / "part-00000.h5", candidates, provenance)
    assert_same(read_part(tmp_path / "part-00000.h5"), candidates)


def test_values_come_back_as_plain_python_types(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    first = read_part(tmp_path / "part.h5")[0]
    assert type(first.id) is str
    assert type(first.index) is int
    assert type(first.gb_energy_j_m2) is float
    assert first.converged is True


def test_chosen_rows_are_read_without_the_others(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    assert_same(read_part(tmp_path / "part.h5", rows=[3, 1]), [candidates[3], candidates[1]])


def test_a_single_row_is_the_candidate_of_that_row(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    assert_same([read_row(tmp_path / "part.h5", row) for row in range(len(candidates))], candidates)
    assert type(read_row(tmp_path / "part.h5", 0).converged) is bool


def test_a_single_row_of_an_old_file_has_the_defaults_of_later_fields(tmp_path):
    old = Path(__file__).with_name("golden_v1.h5")
    assert_same([read_row(old, 1)], read_part(old, [1]))


def test_a_part_may_be_empty(tmp_path, provenance):
    write_part(tmp_path / "part.h5", [], provenance)
    assert read_part(tmp_path / "part.h5") == []


def test_columns_of_several_files_follow_one_another(tmp_path, candidates, provenance):
    write_part(tmp_path / "a.h5", candidates[:3], provenance)
    write_part(tmp_path / "b.h5", candidates[3:], provenance)
    columns = read_columns(
        [tmp_path / "a.h5", tmp_path / "b.h5"], ["id", "gb_energy_j_m2", "registry"]
    )
    assert columns["id"].tolist() == [candidate.id for candidate in candidates]
    np.testing.assert_array_equal(
        columns["gb_energy_j_m2"], [candidate.gb_energy_j_m2 for candidate in candidates]
    )
    assert columns["registry"].shape == (4, 3)


def test_columns_of_no_file_are_empty():
    columns = read_columns([], [field.name for field in ROW_FIELDS])
    assert all(len(values) == 0 for values in columns.values())


def test_columns_refuse_a_name_that_is_no_field():
    with pytest.raises(StoreError, match="there is no field gb_enregy; choose of id, source"):
        read_columns([], ["gb_enregy"])


def test_text_is_utf8_and_every_dataset_has_its_unit(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    with h5py.File(tmp_path / "part.h5") as file:
        for field in FIELDS:
            attributes = file[field.path].attrs
            assert (attributes["units"], attributes["meaning"]) == (field.unit, field.meaning)
            assert attributes["long_name"].startswith(field.title)
            assert tuple(attributes.get("labels", ())) == field.labels
        assert file["structures/gb_energy_j_m2"].attrs["long_name"] == "E_gb (J/m^2)"
        assert file["structures/status"].attrs["labels"].tolist() == [
            "sampled",
            "ok",
            "invalid",
            "failed",
        ]
        assert h5py.check_string_dtype(file["structures/reason"].dtype).encoding == "utf-8"


def test_text_that_hdf5_cannot_hold_loses_only_the_bad_characters(tmp_path, provenance):
    write_part(
        tmp_path / "part.h5", [make_candidate(0, status="failed", reason="a\0b\udcffc")], provenance
    )
    assert read_part(tmp_path / "part.h5")[0].reason == "ab?c"


def test_a_file_says_where_it_comes_from(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    attributes = read_provenance(tmp_path / "part.h5")
    assert attributes["config"] == CONFIG
    assert attributes["stage"] == "search"
    assert attributes["schema_version"] == str(SCHEMA_VERSION)
    assert attributes["package_version"]
    assert attributes["git_commit"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"part-00007\.h5: expected .* no such file"):
        read_part(tmp_path / "part-00007.h5")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_named(tmp_path, candidates, provenance, share):
    path = tmp_path / "part-00003.h5"
    write_part(path, candidates, provenance)
    os.truncate(path, int(share * path.stat().st_size))
    for read in (read_part, read_provenance, lambda path: read_columns([path], ["id"])):
        with pytest.raises(StoreError, match=r"part-00003\.h5: expected a complete HDF5 file"):
            read(path)


def test_a_flipped_bit_is_found_or_harmless(tmp_path, candidates, provenance):
    path = tmp_path / "part.h5"
    write_part(path, candidates, provenance)
    image = path.read_bytes()
    found = 0
    for place in range(0, len(image), 997):
        damaged = bytearray(image)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            read = read_part(path)
        except StoreError:
            found += 1
        else:
            assert_same(read, candidates)
    assert found > 10


def test_a_file_of_a_newer_schema_is_refused(tmp_path, candidates, provenance):
    write_part(tmp_path / "part.h5", candidates, provenance)
    with h5py.File(tmp_path / "part.h5", "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    with pytest.raises(
        StoreError,
        match=rf"part\.h5: expected schema version 1 to {SCHEMA_VERSION}, got {SCHEMA_VERSION + 1}",
    ):
        read_part(tmp_path / "part.h5")


@pytest.mark.parametrize("version", [1, 2])
def test_a_part_of_an_older_version_is_read_by_every_later_one(version):
    # Made by that version: python -c "from tests.store.synthetic import *;
    # write_golden('tests/store/golden_v1.h5')"
    path = Path(__file__).parent / f"golden_v{version}.h5"
    assert read_provenance(path)["schema_version"] == str(version)
    first, second = read_part(path)
    assert (first.id, first.status, first.num_atoms, first.converged) == (
        "search-000000",
        "ok",
        3,
        True,
    )
    np.testing.assert_array_equal(first.positions, [[0, 0, 1], [1, 0, 2], [0, 1, 3.5]])
    np.testing.assert_array_equal(first.registry, [0.25, 0.5, 0.125])
    assert (second.id, second.source, second.version, second.reason) == (
        "model-01-000007",
        "model",
        1,
        "Ø atoms",
    )
    assert np.isnan(second.gb_energy_j_m2)
    assert (first.run, first.atoms_per_plane) == ("", 0)


def test_a_part_of_version_3_is_read_by_every_later_one():
    # Made by that version: python -m tests.store.golden tests/store/golden_v3.h5
    path = Path(__file__).parent / "golden_v3.h5"
    assert read_provenance(path)["schema_version"] == "3"
    found = read_part(path)
    assert [row.id for row in found] == ["search-000000", "search-000001", "search-000002"]
    assert [row.num_atoms for row in found] == [262, 270, 267]
    assert [round(row.gb_energy_j_m2, 4) for row in found] == [3.1557, 3.329, 3.3085]
    assert {
        (row.status, row.preset, row.atoms_per_plane, row.surface_depth_a) for row in found
    } == {("ok", "tight", 10, 7.8925)}
    assert all(
        np.isfinite(row.positions).all() and row.energies_ev.shape == (row.num_atoms,)
        for row in found
    )


def test_a_part_of_version_4_is_read_by_every_later_one():
    # Made by that version: python -m tests.store.golden tests/store/golden_v4.h5
    path = Path(__file__).parent / "golden_v4.h5"
    assert read_provenance(path)["schema_version"] == "4"
    found = read_part(path)
    assert [(row.num_atoms, row.n_index) for row in found] == [(262, 2), (270, 0), (267, 7)]
    assert {(row.strain_energy_j_m2, row.strain_volume_a) for row in found} == {(0.0, 0.0)}
    before = read_part(path.with_name("golden_v3.h5"))
    assert [row.gb_energy_j_m2 for row in found] == [row.gb_energy_j_m2 for row in before]
    for row, same in zip(found, before, strict=True):
        np.testing.assert_array_equal(row.positions, same.positions)


def test_a_part_of_version_5_is_read_by_every_later_one():
    # Made by that version: python -m tests.store.golden tests/store/golden_v5.h5
    path = Path(__file__).parent / "golden_v5.h5"
    assert read_provenance(path)["schema_version"] == "5"
    found, before = read_part(path), read_part(path.with_name("golden_v4.h5"))
    assert [row.atom_evaluations for row in found] == [
        row.evaluations * row.num_atoms for row in found
    ]
    assert all(row.cpu_s > 0 and row.move == row.parents == "" for row in found)
    for row, same in zip(found, before, strict=True):
        np.testing.assert_array_equal(row.positions, same.positions)


def test_compounds_and_leaning_cells_of_version_6_are_read_by_every_later_one():
    # Made by that version: python -m tests.store.golden tests/store/golden_v6.h5 nial_sigma5, and
    # golden_v6_leaning.h5 cu_sigma7_twist
    compound, leaning = (
        Path(__file__).with_name(name) for name in ("golden_v6.h5", "golden_v6_leaning.h5")
    )
    assert {read_provenance(path)["schema_version"] for path in (compound, leaning)} == {"6"}
    for row in read_part(compound):
        assert set(row.numbers) == {13, 28}
        num_nickel, num_aluminium = (int((row.numbers == number).sum()) for number in (28, 13))
        assert row.formula == f"Ni{num_nickel}Al{num_aluminium}"
        assert np.isfinite([row.rich_gb_energy_j_m2, row.poor_gb_energy_j_m2]).all()
        assert (row.energies_from, row.tilt_a) == ("atoms", 0.0)
        assert set(json.loads(row.element_energies_ev)) == {"Ni", "Al"}
    assert [row.n_index for row in read_part(leaning)] == [1, 0, 5]
    for row in read_part(leaning):
        # A rhomb: its second edge is as long as the first, at 60 or 120 degrees.
        assert abs(row.tilt_a) == pytest.approx(row.cell[0] / 2)
        assert row.cell[1] == pytest.approx(row.cell[0] * np.sqrt(0.75))
        assert row.formula == row.element_energies_ev == ""


def test_a_part_of_version_7_is_read_by_every_later_one():
    # Made by that version: python -m tests.store.golden tests/store/golden_v7.h5 nial_sigma5
    path = Path(__file__).parent / "golden_v7.h5"
    assert read_provenance(path)["schema_version"] == "7"
    found, before = read_part(path), read_part(path.with_name("golden_v6.h5"))
    assert [row.gb_energy_j_m2 for row in found] == [row.gb_energy_j_m2 for row in before]
    assert {(row.guided, row.num_labelled, row.source) for row in found} == {("", 0, "search")}


def test_a_part_of_a_material_of_version_7_is_read_by_every_later_one():
    # Made by that version: the campaign SMALL of tests/material.py, model-02/relaxed/part-00001.h5.
    path = Path(__file__).parent / "golden_v7_material.h5"
    assert read_provenance(path)["schema_version"] == "7"
    guided, unguided = read_part(path)
    assert (guided.guided, unguided.guided) == ("guided", "unguided")
    assert [round(row.spectrum_error, 5) for row in (guided, unguided)] == [0.07954, 0.12762]
    for row in (guided, unguided):
        assert (row.source, row.num_labelled, row.n_index) == ("model", 6, -1)
        assert row.density_g_cm3 == pytest.approx(2.5)
        assert row.energy_ev_atom == pytest.approx(row.energies_ev.mean())
        assert set(row.numbers) == {6}
        assert row.predicted_error > 0 and row.spectrum_error_se > 0


@pytest.mark.parametrize("name", [f"golden_v{version}.h5" for version in range(1, 7)])
def test_rows_of_files_before_version_7_are_of_no_material(name):
    path = Path(__file__).with_name(name)
    unknown = {field.name: field.default for field in FIELDS if field.since == 7}
    assert set(unknown) == {
        "density_g_cm3",
        "energy_ev_atom",
        "guided",
        "spectrum_error",
        "spectrum_error_se",
        "predicted_error",
        "num_labelled",
    }
    for row in read_part(path):
        assert row.source not in ("quench", "given")
        # NaN is the default of most, and equals nothing.
        np.testing.assert_equal({name: getattr(row, name) for name in unknown}, unknown)


def test_rows_of_a_material_are_read_as_they_were_written(tmp_path):
    rows = [
        make_candidate(0, "quench", density_g_cm3=2.5, energy_ev_atom=-7.1, num_labelled=8),
        make_candidate(1, "given"),
        make_candidate(
            2,
            "model",
            1,
            guided="guided",
            spectrum_error=0.04,
            spectrum_error_se=0.003,
            predicted_error=0.03,
        ),
    ]
    write_part(tmp_path / "part.h5", rows, {"config": CONFIG})
    assert_same(read_part(tmp_path / "part.h5"), rows)


@pytest.mark.parametrize(("version", "indices"), [(1, [-1, -1]), (2, [-1, -1]), (3, [2, 0, 7])])
def test_n_index_of_older_files_follows_from_what_they_hold(version, indices):
    path = Path(__file__).parent / f"golden_v{version}.h5"
    assert [row.n_index for row in read_part(path)] == indices
    assert read_columns([path], ["n_index"])["n_index"].tolist() == indices
    assert [read_row(path, row).n_index for row in range(len(indices))] == indices
    with reading(path) as file:
        blocks = [columns["n_index"].tolist() for columns in Blocks(file)]
    assert blocks == [indices]


def test_n_index_of_a_file_that_knows_fractions_only_counts_in_their_common_unit(tmp_path):
    shutil.copyfile(Path(__file__).parent / "golden_v1.h5", tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        fractions = np.array([0.2, 0.5])
        file["structures/n_fraction"][...] = fractions
        file["structures/n_fraction"].attrs["crc32"] = np.int64(checksum(fractions))
    assert read_columns([tmp_path / "old.h5"], ["n_index"])["n_index"].tolist() == [2, 5]


def test_a_nexus_reader_finds_the_energies_against_n_by_following_the_defaults(
    tmp_path, candidates, provenance
):
    """As the NeXus manual has it: NXroot, default, NXentry, default, NXdata with signal and axes of
    the same length.
    """
    write_part(tmp_path / "part.h5", candidates, provenance)
    with h5py.File(tmp_path / "part.h5") as file:
        assert file.attrs["NX_class"] == "NXroot"
        entry = file[file.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry"
        data = entry[entry.attrs["default"]]
        assert data.attrs["NX_class"] == "NXdata"
        signal, (axis,) = data[data.attrs["signal"]], (data[name] for name in data.attrs["axes"])
        assert data.attrs["n_fraction_indices"] == 0
        assert signal.shape == axis.shape == (4,)
        np.testing.assert_array_equal(
            signal, [candidate.gb_energy_j_m2 for candidate in candidates]
        )
        assert (signal.attrs["units"], axis.attrs["long_name"]) == ("J/m^2", "[n]")


def test_a_field_younger_than_the_file_holds_its_default(
    tmp_path, candidates, provenance, monkeypatch
):
    write_part(tmp_path / "part.h5", candidates, provenance)
    monkeypatch.setitem(
        BY_NAME,
        "phase",
        Field(
            "phase",
            "added later",
            "",
            SCHEMA_VERSION + 1,
            name="phase",
            kind="text",
            default="unknown",
        ),
    )
    assert read_columns([tmp_path / "part.h5"], ["phase"])["phase"].tolist() == ["unknown"] * 4


def test_somebody_elses_hdf5_file_is_refused(tmp_path):
    h5py.File(tmp_path / "other.h5", "w").close()
    with pytest.raises(StoreError, match=r"other\.h5: expected an HDF5 file written by gcd-hpc"):
        read_part(tmp_path / "other.h5")


def test_writing_replaces_and_leaves_nothing_else(tmp_path, candidates, provenance):
    for _ in range(2):
        write_part(tmp_path / "part.h5", candidates, provenance)
    assert [path.name for path in tmp_path.iterdir()] == ["part.h5"]


KILLED_WRITER = """
    import sys
    sys.path.insert(0, {root!r})
    from tests.store.synthetic import make_candidate
    from gcd_hpc.store.parts import write_part
    candidates = [make_candidate(index, num_atoms=400) for index in range(10)]
    print("ready", flush=True)
    for number in range(100000):
        write_part(sys.argv[1] + f"/part-{{number:05d}}.h5", candidates, {{}})
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.111, 0.173, 0.25])
def test_kill_9_while_writing_leaves_only_whole_parts(tmp_path, delay_s):
    code = textwrap.dedent(KILLED_WRITER.format(root=str(Path(__file__).parents[2])))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        writer.stdout.readline()
        time.sleep(delay_s)
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    for path in tmp_path.glob("part-*.h5"):
        assert len(read_part(path)) == 10


KILLED_IN_THE_MIDDLE = """
    import os, signal, sys
    from pathlib import Path
    from gcd_hpc.store.parts import write_part
    whole = Path.write_bytes
    def half(path, data):
        whole(path, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    Path.write_bytes = half
    write_part(sys.argv[1], [], {})
"""


def test_kill_9_in_the_middle_of_a_write_leaves_no_part_under_its_name(tmp_path):
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(KILLED_IN_THE_MIDDLE),
        str(tmp_path / "part-00000.h5"),
    ]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list(tmp_path.glob("part-*.h5")) == []
    assert len(list(tmp_path.iterdir())) == 1
    assert RunDirectory(tmp_path).remove_leftovers() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, candidates, provenance):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(RunDirectoryError, match=r"cannot write .*part\.h5: file too large"):
            write_part(tmp_path / "part.h5", candidates, provenance)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path, candidates, provenance):
    (tmp_path / "parts").write_text("")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*part\.h5: "):
        write_part(tmp_path / "parts" / "part.h5", candidates, provenance)


def test_a_box_that_leans_comes_back_and_older_files_have_right_angles(tmp_path):
    leaning = make_candidate(0, cell=(10.0, 8.0, 60.0), tilt_a=5.0)
    write_part(tmp_path / "part.h5", [leaning], {})
    (row,) = read_part(tmp_path / "part.h5")
    assert row.box.tolist() == [[10.0, 0.0, 0.0], [5.0, 8.0, 0.0], [0.0, 0.0, 60.0]]
    for golden in sorted(Path(__file__).parent.glob("golden_v[1-5].h5")):
        assert {one.tilt_a for one in read_part(golden)} == {0.0}
