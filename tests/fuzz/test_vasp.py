"""Damaged files of VASP, and slab files: the numbers that they hold, or one sentence."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import write as write_structures

from gcd_hpc.config.boundary import BoundaryConfig, SlabFiles
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import parse_material
from gcd_hpc.learning.material import _given
from gcd_hpc.store.vasp_results import read_result
from gcd_hpc.structures.slab_files import with_slabs
from tests.fuzz.harness import few_and_many, mutations, outcome, write
from tests.material_run import CAMPAIGN, carbon
from tests.stages.vasp_runs import outcar, vasprun
from tests.structures.test_slab_files import GRIP

INCAR = b"ENCUT = 400 # eV\nPREC = Accurate; ISMEAR = 1\nSIGMA = 0.2\nIBRION = 2\n"


@pytest.fixture(scope="module")
def vasp(tmp_path_factory) -> dict[str, bytes]:
    """The files of a finished run of one folder."""
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.set_constraint(FixAtoms([0, 1]))
    folder = tmp_path_factory.mktemp("vasp")
    write_structures(folder / "POSCAR", atoms, format="vasp")
    given = (folder / "POSCAR").read_text().splitlines()
    atoms.calc = EMT()
    energy = atoms.get_potential_energy()
    files = {"POSCAR": "\n".join(given), "vasprun.xml": vasprun(atoms, energy)}
    files["OUTCAR"] = outcar(atoms, energy)
    return {name: text.encode() for name, text in files.items()} | {"INCAR": INCAR}


def read(folder: Path) -> bool:
    found = read_result(folder)
    numbers = (found.energy_ev, found.max_force, found.atoms.positions)
    return all(bool(np.isfinite(one).all()) for one in numbers)


@pytest.mark.parametrize("name", ["POSCAR", "vasprun.xml", "OUTCAR", "INCAR"])
@few_and_many(400)
def test_a_damaged_file_of_vasp_gives_finite_numbers_or_a_sentence(name, num, vasp, tmp_path):
    folder = tmp_path / "bulk"  # a reference, whose POSCAR needs no title
    folder.mkdir()
    for one, content in vasp.items():
        if {one, name} != {"vasprun.xml", "OUTCAR"}:
            write(folder, one, content)
    assert outcome(lambda: read(folder), "sound").value is True
    for index, damaged in enumerate(mutations(vasp[name], num, 61, is_text=True)):
        write(folder, name, damaged)
        found = outcome(lambda: read(folder), f"{name} {index}")
        assert found.kind == "refused" or found.value is True, index


@few_and_many(400)
def test_a_damaged_slab_file_names_a_crystal_or_is_refused(num, tmp_path):
    write(tmp_path, "upper", (GRIP / "POSCAR_UPPER").read_bytes())
    boundary = BoundaryConfig(element="Ti", slabs=SlabFiles(lower="lower", upper="upper"))
    config = CampaignConfig.model_construct(name="a", boundary=boundary)
    content = (GRIP / "POSCAR_LOWER").read_bytes()
    for index, damaged in enumerate(mutations(content, num, 62, is_text=True)):
        write(tmp_path, "lower", damaged)
        outcome(lambda: str(with_slabs(config, tmp_path, "a.yaml").boundary), index)


@few_and_many(400)
def test_damaged_structures_of_a_material_are_read_or_refused(num, tmp_path):
    """The given structures of a campaign, as its start reads them."""

    text = CAMPAIGN + "structures: {file: given.extxyz}\n"
    config = parse_material(text, "small_carbon.yaml")
    write_structures(tmp_path / "sound.extxyz", carbon(1), format="extxyz")

    def given(path: Path) -> bool:
        frames = _given(config, path)
        return all(bool(np.isfinite(one.positions).all()) for one in frames)

    content = (tmp_path / "sound.extxyz").read_bytes()
    for index, damaged in enumerate(mutations(content, num, 63, is_text=True)):
        path = write(tmp_path, "given.extxyz", damaged)
        found = outcome(lambda path=path: given(path), index)
        assert found.kind == "refused" or found.value is True, index
