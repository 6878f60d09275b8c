from typing import get_args

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from gcd_hpc.errors import StructureError
from gcd_hpc.structures.energetics import n_fraction
from gcd_hpc.structures.files import (
    ATOM_ENERGY,
    FileFormat,
    read_structures,
    write_structures,
)
from gcd_hpc.structures.fingerprint import distance, energy_weights, fingerprint
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import minimum_image
from tests import reference
from tests.reference import GROUND_STATE, METASTABLE, phase, read_one
from tests.structures.boundaries import W_TWIST

FRAME = Frame.build(W_TWIST, (15.0, 15.0), 40.0)


@pytest.fixture
def atoms() -> Atoms:
    return FRAME.join((1.0, 2.0, 0.5))


def dump(atoms: Atoms, boundary: str = "pp pp ss", z_low: float = -0.5) -> str:
    """A LAMMPS dump as GRIP writes them: types instead of elements, a box that begins below zero, a
    last line of its own.
    """
    x, y, z = atoms.cell.lengths()
    rows = [
        f"{i + 1} 1 {p[0]:.6f} {p[1]:.6f} {p[2] + z_low:.6f} -8.75"
        for i, p in enumerate(atoms.positions)
    ]
    header = (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(atoms)}\nITEM: BOX BOUNDS {boundary}\n0.0"
        f" {x}\n0.0 {y}\n{z_low} {z + z_low}\n"
    )
    return header + "ITEM: ATOMS id type x y z c_eng\n" + "\n".join(rows) + "\nEgb = 2.3\n"


@pytest.mark.parametrize("file_format", get_args(FileFormat))
@pytest.mark.parametrize("tilt", [0.0, 4.0, -5.004065])
def test_written_structures_are_read_back(tmp_path, atoms, file_format, tilt):
    atoms.cell[1, 0] = tilt
    path = tmp_path / "any name"
    write_structures(path, [atoms], file_format)
    again = read_one(path)
    # CIF folds atoms into the cell.
    gaps = minimum_image(again.positions - atoms.positions, atoms.cell[:2, :2])
    assert np.abs(gaps).max() < 1e-7
    assert np.allclose(again.cell, atoms.cell)
    assert again.pbc.tolist() == [True, True, False]
    assert set(again.symbols) == {"W"}


def test_dumps_get_the_element_and_an_origin_at_zero(tmp_path, atoms):
    path = tmp_path / "gb.dump"
    path.write_text(dump(atoms))
    again = read_one(path)
    assert np.allclose(again.positions, atoms.positions, atol=1e-6)
    assert set(again.symbols) == {"W"}
    assert again.arrays["c_eng"] == pytest.approx(-8.75)


def test_slabs_that_cross_the_end_of_a_periodic_cell_are_put_together(tmp_path, atoms):
    crossing = atoms.copy()
    crossing.pbc = True
    crossing.positions[:, 2] = (crossing.positions[:, 2] + 17.0) % FRAME.height
    write_structures(tmp_path / "POSCAR", [crossing], "poscar")
    again = read_one(tmp_path / "POSCAR")
    assert np.ptp(again.positions[:, 2]) == pytest.approx(np.ptp(atoms.positions[:, 2]))
    shift = again.positions[0, 2] - atoms.positions[0, 2]
    assert np.allclose(again.positions[:, 2], atoms.positions[:, 2] + shift, atol=1e-7)


def test_several_structures_go_into_one_extended_xyz_file_only(tmp_path, atoms):
    write_structures(tmp_path / "many.xyz", [atoms, atoms], "extxyz")
    assert len(read_structures(tmp_path / "many.xyz", ["W"])) == 2
    with pytest.raises(StructureError, match="cannot hold 2 structures"):
        write_structures(tmp_path / "POSCAR", [atoms, atoms], "poscar")


def test_all_structures_of_a_file_are_read(tmp_path, atoms):
    other = FRAME.join((0.0, 0.0, 1.0))
    for first, second in ((atoms, other), (other, atoms)):
        first.info["id"], second.info["id"] = "first", "second"
        write_structures(tmp_path / "many.xyz", [first, second], "extxyz")
        again = read_structures(tmp_path / "many.xyz", ["W"])
        assert [one.info["id"] for one in again] == ["first", "second"]
        assert np.allclose(again[1].positions, second.positions, atol=1e-7)


def test_every_frame_of_a_dump_must_be_complete(tmp_path, atoms):
    path = tmp_path / "two.dump"
    path.write_text(dump(atoms) + dump(atoms))
    assert [len(one) for one in read_structures(path, ["W"])] == [180, 180]
    path.write_text(
        dump(atoms).replace("OF ATOMS\n180", "OF ATOMS\n179")
        + dump(atoms).replace("OF ATOMS\n180", "OF ATOMS\n181")
    )
    with pytest.raises(StructureError, match=r"two\.dump: c"):
        read_structures(path, ["W"])


