"""Exports, read back by the programs they are for."""

import csv

import ase.io
import numpy as np
import pytest

from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.store.export import export
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.schema import ROW_FIELDS
from gcd_hpc.structures.files import read_structure
from tests.store.synthetic import make_candidate

# Text formats of ASE keep eight digits after the point and more.
ATOL = 1e-7


@pytest.fixture
def store(tmp_path, candidates, provenance):
    write_part(tmp_path / "run/parts/search/part-00000.h5", candidates, provenance)
    write_part(tmp_path / "run/parts/model-01/relaxed/part-00000.h5", [make_candidate(4, "model", 1, num_atoms=33)], provenance)
    return RunStore(tmp_path / "run")


RELAXED = ["search-000000", "search-000003", "model-01-000004"]


def assert_same_structure(atoms, candidate):
    np.testing.assert_allclose(atoms.positions, candidate.positions, atol=ATOL)
    np.testing.assert_allclose(atoms.cell.array, np.diag(candidate.cell), atol=ATOL)
    assert set(atoms.symbols) == {"W"}


def test_extxyz_holds_every_relaxed_structure_with_all_that_is_known_of_it(store, tmp_path):
    assert export(store, "extxyz", tmp_path / "all.extxyz") == 3
    for atoms, candidate in zip(ase.io.read(tmp_path / "all.extxyz", ":"), store.candidates(RELAXED), strict=True):
        assert_same_structure(atoms, candidate)
        assert atoms.pbc.tolist() == [True, True, False]
        assert atoms.info["id"] == candidate.id
        assert atoms.info["converged"] == candidate.converged
        np.testing.assert_allclose(atoms.info["gb_energy_j_m2"], candidate.gb_energy_j_m2)
        np.testing.assert_allclose(atoms.info["registry"], candidate.registry)
        np.testing.assert_allclose(atoms.get_potential_energies(), candidate.energies_ev, atol=ATOL)
        np.testing.assert_allclose(atoms.get_potential_energy(), candidate.energies_ev.sum(), atol=1e-6)


def test_what_is_not_known_is_left_out_of_extxyz(store, tmp_path):
    export(store, "extxyz", tmp_path / "all.extxyz")
    first, second, _ = ase.io.read(tmp_path / "all.extxyz", ":")
    assert "target_energy_j_m2" not in first.info
    assert second.info["target_energy_j_m2"] == 2.5
    assert "reason" not in first.info


@pytest.mark.parametrize(("form", "suffix", "reader"), [("lammps-data", "data", "lammps-data"), ("poscar", "poscar", "vasp")])
def test_formats_of_one_structure_make_a_directory(store, tmp_path, form, suffix, reader):
    assert export(store, form, tmp_path / "out") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{name}.{suffix}" for name in RELAXED)
    for candidate in store.candidates(RELAXED):
        assert_same_structure(ase.io.read(tmp_path / "out" / f"{candidate.id}.{suffix}", format=reader), candidate)


@pytest.mark.parametrize(("form", "reader"), [("lammps-data", "lammps-data"), ("poscar", "vasp")])
def test_a_single_structure_makes_a_single_file(store, tmp_path, form, reader):
    assert export(store, form, tmp_path / "one", ids=["search-000003"]) == 1
    assert_same_structure(ase.io.read(tmp_path / "one", format=reader), store.candidates(["search-000003"])[0])


@pytest.mark.parametrize("form", ["extxyz", "lammps-data", "poscar"])
def test_an_exported_structure_can_be_evaluated_again(store, tmp_path, form):
    export(store, form, tmp_path / "one", ids=["search-000003"])
    assert_same_structure(read_structure(tmp_path / "one", "W"), store.candidates(["search-000003"])[0])


def test_csv_has_one_row_a_candidate_failed_ones_too(store, tmp_path):
    assert export(store, "csv", tmp_path / "all.csv") == 5
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "failed", "invalid", "ok", "ok"]
    assert rows[1]["reason"] == "LAMMPS: Größe der Kraft ist ∞\nlost atoms"
    assert rows[1]["gb_energy_j_m2"] == ""
    first = store.candidates(["search-000000"])[0]
    assert [float(rows[0][f"registry_{axis}"]) for axis in "xyz"] == first.registry.tolist()
    assert float(rows[0]["gb_energy_j_m2"]) == first.gb_energy_j_m2
    assert all(field.name in rows[0] for field in ROW_FIELDS if not field.shape)


def test_an_unknown_format_is_refused(store, tmp_path):
    with pytest.raises(StoreError, match="format: expected one of extxyz, lammps-data, poscar, csv, got cif"):
        export(store, "cif", tmp_path / "out")


def test_an_unknown_id_is_refused(store, tmp_path):
    with pytest.raises(StoreError, match="got search-000099"):
        export(store, "csv", tmp_path / "out", ids=["search-000099"])


def test_a_run_without_relaxed_structures_is_refused_and_leaves_nothing(tmp_path, provenance):
    write_part(tmp_path / "part.h5", [make_candidate(0, status="failed")], provenance)
    with pytest.raises(StoreError, match="expected at least one relaxed structure to export, got none"):
        export(RunStore(tmp_path / "part.h5"), "extxyz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="expected a place to write to"):
        export(store, "poscar", tmp_path / "file")


def test_a_file_that_does_not_say_its_element_is_named(tmp_path, candidates):
    write_part(tmp_path / "part.h5", candidates, {})
    with pytest.raises(StoreError, match=r"part\.h5: expected the campaign's boundary\.element"):
        export(RunStore(tmp_path / "part.h5"), "extxyz", tmp_path / "out")
