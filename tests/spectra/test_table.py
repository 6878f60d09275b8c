"""Tables of spectra: what they refuse, and their files, ours and those of other programs."""

import dataclasses
import shutil
import tracemalloc

import h5py
import numpy as np
import pytest
from ase.io import read, write

from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.columns import from_columns, with_columns
from gcd_hpc.spectra.table import joined
from gcd_hpc.spectra.table_file import Labelled, read_labelled, write_labelled
from tests.spectra.tables import assert_same_tables, make_labelled, make_structures, make_table


@pytest.fixture
def path(tmp_path):
    write_labelled(tmp_path / "labelled.h5", make_labelled())
    return tmp_path / "labelled.h5"


WRONG = {
    "energies that fall": {"energies_ev": np.linspace(300, 280, 7)},
    "an energy twice": {"energies_ev": np.array([1.0, 2, 2, 3, 4, 5, 6])},
    "an energy that is not finite": {"energies_ev": np.array([1.0, 2, 3, 4, 5, 6, np.nan])},
    "too few energies": {"energies_ev": np.arange(6.0)},
    "an atom twice": {"rows": ((0, 1), (0, 4), (2, 0), (0, 1))},
    "an atom before the first": {"atom": np.array([1, 4, -1, 3])},
    "a spectrum of a failed row": {"values": np.ones((4, 7))},
    "no spectrum of a row that is ok": {"failed": (1,), "values": np.full((4, 7), np.nan)},
    "an unknown status": {"status": np.array(["ok", "failed", "ok", "fine"], dtype=object)},
    "negative seconds": {"seconds": np.array([1.0, -1, 1, 1])},
    "fewer reasons than rows": {"reason": np.array(["", "x", ""], dtype=object)},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_table_cannot_hold(what):
    with pytest.raises(ValueError, match=r"\w"):
        make_table(**WRONG[what])


def test_a_table_and_its_structures_come_back_from_their_file(path):
    before, after = make_labelled(), read_labelled(path)
    assert_same_tables(before.table, after.table)
    for left, right in zip(before.structures, after.structures, strict=True):
        assert left == right
        assert left.info == right.info


def test_plain_h5py_reads_the_file(path):
    table = make_table()
    with h5py.File(path) as file:
        spectra = file["spectra"]
        np.testing.assert_array_equal(spectra["values"][...], table.values)
        np.testing.assert_array_equal(spectra["energy_ev"][...], table.energies_ev)
        assert spectra["status"].asstr()[...].tolist() == ["ok", "failed", "ok", "ok"]
        assert spectra.attrs["edge"] == "K"
        assert spectra.attrs["sha256"] == table.sha256
        assert file["structures/num_atoms"][...].tolist() == [5, 5, 5]
        assert all(file[name].attrs["meaning"] for name in ("spectra/values", "atoms/positions"))


def test_a_table_without_energies_says_so_in_its_file(tmp_path):
    write_labelled(tmp_path / "bins.h5", make_labelled(energies_ev=None))
    assert read_labelled(tmp_path / "bins.h5").table.energies_ev is None
    with h5py.File(tmp_path / "bins.h5") as file:
        assert file["spectra"].attrs["axis"] == "bins"
        assert "energy_ev" not in file["spectra"]


def test_a_table_without_rows_comes_back(tmp_path):
    empty = make_table().rows([])
    write_labelled(tmp_path / "none.h5", Labelled([], empty))
    assert len(read_labelled(tmp_path / "none.h5").table) == 0


@pytest.mark.parametrize(
    "name", ["spectra/values", "spectra/energy_ev", "atoms/positions", "spectra/seconds"]
)
def test_a_changed_number_is_refused_with_the_name_of_the_file(path, name):
    with h5py.File(path, "r+") as file:
        file[name][-1] += 1e-9
    with pytest.raises(StoreError, match=rf"labelled\.h5: .*checksum of {name} does not fit"):
        read_labelled(path)


@pytest.mark.parametrize("group", ["/", "spectra"])
def test_a_changed_or_unsealed_attribute_is_refused(path, group):
    with h5py.File(path, "r+") as file:
        file[group].attrs["version" if group == "spectra" else "creator"] = "0.2.5"
    with pytest.raises(StoreError, match="checksum of the attributes"):
        read_labelled(path)
    with h5py.File(path, "r+") as file:
        del file[group].attrs["crc32"]
    with pytest.raises(StoreError, match="have no checksum"):
        read_labelled(path)


HOSTILE = {
    "numbers that are declared and not there": {"shape": (10**9, 7), "dtype": "<f8"},
    "a hundred thousand million numbers": {
        "shape": (10**10, 7),
        "dtype": "<f8",
        "chunks": (1 << 12, 7),
    },
    "numbers of another kind": {"data": np.zeros((4, 7), dtype="<f4")},
    "texts": {"data": ["x"] * 4},
    "one number a row": {"data": np.zeros(4)},
    "no rows": {"data": np.float64(2)},
    "nothing": {"data": h5py.Empty("<f8")},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_declares_something_else_is_refused_before_memory_is_allocated(path, what):
    with h5py.File(path, "r+") as file:
        attributes = dict(file["spectra/values"].attrs)
        del file["spectra/values"]
        file.create_dataset("spectra/values", **HOSTILE[what]).attrs.update(attributes)
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=r"labelled\.h5: expected"):
            read_labelled(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_file_cut_short_or_of_another_kind_is_refused(path, tmp_path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="expected a complete HDF5 file"):
        read_labelled(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = [1.0]
    with pytest.raises(StoreError, match="gcd-hpc spectra label writes it, got another HDF5 file"):
        read_labelled(tmp_path / "other.h5")
    with pytest.raises(StoreError, match=r"none\.h5: expected .*, got no such file"):
        read_labelled(tmp_path / "none.h5")


def test_rows_of_atoms_that_do_not_exist_are_refused(path):
    for wrong in (((0, 1), (0, 4), (2, 0), (3, 3)), ((0, 1), (0, 4), (2, 0), (2, 5))):
        with pytest.raises(ValueError, match="structure"):
            Labelled(make_structures(), make_table(rows=wrong))
    with pytest.raises(ValueError, match="atom 1 of structure 0 is C"):
        Labelled(make_structures(), make_table(element="Si"))


def test_parts_join_to_the_same_table_in_any_order():
    table = make_table()
    parts = [table.rows([2, 0]), table.rows([3]), table.rows([1])]
    assert_same_tables(joined(parts), table)
    assert_same_tables(joined(parts[::-1]), table)
    with pytest.raises(StoreError, match="an atom has two rows"):
        joined([table, parts[0]])
    other = dataclasses.replace(parts[1], settings="{}")
    with pytest.raises(StoreError, match="settings or energies differ"):
        joined([parts[0], other])


def test_extended_xyz_holds_the_spectra_of_the_atoms_that_have_one(tmp_path):
    before = make_labelled()
    write(tmp_path / "labelled.extxyz", with_columns(before), format="extxyz")
    text = (tmp_path / "labelled.extxyz").read_text()
    assert "xanes:R:7" in text
    assert 'xanes_edge="C K"' in text
    after = from_columns(read(tmp_path / "labelled.extxyz", ":"))
    computed = before.table.rows(before.table.is_ok)
    assert after.table.sha256 == computed.sha256
    np.testing.assert_array_equal(after.table.structure, computed.structure)
    np.testing.assert_array_equal(after.table.atom, computed.atom)
    np.testing.assert_array_equal(after.table.energies_ev, computed.energies_ev)
    # Extended XYZ of ASE has eight decimals.
    np.testing.assert_allclose(after.table.values, computed.values, atol=1e-8)


def test_columns_without_a_description_are_refused():
    structures = with_columns(make_labelled())
    with pytest.raises(StoreError, match="no structure has the column xanes"):
        from_columns(make_structures())
    structures[1].info["xanes_engine"] = "other"
    with pytest.raises(StoreError, match="structure 1: xanes_settings_sha256 is not that"):
        from_columns(structures)
    del structures[0].info["xanes_edge"]
    with pytest.raises(StoreError, match=r'structure 0 .* add xanes_edge="C K"'):
        from_columns(structures)


def test_writing_does_not_replace_a_file_before_the_new_one_is_complete(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("gcd_hpc.spectra.table_file.seal_file", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_labelled(path, make_labelled())
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    shutil.rmtree(path.parent)