def test_a_dump_holds_the_energy_of_each_atom_where_it_is_known(tmp_path, atoms):
    energies = np.linspace(-8.8, -8.1, len(atoms)) / 3
    atoms.calc = SinglePointCalculator(atoms, energy=energies.sum(), energies=energies)
    write_structures(tmp_path / "x.dump", [atoms], "lammps-dump")
    assert read_one(tmp_path / "x.dump").arrays[ATOM_ENERGY].tolist() == energies.tolist()


def test_unknown_formats_are_refused(tmp_path, atoms):
    with pytest.raises(StructureError, match="there is no format xsf"):
        write_structures(tmp_path / "x.xsf", [atoms], "xsf")  # type: ignore[arg-type]


def test_damaged_files_are_named(tmp_path, atoms):
    whole = dump(atoms)
    cases = {
        "short.dump": (
            "\n".join(whole.splitlines()[:60]),
            "cut short: it declares 180 atoms and holds 51",
        ),
        "header.dump": ("\n".join(whole.splitlines()[:5]), "cannot be read"),
        "words.txt": (
            "not a structure",
            "cannot be read: its format is not known; write it as LAMMPS dump",
        ),
        "empty": ("", "cannot be read: its format is not known; write it as LAMMPS dump"),
    }
    for name, (text, message) in cases.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(StructureError, match=f"{name}: {message}"):
            read_one(path)


@pytest.mark.parametrize("file_format", get_args(FileFormat))
def test_files_cut_short_are_refused(tmp_path, atoms, file_format):
    path = tmp_path / "cut"
    write_structures(path, [atoms], file_format)
    path.write_text("\n".join(path.read_text().splitlines()[:80]))
    with pytest.raises(StructureError, match="cut: c"):
        read_one(path)


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(StructureError, match=r"gone\.dump: cannot be read: No such file"):
        read_one(tmp_path / "gone.dump")
    (tmp_path / "binary").write_bytes(bytes([0, 255, 254, 128]))
    with pytest.raises(StructureError, match="binary: cannot be read: it holds binary data"):
        read_one(tmp_path / "binary")


def test_other_elements_are_refused(tmp_path, atoms):
    atoms.symbols[3] = "Mo"
    write_structures(tmp_path / "a.xyz", [atoms], "extxyz")
    with pytest.raises(
        StructureError, match=r"a\.xyz: holds atoms of Mo, W, but the boundary is of W"
    ):
        read_one(tmp_path / "a.xyz")


def test_boundaries_that_are_not_normal_to_z_are_refused(tmp_path, atoms):
    (tmp_path / "x.dump").write_text(dump(atoms, "ss pp pp"))
    with pytest.raises(
        StructureError,
        match="the axes are open periodic periodic, but a boundary normal to z",
    ):
        read_one(tmp_path / "x.dump")


def test_dumps_of_cells_with_an_inclined_normal_are_refused(tmp_path, atoms):
    atoms.cell[2, 0] = 1.0
    with pytest.raises(
        StructureError, match=r"a\.dump: cannot be written as lammps-dump: the rows"
    ):
        write_structures(tmp_path / "a.dump", [atoms], "lammps-dump")
    assert not (tmp_path / "a.dump").exists()


def test_cells_with_an_inclined_normal_are_refused(tmp_path, atoms):
    atoms.cell[2, 0] = 1.0
    write_structures(tmp_path / "tilted.xyz", [atoms], "extxyz")
    with pytest.raises(StructureError, match=r"tilted\.xyz: the cell .* is no box with its first"):
        read_one(tmp_path / "tilted.xyz")


def test_a_fully_periodic_bicrystal_is_refused(tmp_path, atoms):
    atoms.cell[2, 2] = np.ptp(atoms.positions[:, 2]) + 2.0
    atoms.pbc = True
    write_structures(tmp_path / "two", [atoms], "poscar")
    with pytest.raises(StructureError, match="may hold two boundaries"):
        read_one(tmp_path / "two")


def test_the_reference_structures_are_different_phases_with_their_fractions():
    ground, other = phase(GROUND_STATE), phase(METASTABLE)
    assert n_fraction(len(ground), 10) == pytest.approx(0.2)
    assert n_fraction(len(other), 20) == pytest.approx(0.4)
    marks = []
    for atoms in (ground, other):
        heights = atoms.positions[:, 2] - np.mean(
            [atoms.positions[:, 2].min(), atoms.positions[:, 2].max()]
        )
        weights = np.where(
            np.abs(heights) < 20,
            energy_weights(atoms.arrays[reference.ATOM_ENERGY], -8.759994),
            0.0,
        )
        marks.append(fingerprint(atoms.positions, atoms.cell, weights, W_TWIST.nearest_neighbor))
    assert distance(*marks) > 0.1
