"""Exports, read back by the programs they are for."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import ase.db
import ase.io
import h5py
import numpy as np
import pytest

from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.store.export import SUFFIXES, Format, export
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.material_rows import kind_fields
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run import open_run
from tests.reference import read_one
from tests.store.synthetic import CONFIG, make_candidate, read_row

# Text formats of ASE keep eight digits after the point and more.
ATOL = 1e-7


@pytest.fixture(scope="module")
def written(tmp_path_factory, candidates, provenance):
    run = tmp_path_factory.mktemp("written") / "run"
    write_part(run / "parts/search/part-00000.h5", candidates, provenance)
    write_part(
        run / "parts/model-01/relaxed/part-00000.h5",
        [make_candidate(4, "model", 1, num_atoms=33)],
        provenance,
    )
    return run


@pytest.fixture
def results(written, tmp_path):
    return open_run(shutil.copytree(written, tmp_path / "run"))


RELAXED = ["search-000000", "search-000003", "model-01-000004"]


def assert_same_structure(atoms, candidate):
    np.testing.assert_allclose(atoms.positions, candidate.positions, atol=ATOL)
    np.testing.assert_allclose(atoms.cell.array, np.diag(candidate.cell), atol=ATOL)
    assert set(atoms.symbols) == {"W"}


def test_extxyz_holds_every_relaxed_structure_with_all_that_is_known_of_it(results, tmp_path):
    assert export(results, "extxyz", tmp_path / "all.extxyz") == 3
    for atoms, candidate in zip(
        ase.io.read(tmp_path / "all.extxyz", ":"), results[RELAXED], strict=True
    ):
        assert_same_structure(atoms, candidate)
        assert atoms.pbc.tolist() == [True, True, False]
        assert atoms.info["id"] == candidate.id
        assert atoms.info["converged"] == candidate.converged
        np.testing.assert_allclose(atoms.info["gb_energy_j_m2"], candidate.gb_energy_j_m2)
        np.testing.assert_allclose(atoms.info["registry"], candidate.registry)
        np.testing.assert_allclose(atoms.get_potential_energies(), candidate.energies_ev, atol=ATOL)
        np.testing.assert_allclose(
            atoms.get_potential_energy(), candidate.energies_ev.sum(), atol=1e-6
        )


def test_what_is_not_known_is_left_out_of_extxyz(results, tmp_path):
    export(results, "extxyz", tmp_path / "all.extxyz")
    first, second, _ = ase.io.read(tmp_path / "all.extxyz", ":")
    assert "target_energy_j_m2" not in first.info
    assert second.info["target_energy_j_m2"] == 2.5
    assert "reason" not in first.info


READERS = {
    "lammps-data": "lammps-data",
    "lammps-dump": "lammps-dump-text",
    "poscar": "vasp",
    "cif": "cif",
}


@pytest.mark.parametrize(("form", "reader"), READERS.items())
def test_formats_of_one_structure_make_a_directory(results, tmp_path, form, reader):
    suffix = SUFFIXES[form]
    assert export(results, form, tmp_path / "out") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.{suffix}" for name in RELAXED
    )
    for candidate in results[RELAXED]:
        assert_same_structure(
            ase.io.read(tmp_path / "out" / f"{candidate.id}.{suffix}", format=reader), candidate
        )


@pytest.mark.parametrize(("form", "reader"), READERS.items())
def test_a_single_structure_makes_a_single_file(results, tmp_path, form, reader):
    assert export(results[["search-000003"]], form, tmp_path / "one") == 1
    assert_same_structure(
        ase.io.read(tmp_path / "one", format=reader), results[["search-000003"]][0]
    )


@pytest.mark.parametrize("form", [form for form in get_args(Format) if form not in ("csv", "vasp")])
def test_an_exported_structure_can_be_evaluated_again(results, tmp_path, form):
    export(results[["search-000003"]], form, tmp_path / "one")
    assert_same_structure(read_one(tmp_path / "one"), results[["search-000003"]][0])


def test_a_dump_holds_the_energies_of_the_atoms_and_says_what_is_periodic(results, tmp_path):
    export(results, "lammps-dump", tmp_path / "out")
    for candidate in results[RELAXED]:
        atoms = ase.io.read(tmp_path / "out" / f"{candidate.id}.dump", format="lammps-dump-text")
        assert atoms.arrays["c_epot"].tolist() == candidate.energies_ev.tolist()
        assert atoms.pbc.tolist() == [True, True, False]


TITLES = {"lammps-data": 0, "lammps-dump": 1, "poscar": 0, "cif": 0}
"""Line of the title in the formats of one structure."""


@pytest.mark.parametrize("form", [form for form in get_args(Format) if form != "csv"])
def test_a_file_says_what_it_holds(tmp_path, form):
    potential = "potential: {pair_style: eam/alloy, file: found/w.eam.alloy}"
    candidate = make_candidate(3, potential_sha256="5ad0" * 16)
    write_part(tmp_path / "one.h5", [candidate], {"config": f"{CONFIG}{potential}\n"})
    export(open_run(tmp_path / "one.h5"), form, tmp_path / "one")
    title = "search-000003: E_gb 2.3300 J/m^2, [n] 0, potential w.eam.alloy (5ad05ad05ad0)"
    if form in TITLES:
        assert title in (tmp_path / "one").read_text().splitlines()[TITLES[form]]
    elif form == "vasp":
        assert title in (tmp_path / "one/search-000003/POSCAR").read_text()
    elif form == "ase-db":
        (row,) = ase.db.connect(tmp_path / "one", type="db").select()
        assert row.title.startswith(title)
    else:
        assert ase.io.read(tmp_path / "one", format=form).info["title"].startswith(title)


def test_pymatgen_reads_the_titled_files(results, tmp_path):
    core = pytest.importorskip("pymatgen.core")
    inputs = pytest.importorskip("pymatgen.io.vasp.inputs")
    (candidate,) = chosen = results[["search-000003"]]
    export(chosen, "cif", tmp_path / "one.cif")
    export(chosen, "poscar", tmp_path / "POSCAR")
    structure = core.Structure.from_file(tmp_path / "one.cif")
    assert len(structure) == candidate.num_atoms
    poscar = inputs.Poscar.from_file(tmp_path / "POSCAR")
    assert poscar.comment.startswith("search-000003: E_gb ")
    heights = candidate.positions[:, 2]
    held = ~np.array(poscar.selective_dynamics).any(axis=1)
    # No potential's reach is known here: the least height of the outer layers, 8 Å.
    expected = (heights < heights.min() + 8.0) | (heights > heights.max() - 8.0)
    assert held.tolist() == expected.tolist()


def test_an_ase_database_is_selected_by_fields_and_holds_all_that_is_known(results, tmp_path):
    assert export(results, "ase-db", tmp_path / "all.db") == 3
    with ase.db.connect(tmp_path / "all.db") as database:
        rows = list(database.select("gb_energy_j_m2<2.335,source=search"))
        assert [row.candidate for row in rows] == ["search-000000", "search-000003"]
        (row,) = database.select(candidate="model-01-000004")
    (candidate,) = results[["model-01-000004"]]
    atoms = row.toatoms()
    assert_same_structure(atoms, candidate)
    assert atoms.pbc.tolist() == [True, True, False]
    assert atoms.get_potential_energy() == pytest.approx(candidate.energies_ev.sum(), abs=1e-12)
    assert row.data["energies_ev"].tolist() == candidate.energies_ev.tolist()
    assert row.data["registry"].tolist() == candidate.registry.tolist()


@pytest.mark.parametrize("form", get_args(Format))
def test_only_what_is_selected_is_exported(results, tmp_path, form):
    assert export(results.select("energy>2.325 round=0"), form, tmp_path / "out") == 1
    assert export(results[RELAXED].select("source=search"), form, tmp_path / "two") == 2
    with pytest.raises(StoreError, match=r"nothing to export: there is no .* with n=0\.9"):
        export(results.select("n=0.9"), form, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("form", ["extxyz", "ase-db"])
def test_what_was_there_stays_when_an_export_fails_in_the_middle(results, tmp_path, form):
    (tmp_path / "out").write_text("before")
    with h5py.File(RunStore(results.path).part_paths()[-1], "r+") as file:
        file["atoms/positions"].attrs["crc32"] += 1
    with pytest.raises(StoreError, match="truncated or corrupt"):
        export(results, form, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out"]
    assert (tmp_path / "out").read_text() == "before"


def test_csv_has_one_row_a_candidate_failed_ones_too(results, tmp_path):
    assert export(results, "csv", tmp_path / "all.csv") == 5
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "failed", "invalid", "ok", "ok"]
    assert rows[1]["reason"] == "LAMMPS: Größe der Kraft ist ∞\nlost atoms"
    assert rows[1]["gb_energy_j_m2"] == ""
    first = results[["search-000000"]][0]
    assert [float(rows[0][f"registry_{axis}"]) for axis in "xyz"] == first.registry.tolist()
    assert float(rows[0]["gb_energy_j_m2"]) == first.gb_energy_j_m2
    assert all(field.name in rows[0] for field in kind_fields(False) if not field.shape)


def test_an_unknown_format_is_refused(results, tmp_path):
    with pytest.raises(StoreError, match=r"the format must be one of extxyz, .*vasp, got xsf"):
        export(results, "xsf", tmp_path / "out")


def test_an_unknown_id_is_refused(results, tmp_path):
    with pytest.raises(StoreError, match="the id search-000099"):
        export(results[["search-000099"]], "csv", tmp_path / "out")


def test_a_run_without_relaxed_structures_is_refused_and_leaves_nothing(tmp_path, provenance):
    write_part(tmp_path / "part.h5", [make_candidate(0, status="failed")], provenance)
    with pytest.raises(StoreError, match="nothing to export: there is no relaxed structure"):
        export(open_run(tmp_path / "part.h5"), "extxyz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", get_args(Format))
def test_a_place_that_cannot_be_written_is_one_sentence(results, tmp_path, form):
    (tmp_path / "file").write_text("before")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*file/out"):
        export(results, form, tmp_path / "file/out")
    assert (tmp_path / "file").read_text() == "before"


def test_a_folder_in_which_sqlite_can_make_no_file_is_one_sentence(results):
    with pytest.raises(
        RunDirectoryError,
        match=r"cannot write /proc/x\.db: unable to open database file",
    ):
        export(results, "ase-db", Path("/proc/x.db"))


def test_several_structures_do_not_take_the_place_of_a_file(results, tmp_path):
    (tmp_path / "file").write_text("before")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        export(results, "poscar", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "before"


def test_a_file_that_does_not_say_its_element_is_named(tmp_path, candidates):
    write_part(tmp_path / "part.h5", candidates, {})
    with pytest.raises(StoreError, match=r"part\.h5: .* names no known boundary\.element"):
        export(open_run(tmp_path / "part.h5"), "extxyz", tmp_path / "out")


@pytest.mark.parametrize("name", ["", "/tmp/x", "../../x", "a/b", "..", "a\x1b[31mb", "a b"])
def test_a_file_whose_ids_are_no_names_is_refused_by_every_reader(
    tmp_path, candidates, provenance, name
):
    path = tmp_path / "evil.h5"
    write_part(path, [replace(candidates[0], id=name)], provenance)
    for read in (
        lambda: export(open_run(path), "poscar", tmp_path / "out"),
        lambda: read_row(path, 0),
        lambda: read_part(path),
    ):
        with pytest.raises(StoreError, match=r"evil\.h5: structures/id: expected a name"):
            read()
    assert [one.name for one in tmp_path.iterdir()] == ["evil.h5"]


def test_texts_reach_nobody_with_escape_sequences_and_spreadsheets_with_no_formula(
    tmp_path, candidates, provenance
):
    path, reason = tmp_path / "evil.h5", "=cmd\x1b]0;title\x07\u202eabc"
    write_part(path, [replace(candidates[0], reason=reason)], provenance)
    assert read_part(path)[0].reason == read_row(path, 0).reason == "=cmd�]0;title��abc"
    export(open_run(path), "csv", tmp_path / "out.csv")
    assert ",'=cmd" in (tmp_path / "out.csv").read_text()


def test_vasp_folders_hold_the_slab_with_its_outer_layers_held_and_stated_choices(
    results, tmp_path
):
    assert export(results, "vasp", tmp_path / "vasp") == 3
    # References need a boundary, which this file does not name.
    assert sorted(path.name for path in (tmp_path / "vasp").iterdir()) == sorted(RELAXED)
    for candidate in results[RELAXED]:
        folder = tmp_path / "vasp" / candidate.id
        assert sorted(path.name for path in folder.iterdir()) == ["INCAR", "KPOINTS", "POSCAR"]
        slab = ase.io.read(folder / "POSCAR", format="vasp")
        heights = candidate.positions[:, 2]
        np.testing.assert_allclose(slab.cell.lengths()[:2], candidate.cell[:2], atol=ATOL)
        assert slab.cell.lengths()[2] == pytest.approx(np.ptp(heights) + 15.0, abs=1e-6)
        np.testing.assert_allclose(
            slab.positions[:, 2] - slab.positions[:, 2].min(), heights - heights.min(), atol=1e-6
        )
        # At least 8 Å are held at both ends.
        (held,) = slab.constraints
        ends = (heights < heights.min() + 8.0) | (heights > heights.max() - 8.0)
        assert set(np.flatnonzero(ends)) <= set(held.index)
        title = (folder / "POSCAR").read_text().splitlines()[0]
        assert title.startswith(f"{candidate.id}: E_gb {candidate.gb_energy_j_m2:.4f} J/m^2, [n] ")
        # Points of the grid are at most 0.2 1/Å apart in the plane; one along the normal.
        grid = [int(word) for word in (folder / "KPOINTS").read_text().splitlines()[3].split()]
        assert 2 * np.pi / (grid[0] * candidate.cell[0]) <= 0.2
        assert 2 * np.pi / (grid[1] * candidate.cell[1]) <= 0.2
        assert grid[2] == 1
        assert "ENCUT" in (folder / "INCAR").read_text()
