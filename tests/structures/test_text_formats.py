"""Structure files as other programs write them; what each is, tests/data/structure_files tells."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.files import read_structures, write_structures
from gcd_hpc.structures.frame import Frame
from tests.reference import read_one
from tests.structures.boundaries import W_TWIST

FOLDER = Path(__file__).parents[1] / "data/structure_files"
CONTROL = FOLDER / "F01_control.dump"
SAME = sorted({*FOLDER.glob("*.dump"), *FOLDER.glob("*.data"), *FOLDER.glob("*.vasp")})
SAME += sorted(FOLDER.glob("X*.extxyz"))
OTHER_ELEMENT = {"F09_element_Cu.dump", "D11_massCu.data"}


@pytest.fixture
def atoms() -> Atoms:
    return Frame.build(W_TWIST, (15.0, 15.0), 40.0).join((1.0, 2.0, 0.5))


def read_text(folder: Path, text: str, element: str = "W") -> Atoms:
    path = folder / "structure"
    path.write_text(text)
    return read_one(path, element)


def data_file(
    atoms: Atoms, style: str = " # atomic", row: str = "{i} 1 {x} {y} {z}", **more
) -> str:
    x, y, z = atoms.cell.lengths()
    rows = [
        row.format(i=i + 1, x=p[0] - 3.0, y=p[1] + 2.0, z=p[2] - 20.0)
        for i, p in enumerate(atoms.positions)
    ]
    masses = more.get("masses", "Masses\n\n1 183.84\n")
    bounds = f"-3.0 {x - 3.0} xlo xhi\n2.0 {y + 2.0} ylo yhi\n-20.0 {z - 20.0} zlo zhi"
    header = f"{len(atoms)} atoms\n{more.get('types', 1)} atom types\n\n{bounds}"
    return f"{more.get('title', 'slab')}\n\n{header}\n\n{masses}\nAtoms{style}\n\n" + "\n".join(
        rows
    )


@pytest.mark.parametrize(
    "path", [path for path in SAME if path.name not in OTHER_ELEMENT], ids=lambda path: path.name
)
def test_every_form_of_one_structure_gives_the_same_atoms(path):
    """To 2e-7 Å, the last digit in the files, and up to a shift along z in periodic cells."""
    expected, got = read_one(CONTROL), read_one(path)
    gaps = got.positions - expected.positions
    gaps[:, :2] -= np.rint(gaps[:, :2] / 10.00813273) * 10.00813273
    gaps[:, 2] -= gaps[0, 2]
    assert np.abs(gaps).max() < 2e-7
    assert not got.constraints


@pytest.mark.parametrize("name", sorted(OTHER_ELEMENT))
def test_a_file_that_names_another_element_is_refused(name):
    with pytest.raises(
        StructureError, match=rf"{name}: holds atoms of Cu, but the boundary is of W"
    ):
        read_one(FOLDER / name)


@pytest.mark.parametrize("form", ["extxyz", "db", "vasp"])
def test_atoms_that_a_file_holds_fixed_move_with_the_others(tmp_path, atoms, form):
    """In periodic cells that cut the slab in two, where atoms are moved along z."""
    crossing = atoms.copy()
    crossing.pbc = True
    crossing.positions[:, 2] = (crossing.positions[:, 2] + 17.0) % crossing.cell[2, 2]
    crossing.set_constraint(FixAtoms(mask=crossing.positions[:, 2] < 12.0))
    path = tmp_path / f"slab.{form}"
    if form == "db":
        with connect(path) as database:
            database.write(crossing)
    else:
        columns = {"columns": ["symbols", "positions", "move_mask"]} if form == "extxyz" else {}
        write(path, crossing, format=form, **columns)
    again = read_one(path)
    assert np.ptp(again.positions[:, 2]) == pytest.approx(np.ptp(atoms.positions[:, 2]))
    assert not again.constraints


STYLES = {
    "atomic": "{i} 1 {x} {y} {z}",
    "charge": "{i} 1 0.0 {x} {y} {z}",
    "molecular": "{i} 7 1 {x} {y} {z}",
    "bond": "{i} 7 1 {x} {y} {z}",
    "full": "{i} 7 1 0.0 {x} {y} {z}",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("comment", ["# {}", "", "# as written by another program"])
@pytest.mark.parametrize("images", ["", " 0 0 0"])
def test_atom_styles_of_lammps_data_are_told_by_comment_or_columns(
    tmp_path, atoms, style, comment, images
):
    text = data_file(atoms, comment.format(style), STYLES[style] + images)
    again = read_text(tmp_path, text)
    assert np.allclose(again.positions, atoms.positions, atol=1e-9)
    assert set(again.symbols) == {"W"}


def test_an_atom_style_that_is_not_known_is_named(tmp_path, atoms):
    with pytest.raises(
        StructureError, match="atom_style 'dipole' is not supported; write the file with one of"
    ):
        read_text(tmp_path, data_file(atoms, " # dipole", "{i} 1 0 {x} {y} {z} 0 0 0"))
    with pytest.raises(StructureError, match="atom_style of 11 columns is not known"):
        read_text(tmp_path, data_file(atoms, "", "{i} 1 0 {x} {y} {z} 0 0 0 0 0"))
    with pytest.raises(
        StructureError, match="the 6 columns of its atoms do not fit atom_style atomic, which has 5"
    ):
        read_text(tmp_path, data_file(atoms, " # atomic", "{i} 1 0 {x} {y} {z}"))


@pytest.mark.parametrize(
    ("masses", "found"),
    [
        ("Masses\n\n1 63.546\n", "Cu"),
        ("Masses\n\n1 183.84 # Cu\n", "Cu"),
        ("Masses\n\n1 1.008 # W\n", "H"),
        ("Atom Type Labels\n\n1 Cu\n", "Cu"),
        ("Masses\n\n1 183.84\n2 1.008\n", None),
        ("Masses\n\n1 183.8 # the slab\n", None),
        ("Atom Type Labels\n\n1 W\n", None),
        ("Atom Type Labels\n\n1 grain\n", None),
        ("", None),
    ],
)
def test_the_element_that_lammps_data_states_is_compared(tmp_path, atoms, masses, found):
    """Masses, their comments and labels of types; types that no atom has do not count."""
    text = data_file(atoms, masses=masses, types=2)
    if found is None:
        assert set(read_text(tmp_path, text).symbols) == {"W"}
    else:
        with pytest.raises(
            StructureError, match=f"holds atoms of {found}, but the boundary is of W"
        ):
            read_text(tmp_path, text)


def test_one_atom_of_a_second_type_with_another_mass_is_seen(tmp_path, atoms):
    text = data_file(atoms, masses="Masses\n\n1 183.84\n2 1.008\n", types=2)
    with pytest.raises(StructureError, match="holds atoms of H, W, but"):
        read_text(tmp_path, text.replace("\n9 1 ", "\n9 2 "))
    labels = "Atom Type Labels\n\n1 W\n2 H\n\nMasses\n\nW 183.84\nH 1.008\n"
    text = data_file(atoms, row="{i} W {x} {y} {z}", masses=labels, types=2)
    assert set(read_text(tmp_path, text).symbols) == {"W"}
    with pytest.raises(StructureError, match="holds atoms of H, W, but"):
        read_text(tmp_path, text.replace("\n9 W ", "\n9 H "))


def test_types_of_a_dump_without_masses_are_the_campaigns_element_whatever_their_number(tmp_path):
    text = CONTROL.read_text().replace("\n9 1 ", "\n9 2 ")
    assert set(read_text(tmp_path, text).symbols) == {"W"}


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [("mass", "1.008", "H, W"), ("element", "H", "H, W"), ("typelabel", "H", "H, W")],
)
def test_the_element_of_every_atom_of_a_dump_is_compared(tmp_path, column, value, found):
    lines = CONTROL.read_text().splitlines()
    own = {"mass": "183.84", "element": "W", "typelabel": "W"}[column]
    lines = [*lines[:8], f"{lines[8]} {column} note", *(f"{line} {own} text" for line in lines[9:])]
    assert set(read_text(tmp_path, "\n".join(lines)).symbols) == {"W"}
    lines[50] = lines[50].replace(f" {own} ", f" {value} ")
    with pytest.raises(StructureError, match=f"holds atoms of {found}, but the boundary is of W"):
        read_text(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("units", ["lj", "si", "nano"])
def test_lengths_in_other_units_are_refused(tmp_path, atoms, units):
    with pytest.raises(
        StructureError,
        match=f"LAMMPS units {units} are not supported; write the file in metal or real",
    ):
        read_text(tmp_path, f"ITEM: UNITS\n{units}\n" + CONTROL.read_text())
    with pytest.raises(
        StructureError,
        match=f"LAMMPS units {units} are not supported; write the file in metal or real",
    ):
        read_text(tmp_path, data_file(atoms, title=f"by write_data, units = {units}"))


def test_an_open_box_need_not_hold_its_atoms(tmp_path, atoms):
    atoms.positions[:, 2] -= 25.0
    write_structures(tmp_path / "centred.xyz", [atoms], "extxyz")
    again = read_one(tmp_path / "centred.xyz")
    assert again.positions[:, 2].min() >= 0
    assert again.positions[:, 2].max() <= again.cell[2, 2]
    assert np.ptp(again.positions[:, 2]) == pytest.approx(np.ptp(atoms.positions[:, 2]))


POSCARS = {
    "scale with a comment": {1: "1.0  ! scaling"},
    "three scale factors": {1: "1.0 1.0 1.0"},
    "no symbols": {0: "Sigma5 twist", 5: None},
    "symbols in the title": {0: "W", 5: None},
    "a title like LAMMPS data": {0: "261 atoms of W"},
}


@pytest.mark.parametrize("change", POSCARS.values(), ids=POSCARS)
def test_headers_of_poscars_in_every_usual_form(tmp_path, change):
    lines = (FOLDER / "nocon.vasp").read_text().splitlines()
    changed = [change.get(number, line) for number, line in enumerate(lines)]
    again = read_text(tmp_path, "\n".join(line for line in changed if line is not None))
    assert np.allclose(again.positions, read_one(FOLDER / "nocon.vasp").positions)


def test_a_poscar_whose_title_names_another_element_is_refused(tmp_path):
    lines = (FOLDER / "nocon.vasp").read_text().splitlines()
    with pytest.raises(StructureError, match="holds atoms of Cu, but the boundary is of W"):
        read_text(tmp_path, "\n".join(["Cu", *lines[1:5], *lines[6:]]))


def test_atomic_numbers_are_no_types(tmp_path):
    lines = (FOLDER / "X08_species_int.extxyz").read_text().splitlines()
    for number, found in ((74, "W"), (29, "Cu")):
        text = "\n".join([*lines[:2], *(line.replace("1 ", f"{number} ", 1) for line in lines[2:])])
        if found == "W":
            assert set(read_text(tmp_path, text).symbols) == {"W"}
        else:
            with pytest.raises(StructureError, match="holds atoms of Cu, but the boundary is of W"):
                read_text(tmp_path, text)


@pytest.mark.parametrize("name", ["F01_control.dump", "X07_ovito_origin.extxyz", "nocon.vasp"])
def test_packed_files_and_marks_of_other_editors_change_nothing(tmp_path, name):
    """gzip, a byte order mark, carriage returns, a title in another encoding, @ in the name."""
    content = (FOLDER / name).read_bytes()
    forms = {
        "packed.gz": gzip.compress(content),
        "mark": b"\xef\xbb\xbf" + content,
        "returns": content.replace(b"\n", b"\r\n"),
        "best@3.xyz": content,
    }
    if name == "nocon.vasp":
        forms["title"] = b"10 \xc5 " + content
    expected = read_one(FOLDER / name)
    for form, changed in forms.items():
        (tmp_path / form).write_bytes(changed)
        assert np.array_equal(read_one(tmp_path / form).positions, expected.positions)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("F01_control.dump", "\n261\n", "\n1000000000000\n"),
        ("D03_charge.data", "\n261 atoms", "\n1000000000000 atoms"),
        ("X07_ovito_origin.extxyz", "261\n", "1000000000000\n"),
        ("nocon.vasp", " 261\n", " 1000000000000\n"),
    ],
)
def test_files_that_declare_more_atoms_than_they_hold_are_refused_before_memory_is_taken(
    tmp_path, name, old, new
):
    text = (FOLDER / name).read_text().replace(old, new, 1)
    with pytest.raises(
        StructureError, match="cut short: it declares 1000000000000 atoms and holds 261"
    ):
        read_text(tmp_path, text)


def test_damaged_files_of_every_format_get_one_sentence_with_file_and_format(tmp_path, atoms):
    for form, name in (("cif", "CIF"), ("lammps-data", "LAMMPS data file")):
        path = tmp_path / form
        write_structures(path, [atoms], form)
        text = path.read_text().replace("0.", "0.x")
        path.write_text(text)
        with pytest.raises(StructureError, match=rf"{form}: cannot be read as {name}: .* damaged"):
            read_one(path)


def test_a_cif_with_an_empty_formula_is_refused(tmp_path, atoms):
    write_structures(tmp_path / "slab.cif", [atoms], "cif")
    text = (tmp_path / "slab.cif").read_text().replace(f"W{len(atoms)}", "W0")
    with pytest.raises(
        StructureError, match=r"structure: cut short: it (declares 0 atoms|holds 180 atoms)"
    ):
        read_text(tmp_path, text)


def test_a_damaged_database_is_named_and_never_written_to(tmp_path, atoms):
    path = tmp_path / "own.db"
    with connect(path, type="db") as database:
        database.write(atoms)
    content = bytearray(path.read_bytes())
    assert len(read_structures(path, ["W"])) == 1
    content[2000:6000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(StructureError, match=r"own\.db: cannot be read as ASE database"):
        read_structures(path, ["W"])
    assert path.read_bytes() == content
