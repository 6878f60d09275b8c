"""What is settled before the first task."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.config.loader import dump
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.errors import GcdError, PotentialError, RunDirectoryError
from gcd_hpc.learning.boundary import load_boundary_system, prepare
from gcd_hpc.learning.relaxation import relax
from gcd_hpc.store.findings import Report
from gcd_hpc.store.parts import read_part, read_provenance, write_part
from gcd_hpc.store.potentials import verify_potential
from gcd_hpc.store.run_directory import RunDirectory
from tests.stages.conftest import CAMPAIGNS, small_config

pytestmark = pytest.mark.lammps


def test_the_run_directory_stands_on_its_own(tmp_path, capsys):
    system = prepare(tmp_path, small_config(), CAMPAIGNS)
    assert (tmp_path / "potential" / "W_zhou.eam.alloy").exists()
    assert system.bulk.a0 == pytest.approx(3.164849, abs=2e-6)
    assert system.frame.height == pytest.approx(60.05, abs=0.005)
    assert capsys.readouterr().err == ""


def test_a_changed_potential_is_refused_with_both_hashes(searched_run, tmp_path):
    """The same file with one letter changed, which no energy shows."""
    run = shutil.copytree(searched_run, tmp_path / "run")
    content = (run / "potential" / "W_zhou.eam.alloy").read_text()
    changed = tmp_path / "here" / "W_zhou.eam.alloy"
    changed.parent.mkdir()
    changed.write_text(content.replace("Zhou W", "Zhou  W", 1))
    before = load_boundary_system(str(searched_run)).potential.sha256
    with pytest.raises(PotentialError, match=f"{before}, but {changed} now has the hash [0-9a-f]"):
        prepare(run, small_config(), changed.parent)


def test_before_the_first_structure_the_potential_may_be_mended(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    shipped = prepare(tmp_path / "run", small_config(), folder)
    mended = folder / "W_zhou.eam.alloy"
    content = shipped.potential.files["W_zhou.eam.alloy"].read_text()
    mended.write_text(content.replace("Zhou W", "Zhou  W", 1))
    prepare(tmp_path / "run", small_config(), folder)
    assert (tmp_path / "run" / "potential" / mended.name).read_text() == mended.read_text()


def test_a_copy_that_was_cut_short_is_made_again_and_an_edited_one_is_refused(
    searched_run, tmp_path
):
    run = shutil.copytree(searched_run, tmp_path / "run")
    copy = run / "potential" / "W_zhou.eam.alloy"
    content = copy.read_text()
    copy.write_text(content[:1000])
    with pytest.raises(PotentialError, match="a file was edited or damaged; remove the folder"):
        load_boundary_system(str(run))
    prepare(run, small_config(), CAMPAIGNS)
    assert copy.read_text() == content
    copy.write_text(content.replace("Zhou W", "Zhou  W", 1))
    for sentence, start in [
        ("because it was edited or damaged; remove it", _prepared),
        ("a file was edited or damaged; remove the folder", load_boundary_system),
    ]:
        with pytest.raises(PotentialError, match=sentence):
            start(str(run))


def _prepared(run_dir: str):
    return prepare(Path(run_dir), small_config(), CAMPAIGNS)


def test_an_edited_bulk_crystal_is_refused_by_all_that_start_from_it(searched_run, tmp_path):
    run = shutil.copytree(searched_run, tmp_path / "run")
    bulk = run / "bulk.json"
    bulk.write_text(bulk.read_text().replace("-8.75", "-8.74"))
    for start in (_prepared, load_boundary_system):
        with pytest.raises(RunDirectoryError, match=r"bulk\.json: .* edited or damaged; remove it"):
            start(str(run))
    bulk.unlink()
    assert _prepared(str(run)).bulk == load_boundary_system(str(searched_run)).bulk


@pytest.mark.parametrize("file", ["pots/mine.eam.alloy", "../pots/mine.eam.alloy", "absolute"])
def test_a_run_reads_its_own_copy_of_a_potential_in_any_folder(file, tmp_path, searched_run):
    here = tmp_path / "Müller (1)" / "here"
    here.mkdir(parents=True)
    original = tmp_path / "mine.eam.alloy" if file == "absolute" else (here / file).resolve()
    original.parent.mkdir(exist_ok=True)
    shutil.copy(searched_run / "potential" / "W_zhou.eam.alloy", original)
    config = small_config(f"potential.file={original if file == 'absolute' else file}")
    run = tmp_path / "run"
    prepared = prepare(run, config, here)
    (run / "campaign.yaml").write_text(dump(config))
    original.unlink()
    system = load_boundary_system(str(run))
    assert system.bulk == prepared.bulk
    assert system.potential.sha256 == load_boundary_system(str(searched_run)).potential.sha256
    assert {path.parent for path in system.potential.files.values()} == {run / "potential"}
    with LammpsChild(system.potential, 60.0) as child:
        box = [[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]
        assert np.isfinite(child.evaluate([[4.0, 4.0, 4.0]], box, periodic_z=True).energies)


def test_verify_finds_what_does_not_belong_to_a_runs_potential(searched_run, tmp_path):
    def findings(run: Path) -> list[str]:
        report = Report()
        verify_potential(run, report)
        return [str(finding) for finding in report.findings()]

    assert findings(searched_run) == []
    edited = shutil.copytree(searched_run, tmp_path / "edited")
    copy = edited / "potential" / "W_zhou.eam.alloy"
    copy.write_text(copy.read_text().replace("Zhou W", "Zhou  W", 1))
    assert "a file was edited or damaged" in findings(edited)[0]
    other = shutil.copytree(searched_run, tmp_path / "other")
    (other / "bulk.json").write_text((other / "bulk.json").read_text().replace("-8.75", "-8.74"))
    assert "bulk.json: the measured bulk crystal cannot be read" in findings(other)[0]
    mixed = shutil.copytree(searched_run, tmp_path / "mixed")
    part = RunDirectory(mixed).search_part(0)
    rows = [replace(row, cohesive_ev=row.cohesive_ev + 0.01) for row in read_part(part)]
    write_part(RunDirectory(mixed).search_part(1), rows, read_provenance(part))
    assert "part-00001.h5: expected potential" in findings(mixed)[0]


def test_relaxing_one_structure_in_a_notebook_gives_the_campaigns_numbers(searched_run):
    system = load_boundary_system(str(searched_run))
    row = next(
        row
        for row in read_part(RunDirectory(searched_run).search_part(0))
        if row.status == "ok" and row.preset == "tight"
    )
    atoms = system.frame.atoms(row.unrelaxed_positions)
    assert relax(atoms, system).gb_energy_j_m2 == pytest.approx(row.gb_energy_j_m2, abs=1e-9)


def test_coarse_voxels_are_warned_of(tmp_path, capsys):
    prepare(tmp_path, small_config("voxels.shape=[8, 8, 48]", "voxels.known=12"), CAMPAIGNS)
    assert "warning: voxels.shape: atoms of the crystal share" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "error", "sentence"),
    [
        ("potential.file=none.eam.alloy", PotentialError, "'none.eam.alloy' not found"),
        ("boundary.upper.x=[3, 1, 1]", GcdError, "at right angles"),
        ("boundary.slab_heights=[40, 40]", GcdError, "boundary.slab_heights"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_written(tmp_path, override, error, sentence):
    with pytest.raises(error, match=sentence):
        prepare(tmp_path, small_config(override), CAMPAIGNS)
    assert not any(path.suffix in (".alloy", ".h5") for path in tmp_path.iterdir())
