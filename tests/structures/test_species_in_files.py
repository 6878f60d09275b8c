"""Structure files of compounds: which element each atom is of, and where it may be."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from ase import Atoms

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.files import FileFormat, write_structures
from gcd_hpc.structures.fit_slab import fit_slab
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import Neighbors
from tests.reference import read_one
from tests.structures.test_compound_symmetries import COMPOUNDS, PLANES, compound

ORDER = ("Ni", "Al")
NI, AL = 28, 13
HELD = 8.0
B2 = compound("b2", "tilt (210)")
CASES = [(lattice, plane) for lattice in COMPOUNDS for plane in PLANES]


def slab(boundary=B2) -> Atoms:
    """A slab with one antisite at the boundary."""
    frame = Frame.build(boundary, (22.0, 22.0), 60.0)
    atoms = frame.join((0.7, 0.3, 0.4))
    atoms.numbers[np.argmin(np.abs(atoms.positions[:, 2] - frame.centre))] = AL
    return atoms


def same(left: Atoms, right: Atoms) -> bool:
    """Whether both slabs have the same elements at the same places, apart from a shift."""
    step = right.positions[:, 2].min() - left.positions[:, 2].min()
    neighbors = Neighbors(right.positions, right.cell[:2, :2])
    distances, nearest = neighbors.nearest(left.positions + np.array([0.0, 0.0, step]))
    # Extended XYZ has eight digits.
    return bool(distances.max() < 1e-6 and (right.numbers[nearest] == left.numbers).all())


@pytest.mark.parametrize("form", get_args(FileFormat))
def test_every_format_keeps_the_elements_of_the_atoms(tmp_path, form):
    atoms = slab()
    write_structures(tmp_path / "slab", [atoms], form, ORDER)
    assert same(read_one(tmp_path / "slab", *ORDER), atoms)


def test_types_and_masses_are_written_in_the_order_of_the_campaigns_elements(tmp_path):
    atoms = slab()
    write_structures(tmp_path / "slab.data", [atoms], "lammps-data", ORDER)
    lines = (tmp_path / "slab.data").read_text().splitlines()
    masses = lines[lines.index("Masses") + 2 :]
    assert [line.split()[0] for line in masses[:2]] == ["1", "2"]
    assert [float(line.split()[1]) for line in masses[:2]] == pytest.approx(
        [58.69, 26.98], abs=0.01
    )
    write_structures(tmp_path / "slab.dump", [atoms], "lammps-dump", ORDER)
    rows = (tmp_path / "slab.dump").read_text().splitlines()[-len(atoms) :]
    assert [row.split()[1:3] for row in rows] == [
        [str(ORDER.index(symbol) + 1), symbol] for symbol in atoms.symbols
    ]


def without_names(atoms: Atoms, path: Path, form: str) -> None:
    """Write a structure in which nothing but types states the elements."""
    write_structures(path, [atoms], form, ORDER)
    text = path.read_text()
    if form == "lammps-dump":
        text = text.replace("type element", "type q").replace(" Ni ", " 0 ").replace(" Al ", " 0 ")
    elif form == "lammps-data":
        head, rest = text.split("Masses")
        text = head + "Atoms" + rest.split("Atoms")[1]
    elif form == "extxyz":
        text = text.replace("species:S:1", "species:I:1")
        text = text.replace("\nNi ", "\n1 ").replace("\nAl ", "\n2 ")
    path.write_text(text)


@pytest.mark.parametrize("form", ["lammps-dump", "lammps-data", "extxyz"])
def test_types_without_names_are_the_elements_of_the_campaign_in_order(tmp_path, form):
    atoms = slab()
    without_names(atoms, tmp_path / "slab", form)
    assert same(read_one(tmp_path / "slab", *ORDER), atoms)
    assert same(read_one(tmp_path / "slab", *ORDER, "Cu"), atoms)


def test_numbers_above_those_of_types_are_atomic_numbers(tmp_path):
    atoms = slab()
    write_structures(tmp_path / "slab", [atoms], "extxyz", ORDER)
    text = (tmp_path / "slab").read_text().replace("species:S:1", "species:I:1")
    (tmp_path / "slab").write_text(text.replace("\nNi ", "\n28 ").replace("\nAl ", "\n13 "))
    assert same(read_one(tmp_path / "slab", *ORDER), atoms)


@pytest.mark.parametrize(
    ("form", "before", "after", "message"),
    [
        ("extxyz", "\nAl ", "\nCu ", "holds atoms of Cu, Ni, but the boundary is of Ni and Al"),
        ("lammps-data", "26.98", "63.546 # 26.98", "holds atoms of Cu, Ni, but the boundary"),
        ("lammps-data", "# Al", "# Ni", "type 2 is Al and Ni at once, by its mass, label or comm"),
        ("poscar", " Ni  Al \n", "", "does not name the elements of its atoms; write them"),
    ],
)
def test_files_of_other_or_of_unknown_elements_are_refused(tmp_path, form, before, after, message):
    path = tmp_path / "slab"
    write_structures(path, [slab()], form, ORDER)
    text = path.read_text().replace(before, after)
    assert text != path.read_text()
    path.write_text("slab" + text[text.index("\n") :] if form == "poscar" else text)
    with pytest.raises(StructureError, match=message):
        read_one(path, *ORDER)


def test_a_type_that_the_campaign_lacks_is_refused(tmp_path):
    atoms = slab()
    without_names(atoms, tmp_path / "slab", "lammps-dump")
    text = (tmp_path / "slab").read_text().replace(" 2 0 ", " 3 0 ")
    (tmp_path / "slab").write_text(text)
    with pytest.raises(StructureError, match=r"of type 3, and the types of Ni, Al are 1 to 2"):
        read_one(tmp_path / "slab", *ORDER)


@pytest.mark.parametrize(("lattice", "plane"), CASES)
def test_a_slab_of_a_compound_stays_as_it_is(lattice, plane):
    boundary = compound(lattice, plane)
    atoms = slab(boundary)
    fitted = fit_slab(atoms, boundary, HELD)
    assert fitted.num_removed == 0
    assert fitted.largest_shift < 1e-9  # rounding of sums of lengths
    assert same(fitted.atoms, atoms)


def test_planes_with_an_antisite_at_the_surface_are_left_out():
    atoms = slab()
    atoms.numbers[np.argmin(atoms.positions[:, 2])] = AL
    fitted = fit_slab(atoms, B2, HELD)
    assert fitted.num_removed > 0
    assert fit_slab(slab(), B2, HELD).num_removed == 0


def test_a_crystal_with_exchanged_elements_is_another_boundary():
    boundary = compound("l12", "tilt (210)")
    atoms = slab(boundary)
    atoms.numbers = np.where(atoms.numbers == NI, AL, NI)
    with pytest.raises(StructureError, match="and of its element, but it has neither grain"):
        fit_slab(atoms, boundary, HELD)


def test_a_disordered_slab_is_no_slab_of_the_compound():
    atoms = slab()
    np.random.default_rng(0).shuffle(atoms.numbers)
    with pytest.raises(StructureError, match="not the boundary of the campaign"):
        fit_slab(atoms, B2, HELD)
