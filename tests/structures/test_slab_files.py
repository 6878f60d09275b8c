"""Boundaries named by the files of two slabs."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from gcd_hpc.config.boundary import BoundaryConfig, SlabFiles
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.errors import ConfigError, OrientationError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.slab_files import with_slabs
from tests.structures.boundaries import ALL, SI_TWIST, W_TWIST
from tests.structures.test_hexagonal import ALL as HEXAGONAL
from tests.structures.test_oblique import twist

GRIP = Path(__file__).parent.parent / "data" / "grip_ti"


def campaign(element, folder=GRIP, lower="POSCAR_LOWER", upper="POSCAR_UPPER", **more):
    boundary = BoundaryConfig(element=element, slabs=SlabFiles(lower=lower, upper=upper), **more)
    config = CampaignConfig.model_construct(name="a", boundary=boundary)
    return with_slabs(config, folder, "a.yaml")


def slab(boundary, side, height=20.0, turn=0.0):
    """A file's content: a slab of one grain, moved, with a cell of its own height."""
    positions = boundary.lattice_positions(side, (0.3, 0.2, 0.1), 0.0, height)
    cell = np.zeros((3, 3))
    cell[:2, :2] = boundary.cell
    cell[2, 2] = height + 12.0
    atoms = Atoms([boundary.element] * len(positions), positions, cell=cell, pbc=True)
    atoms.rotate(turn, "z", rotate_cell=True)
    return atoms


def written(folder, boundary, turn=0.0):
    for side in ("lower", "upper"):
        write(folder / f"{side}.extxyz", slab(boundary, side, turn=turn))
    return campaign(boundary.element, folder, "lower.extxyz", "upper.extxyz")


def test_grips_slab_files_name_the_boundary_that_four_indices_name():
    found = Bicrystal.build(campaign("Ti").boundary, 1.0)
    expected = HEXAGONAL["GRIP's tilt"]
    assert np.array(found.cell) == pytest.approx(np.array(expected.cell), abs=1e-6)
    assert found.atoms_per_plane == expected.atoms_per_plane == 2
    assert found.plane_spacing == pytest.approx(expected.plane_spacing, abs=1e-6)
    assert found.lower.crystal.name == "P6_3/mmc"
    assert found.nearest_neighbor == pytest.approx(expected.nearest_neighbor, abs=1e-6)
    assert (found.sigma, found.character) == (expected.sigma, expected.character)
    assert found.misorientation_deg == pytest.approx(expected.misorientation_deg, abs=1e-4)


CASES = {
    **{name: ALL[name] for name in ("W Sigma5(310)[001] tilt", "Ni Sigma3(111) twist")},
    "W twist": W_TWIST,
    "Si twist": SI_TWIST,
    "oblique": twist("fcc", 7, "smallest"),
    "hcp pyramidal": HEXAGONAL["pyramidal"],
    "hcp oblique": HEXAGONAL["twist in the smallest cell"],
}


@pytest.mark.parametrize("turn", [0.0, 33.0])
@pytest.mark.parametrize("name", CASES)
def test_slabs_written_to_files_name_the_boundary_that_they_were_cut_from(name, turn, tmp_path):
    boundary = CASES[name]
    found = Bicrystal.build(written(tmp_path, boundary, turn).boundary, 1.0)
    # A file may hold a multiple of the crystal's periods; then the smaller common cell is taken.
    ratio = boundary.area / found.area
    assert ratio == pytest.approx(round(ratio))
    assert boundary.atoms_per_plane == round(ratio) * found.atoms_per_plane
    assert found.plane_spacing == pytest.approx(boundary.plane_spacing, abs=1e-5)
    assert found.atomic_volume == pytest.approx(boundary.atomic_volume, rel=1e-5)
    assert found.misorientation_deg == pytest.approx(boundary.misorientation_deg, abs=1e-3)
    assert found.sigma == boundary.sigma
    offsets = [
        np.sort(np.array(one.layer_offsets) % one.plane_spacing)
        for one in (found.upper, boundary.upper)
    ]
    gaps = np.diff(offsets[0]) - np.diff(offsets[1])
    spacing = found.plane_spacing
    assert all(min(abs(gap), abs(abs(gap) - spacing)) < 1e-4 for gap in gaps)


