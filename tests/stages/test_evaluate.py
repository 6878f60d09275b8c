"""gcd-hpc relax: other people's structures of the same boundary."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gcd_hpc.cli import app
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import RelaxJob
from gcd_hpc.engines.relaxation import PRESETS, relax_boundary
from gcd_hpc.errors import StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.stages.evaluate import evaluate_files
from gcd_hpc.structures.files import write_structures
from gcd_hpc.structures.frame import Frame
from tests.reference import ENERGIES_J_M2, GROUND_STATE, METASTABLE
from tests.stages.conftest import CAMPAIGNS, small_config

pytestmark = pytest.mark.lammps
DATA = Path(__file__).parents[1] / "data"
FORMS, CU = DATA / "structure_files", DATA / "cu_sigma5_310.yaml"


def test_the_published_phases_have_their_published_energies():
    """Published, docs/science.md#d10; the cohesive energy as measured by relaxing bulk."""
    files = [GROUND_STATE, METASTABLE]
    result = CliRunner().invoke(
        app, ["relax", *map(str, files), "--campaign", str(CAMPAIGNS / "w_sigma5.yaml"), "--json"]
    )
    assert result.exit_code == 0, result.output
    ground, metastable = json.loads(result.output)
    assert (ground["gb_energy_j_m2"], ground["n_fraction"]) == (
        pytest.approx(ENERGIES_J_M2[GROUND_STATE], abs=2e-4),
        pytest.approx(0.2),
    )
    assert (metastable["gb_energy_j_m2"], metastable["n_fraction"]) == (
        pytest.approx(ENERGIES_J_M2[METASTABLE], abs=2e-4),
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
    assert other.status == "ok"
    assert other.gb_energy_j_m2 == pytest.approx(direct.gb_energy_j_m2, abs=1e-4)


def test_a_structure_of_another_boundary_is_refused_by_its_name(w_frame, tmp_path):
    atoms = w_frame.join([0.0, 0.0, 0.5])
    atoms.set_cell(atoms.cell * [[1.1], [1.0], [1.0]], scale_atoms=True)
    write_structures(tmp_path / "two.xyz", [w_frame.join([0.0, 0.0, 0.5]), atoms], "extxyz")
    with pytest.raises(
        StructureError, match=r"two\.xyz#2: its in-plane edges, 11\.0089 x .* no whole repeats"
    ):
        evaluate_files(small_config(), [tmp_path / "two.xyz"], CAMPAIGNS)


def test_every_form_of_one_structure_has_the_same_energy():
    """Structures as other programs write them; tests/data/structure_files tells what each is."""
    config = load_campaign(FORMS / "w.yaml")
    own = [*sorted(FORMS.glob("[DFPX]*")), FORMS / "nocon.vasp", FORMS / "fixbottom.vasp"]
    files = [path for path in own if "Cu" not in path.name]
    assert len(files) == 11
    records = evaluate_files(config, files, FORMS)
    assert [record.gb_energy_j_m2 for record in records] == pytest.approx(
        [2.8538] * len(files), abs=5e-5
    )
    for name, found in (
        ("F09_element_Cu.dump", "holds atoms of Cu, but the boundary is of W"),
        ("D11_massCu.data", "holds atoms of Cu, but the boundary is of W"),
        ("no_boundary.extxyz", "lower grain at the lower end and the lower grain at the upper end"),
    ):
        with pytest.raises(StructureError, match=rf"{name}: .*{found}"):
            evaluate_files(config, [FORMS / name], FORMS)


def test_relaxed_surfaces_change_neither_energy_nor_excess_volume(tmp_path):
    """All atoms of a slab of Cu Sigma5(310) minimised, its surfaces too, as in the usual recipes
    with open ends; these moved by 0.12 Å. Taken as it is, the slab would give 0.9000 J/m^2 and
    0.074 Å. The energy differs by what is left of the forces, the volume by the elastic field of
    the surfaces 8 Å below them.
    """
    config = load_campaign(CU, ["relaxation.preset=tight"])
    system = BoundarySystem.build(config, CU.parent)
    frame = Frame.build(system.bicrystal, (25.0, 25.0), 80.0)
    atoms = frame.join((1.0, 2.0, 0.5))
    with LammpsChild(system.potential, 60.0) as child:
        held = relax_boundary(child, atoms, system.bicrystal, system.bulk, config.relaxation)
        z = held.positions[:, 2]
        box = np.array([[0.0, 0.0, z.min() - 10.0], [*atoms.cell.lengths()[:2], z.max() + 10.0]])
        none = np.zeros(len(atoms), dtype=bool)
        job = RelaxJob(held.positions, box, none, none, PRESETS["tight"], None)
        atoms.set_positions(child.relax(job).positions)
    write_structures(tmp_path / "free.dump", [atoms], "lammps-dump")
    (record,) = evaluate_files(config, [tmp_path / "free.dump"], CU.parent)
    assert 0.1 < record.largest_shift_a < 0.15
    assert record.gb_energy_j_m2 == pytest.approx(held.gb_energy_j_m2, abs=5e-5)
    assert record.gb_energy_j_m2 == pytest.approx(0.9048, abs=1e-4)
    assert record.excess_volume_a == pytest.approx(held.excess_volume, abs=2e-3)
    assert record.excess_volume_a == pytest.approx(0.316, abs=2e-3)
    height = np.ptp(atoms.positions[:, 2]) - 2 * system.bulk.cutoff
    assert record.summed_height_a == pytest.approx(height, abs=0.3)


def test_the_exit_code_tells_whether_any_file_could_be_relaxed(w_frame, tmp_path):
    good, bad = w_frame.join([0.0, 0.0, 0.5]), w_frame.join([0.0, 0.0, 0.5])
    middle = int(np.argmin(np.abs(bad.positions[:, 2] - w_frame.centre)))
    bad.positions[middle] = bad.positions[middle + 1]
    for name, atoms in (("a_long_name_of_a_file_without_any_space.xyz", bad), ("good", good)):
        write_structures(tmp_path / name, [atoms], "extxyz")
    command = ["relax", "--campaign", str(CAMPAIGNS / "smoke.yaml")]
    long = str(tmp_path / "a_long_name_of_a_file_without_any_space.xyz")
    failed = CliRunner().invoke(app, [*command, long], env={"COLUMNS": "240"})
    assert failed.exit_code == 1
    assert long in failed.output
    assert CliRunner().invoke(app, [*command, long, str(tmp_path / "good")]).exit_code == 0


def test_a_structure_on_which_lammps_fails_is_reported_and_the_next_one_evaluated(
    w_frame, tmp_path
):
    good, bad = w_frame.join([0.0, 0.0, 0.5]), w_frame.join([0.0, 0.0, 0.5])
    middle = int(np.argmin(np.abs(bad.positions[:, 2] - w_frame.centre)))
    bad.positions[middle] = bad.positions[middle + 1]
    for name, atoms in (("bad", bad), ("good", good)):
        write_structures(tmp_path / name, [atoms], "extxyz")
    first, second = evaluate_files(small_config(), [tmp_path / "bad", tmp_path / "good"], CAMPAIGNS)
    assert (first.status, second.status) == ("failed", "ok")
    assert "overlap" in first.reason
    assert first.gb_energy_j_m2 is None


def test_a_folder_without_structures_is_refused_at_once(tmp_path):
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(
        StructureError, match="nothing to relax: the folder holds no structure files"
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
    assert [Path(record.file).name for record in records] == [
        "two.xyz#1",
        "two.xyz#2",
        "a.data",
        "b.cif",
    ]
    assert [record.id for record in records] == ["", "mine", "", ""]
    energies = [record.gb_energy_j_m2 for record in records]
    assert energies == pytest.approx([energies[0], energies[1], energies[0], energies[1]], abs=1e-4)
    assert abs(energies[0] - energies[1]) > 0.01
