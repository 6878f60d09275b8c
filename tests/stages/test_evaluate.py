"""gcd-hpc relax: other people's structures of the same boundary."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcd_hpc.cli import app
from gcd_hpc.errors import StructureError
from gcd_hpc.stages.evaluate import evaluate_files
from gcd_hpc.structures.files import write_structures
from tests.stages.conftest import CAMPAIGNS, small_config

pytestmark = pytest.mark.lammps
GRIP = Path(__file__).parents[3] / "shared" / "data" / "grip_w_sigma5"


@pytest.mark.skipif(
    not GRIP.exists(), reason="GRIP's published structures lie beside the checkout, not in it"
)
def test_the_published_phases_have_their_published_energies():
    """D10, and the cohesive energy as measured by relaxing bulk (D3)."""
    files = [GRIP / "gs_n0.2.dump", GRIP / "metastable_n0.4_2x1.dump"]
    result = CliRunner().invoke(
        app, ["relax", *map(str, files), "--campaign", str(CAMPAIGNS / "w_sigma5.yaml"), "--json"]
    )
    assert result.exit_code == 0, result.output
    ground, metastable = json.loads(result.output)
    assert (ground["gb_energy_j_m2"], ground["n_fraction"]) == (
        pytest.approx(2.297, abs=0.002),
        pytest.approx(0.2),
    )
    assert (metastable["gb_energy_j_m2"], metastable["n_fraction"]) == (
        pytest.approx(2.469, abs=0.002),
        pytest.approx(0.4),
    )
    assert ground["cohesive_ev"] == pytest.approx(-8.759994, abs=5e-6)


@pytest.mark.parametrize("file_format", ["lammps-data", "lammps-dump", "poscar", "cif"])
def test_every_file_format_gives_the_same_energy(w_frame, tmp_path, file_format):
    atoms = w_frame.join([1.0, 2.0, 0.8])
    write_structures(tmp_path / "direct.xyz", [atoms], "extxyz")
    write_structures(tmp_path / "other", [atoms], file_format)
    config = small_config("relaxation.preset=paper")
    direct, other = evaluate_files(config, [tmp_path / "direct.xyz", tmp_path / "other"], CAMPAIGNS)
    assert other["status"] == "ok"
    assert other["gb_energy_j_m2"] == pytest.approx(direct["gb_energy_j_m2"], abs=1e-4)


def test_a_structure_of_another_boundary_is_refused_with_both_lengths(w_frame, tmp_path):
    atoms = w_frame.join([0.0, 0.0, 0.5])
    atoms.set_cell(atoms.cell * [[1.1], [1.0], [1.0]], scale_atoms=True)
    write_structures(tmp_path / "stretched.xyz", [atoms], "extxyz")
    with pytest.raises(
        StructureError,
        match=r"stretched\.xyz: expected whole repeats .* 10\.008. Å, along x, got 11\.0089",
    ):
        evaluate_files(small_config(), [tmp_path / "stretched.xyz"], CAMPAIGNS)


def test_a_structure_on_which_lammps_fails_is_reported_and_the_next_one_evaluated(
    w_frame, tmp_path
):
    good, bad = w_frame.join([0.0, 0.0, 0.5]), w_frame.join([0.0, 0.0, 0.5])
    bad.positions[100] = bad.positions[101]
    for name, atoms in (("bad", bad), ("good", good)):
        write_structures(tmp_path / name, [atoms], "extxyz")
    first, second = evaluate_files(small_config(), [tmp_path / "bad", tmp_path / "good"], CAMPAIGNS)
    assert (first["status"], second["status"]) == ("failed", "ok")
    assert "overlap" in first["reason"]
    assert first["gb_energy_j_m2"] is None


def test_a_folder_without_structures_is_refused_at_once(tmp_path):
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(
        StructureError, match="expected a folder with structure files, got an empty one"
    ):
        evaluate_files(small_config(), [tmp_path], CAMPAIGNS)


def test_every_structure_of_a_file_and_a_folder_has_a_record_that_says_where_it_is_from(
    w_frame, tmp_path
):
    first, second = w_frame.join([0.0, 0.0, 0.5]), w_frame.join([1.0, 2.0, 0.8])
    second.info["id"] = "mine"
    (tmp_path / "folder").mkdir()
    write_structures(tmp_path / "two.xyz", [first, second], "extxyz")
    write_structures(tmp_path / "folder/b.cif", [second], "cif")
    write_structures(tmp_path / "folder/a.data", [first], "lammps-data")
    records = evaluate_files(
        small_config("relaxation.preset=paper"),
        [tmp_path / "two.xyz", tmp_path / "folder"],
        CAMPAIGNS,
    )
    assert [Path(record["file"]).name for record in records] == [
        "two.xyz#1",
        "two.xyz#2",
        "a.data",
        "b.cif",
    ]
    assert [record["id"] for record in records] == ["", "mine", "", ""]
    energies = [record["gb_energy_j_m2"] for record in records]
    assert energies == pytest.approx([energies[0], energies[1], energies[0], energies[1]], abs=1e-4)
    assert abs(energies[0] - energies[1]) > 0.01
