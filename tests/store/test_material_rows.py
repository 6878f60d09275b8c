"""Rows of a campaign of a material: their order, their selection, their structures and exports."""

import csv
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.db import connect

from gcd_hpc.errors import StoreError
from gcd_hpc.store.export import export
from gcd_hpc.store.findings import Report
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.material_rows import BOUNDARY_FIELDS, MATERIAL_FIELDS, material_fault
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import FIELDS, Candidate
from gcd_hpc.store.verify import verify_file
from tests.material_run import write_material_run

BEST = "model-02-000002"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_material_run(tmp_path_factory.mktemp("material"))


@pytest.fixture
def run(path):
    return open_run(path)


def test_fields_of_one_kind_are_fields_of_the_schema():
    names = {field.name for field in FIELDS}
    assert names.issuperset(MATERIAL_FIELDS + BOUNDARY_FIELDS)
    assert not set(MATERIAL_FIELDS) & set(BOUNDARY_FIELDS)
    young = {field.name for field in FIELDS if field.since == 7}
    assert young == set(MATERIAL_FIELDS)


def test_structures_of_a_material_are_ranked_by_their_spectrum_error(run):
    assert (run.is_material, run.element, len(run)) == (True, "C", 18)
    relaxed = run.relaxed()
    errors = relaxed.columns(["spectrum_error"])["spectrum_error"]
    # Four quenches, which were not compared with the target, come last; failed ones are left out.
    assert len(relaxed) == 16
    assert np.isfinite(errors[:12]).all() and np.isnan(errors[12:]).all()
    assert (np.diff(errors[:12]) >= 0).all()
    assert run.lowest(1)[0].id == relaxed[0].id == BEST
    assert len(run.lowest(100)) == 12


def test_a_material_has_no_n_and_its_words_have_its_meaning(run):
    with pytest.raises(StoreError, match=r"structures of a material have no \[n\]"):
        run.lowest(1, per_n=True)
    with pytest.raises(StoreError, match="expected one of energy, error, id"):
        run.select("n=0.2")
    assert len(run.select("error<0.027")) == 2
    assert len(run.select("guided=guided round=1")) == 4
    assert len(run.select("id=quench-00-000003")) == 1
    energies = run.select("status=ok").sorted("energy").columns(["energy_ev_atom"])
    assert (np.diff(energies["energy_ev_atom"]) >= 0).all()
    middle = float(np.median(energies["energy_ev_atom"]))
    assert len(run.select(f"energy<{middle}")) == 8


def test_atoms_of_a_material_are_periodic_in_all_directions_and_titled(run):
    atoms = run.atoms(BEST)
    assert atoms.pbc.all()
    assert atoms.info["title"].startswith(f"{BEST}: spectrum error 0.02000, energy -6.")
    assert "density 2.5 g/cm^3, guided, potential SiC.tersoff (abab" in atoms.info["title"]
    assert not set(atoms.info) & set(BOUNDARY_FIELDS)
    quench = run.atoms("quench-00-000000")
    assert quench.info["title"].startswith("quench-00-000000: energy -6.")


@pytest.mark.parametrize("form", ["extxyz", "lammps-data", "lammps-dump", "poscar", "cif"])
def test_exported_structures_of_a_material_say_what_they_are(run, form, tmp_path):
    out = tmp_path / "one"
    assert export(run.select(f"id={BEST}"), form, out) == 1
    text = out.read_text()
    assert "spectrum error 0.02000" in text and "guided" in text and "E_gb" not in text
    names = {"poscar": "vasp", "lammps-dump": "lammps-dump-text"}
    more = {"Z_of_type": {1: 6}} if form == "lammps-data" else {}
    read = ase.io.read(out, format=names.get(form, form), **more)
    found = run.atoms(BEST)
    assert len(read) == 64 and read.pbc.all()
    # Formats round to 1e-8 Å at most; atoms may be in another image.
    np.testing.assert_allclose(read.cell.lengths(), found.cell.lengths(), atol=1e-6)


def test_a_table_and_a_database_of_a_material_have_its_fields_alone(run, tmp_path):
    assert export(run, "csv", tmp_path / "all.csv") == 18
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(MATERIAL_FIELDS) <= set(rows[0]) and not set(rows[0]) & set(BOUNDARY_FIELDS)
    assert {row["guided"] for row in rows} == {"", "guided", "unguided"}
    export(run, "ase-db", tmp_path / "all.db")
    with connect(tmp_path / "all.db") as database:
        (row,) = database.select(candidate=BEST)
        assert row.spectrum_error == pytest.approx(0.02)
        assert row.guided == "guided"


def test_inputs_of_vasp_are_refused_for_a_material(run, tmp_path):
    with pytest.raises(StoreError, match="vasp writes inputs for slabs"):
        export(run, "vasp", tmp_path / "vasp")


def test_a_structure_whose_atoms_coincide_is_a_fault(run):
    row = vars(run[BEST]).copy()
    assert material_fault(row) == ""
    positions = row["positions"].copy()
    # Near to each other across the border of the box.
    positions[0], positions[1] = (0.1, 5.0, 5.0), (-0.1 + row["cell"][0], 5.0, 5.0)
    assert "two atoms are 0.200 Å apart" in material_fault(row | {"positions": positions})


def test_notebooks_show_a_material_without_a_boundary(run):
    page = run._repr_html_()
    assert BEST in page and "[n]" not in page
    assert "<svg" in run[BEST]._repr_html_()


def report_on(path):
    report = Report()
    verify_file(path, report)
    return report


def test_verification_finds_nothing_wrong_with_a_material(path):
    for part in RunStore(path).part_paths():
        report = report_on(part)
        wrong = [finding for one in report.outcomes.values() for finding in one.findings]
        assert not wrong
        assert {report.outcomes[name].status for name in ("energies", "atoms", "ids")} == {"ok"}
        assert report.outcomes["n"].status == "not checked"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"energy_ev_atom": -7.5}, "energy_ev_atom: expected -6."),
        ({"density_g_cm3": 2.6}, "density_g_cm3: expected 2.5000 g/cm^3"),
        ({"guided": ""}, "guided: expected guided or unguided"),
        ({"closest_pair_a": 1.0}, "closest_pair_a: expected 1."),
        ({"reason": "too hot"}, "reason: expected none, for it is ok"),
    ],
)
def test_verification_names_what_is_wrong_with_a_material(run, tmp_path, changed, message):
    best = run[BEST]
    row = Candidate(**{field.name: getattr(best, field.name) for field in FIELDS})
    write_part(tmp_path / "one.h5", [replace(row, **changed)], run.provenance)
    outcomes = report_on(tmp_path / "one.h5").outcomes.values()
    (finding,) = [finding for one in outcomes for finding in one.findings]
    assert message in str(finding)
