"""Damaged structure files of every format: the same structure, another one that is sound, or one
sentence.
"""

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase.db import connect

from gcd_hpc.structures.files import read_structures, write_structures
from gcd_hpc.structures.fit_slab import fit_slab
from gcd_hpc.structures.frame import Frame
from tests.fuzz.harness import few_and_many, mutations, outcome, write
from tests.structures.boundaries import W_TWIST

FORMS = ("cif", "db", "extxyz", "extxyz.gz", "lammps-data", "lammps-dump", "poscar")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, bytes]:
    """One small slab in every format."""
    folder = tmp_path_factory.mktemp("sound")
    atoms = Frame.build(W_TWIST, (12.0, 12.0), 32.0).join((1.0, 2.0, 0.5))
    for form in FORMS:
        if form == "db":
            with connect(folder / form, type="db") as database:
                database.write(atoms)
        elif form != "extxyz.gz":
            write_structures(folder / form, [atoms], form)
    (folder / "extxyz.gz").write_bytes(gzip.compress((folder / "extxyz").read_bytes()))
    return {form: (folder / form).read_bytes() for form in FORMS}


def look(path: Path) -> int:
    """Reads a file and lays its structures onto the boundary, as ``gcd-hpc relax`` does."""
    structures = read_structures(path, ["W"])
    for atoms in structures:
        assert len(atoms)
        assert np.isfinite(atoms.positions).all()
        assert set(atoms.symbols) == {"W"}
        fit_slab(atoms, W_TWIST, 5.0)
    return len(structures)


@few_and_many(1000)
def test_damaged_structure_files_are_read_or_refused_with_one_sentence(sound, tmp_path, num):
    each = -(-num // len(FORMS))
    for seed, (form, content) in enumerate(sound.items()):
        is_text = form not in ("db", "extxyz.gz")
        for index, damaged in enumerate(mutations(content, each, seed, is_text)):
            path = write(tmp_path, f"structure.{form}", damaged)
            outcome(lambda path=path: look(path), f"{form} {index}")
