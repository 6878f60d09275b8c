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
from tests.structures.test_species_in_files import B2

FORMS = ("cif", "db", "extxyz", "extxyz.gz", "lammps-data", "lammps-dump", "poscar")
CRYSTALS = {"tungsten": (W_TWIST, ("W",)), "nickel aluminium": (B2, ("Ni", "Al"))}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[tuple[str, str], bytes]:
    """One small slab of each crystal in every format; that of the compound has an antisite."""
    found = {}
    for crystal, (bicrystal, elements) in CRYSTALS.items():
        folder = tmp_path_factory.mktemp("sound")
        atoms = Frame.build(bicrystal, (12.0, 12.0), 32.0).join((1.0, 2.0, 0.5))
        first = np.flatnonzero(atoms.symbols == elements[0])
        atoms.symbols[first[len(first) // 2]] = elements[-1]
        for form in FORMS:
            if form == "db":
                with connect(folder / form, type="db") as database:
                    database.write(atoms)
            elif form != "extxyz.gz":
                write_structures(folder / form, [atoms], form, elements)
        (folder / "extxyz.gz").write_bytes(gzip.compress((folder / "extxyz").read_bytes()))
        found |= {(crystal, form): (folder / form).read_bytes() for form in FORMS}
    return found


def look(path: Path, crystal: str) -> int:
    """Reads a file and lays its structures onto the boundary, as ``gcd-hpc relax`` does."""
    bicrystal, elements = CRYSTALS[crystal]
    structures = read_structures(path, elements)
    for atoms in structures:
        assert len(atoms)
        assert np.isfinite(atoms.positions).all()
        assert set(atoms.symbols) <= set(elements)
        fit_slab(atoms, bicrystal, 5.0)
    return len(structures)


def test_the_sound_files_are_read(sound, tmp_path):
    for (crystal, form), content in sound.items():
        assert look(write(tmp_path, f"structure.{form}", content), crystal) == 1


@few_and_many(1000)
def test_damaged_structure_files_are_read_or_refused_with_one_sentence(sound, tmp_path, num):
    each = -(-num // len(sound))
    for seed, ((crystal, form), content) in enumerate(sound.items()):
        is_text = form not in ("db", "extxyz.gz")
        for index, damaged in enumerate(mutations(content, each, seed, is_text)):
            path = write(tmp_path, f"structure.{form}", damaged)
            what = f"{crystal} {form} {index}"
            outcome(lambda path=path, crystal=crystal: look(path, crystal), what)