def test_both_grains_of_slab_files_are_joined_in_a_box_like_those_of_a_name():
    found = Bicrystal.build(campaign("Ti").boundary, 1.0)
    expected = HEXAGONAL["GRIP's tilt"]
    frames = [Frame.build(one, (20.0, 20.0), 60.0) for one in (found, expected)]
    atoms = [frame.join((0.0, 0.0, 0.0)) for frame in frames]
    assert len(atoms[0]) == len(atoms[1])
    for low, high in ((0.0, 20.0), (40.0, 60.0)):
        heights = [np.sort(one.positions[:, 2]) for one in atoms]
        inner = [one[(one > low) & (one < high)] for one in heights]
        assert np.diff(inner[0]) == pytest.approx(np.diff(inner[1]), abs=1e-5)


def test_a_run_keeps_the_crystal_of_its_slab_files_in_its_copy_of_the_campaign(tmp_path):
    boundary = campaign("Ti").boundary
    again = BoundaryConfig.model_validate_json(boundary.model_dump_json(), strict=True)
    assert again == boundary
    assert Bicrystal.build(again, 1.0) == Bicrystal.build(boundary, 1.0)
    with pytest.raises(OrientationError, match="the files have not been read"):
        Bicrystal.build(
            boundary.model_copy(
                update={"slabs": boundary.slabs.model_copy(update={"crystal": None})}
            ),
            1.0,
        )


def shaken(atoms):
    moved = atoms.copy()
    moved.positions += np.random.default_rng(0).normal(0.0, 0.5, moved.positions.shape)
    return moved


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda atoms: None, r"lower.extxyz: cannot be read: no such file"),
        (lambda atoms: "no structure", r"lower.extxyz: cannot be read: not a format of ASE"),
        (shaken, "holds no crystal: no three translations"),
        (lambda atoms: atoms[atoms.positions[:, 2] < 5.0], "at least 8 Å are needed"),
        (lambda atoms: Atoms(atoms.symbols, atoms.positions), "has no cell of three vectors"),
        (
            lambda atoms: Atoms(["Cu"] * len(atoms), atoms.positions, cell=atoms.cell),
            "holds Cu, but boundary.element is W",
        ),
        (
            lambda atoms: Atoms(
                atoms.symbols, atoms.positions * 1.02, cell=atoms.cell.array * 1.02
            ),
            "hold different crystals",
        ),
    ],
)
def test_slab_files_that_hold_no_grains_are_refused_in_one_sentence(make, problem, tmp_path):
    write(tmp_path / "upper.extxyz", slab(W_TWIST, "upper"))
    content = make(slab(W_TWIST, "lower"))
    if isinstance(content, str):
        (tmp_path / "lower.extxyz").write_text(content)
    elif content is not None:
        write(tmp_path / "lower.extxyz", content)
    with pytest.raises(ConfigError, match=problem) as caught:
        campaign("W", tmp_path, "lower.extxyz", "upper.extxyz")
    assert str(caught.value).startswith("a.yaml: boundary.slabs")
    assert "\n" not in str(caught.value)


def test_slabs_whose_cells_do_not_fit_are_refused_with_the_strain(tmp_path):
    tilt = ALL["Cu Sigma5(210)[001] tilt"]
    write(tmp_path / "lower.extxyz", slab(tilt, "lower"))
    write(tmp_path / "upper.extxyz", slab(W_TWIST, "upper"))
    one, other = twist("fcc", 3, "smallest"), twist("fcc", 5, "rectangle", (0, 0, 1))
    for side, boundary in (("lower", one), ("upper", other)):
        write(tmp_path / f"{side}.extxyz", slab(boundary, side))
    config = campaign("Cu", tmp_path, "lower.extxyz", "upper.extxyz")
    with pytest.raises(OrientationError, match=r"boundary.max_strain: "):
        Bicrystal.build(config.boundary, 1.0)
